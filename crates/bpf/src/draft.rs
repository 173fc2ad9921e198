//! A service's new tables, before any program reads them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{Service, high, low, pair};
use evenkeel_model::hash_table::build;
use evenkeel_model::rr::rebase;
use evenkeel_model::{Scheduler, ServerEntry, ServiceEntry, Weight};

use crate::arena::Extent;
use crate::book::{Listed, Table};
use crate::error::PutError;
use crate::plane::DataPlane;
use crate::tables::Tables;

/// Cursor of a ring whose last server counts as used last: the next one is the first, as after any
/// number past the end, and this one no packet stores, so an unmoved cursor shows.
pub(crate) const CURSOR_AT_END: u32 = u32::MAX;

/// A service's new tables, in words that no program reads yet.
pub(crate) struct Draft {
    /// Numbers of its servers, in list order.
    pub(crate) numbers: Vec<u32>,
    pub(crate) ring: Table,
    list: Table,
    hash_all: Table,
    hash_fresh: Table,
}

impl Draft {
    /// The words that it takes.
    pub(crate) fn extents(&self) -> Vec<Extent> {
        extents(self.list, self.ring, self.hash_all, self.hash_fresh)
    }
}

/// The words that a service takes; its two hash tables may be one.
pub(crate) fn extents(list: Table, ring: Table, all: Table, fresh: Table) -> Vec<Extent> {
    let mut extents = vec![list.extent(), ring.ring_extent(), all.extent()];
    if fresh != all {
        extents.push(fresh.extent());
    }
    extents
}

impl DataPlane {
    /// Writes a service's tables where no program reads.
    pub(crate) fn draft(
        &mut self,
        numbers: &[u32],
        entry: &ServiceEntry,
    ) -> Result<Draft, PutError> {
        let globals = self.tables.globals.get(0);
        let seed = u64::from(globals.map_or(0, |g| low(g.hash_seed.load(Relaxed))));
        let mut weights: Vec<(SocketAddr, u32)> = entry
            .servers
            .iter()
            .map(|s| (s.address, u32::from(s.hash_weight.get())))
            .collect();
        let all = build(&weights, seed);
        let eligible = |server: &ServerEntry| server.weight != Weight::QUIESCED;
        let fresh = (!entry.servers.iter().all(eligible)).then(|| {
            for (weight, server) in weights.iter_mut().zip(&entry.servers) {
                weight.1 = if eligible(server) { weight.1 } else { 0 };
            }
            build(&weights, seed)
        });
        let by_number = |table: Vec<u32>| -> Vec<u32> {
            let slots = table.into_iter();
            slots
                .filter_map(|i| numbers.get(usize::try_from(i).ok()?).copied())
                .collect()
        };
        let servers = numbers.iter().zip(&entry.servers);
        let ring = servers
            .filter(|(_, s)| eligible(s))
            .map(|(number, _)| *number);
        let ring: Vec<u32> = ring.collect();
        let mut tables = vec![(0, numbers.to_vec()), (1, ring), (0, by_number(all))];
        tables.extend(fresh.map(|fresh| (0, by_number(fresh))));
        let tables = self.write(&tables)?;
        Ok(Draft {
            numbers: numbers.to_vec(),
            list: tables[0],
            ring: tables[1],
            hash_all: tables[2],
            hash_fresh: *tables.get(3).unwrap_or(&tables[2]),
        })
    }

    /// Writes tables into the arena, all or none, each after a number of further words.
    fn write(&mut self, tables: &[(u32, Vec<u32>)]) -> Result<Vec<Table>, PutError> {
        let mut extents = Vec::with_capacity(tables.len());
        for (before, entries) in tables {
            let len = u32::try_from(entries.len().div_ceil(2)).unwrap_or(u32::MAX - 1);
            match self.book.lend_words(before + len) {
                Ok(extent) => extents.push(extent),
                Err(error) => {
                    for extent in extents {
                        self.book.arena.release(extent);
                    }
                    return Err(error);
                }
            }
        }
        let written = tables
            .iter()
            .zip(&extents)
            .map(|((before, entries), extent)| {
                let start = extent.start + before;
                for (index, two) in (start..).zip(entries.chunks(2)) {
                    if let Some(word) = self.tables.arena.get(index) {
                        let second = two.get(1).copied().unwrap_or(0);
                        word.store(pair(two[0], second), Relaxed);
                    }
                }
                Table {
                    start,
                    len: u32::try_from(entries.len()).unwrap_or(u32::MAX),
                }
            });
        Ok(written.collect())
    }
}

/// Fills the half that is not selected.
pub(crate) fn fill(half: &Service, gate: u32, draft: &Draft, entry: &ServiceEntry) {
    let scheduler = match entry.scheduler {
        Scheduler::RoundRobin => 0,
    };
    let quiesced = entry
        .servers
        .iter()
        .filter(|s| s.weight == Weight::QUIESCED);
    half.gate.store(u64::from(gate), Relaxed);
    half.scheduler.store(scheduler, Relaxed);
    half.list.store(draft.list.start, draft.list.len);
    half.ring.store(draft.ring.start, draft.ring.len);
    half.hash_all
        .store(draft.hash_all.start, draft.hash_all.len);
    half.hash_fresh
        .store(draft.hash_fresh.start, draft.hash_fresh.len);
    half.quiesced.store(quiesced.count() as u64, Relaxed);
}

/// Where the new ring begins, so that its next server is IPVS's; and the server used last.
pub(crate) fn start_of(
    tables: &Tables,
    draft: &Draft,
    entry: &ServiceEntry,
    old: Option<&Listed>,
) -> (u32, Option<u32>) {
    let quiesced: HashSet<u32> = draft
        .numbers
        .iter()
        .zip(&entry.servers)
        .filter(|(_, server)| server.weight == Weight::QUIESCED)
        .map(|(number, _)| *number)
        .collect();
    let last = old.and_then(|old| last_used(tables, old));
    let old_list = old.map_or(&[][..], |old| &old.numbers);
    let ring = rebase(old_list, last.as_ref(), &draft.numbers, |n| {
        !quiesced.contains(n)
    });
    let position = if ring.position + 1 < ring.entries.len() {
        u32::try_from(ring.position).unwrap_or(CURSOR_AT_END)
    } else {
        CURSOR_AT_END
    };
    (position, ring.cursor)
}

/// Number of the server that packets used last.
fn last_used(tables: &Tables, listed: &Listed) -> Option<u32> {
    let cursor = low(tables.arena.get(listed.ring.cursor())?.load(Acquire));
    if cursor == listed.position || cursor >= listed.ring.len {
        return listed.cursor;
    }
    entry(tables, listed.ring, cursor)
}

/// An entry of a table.
pub(crate) fn entry(tables: &Tables, table: Table, index: u32) -> Option<u32> {
    let (word, second) = table.place(index);
    let word = tables.arena.get(word)?.load(Acquire);
    Some(if second { high(word) } else { low(word) })
}
