//! Schedulers: the server of a new flow, and of packets that no table knows.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{
    Costs, DropReason, FlowKey, Globals, SchedulerId, Service, ServiceFlags, Span, high, low, pair,
};

use crate::Tables;
use crate::branchless::{is_below, is_zero, select};
use crate::buckets::{Dealt, FALLS, client, static_bucket};
use crate::hash::{chance, flow_hash, slot};
use crate::locality::is_local;
use crate::rounds::{Rounds, SERVERS};
use crate::turns::{round_robin, weighted_round_robin};

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

/// The server of a flow without an entry. `None`: its address is asked ([`by_locality`](fn@crate::by_locality)), not
/// from here, for the program's stack has no room for that besides.
///
/// # Errors
/// No server may have it, or the tables contradict each other.
#[inline(always)]
pub fn schedule<T: Tables + ?Sized>(
    tables: &T,
    service: u32,
    key: &FlowKey,
    method: Method,
) -> Result<Option<u32>, DropReason> {
    let globals = tables.globals().ok_or(DropReason::Internal)?;
    let slot = tables.service(service).ok_or(DropReason::Internal)?;
    let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
    let server = match method {
        Method::Scheduler if is_local(service.scheduler.load(Relaxed)) != 0 => return Ok(None),
        Method::Scheduler => by_scheduler(tables, globals, service, key),
        Method::HashAll => by_hash(tables, globals, service, &service.hash_all, key),
        Method::HashAllNew => {
            let server = by_hash(tables, globals, service, &service.hash_all, key)?;
            if service.quiesced.load(Relaxed) != 0 && is_quiesced(tables, server) {
                return Err(DropReason::TableFull);
            }
            Ok(server)
        }
        Method::HashFresh => by_hash(tables, globals, service, &service.hash_fresh, key),
    };
    server.map(Some)
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
        SchedulerId::DH => {
            let destination = u32::from_be(high(key.addresses));
            static_bucket(tables, service, Dealt::ByHash32, destination, 0)
        }
        SchedulerId::SH => static_bucket(
            tables,
            service,
            Dealt::ByHash32,
            client(service, key),
            FALLS,
        ),
        SchedulerId::MH => static_bucket(
            tables,
            service,
            Dealt::ByHsiphash,
            client(service, key),
            FALLS,
        ),
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

/// maglev: the server that the flow's later packets go to without an entry; only where that one is quiesced or
/// overloaded another one, of which only the entry knows.
#[inline(always)]
fn consistent<T: Tables + ?Sized>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    key: &FlowKey,
) -> Result<u32, DropReason> {
    let server = by_hash(tables, globals, service, &service.hash_all, key)?;
    if !is_unavailable(tables, server) {
        return Ok(server);
    }
    let server = by_hash(tables, globals, service, &service.hash_fresh, key)?;
    if !is_overloaded(tables, server) {
        return Ok(server);
    }
    let (start, len) = service.ring.load();
    let from = slot(hash_of(globals, service, key), len);
    let found = first_available(tables, start, len, from);
    found.map(|(_, server)| server).ok_or(DropReason::NoServer)
}

/// Whether a server has as many connections as it may have.
#[inline(always)]
pub(crate) fn is_overloaded<T: Tables + ?Sized>(tables: &T, server: u32) -> bool {
    tables
        .server_load(server)
        .is_none_or(|load| load.overloaded.load(Relaxed) != 0)
}

/// Whether a server takes no new flows, by its weight or its connections (`is_unavailable` of ip_vs_sh.c).
#[inline(always)]
pub(crate) fn is_unavailable<T: Tables + ?Sized>(tables: &T, server: u32) -> bool {
    is_quiesced(tables, server) || is_overloaded(tables, server)
}

/// The first entry from `from` on, of the `len` of the list at `start` of the arena, round to the one before it,
/// whose server is not overloaded: its index and its server.
#[inline(always)]
pub(crate) fn first_available<T: Tables + ?Sized>(
    tables: &T,
    start: u32,
    len: u32,
    from: u32,
) -> Option<(u32, u32)> {
    let mut search = Available {
        start,
        len,
        from,
        found: 0,
    };
    tables.repeat(SERVERS, &mut search);
    let number = high(search.found).checked_sub(1)?;
    Some((low(search.found), number))
}

struct Available {
    start: u32,
    len: u32,
    from: u32,
    /// The index, and the server plus one.
    found: u64,
}

impl Rounds for Available {
    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool {
        if index >= self.len {
            return false;
        }
        let index = u64::from(self.from) + u64::from(index);
        let len = u64::from(self.len);
        let index = low(index.wrapping_sub(select(is_below(index, len), 0, len)));
        let Some(server) = at(tables, self.start, index) else {
            return false;
        };
        if is_overloaded(tables, server) {
            return true;
        }
        self.found = pair(index, server.wrapping_add(1));
        false
    }
}

/// Whether a server takes no new flows.
#[inline(always)]
pub(crate) fn is_quiesced<T: Tables + ?Sized>(tables: &T, server: u32) -> bool {
    tables
        .server(server)
        .is_none_or(|s| low(s.weights.load(Relaxed)) == 0)
}

/// The server that a consistent hash of the service's names.
#[inline(always)]
pub(crate) fn by_hash<T: Tables + ?Sized>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    table: &Span,
    key: &FlowKey,
) -> Result<u32, DropReason> {
    let (start, len) = table.load();
    if len == 0 {
        return Err(DropReason::NoServer);
    }
    entry(tables, start, slot(hash_of(globals, service, key), len))
}

/// What the consistent hash is of: the flow, or the client's address alone where the service says so.
#[inline(always)]
fn hash_of(globals: &Globals, service: &Service, key: &FlowKey) -> u32 {
    let flag = service.flags.load(Relaxed) & ServiceFlags::HASH_CLIENT;
    let of_flow = is_zero(flag).wrapping_neg();
    let key = FlowKey {
        addresses: key.addresses & (of_flow | pair(u32::MAX, 0)),
        ports_protocol: key.ports_protocol & of_flow,
    };
    flow_hash(&key, low(globals.hash_seed.load(Relaxed)))
}

#[inline(always)]
pub(crate) fn entry<T: Tables + ?Sized>(
    tables: &T,
    start: u32,
    index: u32,
) -> Result<u32, DropReason> {
    at(tables, start, index).ok_or(DropReason::Internal)
}

/// An entry of a table in the arena.
#[inline(always)]
pub(crate) fn at<T: Tables + ?Sized>(tables: &T, start: u32, index: u32) -> Option<u32> {
    let word = tables.arena(start.wrapping_add(index >> 1))?.load(Relaxed);
    Some(low(word >> ((index & 1) << 5)))
}
