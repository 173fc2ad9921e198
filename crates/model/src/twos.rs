//! IPVS's power of two choices, to the pick (net/netfilter/ipvs/ip_vs_twos.c).
//!
//! Pure: the picks themselves happen in the data plane, which [`pick`] is the model of.

use crate::least::{Loaded, overhead};

/// Returns the index of a new flow's server; `None` where none has a weight.
///
/// `random` are two numbers from 0 to the sum of the weights, both ends included.
#[must_use]
pub fn pick(servers: &[Loaded], random: [u64; 2]) -> Option<usize> {
    let [first, second] = random.map(|random| choice(servers, random));
    let (first, second) = (first?, second?);
    let (one, other) = (servers.get(first)?, servers.get(second)?);
    let better = u64::from(other.0) * overhead(one) > u64::from(one.0) * overhead(other);
    Some(if better { second } else { first })
}

/// The server at which the weights, added up in list order, reach a number.
fn choice(servers: &[Loaded], random: u64) -> Option<usize> {
    let mut sum = 0;
    let mut each = servers.iter();
    each.position(|server| {
        sum += u64::from(server.0);
        server.0 > 0 && sum >= random
    })
}

#[cfg(test)]
mod tests;
