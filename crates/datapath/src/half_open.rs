//! Half-open connections: a set-associative table that evicts by its own rules and accounts for it.
//!
//! Only packets insert, and they claim a way by compare-and-exchange; two processors that see the
//! same new flow in the same instant may both enter it, and the second entry dies by its timeout.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{
    BUCKET_WAYS, Bucket, Conn, ConnState, FlowKey, Globals, State, Tick, Word, low,
};

use crate::branchless::{is_below, is_zero, select};
use crate::established::ASSURED_AFTER;
use crate::hash::flow_hash;
use crate::table::{
    Known, age, enter, exchange, free_place, is_present, leave, publish, take_place,
};
use crate::tcp::{is_reusable, next_state, timeout};
use crate::transport::Transport;
use crate::{Insert, Tables};

/// A half-open entry younger than this (3 s) is never evicted; a client retransmits its SYN before.
const EVICTABLE_AFTER: u64 = Tick::in_secs(3);

/// The bucket of a flow.
#[inline(always)]
pub(crate) fn bucket_of<'a, T: Tables + ?Sized>(
    tables: &'a T,
    globals: &Globals,
    key: &FlowKey,
) -> Option<&'a Bucket> {
    let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
    tables.bucket(hash & low(globals.bucket_mask.load(Relaxed)))
}

/// A way of a bucket and the word that was read there.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    index: u64,
    word: Word,
}

impl Way {
    #[inline(always)]
    fn conn(self, bucket: &Bucket) -> &Conn {
        #[expect(clippy::cast_possible_truncation, reason = "masked")]
        &bucket.ways[(self.index as usize) & (BUCKET_WAYS - 1)]
    }
}

/// Looks a packet's flow up, and moves it to the established table if it is open: a TCP connection with its
/// second packet, which is not assured by that, and a UDP flow once it is assured.
#[inline(always)]
pub(crate) fn look_up<T: Tables>(
    tables: &T,
    globals: &Globals,
    state: &State,
    bucket: &Bucket,
    key: &FlowKey,
    transport: Transport,
    now: Tick,
) -> Known<Way> {
    let Some(way) = find(bucket, key) else {
        return Known::Unknown;
    };
    let (conn, word) = (way.conn(bucket), way.word);
    let present = is_present(tables, word.server());
    let expired = word.expiry() <= now;
    if transport.begins != 0 && (expired || !present || is_reusable(word.state())) {
        return Known::Reuse(way);
    }
    if expired {
        return Known::Unknown;
    }
    if !present {
        return Known::Gone;
    }
    let next = next_state(word.state(), transport.flags);
    let next = Word::live(word.server(), next, now.after(timeout(next)));
    let assured = is(next, ConnState::Udp) & is_below(ASSURED_AFTER - 1, age(conn, now));
    let is_open = is(next, ConnState::Established) | assured;
    let next = next.unassured_if(1 ^ assured);
    if is_open != 0 && promote(tables, globals, state, key, next, now) {
        remove(tables, state, conn, word);
    } else {
        // If that fails, another packet of the flow refreshed the entry in the same moment.
        exchange(tables, conn, word, next);
    }
    Known::At(word.server())
}

/// 1 if the word is in this state, else 0.
#[inline(always)]
const fn is(word: Word, state: ConnState) -> u64 {
    is_zero((word.state() ^ state as u8) as u64)
}

/// Finds the live entry of a flow.
#[inline(always)]
fn find(bucket: &Bucket, key: &FlowKey) -> Option<Way> {
    let mut found = 0;
    let mut word = 0;
    for (index, conn) in (1u64..).zip(&bucket.ways) {
        let seen = conn.word.load(Acquire);
        let differs = (conn.addresses.load(Relaxed) ^ key.addresses)
            | (conn.ports_protocol.load(Relaxed) ^ key.ports_protocol)
            | Word(seen).not_live();
        let hit = is_zero(differs);
        found = select(hit, index, found);
        word = select(hit, seen, word);
    }
    if found == 0 {
        return None;
    }
    Some(Way {
        index: found - 1,
        word: Word(word),
    })
}

/// The word of a flow's live entry, which stays as it is.
#[inline(always)]
pub(crate) fn peek(bucket: &Bucket, key: &FlowKey) -> Option<Word> {
    find(bucket, key).map(|way| way.word)
}

/// Enters a flow into the established table; true if it stands there afterwards.
#[inline(always)]
fn promote<T: Tables>(
    tables: &T,
    globals: &Globals,
    state: &State,
    key: &FlowKey,
    word: Word,
    now: Tick,
) -> bool {
    let Some(place) = take_place(tables, state, globals.conns.load(Relaxed)) else {
        return false;
    };
    let Some(conn) = tables.conn(place) else {
        return false;
    };
    publish(conn, key, now, word);
    let inserted = tables.insert_flow(key, place);
    if inserted == Insert::Done {
        enter(tables, word);
        state.established.fetch_add(1, Relaxed);
        let unassured = u64::from(word.is_unassured());
        state.unassured.fetch_add(unassured, Relaxed);
        return true;
    }
    conn.word.store(Word::FREE.0, Relaxed);
    free_place(state, conn, place);
    inserted == Insert::Exists
}

/// Takes an entry out whose flow has moved, unless it changed meanwhile: then it dies by its timeout.
#[inline(always)]
fn remove<T: Tables>(tables: &T, state: &State, conn: &Conn, word: Word) {
    if conn
        .word
        .compare_exchange(word.0, Word::FREE.0, Acquire, Relaxed)
        .is_ok()
    {
        leave(tables, word);
        state.half_open.fetch_sub(1, Relaxed);
    }
}

/// Finds room for a new entry: a free way, else an expired entry, else the oldest that may be evicted.
#[inline(always)]
pub(crate) fn room(bucket: &Bucket, now: Tick) -> Option<Way> {
    let mut best = 0;
    let mut index = 0;
    let mut word = 0;
    for (way, conn) in (0u64..).zip(&bucket.ways) {
        let seen = conn.word.load(Acquire);
        let rank = rank(conn, Word(seen), now);
        let better = is_below(best, rank);
        best = select(better, rank, best);
        index = select(better, way, index);
        word = select(better, seen, word);
    }
    // No timeout is as short, so an expired entry is older too.
    if best < EVICTABLE_AFTER {
        return None;
    }
    Some(Way {
        index,
        word: Word(word),
    })
}

/// How gladly a way is given to a new entry: its entry's age, more if that has expired, most if it is free.
#[inline(always)]
fn rank(conn: &Conn, word: Word, now: Tick) -> u64 {
    let expired = is_below(word.expiry().0, now.0 + 1);
    // An open flow that found no place in the other table is not evicted either.
    let assured = is(word, ConnState::Udp) & (1 ^ u64::from(word.is_unassured()));
    let stays = word.not_live() | is(word, ConnState::Established) | assured;
    (is_zero(word.0) << 40) | ((age(conn, now) | (expired << 38)) & is_zero(stays).wrapping_neg())
}

/// Puts a new entry into a way that had room; false if it was taken meanwhile.
#[inline(always)]
pub(crate) fn insert<T: Tables>(
    tables: &T,
    state: &State,
    bucket: &Bucket,
    way: Way,
    key: &FlowKey,
    word: Word,
    now: Tick,
) -> bool {
    let conn = way.conn(bucket);
    if conn
        .word
        .compare_exchange(way.word.0, Word::busy(now).0, Acquire, Relaxed)
        .is_err()
    {
        return false;
    }
    if way.word.is_free() {
        state.half_open.fetch_add(1, Relaxed);
    } else {
        leave(tables, way.word);
    }
    publish(conn, key, now, word);
    enter(tables, word);
    true
}

/// Whether the way holds another flow's entry that has not expired.
#[inline(always)]
pub(crate) fn evicts(way: Way, now: Tick) -> bool {
    !way.word.is_free() && way.word.expiry() > now
}
