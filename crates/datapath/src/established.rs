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
        return Some(Place { bucket, way });
    }
    let bucket = tables.conn_bucket(second)?;
    let way = bucket::find(bucket, key)?;
    Some(Place { bucket, way })
}

/// Enters a flow, by its hash with the secret; false if both of its buckets are full, or another packet took the
/// place.
#[inline(always)]
pub fn establish<T: Tables + ?Sized>(tables: &T, key: &FlowKey, hash: u32, word: Word) -> bool {
    let (Some(globals), Some(state)) = (tables.globals(), tables.state()) else {
        return false;
    };
    let [first, second] = buckets_of(globals, hash);
    let Some(mut bucket) = tables.conn_bucket(first) else {
        return false;
    };
    let (mut free, room) = bucket::room(bucket);
    // Before the first is full: then hardly ever are both.
    if room <= 2
        && let Some(other) = tables.conn_bucket(second)
    {
        let (other_free, other_room) = bucket::room(other);
        if other_room > room {
            (bucket, free) = (other, other_free);
        }
    }
    let Some(index) = free.checked_sub(1) else {
        return false;
    };
    let way = Way {
        index,
        word: Word::FREE,
    };
    if !bucket::fill(bucket, way, key, word, tables.now()) {
        return false;
    }
    enter(tables, word);
    state.established.fetch_add(1, Relaxed);
    let unassured = u64::from(word.is_unassured());
    state.unassured.fetch_add(unassured, Relaxed);
    true
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
    if is_worth_a_write(word, next)
        && exchange(tables, conn, word, next)
        && word.is_unassured()
        && !next.is_unassured()
    {
        state.unassured.fetch_sub(1, Relaxed);
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
    old.state() != new.state()
        || old.is_unassured() != new.is_unassured()
        || new.expiry().0 >= old.expiry().0 + REFRESH_MIN
}
