//! Half-open connections: a set-associative table that evicts by its own rules and accounts for it.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{Bucket, Conn, ConnState, FlowKey, Globals, Service, State, Tick, Word, low};

use crate::Tables;
use crate::branchless::{is_below, is_zero, select};
use crate::bucket::{self, Way};
use crate::established::{ASSURED_AFTER, establish_marked};
use crate::table::{Known, age, enter, exchange, is_present, leave};
use crate::tcp::{Seen, is_reusable, next_state, timeout};
use crate::transport::Transport;

/// A half-open entry younger than this (3 s) is never evicted; a client retransmits its SYN before.
const EVICTABLE_AFTER: u64 = Tick::in_secs(3);

/// The bucket of a flow, by its hash.
#[inline(always)]
pub(crate) fn bucket_of<'a, T: Tables + ?Sized>(
    tables: &'a T,
    globals: &Globals,
    hash: u32,
) -> Option<&'a Bucket> {
    tables.bucket(bucket_number(globals, hash))
}

/// Its number.
#[inline(always)]
pub(crate) fn bucket_number(globals: &Globals, hash: u32) -> u32 {
    hash & low(globals.bucket_mask.load(Relaxed))
}

/// Looks a packet's flow up, and moves it to the established table if it is open: a TCP connection with its
/// second packet, which is not assured by that, and a UDP flow once it is assured.
#[inline(always)]
pub(crate) fn look_up<T: Tables + ?Sized>(
    tables: &T,
    state: &State,
    service: &Service,
    bucket: &Bucket,
    (key, hash): (&FlowKey, u32),
    transport: Transport,
    now: Tick,
) -> Known<Way> {
    let Some(way) = bucket::find(bucket, key) else {
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
    let next = next_state(Seen::InputOnly, word.state(), transport.flags);
    let next = Word::live(word.server(), next, now.after(timeout(service, next)));
    let assured = is(next, ConnState::Udp) & is_below(ASSURED_AFTER - 1, age(conn, now));
    let is_open = is(next, ConnState::Established) | assured;
    let next = next.unassured_if(1 ^ assured);
    if is_open != 0 && establish_marked(tables, key, hash, next) {
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

/// Takes an entry out whose flow has moved, unless it changed meanwhile: then it dies by its timeout.
#[inline(always)]
pub(crate) fn remove<T: Tables + ?Sized>(tables: &T, state: &State, conn: &Conn, word: Word) {
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
pub(crate) fn insert<T: Tables + ?Sized>(
    tables: &T,
    state: &State,
    bucket: &Bucket,
    way: Way,
    key: &FlowKey,
    word: Word,
    now: Tick,
) -> bool {
    if !bucket::fill(bucket, way, key, word, now) {
        return false;
    }
    if way.word.is_free() {
        state.half_open.fetch_add(1, Relaxed);
    } else {
        leave(tables, way.word);
    }
    enter(tables, word);
    true
}

/// Whether the way holds another flow's entry that has not expired.
#[inline(always)]
pub(crate) fn evicts(way: Way, now: Tick) -> bool {
    !way.word.is_free() && way.word.expiry() > now
}
