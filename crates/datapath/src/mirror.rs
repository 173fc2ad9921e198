//! Entries that another director tells of: how they come into the established table and go, while packets flow.
//!
//! For user space, which counts and exchanges as packets do. Nothing here marks a bucket: what came from another
//! director is no news to it.

use core::sync::atomic::Ordering::{AcqRel, Relaxed};

use evenkeel_abi::{FlowKey, Globals, State, Tick, Word, low};

use crate::clients::note_established;
use crate::established::{self, Place};
use crate::half_open::{self, bucket_of};
use crate::hash::flow_hash;
use crate::table::{ATTEMPTS, exchange, leave, weigh};
use crate::{Tables, bucket};

/// What became of an entry that was to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It stands in the table.
    Entered,
    /// It stands in the place of what the table had of its flow.
    Changed,
    /// The table keeps what it has of the flow: it may not be overwritten, or packets are changing it.
    Kept,
    /// The table is full, or both of the flow's buckets are.
    NoRoom,
}

/// Puts an entry into the established table. What the table has of the flow is overwritten if it has expired, or if
/// `overwrites`.
///
/// Beside a packet that enters the same flow in the same instant there may be two entries, as between two packets: all
/// packets find the same one, and the other expires.
pub fn install<T: Tables + ?Sized>(
    tables: &T,
    key: &FlowKey,
    word: Word,
    overwrites: bool,
) -> Installed {
    let (Some(globals), Some(state)) = (tables.globals(), tables.state()) else {
        return Installed::NoRoom;
    };
    let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
    let now = tables.now();
    let stays = |old: Word| old.expiry() > now && !overwrites;
    let mut outcome = Installed::Kept;
    for _ in 0..ATTEMPTS {
        if let Some(place) = established::find(tables, globals, key, hash) {
            if stays(place.way.word) {
                return Installed::Kept;
            }
            if replace(tables, state, place, word, now) {
                return Installed::Changed;
            }
            outcome = Installed::Kept;
            continue;
        }
        let half_open = half_open(tables, globals, key, hash);
        if half_open.is_some_and(|place| stays(place.way.word)) {
            return Installed::Kept;
        }
        if state.established.load(Relaxed) >= globals.conns.load(Relaxed) {
            return Installed::NoRoom;
        }
        if tables.establish(key, hash, word).is_some() {
            if let Some(place) = half_open {
                half_open::remove(tables, state, place.conn(), place.way.word);
            }
            weigh_server(tables, word);
            return Installed::Entered;
        }
        outcome = Installed::NoRoom;
    }
    outcome
}

/// A flow's half-open entry.
fn half_open<'a, T: Tables + ?Sized>(
    tables: &'a T,
    globals: &Globals,
    key: &FlowKey,
    hash: u32,
) -> Option<Place<'a>> {
    let bucket = bucket_of(tables, globals, hash)?;
    let way = bucket::find(bucket, key)?;
    let number = half_open::bucket_number(globals, hash);
    Some(Place {
        number,
        bucket,
        way,
    })
}

/// Exchanges an entry for another of its flow.
fn replace<T: Tables + ?Sized>(
    tables: &T,
    state: &State,
    place: Place<'_>,
    word: Word,
    now: Tick,
) -> bool {
    let (conn, old) = (place.conn(), place.way.word);
    if !exchange(tables, conn, old, word) {
        return false;
    }
    // From when on a further packet assures it.
    conn.born.store(now.0, Relaxed);
    let unassured = |word: Word| u64::from(word.is_unassured());
    state.unassured.fetch_add(unassured(word), Relaxed);
    state.unassured.fetch_sub(unassured(old), Relaxed);
    weigh_server(tables, old);
    weigh_server(tables, word);
    true
}

fn weigh_server<T: Tables + ?Sized>(tables: &T, word: Word) {
    if let Some(load) = tables.server_load(word.server()) {
        weigh(load);
    }
}

/// Writes the address of an IPv6 client beside the established entry of a flow, if that is there.
pub fn note_client_of<T: Tables + ?Sized>(tables: &T, key: &FlowKey, client: [u64; 2]) {
    if let Some(globals) = tables.globals() {
        let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
        let _number = note_established(tables, globals, key, hash, client);
    }
}

/// Takes a flow's established entry out; false if there is none, or packets keep changing it.
pub fn remove<T: Tables + ?Sized>(tables: &T, key: &FlowKey) -> bool {
    let (Some(globals), Some(state)) = (tables.globals(), tables.state()) else {
        return false;
    };
    let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
    for _ in 0..ATTEMPTS {
        let Some(place) = established::find(tables, globals, key, hash) else {
            return false;
        };
        let (conn, word) = (place.conn(), place.way.word);
        let taken = conn
            .word
            .compare_exchange(word.0, Word::FREE.0, AcqRel, Relaxed);
        if taken.is_ok() {
            leave(tables, word);
            state.established.fetch_sub(1, Relaxed);
            let unassured = u64::from(word.is_unassured());
            state.unassured.fetch_sub(unassured, Relaxed);
            weigh_server(tables, word);
            return true;
        }
    }
    false
}
