//! Hashes of flows: jhash of three words, as in the kernel's include/linux/jhash.h.

use evenkeel_abi::{FlowKey, high, low};

const INITVAL: u32 = 0xdead_beef;

/// A 32-bit hash of a flow, keyed by `seed`; equal on every machine.
#[must_use]
#[inline(always)]
pub const fn flow_hash(key: &FlowKey, seed: u32) -> u32 {
    let init = INITVAL.wrapping_add(12).wrapping_add(seed);
    let mut a = u32::from_be(low(key.addresses)).wrapping_add(init);
    let mut b = u32::from_be(high(key.addresses))
        .wrapping_add(high(key.ports_protocol))
        .wrapping_add(init);
    let mut c = u32::from_be(low(key.ports_protocol)).wrapping_add(init);
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

/// Maps a hash to a slot of a table of `len` slots, without a division.
#[must_use]
#[inline(always)]
pub(crate) const fn slot(hash: u32, len: u32) -> u32 {
    ((hash as u64 * len as u64) >> 32) as u32
}
