//! Sums of packet bytes for Internet checksums.

use evenkeel_wire::checksum;

use crate::Frame;

/// Adds `len` bytes (a multiple of 4, at most `4 * MAX`) from `offset` on to a checksum's sum.
#[inline(always)]
pub(crate) fn add_bytes<const MAX: usize, F: Frame + ?Sized>(
    frame: &F,
    offset: usize,
    len: usize,
    mut sum: u32,
) -> Option<u32> {
    let mut i = 0;
    while i < MAX {
        if i * 4 >= len {
            break;
        }
        let [a, b, c, d] = frame.load(offset + i * 4)?;
        sum = checksum::add(sum, u16::from_be_bytes([a, b]));
        sum = checksum::add(sum, u16::from_be_bytes([c, d]));
        i += 1;
    }
    Some(sum)
}

/// Adds an IPv4 address, as it lies in the packet.
#[inline(always)]
pub(crate) const fn add_address(sum: u32, address: [u8; 4]) -> u32 {
    let [a, b, c, d] = address;
    let sum = checksum::add(sum, u16::from_be_bytes([a, b]));
    checksum::add(sum, u16::from_be_bytes([c, d]))
}

/// Adds an IPv6 address, as it lies in memory.
#[inline(always)]
pub(crate) const fn add_address6(sum: u32, [first, second]: [u64; 2]) -> u32 {
    add_word(add_word(sum, first), second)
}

#[inline(always)]
const fn add_word(sum: u32, word: u64) -> u32 {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    add_address(add_address(sum, [a, b, c, d]), [e, f, g, h])
}
