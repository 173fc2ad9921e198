//! Comparisons as arithmetic.
//!
//! The verifier walks both sides of every branch, and a search over eight ways that branches at
//! each of them multiplies everything that follows by eight. BPF has no set-on-condition
//! instruction either; so the searches of the half-open table compare by arithmetic.

/// 1 if `x` is 0, else 0.
#[inline(always)]
pub(crate) const fn is_zero(x: u64) -> u64 {
    // Not `(x | -x) >> 63`: LLVM knows that one and makes it a compare again.
    ((x >> 1) | (x & 1)).wrapping_sub(1) >> 63
}

/// 1 if `a` is below `b`, else 0; both are below 2^63.
#[inline(always)]
pub(crate) const fn is_below(a: u64, b: u64) -> u64 {
    a.wrapping_sub(b) >> 63
}

/// `yes` if `condition` is 1, `no` if it is 0.
#[inline(always)]
pub(crate) const fn select(condition: u64, yes: u64, no: u64) -> u64 {
    no ^ ((yes ^ no) & condition.wrapping_neg())
}

#[cfg(test)]
mod tests;
