//! Schedulers that compare the servers' connections.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{Costs, low};

use crate::Tables;
use crate::branchless::{is_below, is_zero, select};
use crate::rounds::{Rounds, SERVERS};
use crate::scheduler::at;

/// IPVS's wlc, lc, sed, nq, fo and ovf: the server with the lowest cost for its share, the first of equals.
///
/// `ip_vs_{wlc,lc,sed,nq,fo,ovf}_schedule` in net/netfilter/ipvs, as one loop over numbers that user space has
/// chosen ([`Costs`]). Looks at the first 2,048 of the `len` entries that the list at `start` of the arena has: lblcr's
/// members stand there twice. `None`:
/// there is none with a weight that is not overloaded; no server wins whose weight has just become 0.
#[must_use]
#[inline(always)]
pub fn least_loaded<T: Tables + ?Sized>(
    tables: &T,
    costs: Costs,
    start: u32,
    len: u32,
) -> Option<u32> {
    let mut least = Least {
        costs,
        start,
        len,
        cost: 1 << 40,
        share: 1,
        found: 0,
    };
    tables.repeat(SERVERS * 2, &mut least);
    low(least.found).checked_sub(1)
}

struct Least {
    costs: Costs,
    start: u32,
    len: u32,
    /// The least so far, its share, and its number plus one.
    cost: u64,
    share: u64,
    found: u64,
}

impl Rounds for Least {
    const CHUNK: u32 = 16;

    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool {
        if index >= self.len {
            return false;
        }
        let Some(number) = at(tables, self.start, index) else {
            return false;
        };
        let (Some(load), Some(server)) = (tables.server_load(number), tables.server(number)) else {
            return false;
        };
        let weight = u64::from(low(server.weights.load(Relaxed)));
        let active = load.active.load(Relaxed);
        let inactive = load.inactive.load(Relaxed);
        let costs = self.costs;
        let cost = costs
            .active()
            .wrapping_mul(active)
            .wrapping_add(costs.inactive().wrapping_mul(inactive))
            .wrapping_add(costs.flow())
            .wrapping_sub(costs.idle().wrapping_mul(is_zero(active)));
        let full = costs.full().wrapping_mul(is_below(weight, active));
        let share = costs
            .weight()
            .wrapping_mul(weight)
            .wrapping_add(costs.any_weight().wrapping_mul(1 ^ is_zero(weight)))
            .wrapping_mul(1 ^ full)
            .wrapping_mul(1 ^ load.overloaded.load(Relaxed) & costs.unless_overloaded());
        let lower = is_below(cost.wrapping_mul(self.share), self.cost.wrapping_mul(share));
        self.cost = select(lower, cost, self.cost);
        self.share = select(lower, share, self.share);
        self.found = select(lower, u64::from(number) + 1, self.found);
        true
    }
}

/// IPVS's twos: of two servers that chance picks by their weights, the one with the lower overhead for its weight,
/// the first of equals (`ip_vs_twos_schedule` in net/netfilter/ipvs/ip_vs_twos.c).
///
/// Looks at the first 1,024 of the `len` servers that the list at `start` of the arena has. `None`: there is none with
/// a weight that is not overloaded.
#[must_use]
#[inline(always)]
pub fn less_loaded_of_two<T: Tables + ?Sized>(
    tables: &T,
    random: u64,
    start: u32,
    len: u32,
) -> Option<u32> {
    let mut weights = Weights { start, len, sum: 0 };
    tables.repeat(SERVERS, &mut weights);
    // From 0 to the sum, both included.
    let up_to = |random: u32| (u64::from(random) * (weights.sum + 1)) >> 32;
    let mut two = Two {
        start,
        len,
        sum: 0,
        wanted: [up_to(low(random)), up_to(low(random >> 32))],
        found: [0; 2],
    };
    tables.repeat(SERVERS, &mut two);
    let [one, other] = two.found;
    let (one, other) = (low(one).checked_sub(1)?, low(other).checked_sub(1)?);
    let (overhead, weight) = overhead(tables, one)?;
    let (other_overhead, other_weight) = self::overhead(tables, other)?;
    let better = is_below(
        other_overhead.wrapping_mul(weight),
        overhead.wrapping_mul(other_weight),
    );
    Some(low(select(better, other.into(), one.into())))
}

/// The weights of the servers that may be picked.
struct Weights {
    start: u32,
    len: u32,
    sum: u64,
}

impl Rounds for Weights {
    const CHUNK: u32 = 16;

    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool {
        if index >= self.len {
            return false;
        }
        let Some((_, weight)) = picked_from(tables, self.start, index) else {
            return false;
        };
        self.sum = self.sum.wrapping_add(weight);
        true
    }
}

/// The first two servers up to which the weights add up to what is wanted.
struct Two {
    start: u32,
    len: u32,
    sum: u64,
    wanted: [u64; 2],
    /// Their numbers plus one.
    found: [u64; 2],
}

impl Rounds for Two {
    const CHUNK: u32 = 16;

    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool {
        if index >= self.len {
            return false;
        }
        let Some((number, weight)) = picked_from(tables, self.start, index) else {
            return false;
        };
        self.sum = self.sum.wrapping_add(weight);
        let may = 1 ^ is_zero(weight);
        for (wanted, found) in self.wanted.iter().zip(&mut self.found) {
            let hit = may & is_zero(*found) & (1 ^ is_below(self.sum, *wanted));
            *found = select(hit, u64::from(number) + 1, *found);
        }
        true
    }
}

/// A server of the list, and its weight, which counts for nothing while it is overloaded.
#[inline(always)]
fn picked_from<T: Tables + ?Sized>(tables: &T, start: u32, index: u32) -> Option<(u32, u64)> {
    let number = at(tables, start, index)?;
    let load = tables.server_load(number)?;
    let weight = u64::from(low(tables.server(number)?.weights.load(Relaxed)));
    Some((
        number,
        weight.wrapping_mul(1 ^ load.overloaded.load(Relaxed)),
    ))
}

/// A server's overhead (`ip_vs_dest_conn_overhead`) and weight.
#[inline(always)]
pub(crate) fn overhead<T: Tables + ?Sized>(tables: &T, server: u32) -> Option<(u64, u64)> {
    let load = tables.server_load(server)?;
    let active = load.active.load(Relaxed);
    let overhead = (active << 8)
        .wrapping_add(active)
        .wrapping_add(load.inactive.load(Relaxed));
    let weight = low(tables.server(server)?.weights.load(Relaxed));
    Some((overhead, weight.into()))
}
