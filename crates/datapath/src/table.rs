//! Places, words and counters of the connection tables.
//!
//! Whoever changes a word by compare-and-exchange accounts for the change, so that the counters
//! equal what the tables hold once the packets under way are done.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use evenkeel_abi::{Conn, FlowKey, Load, Server, ServerFlags, Tick, Word, high, low};

use crate::Tables;

/// Attempts at a compare-and-exchange before a packet goes on without it.
pub(crate) const ATTEMPTS: usize = 4;

/// What a connection table says of a packet.
pub(crate) enum Known<Entry> {
    /// Nothing.
    Unknown,
    /// A SYN that is to be scheduled anew in the place of this entry.
    Reuse(Entry),
    /// Its flow's server has left the service.
    Gone,
    /// It goes to this server.
    At(u32),
}

/// Whether flows of a server are forwarded.
#[inline(always)]
pub(crate) fn is_present<T: Tables + ?Sized>(tables: &T, server: u32) -> bool {
    flags(tables, server) & ServerFlags::PRESENT != 0
}

/// Whether a server is in its service's list.
#[inline(always)]
pub(crate) fn is_listed<T: Tables + ?Sized>(tables: &T, server: u32) -> bool {
    flags(tables, server) & (ServerFlags::PRESENT | ServerFlags::KEPT) == ServerFlags::PRESENT
}

#[inline(always)]
fn flags<T: Tables + ?Sized>(tables: &T, server: u32) -> u16 {
    tables
        .server(server)
        .map_or(0, |server| Server::unpack_flags(server.mac.load(Acquire)))
}

/// Fills an entry that nobody else may read yet, then publishes it with its word.
#[inline(always)]
pub(crate) fn publish(conn: &Conn, key: &FlowKey, born: Tick, word: Word) {
    conn.addresses.store(key.addresses, Relaxed);
    conn.ports_protocol.store(key.ports_protocol, Relaxed);
    conn.born.store(born.0, Relaxed);
    conn.word.store(word.0, Release);
}

const AGE_MASK: u64 = (1 << 36) - 1;

/// Ticks since an entry was made.
#[inline(always)]
pub(crate) fn age(conn: &Conn, now: Tick) -> u64 {
    now.0.wrapping_sub(conn.born.load(Relaxed)) & AGE_MASK
}

/// Exchanges an entry's word and accounts for the change at its servers.
#[inline(always)]
pub(crate) fn exchange<T: Tables + ?Sized>(tables: &T, conn: &Conn, old: Word, new: Word) -> bool {
    if conn
        .word
        .compare_exchange(old.0, new.0, AcqRel, Relaxed)
        .is_err()
    {
        return false;
    }
    if old.server() != new.server() || old.is_active() != new.is_active() {
        leave(tables, old);
        enter(tables, new);
    }
    true
}

/// Decides whether a server is overloaded: from its upper threshold on (`ip_vs_bind_dest` in
/// net/netfilter/ipvs/ip_vs_conn.c) until it is below its lower one, or below three quarters of the upper one
/// (`ip_vs_unbind_dest`).
///
/// No part of counting an entry: a flow that moves between the tables is counted twice for a moment.
#[inline(always)]
pub fn weigh(load: &Load) {
    let thresholds = load.thresholds.load(Relaxed);
    let (upper, lower) = (u64::from(low(thresholds)), u64::from(high(thresholds)));
    let connections = connections(load);
    let is_low = match lower {
        0 => connections * 4 < upper * 3,
        _ => connections < lower,
    };
    if upper == 0 || is_low {
        load.overloaded.store(0, Relaxed);
    } else if connections >= upper {
        load.overloaded.store(1, Relaxed);
    }
}

/// Connections of a server; what was counted down before up makes none for a moment.
#[inline(always)]
fn connections(load: &Load) -> u64 {
    let (active, inactive) = (load.active.load(Relaxed), load.inactive.load(Relaxed));
    let sum = active.wrapping_add(inactive);
    sum & (sum >> 63).wrapping_sub(1)
}

/// Counts an entry at its server.
///
/// Both counters are written: whether the entry is active would be a branch, and the verifier would follow
/// each of its sides to the program's end.
#[inline(always)]
pub(crate) fn enter<T: Tables + ?Sized>(tables: &T, word: Word) {
    if let Some(load) = tables.server_load(word.server()) {
        let (active, template) = (u64::from(word.is_active()), word.is_template());
        load.active.fetch_add(active, Relaxed);
        load.inactive.fetch_add(1 ^ active ^ template, Relaxed);
        load.persistent.fetch_add(template, Relaxed);
    }
}

/// Stops counting an entry at its server.
#[inline(always)]
pub(crate) fn leave<T: Tables + ?Sized>(tables: &T, word: Word) {
    if let Some(load) = tables.server_load(word.server()) {
        let (active, template) = (u64::from(word.is_active()), word.is_template());
        load.active.fetch_sub(active, Relaxed);
        load.inactive.fetch_sub(1 ^ active ^ template, Relaxed);
        load.persistent.fetch_sub(template, Relaxed);
    }
}
