//! The Internet checksum, RFC 1071, and its incremental update, RFC 1624.

/// Adds a big-endian word to a running sum of 16-bit words.
#[must_use]
#[inline(always)]
pub const fn add(sum: u32, word: u16) -> u32 {
    sum + word as u32
}

/// Folds a running sum and complements it: the value of a checksum field.
///
/// The sum may hold up to 65,537 words.
#[must_use]
#[inline(always)]
pub const fn finish(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "two folds leave 16 bits")]
    let folded = sum as u16;
    !folded
}

/// The checksum after one 16-bit word changed from `old` to `new` (RFC 1624 §3, equation 3).
#[must_use]
#[inline(always)]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    finish(!checksum as u32 + !old as u32 + new as u32)
}

#[cfg(test)]
mod tests;
