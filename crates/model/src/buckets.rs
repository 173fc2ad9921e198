//! IPVS's static tables: destination hashing and source hashing (net/netfilter/ipvs/ip_vs_{dh,sh}.c).
//!
//! Servers without a weight keep their buckets; who meets one is refused.

/// Buckets of either table (`IP_VS_DH_TAB_BITS`, `IP_VS_SH_TAB_BITS`: 8 bits).
pub const BUCKETS: usize = 256;

/// Which of `servers` has each bucket of dh: one after the other. Empty if there are none.
#[must_use]
pub fn destination_hash(servers: usize) -> Vec<usize> {
    (0..servers).cycle().take(BUCKETS).collect()
}

/// Which server has each bucket of sh: one after the other, each as many as it has weight, at least one
/// (`ip_vs_sh_reassign`). Empty if there are none.
#[must_use]
pub fn source_hash(weights: &[u16]) -> Vec<usize> {
    let each = weights.iter().enumerate();
    let runs = each.flat_map(|(index, weight)| {
        let length = usize::from((*weight).max(1));
        std::iter::repeat_n(index, length)
    });
    runs.cycle().take(BUCKETS).collect()
}

/// The bucket of an address (`hash_32` of include/linux/hash.h, 8 bits).
#[must_use]
pub const fn bucket(address: u32) -> u8 {
    let [highest, ..] = address.wrapping_mul(0x61c8_8647).to_be_bytes();
    highest
}

#[cfg(test)]
mod tests;
