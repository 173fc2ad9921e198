//! What becomes of a packet of no established flow: where its server comes from, and where its entry goes.
//!
//! Planning, scheduling and entering are three functions with little but numbers between them, so that the program
//! has each verified once, and none stands on another's stack.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{
    Bucket, DropReason, Event, FlowKey, Globals, Service, ServiceFlags, State, Tick, Word, high,
    low,
};
use evenkeel_wire::ipv4;

use crate::Tables;
use crate::branchless::is_zero;
use crate::bucket::Way;
use crate::established::{self, Place};
use crate::half_open::{self, bucket_of};
use crate::hash::flow_hash;
use crate::ip::Flow;
use crate::scheduler::{Method, by_hash, is_quiesced};
use crate::table::{Known, exchange, weigh};
use crate::transport::Transport;

/// Flood mode lasts this long (1 s) after the last insertion that found no room.
const FLOOD_FOR: u64 = Tick::in_secs(1);

/// What becomes of a packet, in one word.
///
/// Bits 0 to 2 the step; then its server from bit 8 on, or with a place: 3 and 4 the method, 5 and 6 the table,
/// 7 to 9 the way, 10 to 63 a digest of the word that was read there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan(pub u64);

/// What comes next.
pub(crate) enum Step {
    /// The packet goes to this server.
    Known(u32),
    /// Its server has left the service.
    Gone,
    /// It needs an entry, and there is no room.
    Full,
    /// The tables contradict each other.
    Internal,
    /// Its server is chosen by this method, and the flow entered.
    Place(Method),
}

/// Where a new flow's entry goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    /// Nowhere: it does without.
    None = 0,
    /// In the place of an established entry that is over.
    Established = 1,
    /// Into the half-open table.
    HalfOpen = 2,
}

impl Plan {
    const KNOWN: u64 = 0;
    const GONE: u64 = 1;
    const FULL: u64 = 2;
    const INTERNAL: u64 = 3;
    const PLACE: u64 = 4;
    const DIGEST_SHIFT: u32 = 10;

    #[inline(always)]
    const fn known(server: u32) -> Self {
        Self(Self::KNOWN | (server as u64) << 8)
    }

    #[inline(always)]
    fn refused(reason: DropReason) -> Self {
        Self(if reason == DropReason::ServerGone {
            Self::GONE
        } else if reason == DropReason::TableFull {
            Self::FULL
        } else {
            Self::INTERNAL
        })
    }

    #[inline(always)]
    const fn place(method: Method, table: Table, way: Way) -> Self {
        let digest = digest(way.word) << Self::DIGEST_SHIFT;
        Self(
            Self::PLACE
                | (method as u64) << 3
                | (table as u64) << 5
                | (way.index & 7) << 7
                | digest,
        )
    }

    #[inline(always)]
    pub(crate) const fn step(self) -> Step {
        match self.0 & 7 {
            Self::KNOWN => Step::Known(low(self.0 >> 8)),
            Self::GONE => Step::Gone,
            Self::FULL => Step::Full,
            Self::PLACE => Step::Place(Method::of(self.0 >> 3)),
            _ => Step::Internal,
        }
    }

    #[inline(always)]
    const fn is_for(self, table: Table) -> bool {
        self.0 >> 5 & 3 == table as u64
    }

    /// The way, if its word is still the one that was planned with.
    #[inline(always)]
    fn way(self, bucket: &Bucket) -> Option<Way> {
        let index = self.0 >> 7 & 7;
        let way = Way {
            index,
            word: Word::FREE,
        };
        let word = Word(way.conn(bucket).word.load(Acquire));
        let is_same = digest(word) == self.0 >> Self::DIGEST_SHIFT;
        is_same.then_some(Way { index, word })
    }
}

/// 54 bits that another word hardly ever has.
#[inline(always)]
const fn digest(word: Word) -> u64 {
    word.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> Plan::DIGEST_SHIFT
}

/// Decides what becomes of a packet of no established flow, and follows the state of a half-open one.
#[must_use]
#[inline(always)]
pub fn plan<T: Tables + ?Sized>(
    tables: &T,
    service: u32,
    flow: &Flow,
    transport: Transport,
) -> Plan {
    try_plan(tables, service, flow, transport).unwrap_or_else(Plan::refused)
}

#[inline(always)]
fn try_plan<T: Tables + ?Sized>(
    tables: &T,
    service: u32,
    Flow { key, placing }: &Flow,
    transport: Transport,
) -> Result<Plan, DropReason> {
    let globals = tables.globals().ok_or(DropReason::Internal)?;
    let state = tables.state().ok_or(DropReason::Internal)?;
    let slot = tables.service(service).ok_or(DropReason::Internal)?;
    let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
    let now = tables.now();
    let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
    let flow = (key, hash);
    match established::look_up(tables, globals, state, service, flow, transport, now) {
        Known::Unknown => {}
        Known::Reuse(place) => {
            return Ok(Plan::place(
                Method::Scheduler,
                Table::Established,
                place.way,
            ));
        }
        Known::Gone => return Err(DropReason::ServerGone),
        Known::At(server) => return Ok(Plan::known(server)),
    }
    let bucket = bucket_of(tables, globals, hash).ok_or(DropReason::Internal)?;
    match half_open::look_up(tables, state, service, bucket, flow, transport, now) {
        Known::Unknown => {}
        Known::Reuse(way) => return Ok(Plan::place(Method::Scheduler, Table::HalfOpen, way)),
        Known::Gone => return Err(DropReason::ServerGone),
        Known::At(server) => return Ok(Plan::known(server)),
    }
    if transport.begins == 0 {
        tables.count_event(Event::UnknownFlow);
        return Ok(WITHOUT_ENTRY);
    }
    new_flow(
        tables,
        globals,
        state,
        service,
        bucket,
        (placing, transport, now),
    )
}

/// By the hash that places the flow's later packets too.
const WITHOUT_ENTRY: Plan = Plan::place(Method::HashAll, Table::None, NO_WAY);

/// The way of what is not entered.
const NO_WAY: Way = Way {
    index: 0,
    word: Word::FREE,
};

/// Whether a packet is scheduled by itself: of UDP alone, as in IPVS, whose groups may have TCP too.
#[inline(always)]
fn is_alone(service: &Service, key: &FlowKey) -> bool {
    let asked = service.flags.load(Relaxed) & ServiceFlags::ONE_PACKET;
    asked * is_zero(u64::from(high(key.ports_protocol) ^ u32::from(ipv4::UDP))) != 0
}

/// Whether user space has asked for new flows to be placed by the hash.
#[inline(always)]
pub fn is_asked(state: &State, now: Tick) -> bool {
    // 0, never, becomes the last tick of all.
    state.hash_from.load(Relaxed).wrapping_sub(1) < now.0
}

/// Decides how a flow that no table knows is placed, and where its entry goes.
#[inline(always)]
fn new_flow<T: Tables + ?Sized>(
    tables: &T,
    globals: &Globals,
    state: &State,
    service: &Service,
    bucket: &Bucket,
    (key, transport, now): (&FlowKey, Transport, Tick),
) -> Result<Plan, DropReason> {
    if is_alone(service, key) {
        // The later fragments find no entry, and have to go the same way.
        return Ok(if transport.fragment != 0 {
            WITHOUT_ENTRY
        } else {
            Plan::place(Method::Scheduler, Table::None, NO_WAY)
        });
    }
    let full = state.established.load(Relaxed) >= globals.conns.load(Relaxed)
        || state.unassured.load(Relaxed) >= globals.unassured_max.load(Relaxed);
    let flood = state.flood_until.load(Relaxed) > now.0;
    let asked = is_asked(state, now);
    let room = half_open::room(bucket, now);
    let entered = if full || flood { None } else { room };
    if let (false, Some(way)) = (asked, entered) {
        return Ok(Plan::place(Method::Scheduler, Table::HalfOpen, way));
    }
    if room.is_none() {
        if !flood {
            tables.count_event(Event::FloodBegan);
        }
        state.flood_until.store(now.after(FLOOD_FOR).0, Relaxed);
    }
    if service.quiesced.load(Relaxed) != 0 {
        let server = by_hash(tables, globals, service, &service.hash_all, key)?;
        if is_quiesced(tables, server) {
            // Its later packets would go to the quiesced server: it needs an entry.
            let way = room.ok_or(DropReason::TableFull)?;
            return Ok(Plan::place(Method::HashFresh, Table::HalfOpen, way));
        }
    }
    if let Some(way) = entered {
        tables.count_event(Event::AskedSyn);
        return Ok(Plan::place(Method::HashAll, Table::HalfOpen, way));
    }
    tables.count_event(if full {
        Event::FullSyn
    } else {
        Event::FloodSyn
    });
    Ok(WITHOUT_ENTRY)
}

/// Enters a flow as planned, with its server; false if the place for it was taken meanwhile.
#[inline(always)]
pub fn enter<T: Tables + ?Sized>(
    tables: &T,
    key: &FlowKey,
    transport: Transport,
    plan: Plan,
    server: u32,
) -> bool {
    plan.is_for(Table::None) || try_enter(tables, key, transport, plan, server).unwrap_or(false)
}

#[inline(always)]
fn try_enter<T: Tables + ?Sized>(
    tables: &T,
    key: &FlowKey,
    transport: Transport,
    plan: Plan,
    server: u32,
) -> Option<bool> {
    let globals = tables.globals()?;
    let now = tables.now();
    let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
    let expiry = now.after(transport.lifetime);
    let opened = Word::live(server, transport.opening, expiry);
    if plan.is_for(Table::Established) {
        let place = established::find(tables, globals, key, hash)?;
        return reuse(tables, place, plan, opened, now);
    }
    let bucket = bucket_of(tables, globals, hash)?;
    let way = plan.way(bucket)?;
    if half_open::evicts(way, now) {
        tables.count_event(Event::Evicted);
    }
    let state = tables.state()?;
    let word = opened.unassured();
    let done = half_open::insert(tables, state, bucket, way, key, word, now);
    if done {
        weigh_both(tables, way.word, server);
    }
    Some(done)
}

/// Judges the server that lost an entry, if one did, and the one that got it.
#[inline(always)]
fn weigh_both<T: Tables + ?Sized>(tables: &T, old: Word, server: u32) {
    let old = if old.is_free() { server } else { old.server() };
    for server in [old, server] {
        if let Some(load) = tables.server_load(server) {
            weigh(load);
        }
    }
}

/// Begins a flow in the place of its predecessor.
#[inline(always)]
fn reuse<T: Tables + ?Sized>(
    tables: &T,
    place: Place<'_>,
    plan: Plan,
    opened: Word,
    now: Tick,
) -> Option<bool> {
    let Place { number, bucket, .. } = place;
    let way = plan.way(bucket)?;
    let conn = way.conn(bucket);
    // The entry keeps its assuredness, so that the number of unassured ones stays right.
    let opened = opened.unassured_if(u64::from(way.word.is_unassured()));
    let done = exchange(tables, conn, way.word, opened);
    if done {
        conn.born.store(now.0, Relaxed);
        tables.mark(number);
        weigh_both(tables, way.word, opened.server());
    }
    Some(done)
}
