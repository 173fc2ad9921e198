//! Where a packet goes: to its flow's server, to one chosen for a new flow, or by the consistent hash.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{Bucket, DropReason, Event, FlowKey, Globals, Service, State, Tick, Word, low};

use crate::Tables;
use crate::bucket::Way;
use crate::established::{self, Place};
use crate::half_open::{self, bucket_of};
use crate::hash::flow_hash;
use crate::scheduler::{by_hash, is_quiesced};
use crate::table::{Known, exchange};
use crate::transport::Transport;

/// Flood mode lasts this long (1 s) after the last insertion that found no room.
const FLOOD_FOR: u64 = Tick::in_secs(1);

/// Where a packet goes.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    /// Number of the server.
    pub(crate) server: u32,
    /// Whether the packet begins a flow.
    pub(crate) new_flow: bool,
}

/// A packet of a service, as far as the choice of its server goes.
pub(crate) struct Packet<'a> {
    /// Number of the service.
    pub(crate) number: u32,
    pub(crate) key: &'a FlowKey,
    pub(crate) transport: Transport,
    pub(crate) now: Tick,
}

/// Where a new flow's entry goes.
enum Entry<'a> {
    /// Nowhere: it does without.
    None,
    /// In the place of an established entry that is over.
    Established(Place<'a>),
    /// Into the half-open table.
    HalfOpen(Way),
}

/// How a flow's server is chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Scheduler,
    HashAll,
    HashFresh,
}

/// Chooses the real server of a packet.
#[inline(always)]
pub(crate) fn choose<T: Tables>(
    tables: &T,
    service: &Service,
    packet: &Packet<'_>,
) -> Result<Choice, DropReason> {
    let globals = tables.globals().ok_or(DropReason::Internal)?;
    let state = tables.state().ok_or(DropReason::Internal)?;
    let &Packet {
        number,
        key,
        transport,
        now,
    } = packet;
    let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
    let flow = (key, hash);
    let bucket = bucket_of(tables, globals, hash).ok_or(DropReason::Internal)?;
    let new_flow = transport.begins != 0;
    let known = match established::look_up(tables, globals, state, flow, transport, now) {
        Known::Unknown => {
            half_open::look_up(tables, state, bucket, flow, transport, now).map(Entry::HalfOpen)
        }
        known @ (Known::Reuse(_) | Known::Gone | Known::At(_)) => known.map(Entry::Established),
    };
    let (method, entry) = match known {
        Known::At(server) => {
            return Ok(Choice {
                server,
                new_flow: false,
            });
        }
        Known::Gone => return Err(DropReason::ServerGone),
        Known::Reuse(entry) => (Method::Scheduler, entry),
        Known::Unknown if new_flow => plan(tables, globals, state, service, bucket, packet)?,
        Known::Unknown => {
            tables.count_event(Event::UnknownFlow);
            (Method::HashAll, Entry::None)
        }
    };
    let server = match method {
        Method::Scheduler => tables.schedule(number, key)?,
        Method::HashAll => without_entry(tables, globals, service, key, new_flow)?,
        Method::HashFresh => by_hash(tables, globals, &service.hash_fresh, key)?,
    };
    if enter(tables, state, bucket, packet, entry, server) {
        return Ok(Choice { server, new_flow });
    }
    // Another packet was faster: the flow goes where its next packets will go without an entry.
    let server = without_entry(tables, globals, service, key, new_flow)?;
    Ok(Choice { server, new_flow })
}

/// The server of a packet without an entry: the hash that still holds quiesced servers names it, and
/// to those goes no new flow.
#[inline(always)]
fn without_entry<T: Tables>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    key: &FlowKey,
    new_flow: bool,
) -> Result<u32, DropReason> {
    let server = by_hash(tables, globals, &service.hash_all, key)?;
    if new_flow && service.quiesced.load(Relaxed) != 0 && is_quiesced(tables, server) {
        return Err(DropReason::TableFull);
    }
    Ok(server)
}

/// Enters a new flow; false if the place for it was taken meanwhile.
#[inline(always)]
fn enter<T: Tables>(
    tables: &T,
    state: &State,
    bucket: &Bucket,
    packet: &Packet<'_>,
    entry: Entry<'_>,
    server: u32,
) -> bool {
    let &Packet {
        key,
        transport,
        now,
        ..
    } = packet;
    let expiry = now.after(transport.lifetime);
    let opened = Word::live(server, transport.opening, expiry);
    match entry {
        Entry::None => true,
        Entry::Established(place) => {
            let (conn, word) = (place.conn(), place.way.word);
            // The entry keeps its assuredness, so that the number of unassured ones stays right.
            let opened = if word.is_unassured() {
                opened.unassured()
            } else {
                opened
            };
            let done = exchange(tables, conn, word, opened);
            if done {
                conn.born.store(now.0, Relaxed);
            }
            done
        }
        Entry::HalfOpen(way) => {
            if half_open::evicts(way, now) {
                tables.count_event(Event::Evicted);
            }
            half_open::insert(tables, state, bucket, way, key, opened.unassured(), now)
        }
    }
}

/// Decides how a flow that no table knows is placed, and where its entry goes.
#[inline(always)]
fn plan<T: Tables>(
    tables: &T,
    globals: &Globals,
    state: &State,
    service: &Service,
    bucket: &Bucket,
    packet: &Packet<'_>,
) -> Result<(Method, Entry<'static>), DropReason> {
    let &Packet { key, now, .. } = packet;
    let full = state.established.load(Relaxed) >= globals.conns.load(Relaxed)
        || state.unassured.load(Relaxed) >= globals.unassured_max.load(Relaxed);
    let flood = state.flood_until.load(Relaxed) > now.0;
    let room = half_open::room(bucket, now);
    if let (false, false, Some(way)) = (full, flood, room) {
        return Ok((Method::Scheduler, Entry::HalfOpen(way)));
    }
    if room.is_none() {
        if !flood {
            tables.count_event(Event::FloodBegan);
        }
        state.flood_until.store(now.after(FLOOD_FOR).0, Relaxed);
    }
    if service.quiesced.load(Relaxed) != 0 {
        let server = by_hash(tables, globals, &service.hash_all, key)?;
        if is_quiesced(tables, server) {
            // Its later packets would go to the quiesced server: it needs an entry.
            let way = room.ok_or(DropReason::TableFull)?;
            return Ok((Method::HashFresh, Entry::HalfOpen(way)));
        }
    }
    tables.count_event(if full {
        Event::FullSyn
    } else {
        Event::FloodSyn
    });
    Ok((Method::HashAll, Entry::None))
}
