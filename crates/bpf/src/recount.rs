//! Counters, compared with what the tables hold.
//!
//! Packets flow meanwhile, so a count is taken only if no entry came, went or moved in between, and a
//! difference is corrected only if it was found twice. The only source of one is a predecessor that was
//! killed while it swept.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{Shared, State, Word};

use crate::tables::Tables;

/// Attempts at an undisturbed count; each reads both tables (3 ms per million entries).
const PASSES: usize = 16;

/// Counters of the tables themselves; each server has three more.
const GLOBAL: usize = 3;

/// Compares and corrects the counters; false if the tables never kept still.
pub(crate) fn recount(tables: &Tables) -> bool {
    let mut before: Option<Vec<i64>> = None;
    for _ in 0..PASSES {
        let Some(drift) = drift(tables) else {
            before = None;
            continue;
        };
        if drift.iter().all(|d| *d == 0) {
            return true;
        }
        if before.as_ref() == Some(&drift) {
            correct(tables, &drift);
            return true;
        }
        before = Some(drift);
    }
    false
}

/// By how much each counter exceeds what the tables hold; `None` if they changed meanwhile.
pub(crate) fn drift(tables: &Tables) -> Option<Vec<i64>> {
    let state = tables.state.get(0)?;
    let still = || globals(state).map(|counter| counter.load(Acquire));
    let at_first = still();
    let held = held(tables);
    let counters: Vec<&Shared> = counters(tables, state).collect();
    let drift = counters
        .iter()
        .zip(held)
        .map(|(counter, held)| counter.load(Acquire).cast_signed() - held)
        .collect();
    (still() == at_first).then_some(drift)
}

fn correct(tables: &Tables, drift: &[i64]) {
    let Some(state) = tables.state.get(0) else {
        return;
    };
    for (counter, drift) in counters(tables, state).zip(drift) {
        let by = drift.unsigned_abs();
        if *drift > 0 {
            counter.fetch_sub(by, Relaxed);
        } else {
            counter.fetch_add(by, Relaxed);
        }
    }
}

const fn globals(state: &State) -> [&Shared; GLOBAL] {
    [&state.established, &state.unassured, &state.half_open]
}

/// All counters, in the order of [`held`].
fn counters<'a>(tables: &'a Tables, state: &'a State) -> impl Iterator<Item = &'a Shared> {
    let loads = tables.loads.as_slice().iter();
    globals(state)
        .into_iter()
        .chain(loads.flat_map(|load| [&load.active, &load.inactive, &load.persistent]))
}

/// What the tables hold, in the order of [`counters`].
fn held(tables: &Tables) -> Vec<i64> {
    let mut held = vec![0; GLOBAL + tables.loads.as_slice().len() * 3];
    let mut add = |word: Word, place: usize| {
        held[place] += 1;
        let load = usize::try_from(word.server()).unwrap_or(usize::MAX);
        let of = match (word.is_active(), word.is_template()) {
            (true, _) => 0,
            (false, 0) => 1,
            (false, _) => 2,
        };
        let load = GLOBAL + load * 3 + of;
        if let Some(count) = held.get_mut(load) {
            *count += 1;
        }
        if place == 0 && word.is_unassured() {
            held[1] += 1;
        }
    };
    for (place, table) in [(0, &tables.conns), (2, &tables.half_open)] {
        for conn in table.as_slice().iter().flat_map(|bucket| &bucket.ways) {
            let word = Word(conn.word.load(Acquire));
            if word.is_live() {
                add(word, place);
            }
        }
    }
    held
}
