//! Packets of flows that stand in the established table: an array of buckets, of which a flow has two.
//!
//! A flow's entry stands in its first bucket, or in its second one if the first had no room when it came.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{Bucket, Conn, FlowKey, Globals, Service, State, Tick, Word, low};

use crate::Tables;
use crate::bucket::{self, Way};
use crate::hash::{scramble, slot};
use crate::table::{Known, age, enter, exchange, is_present};
use crate::tcp::{Seen, is_reusable, next_state, timeout};
use crate::transport::Transport;

/// A refresh that would move the expiry by less (0.27 s) is left out: it spares a write per packet.
pub(crate) const REFRESH_MIN: u64 = 16;

/// Time after which a further client packet assures a flow.
pub(crate) const ASSURED_AFTER: u64 = Tick::in_secs(1);

/// A place of the established table and the word that was read there.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Number of the bucket.
    pub(crate) number: u32,
    pub(crate) bucket: &'a Bucket,
    pub(crate) way: Way,
}

impl<'a> Place<'a> {
    /// Its entry.
    #[inline(always)]
    pub(crate) fn conn(self) -> &'a Conn {
        self.way.conn(self.bucket)
    }
}

/// Buckets of a page of memory.
#[expect(clippy::cast_possible_truncation, reason = "256 bytes")]
const PAGE: u32 = 4096 / size_of::<Bucket>() as u32;

/// The numbers of a flow's two buckets, by its hash; they lie in one page, so that both cost one miss of the TLB.
#[inline(always)]
pub(crate) fn buckets_of(globals: &Globals, hash: u32) -> [u32; 2] {
    let buckets = low(globals.conn_buckets.load(Relaxed));
    let first = slot(hash, buckets);
    let step = 1 + (scramble(hash) >> 29);
    let second = (first & !(PAGE - 1)) | (first.wrapping_add(step) & (PAGE - 1));
    [first, second.min(buckets.wrapping_sub(1))]
}

/// Finds the live entry of a flow.
#[inline(always)]
pub(crate) fn find<'a, T: Tables + ?Sized>(
    tables: &'a T,
    globals: &Globals,
    key: &FlowKey,
    hash: u32,
) -> Option<Place<'a>> {
    let [first, second] = buckets_of(globals, hash);
    let bucket = tables.conn_bucket(first)?;
    if let Some(way) = bucket::find(bucket, key) {
        let number = first;
        return Some(Place {
            number,
            bucket,
            way,
        });
    }
    let number = second;
    let bucket = tables.conn_bucket(number)?;
    let way = bucket::find(bucket, key)?;
    Some(Place {
        number,
        bucket,
        way,
    })
}

/// Enters a flow, by its hash with the secret, and returns the number of its bucket; `None` if both of its buckets are
/// full, or another packet took the place.
#[must_use]
#[inline(always)]
pub fn establish<T: Tables + ?Sized>(
    tables: &T,
    key: &FlowKey,
    hash: u32,
    word: Word,
) -> Option<u32> {
    let (globals, state) = (tables.globals()?, tables.state()?);
    let [first, second] = buckets_of(globals, hash);
    let mut number = first;
    let mut bucket = tables.conn_bucket(first)?;
    let (mut free, room) = bucket::room(bucket);
    // Before the first is full: then hardly ever are both.
    if room <= 2
        && let Some(other) = tables.conn_bucket(second)
    {
        let (other_free, other_room) = bucket::room(other);
        if other_room > room {
            (number, bucket, free) = (second, other, other_free);
        }
    }
    let way = Way {
        index: free.checked_sub(1)?,
        word: Word::FREE,
    };
    if !bucket::fill(bucket, way, key, word, tables.now()) {
        return None;
    }
    enter(tables, word);
    state.established.fetch_add(1, Relaxed);
    let unassured = u64::from(word.is_unassured());
    state.unassured.fetch_add(unassured, Relaxed);
    Some(number)
}

/// The same, and marks the bucket; false if the flow was not entered.
#[inline(always)]
pub(crate) fn establish_marked<T: Tables + ?Sized>(
    tables: &T,
    key: &FlowKey,
    hash: u32,
    word: Word,
) -> bool {
    match tables.establish(key, hash, word) {
        Some(number) => {
            tables.mark(number);
            true
        }
        None => false,
    }
}

/// Looks a packet's flow up, follows its state and refreshes it.
#[inline(always)]
pub(crate) fn look_up<'a, T: Tables + ?Sized>(
    tables: &'a T,
    globals: &Globals,
    state: &State,
    service: &Service,
    (key, hash): (&FlowKey, u32),
    transport: Transport,
    now: Tick,
) -> Known<Place<'a>> {
    let Some(place) = find(tables, globals, key, hash) else {
        return Known::Unknown;
    };
    let (conn, word) = (place.conn(), place.way.word);
    let present = is_present(tables, word.server());
    let expired = word.expiry() <= now;
    if transport.begins != 0 && (expired || !present || is_reusable(word.state())) {
        return Known::Reuse(place);
    }
    if expired {
        return Known::Unknown;
    }
    if !present {
        return Known::Gone;
    }
    let next = followed(service, conn, word, transport.flags, now);
    // If that fails, another packet of the flow refreshed the entry in the same moment.
    if is_worth_a_write(word, next) && exchange(tables, conn, word, next) && word.differs_from(next)
    {
        let assured = u64::from(word.is_unassured()) & u64::from(!next.is_unassured());
        state.unassured.fetch_sub(assured, Relaxed);
        // By the key, not the bucket's number: the program would have to keep that for what comes rarely, on a stack
        // that has no room for it.
        tables.mark_flow(key);
    }
    Known::At(word.server())
}

/// The entry's word after this packet.
#[inline(always)]
fn followed(service: &Service, conn: &Conn, word: Word, flags: u8, now: Tick) -> Word {
    let state = next_state(Seen::InputOnly, word.state(), flags);
    let next = Word::live(word.server(), state, now.after(timeout(service, state)));
    if word.is_unassured() && age(conn, now) < ASSURED_AFTER {
        next.unassured()
    } else {
        next
    }
}

#[inline(always)]
fn is_worth_a_write(old: Word, new: Word) -> bool {
    old.differs_from(new) || new.expiry().0 >= old.expiry().0 + REFRESH_MIN
}
