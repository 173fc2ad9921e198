//! Places, words and counters of the connection tables.
//!
//! Whoever changes a word by compare-and-exchange accounts for the change, so that the counters
//! equal what the tables hold once the packets under way are done.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use evenkeel_abi::{Conn, FlowKey, Server, ServerFlags, Tick, Word};

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

/// Whether a server is in its service's list.
#[inline(always)]
pub(crate) fn is_present<T: Tables + ?Sized>(tables: &T, server: u32) -> bool {
    tables
        .server(server)
        .is_some_and(|s| Server::unpack_flags(s.mac.load(Acquire)) & ServerFlags::PRESENT != 0)
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

/// Counts an entry at its server.
///
/// Both counters are written: whether the entry is active would be a branch, and the verifier would follow
/// each of its sides to the program's end.
#[inline(always)]
pub(crate) fn enter<T: Tables + ?Sized>(tables: &T, word: Word) {
    if let Some(load) = tables.server_load(word.server()) {
        let active = u64::from(word.is_active());
        load.active.fetch_add(active, Relaxed);
        load.inactive.fetch_add(1 ^ active, Relaxed);
    }
}

/// Stops counting an entry at its server.
#[inline(always)]
pub(crate) fn leave<T: Tables + ?Sized>(tables: &T, word: Word) {
    if let Some(load) = tables.server_load(word.server()) {
        let active = u64::from(word.is_active());
        load.active.fetch_sub(active, Relaxed);
        load.inactive.fetch_sub(1 ^ active, Relaxed);
    }
}
