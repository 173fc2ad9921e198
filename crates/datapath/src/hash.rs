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

/// `hsiphash` of one word on 64-bit kernels, with both halves of the key alike: SipHash-1-3 (lib/siphash.c).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "as the kernel cuts it")]
pub(crate) const fn hsiphash(word: u32, key: u64) -> u32 {
    let block = 4 << 56 | word as u64;
    let a = 0x736f_6d65_7073_6575 ^ key;
    let b = 0x646f_7261_6e64_6f6d ^ key;
    let c = 0x6c79_6765_6e65_7261 ^ key;
    let d = 0x7465_6462_7974_6573 ^ key ^ block;
    let [a, b, c, d] = sip_round([a, b, c, d]);
    let [a, b, c, d] = sip_round([a ^ block, b, c ^ 0xff, d]);
    let [a, b, c, d] = sip_round(sip_round([a, b, c, d]));
    (a ^ b ^ c ^ d) as u32
}

/// A digest of a client's address and of what it is a client of, by which nobody finds two that have the same:
/// SipHash-1-3 of four words, with both halves of the key alike and without the length, which is always the same.
#[must_use]
#[inline(always)]
pub const fn digest(client: [u64; 2], of: [u64; 2], key: u64) -> u64 {
    let mut state = [
        0x736f_6d65_7073_6575 ^ key,
        0x646f_7261_6e64_6f6d ^ key,
        0x6c79_6765_6e65_7261 ^ key,
        0x7465_6462_7974_6573 ^ key,
    ];
    state = absorbed(absorbed(state, client[0]), client[1]);
    state = absorbed(absorbed(state, of[0]), of[1]);
    let [a, b, c, d] = state;
    let [a, b, c, d] = sip_round(sip_round(sip_round([a, b, c ^ 0xff, d])));
    a ^ b ^ c ^ d
}

#[inline(always)]
const fn absorbed([a, b, c, d]: [u64; 4], word: u64) -> [u64; 4] {
    let [a, b, c, d] = sip_round([a, b, c, d ^ word]);
    [a ^ word, b, c, d]
}

#[inline(always)]
const fn sip_round([a, b, c, d]: [u64; 4]) -> [u64; 4] {
    let a = a.wrapping_add(b);
    let b = b.rotate_left(13) ^ a;
    let a = a.rotate_left(32);
    let c = c.wrapping_add(d);
    let d = d.rotate_left(16) ^ c;
    let a = a.wrapping_add(d);
    let d = d.rotate_left(21) ^ a;
    let c = c.wrapping_add(b);
    let b = b.rotate_left(17) ^ c;
    [a, b, c.rotate_left(32), d]
}

/// Chance: the `n`-th number of a sequence that `seed` chooses (splitmix64).
#[inline(always)]
pub(crate) const fn chance(n: u64, seed: u64) -> u64 {
    let x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed;
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Another hash of what has this one (Fibonacci hashing).
#[must_use]
#[inline(always)]
pub(crate) const fn scramble(hash: u32) -> u32 {
    hash.wrapping_mul(0x9e37_79b1)
}

/// Maps a hash to a slot of a table of `len` slots, without a division.
#[must_use]
#[inline(always)]
pub const fn slot(hash: u32, len: u32) -> u32 {
    ((hash as u64 * len as u64) >> 32) as u32
}
