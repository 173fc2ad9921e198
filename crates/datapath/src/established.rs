//! Packets of flows that stand in the established table.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{Conn, FlowKey, State, Tick, Word};

use crate::Tables;
use crate::table::{Known, age, exchange, has_key, is_present};
use crate::tcp::{is_reusable, next_state, timeout};
use crate::transport::Transport;

/// A refresh that would move the expiry by less (0.27 s) is left out: it spares a write per packet.
const REFRESH_MIN: u64 = 16;

/// Time after which a further client packet assures a flow.
pub(crate) const ASSURED_AFTER: u64 = Tick::in_secs(1);

/// A place of the established table and the word that was read there.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) index: u32,
    pub(crate) word: Word,
}

/// Looks a packet's flow up, follows its state and refreshes it.
#[inline(always)]
pub(crate) fn look_up<T: Tables>(
    tables: &T,
    state: &State,
    key: &FlowKey,
    transport: Transport,
    now: Tick,
) -> Known<Place> {
    let Some(index) = tables.flow(key) else {
        return Known::Unknown;
    };
    let Some(conn) = tables.conn(index) else {
        return Known::Unknown;
    };
    let word = Word(conn.word.load(Acquire));
    if word.is_dead() {
        return Known::Leaving;
    }
    if !word.is_live() || !has_key(conn, key) {
        return Known::Unknown;
    }
    let present = is_present(tables, word.server());
    let expired = word.expiry() <= now;
    if transport.begins != 0 && (expired || !present || is_reusable(word.state())) {
        return Known::Reuse(Place { index, word });
    }
    if expired {
        return Known::Unknown;
    }
    if !present {
        return Known::Gone;
    }
    let next = followed(conn, word, transport.flags, now);
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
fn followed(conn: &Conn, word: Word, flags: u8, now: Tick) -> Word {
    let state = next_state(word.state(), flags);
    let next = Word::live(word.server(), state, now.after(timeout(state)));
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
