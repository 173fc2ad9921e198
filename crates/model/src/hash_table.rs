//! The consistent-hash fallback: a Maglev table of a service's real servers (Maglev, NSDI'16, §3.4).
//!
//! A slot holds an index into the caller's server list. The table depends on the set of servers, their
//! weights and the seed, never on the order in which they are given: two directors agree without talking.
//! Nothing here knows about flows; the data plane hashes a flow and looks its slot up.

use std::net::{IpAddr, SocketAddr};

/// Slots per server that keep the imbalance near one percent (Maglev §5.3: M > 100 N).
const SLOTS_PER_SERVER: u32 = 100;

/// Slots per server of a table that is but a fallback: within a slot of 32 each has its share.
const FALLBACK_SLOTS: u32 = 32;

/// Second halves of the two hash keys; the first half is the seed.
const OFFSET_KEY: u64 = 0x6f66_6673_6574_6b65;
const SKIP_KEY: u64 = 0x736b_6970_206b_6579;

/// Fewest servers that a table is sized for.
const SIZED_FOR_MIN: usize = 8;

/// Returns the number of slots for that many servers: the smallest prime of at least 100 per server,
/// with the servers rounded up to a power of two, at least 8; 0 for no servers.
///
/// Tables of different sizes place nearly every flow differently, so a server more or less should
/// not change the size (ADR 5).
#[must_use]
pub fn table_size(servers: usize) -> u32 {
    sized(servers, SLOTS_PER_SERVER)
}

/// The same with at least 32 per server: where the table is but what flows without an entry go by, and the scheduler
/// is another.
#[must_use]
pub fn fallback_size(servers: usize) -> u32 {
    sized(servers, FALLBACK_SLOTS)
}

fn sized(servers: usize, slots: u32) -> u32 {
    if servers == 0 {
        return 0;
    }
    let wanted = u32::try_from(servers.max(SIZED_FOR_MIN))
        .ok()
        .and_then(u32::checked_next_power_of_two)
        .and_then(|servers| servers.checked_mul(slots))
        .unwrap_or(u32::MAX - 4);
    // 4,294,967,291 = u32::MAX - 4 is prime, so the search ends.
    (wanted..=u32::MAX)
        .find(|&n| is_prime(n))
        .unwrap_or(u32::MAX - 4)
}

/// Builds the table of `(address, weight)` pairs: each slot is an index into `servers`.
///
/// The size is that of [`table_size`] for all of `servers`, those of weight 0 included, so that
/// quiescing a server resizes nothing; they own no slot. Empty where no server has a weight.
/// A server's share of the slots is its share of the weights, within two slots.
/// Addresses must be distinct.
#[must_use]
pub fn build(servers: &[(SocketAddr, u32)], seed: u64) -> Vec<u32> {
    build_sized(servers, seed, table_size(servers.len()))
}

/// Builds the table with a size of the caller's, who thereby keeps it while servers come and go.
///
/// # Panics
/// If `size` is not a prime.
#[must_use]
pub fn build_sized(servers: &[(SocketAddr, u32)], seed: u64, size: u32) -> Vec<u32> {
    let mut turns: Vec<(SocketAddr, u32, u32)> = (0u32..)
        .zip(servers)
        .filter(|(_, (_, weight))| *weight > 0)
        .map(|(index, &(address, weight))| (address, index, weight))
        .collect();
    if turns.is_empty() {
        return Vec::new();
    }
    turns.sort_unstable();
    let permutations: Vec<Permutation> = turns
        .iter()
        .map(|&(address, _, weight)| Permutation::of(address, weight, seed, size))
        .collect();
    let mut table = fill(size, &permutations);
    for slot in &mut table {
        *slot = turns[*slot as usize].1;
    }
    table
}

/// One server's preference list: `offset`, `offset + skip`, `offset + 2 skip`, ... modulo the table's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    /// First choice, less than the table's size.
    pub offset: u32,
    /// Step, from 1 to the table's size less 1.
    pub skip: u32,
    /// Weight; 0 takes no slot.
    pub weight: u32,
}

impl Permutation {
    fn of(address: SocketAddr, weight: u32, seed: u64, size: u32) -> Self {
        let mut bytes = [0u8; 18];
        match address.ip() {
            IpAddr::V4(ip) => bytes[..16].copy_from_slice(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => bytes[..16].copy_from_slice(&ip.octets()),
        }
        bytes[16..].copy_from_slice(&address.port().to_be_bytes());
        Self {
            offset: reduce(siphash24(seed, OFFSET_KEY, &bytes), size),
            skip: 1 + reduce(siphash24(seed, SKIP_KEY, &bytes), (size - 1).max(1)),
            weight,
        }
    }
}

/// Fills a table of `size` slots with indices into `permutations`; the order given is the order of turns.
///
/// In a turn a server adds its weight to its account and takes a slot once the account reaches the
/// greatest weight. So the heaviest takes one slot every round, which bounds the rounds by `size`.
/// Empty where no permutation has a weight.
///
/// # Panics
/// If `size` is not a prime, an offset is not below it, or a skip is not from 1 to `size - 1`: then the
/// preference lists would not reach every slot.
#[must_use]
pub fn fill(size: u32, permutations: &[Permutation]) -> Vec<u32> {
    assert!(is_prime(size), "table size `{size}` is not a prime");
    assert!(
        permutations
            .iter()
            .all(|p| p.offset < size && (1..size).contains(&p.skip)),
        "offset or skip outside the table"
    );
    let heaviest = permutations.iter().map(|p| p.weight).max().unwrap_or(0);
    if heaviest == 0 {
        return Vec::new();
    }
    let heaviest = u64::from(heaviest);
    let mut table: Vec<Option<u32>> = vec![None; size as usize];
    let mut next: Vec<u32> = permutations.iter().map(|p| p.offset).collect();
    let mut account: Vec<u64> = vec![0; permutations.len()];
    let mut free = size;
    while free > 0 {
        for (index, (turn, p)) in (0u32..).zip(permutations.iter().enumerate()) {
            account[turn] += u64::from(p.weight);
            if account[turn] < heaviest {
                continue;
            }
            account[turn] -= heaviest;
            let slot = first_free(&table, &mut next[turn], p.skip, size);
            table[slot] = Some(index);
            free -= 1;
            if free == 0 {
                break;
            }
        }
    }
    table.into_iter().flatten().collect()
}

/// Walks a preference list from `next` to a free slot, of which there is one, and steps past it.
fn first_free(table: &[Option<u32>], next: &mut u32, skip: u32, size: u32) -> usize {
    loop {
        let slot = *next as usize;
        // Both are below `size`, so the sum fits in 64 bits and its residue in 32.
        *next = reduce(u64::from(*next) + u64::from(skip), size);
        if table[slot].is_none() {
            return slot;
        }
    }
}

/// `value` modulo `size`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a residue of a u32 modulus fits in a u32"
)]
fn reduce(value: u64, size: u32) -> u32 {
    (value % u64::from(size)) as u32
}

fn is_prime(n: u32) -> bool {
    let n = u64::from(n);
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| n % d != 0)
}

/// SipHash-2-4 (Aumasson, Bernstein 2012), in code of our own because the standard library does not
/// promise that its hashes stay the same, and two directors must agree across versions.
fn siphash24(k0: u64, k1: u64, bytes: &[u8]) -> u64 {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, tail) = bytes.as_chunks::<8>();
    let mut last = [0u8; 8];
    last[..tail.len()].copy_from_slice(tail);
    last[7] = bytes.len().to_le_bytes()[0];
    for word in words.iter().chain([&last]) {
        let m = u64::from_le_bytes(*word);
        v[3] ^= m;
        sip_round(&mut v);
        sip_round(&mut v);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    for _ in 0..4 {
        sip_round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn sip_round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod disruption;
#[cfg(test)]
mod tests;
