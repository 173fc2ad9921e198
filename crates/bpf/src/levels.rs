//! wrr's levels in the arena: a cursor, two words for each level, and the levels' lists behind them
//! ([`SchedulerId::WRR`](evenkeel_abi::SchedulerId::WRR)).

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{high, low, pair};
use evenkeel_model::wrr::{Cursor, Level};

use crate::arena::Extent;
use crate::book::Table;
use crate::draft::write_entries;
use crate::tables::Tables;

/// Words of a level beside its list.
const WORDS: u32 = 2;

/// A cursor's word.
pub(crate) fn word_of(cursor: Cursor) -> u64 {
    // A service has 1,024 servers at most, so both are far below the limit.
    let [level, index] =
        [cursor.level, cursor.index].map(|n| u32::from(u16::try_from(n).unwrap_or(0)));
    pair(cursor.passes, level << 16 | index)
}

/// Where packets will pick next.
pub(crate) fn cursor(tables: &Tables, ring: Table) -> Cursor {
    let word = tables
        .arena
        .get(ring.cursor())
        .map_or(0, |word| word.load(Acquire));
    let place = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    Cursor {
        level: place(high(word) >> 16),
        index: place(high(word) & 0xffff),
        passes: low(word),
    }
}

/// Passes over each level.
pub(crate) fn passes(tables: &Tables, ring: Table) -> Vec<u32> {
    let levels = (0..ring.len).map_while(|level| {
        let place = ring.start.checked_add(level.checked_mul(WORDS)?)?;
        Some(low(tables.arena.get(place.checked_add(1)?)?.load(Acquire)))
    });
    levels.collect()
}

/// Words that levels with their lists and cursor take.
pub(crate) fn words(levels: &[Level<u32>]) -> u32 {
    let (mut words, mut last) = (1, None);
    for level in levels {
        words += WORDS;
        // A level that is cut in two has one list.
        if last != Some(&level.entries) {
            words += list_words(level.entries.len());
        }
        last = Some(&level.entries);
    }
    words
}

fn list_words(entries: usize) -> u32 {
    u32::try_from(entries.div_ceil(2)).unwrap_or(u32::MAX >> 1)
}

/// Writes levels and lists into words that no program reads; the first is left for the cursor.
pub(crate) fn write(tables: &Tables, extent: Extent, levels: &[Level<u32>]) -> Table {
    let len = u32::try_from(levels.len()).unwrap_or(0);
    let table = Table {
        start: extent.start + 1,
        len,
    };
    let (mut list, mut next, mut last) = (0, table.start + len * WORDS, None);
    for (place, level) in (table.start..).step_by(2).zip(levels) {
        let entries = u32::try_from(level.entries.len()).unwrap_or(0);
        if last != Some(&level.entries) {
            list = next;
            write_entries(tables, list, &level.entries);
            next += list_words(level.entries.len());
        }
        last = Some(&level.entries);
        let words = [pair(list, entries), pair(level.passes, 0)];
        for (place, word) in (place..).zip(words) {
            if let Some(shared) = tables.arena.get(place) {
                shared.store(word, Relaxed);
            }
        }
    }
    table
}

/// The words that adopted levels take; `None` if they are not as [`write`] would have written them.
pub(crate) fn extent(tables: &Tables, ring: Table) -> Option<Extent> {
    let start = ring.start.checked_sub(1)?;
    let mut next = ring.start.checked_add(ring.len.checked_mul(WORDS)?)?;
    let mut last = None;
    for level in 0..ring.len {
        let word = tables.arena.get(ring.start + level * WORDS)?.load(Acquire);
        if last != Some(word) {
            if low(word) != next || high(word) == 0 {
                return None;
            }
            next = next.checked_add(high(word).div_ceil(2))?;
        }
        last = Some(word);
    }
    Some(Extent {
        start,
        len: next - start,
    })
}
