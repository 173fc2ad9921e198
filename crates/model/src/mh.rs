//! IPVS's Maglev hashing, to the bucket (net/netfilter/ipvs/ip_vs_mh.c), without its flags.
//!
//! Its table follows the order of the list, has no seed and one size; `maglev` is the better one. Servers of
//! weight 0 keep their buckets; who meets one is refused.

use std::net::SocketAddr;

/// Buckets (`CONFIG_IP_VS_MH_TAB_INDEX` 12).
pub const BUCKETS: usize = 4093;

/// Bits that weights are cut to (`IP_VS_MH_TAB_BITS`).
const WEIGHT_BITS: u32 = 6;

/// The keys (`generate_hash_secret`).
const KEY_1: [u64; 2] = [2_654_435_761; 2];
const KEY_2: [u64; 2] = [2_654_446_892; 2];

/// Which of the servers, given in list order with their weights, has each bucket; empty if none has a weight.
#[must_use]
pub fn build(servers: &[(SocketAddr, u16)]) -> Vec<usize> {
    let divisor = servers.iter().fold(0, |g, (_, weight)| gcd(g, *weight));
    if divisor == 0 {
        return Vec::new();
    }
    let heaviest = servers.iter().map(|(_, weight)| weight / divisor).max();
    let bits = heaviest.map_or(0, |weight| u16::BITS - weight.leading_zeros());
    let shift = bits.saturating_sub(WEIGHT_BITS);
    let mut places: Vec<Places> = servers
        .iter()
        .map(|(address, weight)| Places::of(*address, *weight, divisor, shift))
        .collect();
    let mut table = vec![None; BUCKETS];
    let mut free = BUCKETS;
    loop {
        for (index, places) in places.iter_mut().enumerate() {
            for _ in 0..places.turns {
                places.take(&mut table, index);
                free -= 1;
                if free == 0 {
                    return table.into_iter().flatten().collect();
                }
            }
        }
    }
}

/// The buckets that a server would like, best first.
struct Places {
    next: usize,
    skip: usize,
    turns: u16,
}

impl Places {
    fn of(address: SocketAddr, weight: u16, divisor: u16, shift: u32) -> Self {
        let folded = match address {
            SocketAddr::V4(v4) => u32::from(*v4.ip()),
            SocketAddr::V6(v6) => {
                let words = v6.ip().octets();
                let words = words.chunks_exact(4);
                words.fold(0, |folded, word| {
                    word.iter().fold(0, |w, byte| w << 8 | u32::from(*byte)) ^ folded
                })
            }
        };
        let word = folded.wrapping_add(address.port().into());
        let cut = (weight / divisor) >> shift;
        Self {
            next: modulo(siphash(word, KEY_1), BUCKETS),
            skip: modulo(siphash(word, KEY_2), BUCKETS - 1) + 1,
            turns: if cut == 0 {
                u16::from(weight != 0)
            } else {
                cut
            },
        }
    }

    /// Takes the best bucket that is free; there is one.
    fn take(&mut self, table: &mut [Option<usize>], index: usize) {
        loop {
            if let Some(bucket @ None) = table.get_mut(self.next) {
                *bucket = Some(index);
                return;
            }
            self.next = (self.next + self.skip) % BUCKETS;
        }
    }
}

fn modulo(hash: u32, by: usize) -> usize {
    usize::try_from(hash).unwrap_or(usize::MAX) % by
}

const fn gcd(mut a: u16, mut b: u16) -> u16 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The bucket of a client's address (`ip_vs_mh_hashkey`).
#[must_use]
pub fn bucket(address: u32) -> usize {
    modulo(siphash(address, KEY_1), BUCKETS)
}

/// `hsiphash` of one word on 64-bit kernels: SipHash-1-3, cut to 32 bits (lib/siphash.c).
#[expect(clippy::cast_possible_truncation, reason = "as the kernel cuts it")]
fn siphash(word: u32, [low, high]: [u64; 2]) -> u32 {
    let mut v = [
        0x736f_6d65_7073_6575 ^ low,
        0x646f_7261_6e64_6f6d ^ high,
        0x6c79_6765_6e65_7261 ^ low,
        0x7465_6462_7974_6573 ^ high,
    ];
    let block = 4 << 56 | u64::from(word);
    v[3] ^= block;
    round(&mut v);
    v[0] ^= block;
    v[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut v);
    }
    (v[0] ^ v[1] ^ v[2] ^ v[3]) as u32
}

fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests;
