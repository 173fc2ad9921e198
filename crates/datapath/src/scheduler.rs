//! Schedulers: the server of a new flow, and of packets that no table knows.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use evenkeel_abi::{
    Costs, DropReason, FlowKey, Globals, SchedulerId, Service, Span, high, low, pair,
};

use crate::Tables;
use crate::branchless::{is_below, is_zero, select};
use crate::hash::{chance, flow_hash, hsiphash, slot};
use crate::table::ATTEMPTS;

/// Key and buckets of mh (`generate_hash_secret`, `CONFIG_IP_VS_MH_TAB_INDEX` 12).
const MH_KEY: u64 = 2_654_435_761;
const MH_BUCKETS: u32 = 4093;

/// Servers that wlc and its like look at; the verifier wants a bound.
const LEAST_OF: u32 = 1024;

/// How the server of a flow without an entry is chosen.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By the service's scheduler.
    Scheduler = 0,
    /// By the consistent hash that still holds quiesced servers: so are the flow's later packets placed.
    HashAll = 1,
    /// The same for a flow that begins and gets no entry: to a quiesced server goes none.
    HashAllNew = 2,
    /// By the consistent hash without quiesced servers.
    HashFresh = 3,
}

impl Method {
    /// The method of this number; of the number's lowest two bits.
    #[must_use]
    #[inline(always)]
    pub const fn of(number: u64) -> Self {
        match number & 3 {
            0 => Self::Scheduler,
            1 => Self::HashAll,
            2 => Self::HashAllNew,
            _ => Self::HashFresh,
        }
    }

    /// That of a flow that gets no entry.
    #[inline(always)]
    pub(crate) const fn without_entry(begins: bool) -> Self {
        if begins {
            Self::HashAllNew
        } else {
            Self::HashAll
        }
    }
}

/// The server of a flow without an entry.
///
/// # Errors
/// No server may have it, or the tables contradict each other.
#[inline(always)]
pub fn schedule<T: Tables + ?Sized>(
    tables: &T,
    service: u32,
    key: &FlowKey,
    method: Method,
) -> Result<u32, DropReason> {
    let globals = tables.globals().ok_or(DropReason::Internal)?;
    let slot = tables.service(service).ok_or(DropReason::Internal)?;
    let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
    match method {
        Method::Scheduler => by_scheduler(tables, globals, service, key),
        Method::HashAll => by_hash(tables, globals, &service.hash_all, key),
        Method::HashAllNew => {
            let server = by_hash(tables, globals, &service.hash_all, key)?;
            if service.quiesced.load(Relaxed) != 0 && is_quiesced(tables, server) {
                return Err(DropReason::TableFull);
            }
            Ok(server)
        }
        Method::HashFresh => by_hash(tables, globals, &service.hash_fresh, key),
    }
}

/// The server that a service's scheduler names for a new flow.
#[inline(always)]
fn by_scheduler<T: Tables + ?Sized>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    key: &FlowKey,
) -> Result<u32, DropReason> {
    match service.scheduler.load(Relaxed) {
        SchedulerId::RR => round_robin(tables, &service.ring),
        SchedulerId::WRR => weighted_round_robin(tables, &service.ring),
        SchedulerId::DH => static_bucket(tables, &service.ring, bucket(high(key.addresses))),
        SchedulerId::SH => static_bucket(tables, &service.ring, bucket(low(key.addresses))),
        SchedulerId::MH => {
            let hash = hsiphash(u32::from_be(low(key.addresses)), MH_KEY);
            static_bucket(tables, &service.ring, hash % MH_BUCKETS)
        }
        SchedulerId::TWOS => {
            let (start, len) = service.ring.load();
            if len == 0 || start == 0 {
                return Err(DropReason::NoServer);
            }
            let cursor = tables.arena(start - 1).ok_or(DropReason::Internal)?;
            let n = cursor.load(Relaxed);
            // Where another packet was faster, both have the same number: it is chance for each.
            let _moved = cursor.compare_exchange(n, n.wrapping_add(1), Relaxed, Relaxed);
            let random = chance(n, globals.secret.load(Relaxed));
            tables
                .less_loaded_of_two(random, start, len)
                .ok_or(DropReason::NoServer)
        }
        SchedulerId::MAGLEV => consistent(tables, globals, service, key),
        SchedulerId::WLC
        | SchedulerId::LC
        | SchedulerId::SED
        | SchedulerId::NQ
        | SchedulerId::FO
        | SchedulerId::OVF => {
            let (start, len) = service.ring.load();
            tables
                .least_loaded(Costs(service.costs.load(Relaxed)), start, len)
                .ok_or(DropReason::NoServer)
        }
        _ => Err(DropReason::Internal),
    }
}

/// maglev: the server that the flow's later packets go to without an entry; only where that one is quiesced
/// another one, of which only the entry knows.
#[inline(always)]
fn consistent<T: Tables + ?Sized>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    key: &FlowKey,
) -> Result<u32, DropReason> {
    let server = by_hash(tables, globals, &service.hash_all, key)?;
    if service.quiesced.load(Relaxed) != 0 && is_quiesced(tables, server) {
        return by_hash(tables, globals, &service.hash_fresh, key);
    }
    Ok(server)
}

/// Whether a server takes no new flows.
#[inline(always)]
pub(crate) fn is_quiesced<T: Tables + ?Sized>(tables: &T, server: u32) -> bool {
    tables
        .server(server)
        .is_none_or(|s| low(s.weights.load(Relaxed)) == 0)
}

/// The server that the consistent hash names.
#[inline(always)]
pub(crate) fn by_hash<T: Tables + ?Sized>(
    tables: &T,
    globals: &Globals,
    table: &Span,
    key: &FlowKey,
) -> Result<u32, DropReason> {
    let (start, len) = table.load();
    if len == 0 {
        return Err(DropReason::NoServer);
    }
    entry(
        tables,
        start,
        slot(flow_hash(key, low(globals.hash_seed.load(Relaxed))), len),
    )
}

/// IPVS's rr: the server after the one used last, in list order.
///
/// User space keeps only servers with a weight in the ring and sets its cursor so that the order
/// is the one of `ip_vs_rr_schedule` in net/netfilter/ipvs/ip_vs_rr.c.
#[inline(always)]
fn round_robin<T: Tables + ?Sized>(tables: &T, ring: &Span) -> Result<u32, DropReason> {
    let (start, len) = ring.load();
    if len == 0 || start == 0 {
        return Err(DropReason::NoServer);
    }
    let cursor = tables.arena(start - 1).ok_or(DropReason::Internal)?;
    let mut next = 0;
    for _ in 0..ATTEMPTS {
        let last = cursor.load(Acquire);
        next = low(last).wrapping_add(1);
        if next >= len {
            next = 0;
        }
        if cursor
            .compare_exchange(last, u64::from(next), AcqRel, Relaxed)
            .is_ok()
        {
            break;
        }
    }
    entry(tables, start, next)
}

/// IPVS's wrr: in passes over the servers whose weight is at least a level that sinks from the heaviest
/// by the weights' greatest common divisor, in list order within a pass.
///
/// User space has counted the passes between two weights ([`SchedulerId::WRR`]), so that each step is the
/// one of `ip_vs_wrr_schedule` in net/netfilter/ipvs/ip_vs_wrr.c, but found without a search.
#[inline(always)]
fn weighted_round_robin<T: Tables + ?Sized>(tables: &T, ring: &Span) -> Result<u32, DropReason> {
    let (start, levels) = ring.load();
    if levels == 0 || start == 0 {
        return Err(DropReason::NoServer);
    }
    let cursor = tables.arena(start - 1).ok_or(DropReason::Internal)?;
    let mut list = 0;
    let mut index = 0;
    for _ in 0..ATTEMPTS {
        let last = cursor.load(Acquire);
        let at = Cursor::of(last, levels);
        let word = start.wrapping_add(at.level << 1);
        let level = tables.arena(word).ok_or(DropReason::Internal)?;
        let passes = tables
            .arena(word.wrapping_add(1))
            .ok_or(DropReason::Internal)?;
        let servers = level.load(Relaxed);
        list = low(servers);
        index = at.index;
        let next = at.next(high(servers), low(passes.load(Relaxed)), levels);
        if cursor
            .compare_exchange(last, next.packed(), AcqRel, Relaxed)
            .is_ok()
        {
            break;
        }
    }
    entry(tables, list, index)
}

/// Where wrr stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    level: u32,
    index: u32,
    passes: u32,
}

impl Cursor {
    /// The cursor of this word; at the first level if there is none of its number.
    #[inline(always)]
    const fn of(word: u64, levels: u32) -> Self {
        let there = is_below(word >> 48, levels as u64);
        let word = select(there, word, 0);
        Self {
            level: high(word) >> 16,
            index: high(word) & 0xffff,
            passes: low(word),
        }
    }

    #[inline(always)]
    const fn packed(self) -> u64 {
        pair(self.passes, self.level << 16 | self.index)
    }

    /// One server on, in a level of this many servers and passes.
    #[inline(always)]
    const fn next(self, servers: u32, passes: u32, levels: u32) -> Self {
        let index = self.index as u64 + 1;
        let in_pass = is_below(index, servers as u64);
        let done = self.passes as u64 + (1 ^ in_pass);
        let in_level = in_pass | is_below(done, passes as u64);
        let level = self.level as u64 + (1 ^ in_level);
        let level = select(is_below(level, levels as u64), level, 0);
        Self {
            level: low(level),
            index: low(select(in_pass, index, 0)),
            passes: low(select(in_level, done, 0)),
        }
    }
}

/// The bucket of an address in dh and sh, `ip_vs_{dh,sh}_hashkey`: hash_32 of include/linux/hash.h, 8 bits.
#[inline(always)]
const fn bucket(address: u32) -> u32 {
    u32::from_be(address).wrapping_mul(0x61c8_8647) >> 24
}

/// IPVS's dh, sh and mh without flags: the server of a bucket, which is refused if that is quiesced.
///
/// `ip_vs_{dh,sh,mh}_get` in net/netfilter/ipvs; user space has dealt the buckets out.
#[inline(always)]
fn static_bucket<T: Tables + ?Sized>(
    tables: &T,
    table: &Span,
    bucket: u32,
) -> Result<u32, DropReason> {
    let (start, len) = table.load();
    if len == 0 {
        return Err(DropReason::NoServer);
    }
    let server = entry(tables, start, bucket)?;
    if is_quiesced(tables, server) {
        return Err(DropReason::NoServer);
    }
    Ok(server)
}

/// IPVS's wlc, lc, sed, nq, fo and ovf: the server with the lowest cost for its share, the first of equals.
///
/// `ip_vs_{wlc,lc,sed,nq,fo,ovf}_schedule` in net/netfilter/ipvs, as one loop over numbers that user space has
/// chosen ([`Costs`]): the verifier follows each side of each branch 1,024 times. Looks at the first 1,024 of the
/// `len` servers that the list at `start` of the arena has. `None`: there is none with a weight; no server wins
/// whose weight has just become 0.
#[must_use]
#[inline(always)]
pub fn least_loaded<T: Tables + ?Sized>(
    tables: &T,
    costs: Costs,
    start: u32,
    len: u32,
) -> Option<u32> {
    // The least so far, its share, and its number plus one.
    let (mut least, mut share, mut found) = (1u64 << 40, 1u64, 0);
    for index in 0..LEAST_OF {
        if index >= len {
            break;
        }
        let number = at(tables, start, index)?;
        let load = tables.server_load(number)?;
        let weight = u64::from(low(tables.server(number)?.weights.load(Relaxed)));
        let active = load.active.load(Relaxed);
        let inactive = load.inactive.load(Relaxed);
        let cost = costs
            .active()
            .wrapping_mul(active)
            .wrapping_add(costs.inactive().wrapping_mul(inactive))
            .wrapping_add(costs.flow())
            .wrapping_sub(costs.idle().wrapping_mul(is_zero(active)));
        let full = costs.full().wrapping_mul(is_below(weight, active));
        let s = costs
            .weight()
            .wrapping_mul(weight)
            .wrapping_add(costs.any_weight().wrapping_mul(1 ^ is_zero(weight)))
            .wrapping_mul(1 ^ full);
        let lower = is_below(cost.wrapping_mul(share), least.wrapping_mul(s));
        least = select(lower, cost, least);
        share = select(lower, s, share);
        found = select(lower, u64::from(number) + 1, found);
    }
    low(found).checked_sub(1)
}

/// IPVS's twos: of two servers that chance picks by their weights, the one with the lower overhead for its weight,
/// the first of equals (`ip_vs_twos_schedule` in net/netfilter/ipvs/ip_vs_twos.c).
///
/// `len` counts entries of the table at `start` of the arena, see [`SchedulerId::TWOS`]; of more than 1,024
/// servers, the first so many are looked at.
#[must_use]
#[inline(always)]
pub fn less_loaded_of_two<T: Tables + ?Sized>(
    tables: &T,
    random: u64,
    start: u32,
    len: u32,
) -> Option<u32> {
    let servers = (len / 2).min(LEAST_OF);
    let last = servers.checked_sub(1)?;
    let sum = high(tables.arena(start + last)?.load(Relaxed));
    // From 0 to the sum, both included.
    let up_to = |random: u32| (u64::from(random) * (u64::from(sum) + 1)) >> 32;
    let (first, second) = (up_to(low(random)) << 32, up_to(high(random)) << 32);
    // The servers before each choice: those whose sum is below. Not by halves, whose branches the verifier would
    // multiply; and as whole words, of which LLVM does not know that it may compare them.
    let (mut before_first, mut before_second) = (0, 0);
    for index in 0..LEAST_OF {
        if index >= servers {
            break;
        }
        let here = tables.arena(start + index)?.load(Relaxed);
        before_first += is_below(here, first);
        before_second += is_below(here, second);
    }
    let number = |before: u64| {
        let word = tables.arena(start + low(before).min(last))?;
        Some(low(word.load(Relaxed)))
    };
    let (one, other) = (number(before_first)?, number(before_second)?);
    let (overhead, weight) = overhead(tables, one)?;
    let (other_overhead, other_weight) = self::overhead(tables, other)?;
    let better = is_below(
        other_overhead.wrapping_mul(weight),
        overhead.wrapping_mul(other_weight),
    );
    Some(low(select(better, other.into(), one.into())))
}

/// A server's overhead (`ip_vs_dest_conn_overhead`) and weight.
#[inline(always)]
fn overhead<T: Tables + ?Sized>(tables: &T, server: u32) -> Option<(u64, u64)> {
    let load = tables.server_load(server)?;
    let active = load.active.load(Relaxed);
    let overhead = (active << 8)
        .wrapping_add(active)
        .wrapping_add(load.inactive.load(Relaxed));
    let weight = low(tables.server(server)?.weights.load(Relaxed));
    Some((overhead, weight.into()))
}

#[inline(always)]
fn entry<T: Tables + ?Sized>(tables: &T, start: u32, index: u32) -> Result<u32, DropReason> {
    at(tables, start, index).ok_or(DropReason::Internal)
}

/// An entry of a table in the arena.
#[inline(always)]
fn at<T: Tables + ?Sized>(tables: &T, start: u32, index: u32) -> Option<u32> {
    let word = tables.arena(start.wrapping_add(index >> 1))?.load(Relaxed);
    Some(if index & 1 == 0 {
        low(word)
    } else {
        high(word)
    })
}
