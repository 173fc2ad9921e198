//! Where a service's scheduler goes on when its list changes.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Acquire;

use evenkeel_abi::low;
use evenkeel_model::{Scheduler, ServiceEntry, Weight, rr, wrr};

use crate::book::Listed;
use crate::draft::entry;
use crate::levels;
use crate::tables::Tables;

/// Cursor of a ring whose last server counts as used last: the next one is the first, as after any
/// number past the end, and this one no packet stores, so an unmoved cursor shows.
const AT_END: u32 = u32::MAX;

/// The cursor of a ring as published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) position: u32,
    /// The server that counts as used last until the cursor moves; `None`: the head of the list.
    pub(crate) last: Option<u32>,
}

impl Start {
    /// At the head of the list.
    pub(crate) const HEAD: Self = Self {
        position: AT_END,
        last: None,
    };

    /// Where the ring of a new list begins, so that its next server is IPVS's.
    ///
    /// Schedulers but rr leave a ring's cursor alone, so they begin at the head.
    pub(crate) fn of(
        tables: &Tables,
        numbers: &[u32],
        entry: &ServiceEntry,
        old: Option<&Listed>,
    ) -> Self {
        let old = old.filter(|old| keeps(old, entry, Scheduler::RoundRobin));
        let Some(old) = old else {
            return Self::HEAD;
        };
        let quiesced: HashSet<u32> = numbers
            .iter()
            .zip(&entry.servers)
            .filter(|(_, server)| server.weight == Weight::QUIESCED)
            .map(|(number, _)| *number)
            .collect();
        let last = last_used(tables, old);
        let ring = rr::rebase(&old.numbers, last.as_ref(), numbers, |number| {
            !quiesced.contains(number)
        });
        let position = if ring.position + 1 < ring.entries.len() {
            u32::try_from(ring.position).unwrap_or(AT_END)
        } else {
            AT_END
        };
        Self {
            position,
            last: ring.cursor,
        }
    }
}

/// Whether a service has this scheduler and had it before.
fn keeps(old: &Listed, entry: &ServiceEntry, scheduler: Scheduler) -> bool {
    old.entry.scheduler == scheduler && entry.scheduler == scheduler
}

/// Number of the server that packets used last.
fn last_used(tables: &Tables, listed: &Listed) -> Option<u32> {
    let cursor = low(tables.arena.get(listed.ring.cursor())?.load(Acquire));
    if cursor == listed.start.position || cursor >= listed.ring.len {
        return listed.start.last;
    }
    entry(tables, listed.ring, cursor)
}

/// wrr's levels of a new list, and where they begin, so that the next server is IPVS's.
pub(crate) fn weighted(
    tables: &Tables,
    numbers: &[u32],
    entry: &ServiceEntry,
    old: Option<&Listed>,
) -> wrr::Table<u32> {
    let list = weights(numbers, entry);
    let Some(old) = old else {
        // IPVS makes a service without servers and adds them one by one.
        return wrr::rebase(&[], &[], wrr::Cursor::default(), &list);
    };
    if !keeps(old, entry, Scheduler::WeightedRoundRobin) {
        return wrr::begin(&list);
    }
    let passes = levels::passes(tables, old.ring);
    let cursor = levels::cursor(tables, old.ring);
    wrr::rebase(&weights(&old.numbers, &old.entry), &passes, cursor, &list)
}

/// Numbers and weights of a service's servers, in list order.
fn weights(numbers: &[u32], entry: &ServiceEntry) -> Vec<(u32, u32)> {
    let servers = numbers.iter().zip(&entry.servers);
    servers
        .map(|(number, server)| (*number, server.weight.get().into()))
        .collect()
}
