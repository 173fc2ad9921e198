//! A service's new tables, before any program reads them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{Service, high, low, pair};
use evenkeel_model::hash_table::{build_sized, fallback_size, table_size};
use evenkeel_model::wrr::Level;
use evenkeel_model::{MaglevSlots, Scheduler, ServerEntry, ServiceEntry, Weight, buckets, mh};

use crate::arena::Extent;
use crate::book::{Listed, Table};
use crate::convert::{costs, scheduler_word};
use crate::cursor::weighted;
use crate::error::PutError;
use crate::levels;
use crate::locality::Rows;
use crate::plane::DataPlane;
use crate::service_options;
use crate::tables::Tables;

/// A service's new tables, in words that no program reads yet.
pub(crate) struct Draft {
    /// Numbers of its servers, in list order.
    pub(crate) numbers: Vec<u32>,
    /// Numbers of those that it holds.
    pub(crate) held: Vec<u32>,
    /// Its ring, wrr's levels, or a table of addresses.
    pub(crate) ring: Table,
    /// What stands in the word before levels or addresses; `None`: there is a ring.
    pub(crate) begin: Option<u64>,
    /// The words that it takes.
    pub(crate) extents: Vec<Extent>,
    list: Table,
    hash_all: Table,
    hash_fresh: Table,
}

/// The words that a service takes beside its ring or levels; its two hash tables may be one.
pub(crate) fn extents(list: Table, all: Table, fresh: Table) -> Vec<Extent> {
    let mut extents = vec![list.extent(), all.extent()];
    if fresh != all {
        extents.push(fresh.extent());
    }
    extents
}

/// What is to be written.
enum Content {
    /// Entries, two to a word.
    Entries(Vec<u32>),
    /// The same after a cursor.
    Ring(Vec<u32>),
    /// wrr's levels after a cursor.
    Levels(Vec<Level<u32>>),
    /// The addresses of lblc and lblcr after the number of a row's places.
    Addresses(Rows),
}

impl Content {
    fn words(&self) -> u32 {
        let words =
            |entries: &[u32]| u32::try_from(entries.len().div_ceil(2)).unwrap_or(u32::MAX - 1);
        match self {
            Self::Entries(entries) => words(entries),
            Self::Ring(entries) => 1 + words(entries),
            Self::Levels(levels) => levels::words(levels),
            Self::Addresses(rows) => rows.words(),
        }
    }

    fn write(&self, tables: &Tables, extent: Extent) -> Table {
        match self {
            Self::Entries(entries) => write_entries(tables, extent.start, entries),
            Self::Ring(entries) => write_entries(tables, extent.start + 1, entries),
            Self::Levels(levels) => levels::write(tables, extent, levels),
            Self::Addresses(rows) => rows.write(tables, extent),
        }
    }
}

impl DataPlane {
    /// Writes a service's tables where no program reads.
    pub(crate) fn draft(
        &mut self,
        (numbers, held): (&[u32], &[u32]),
        entry: &ServiceEntry,
        old: Option<&Listed>,
    ) -> Result<Draft, PutError> {
        let (all, fresh) = self.hashes(numbers, entry);
        let (ring, begin) = self.ring(numbers, entry, old);
        let mut contents = vec![Content::Entries(numbers.to_vec()), ring];
        contents.push(Content::Entries(all));
        contents.extend(fresh.map(Content::Entries));
        let (tables, extents) = self.write(&contents)?;
        Ok(Draft {
            numbers: numbers.to_vec(),
            held: held.to_vec(),
            begin,
            extents,
            list: tables[0],
            ring: tables[1],
            hash_all: tables[2],
            hash_fresh: *tables.get(3).unwrap_or(&tables[2]),
        })
    }

    /// The hash table over all servers, and the one over those with a weight if it is another.
    fn hashes(&self, numbers: &[u32], entry: &ServiceEntry) -> (Vec<u32>, Option<Vec<u32>>) {
        let globals = self.tables.globals.get(0);
        let seed = u64::from(globals.map_or(0, |g| low(g.hash_seed.load(Relaxed))));
        let mut weights: Vec<(SocketAddr, u32)> = entry
            .servers
            .iter()
            .map(|s| (s.address, u32::from(s.hash_weight.get())))
            .collect();
        let by_number = |table: Vec<u32>| -> Vec<u32> {
            let slots = table.into_iter();
            slots
                .filter_map(|i| numbers.get(usize::try_from(i).ok()?).copied())
                .collect()
        };
        let size = slots(
            entry.scheduler,
            entry.options.maglev.slots,
            entry.servers.len(),
        );
        let all = by_number(build_sized(&weights, seed, size));
        if entry.servers.iter().all(is_eligible) {
            return (all, None);
        }
        for (weight, server) in weights.iter_mut().zip(&entry.servers) {
            weight.1 = if is_eligible(server) { weight.1 } else { 0 };
        }
        (all, Some(by_number(build_sized(&weights, seed, size))))
    }

    /// What the scheduler goes round, and what stands before it unless that is a ring.
    fn ring(
        &self,
        numbers: &[u32],
        entry: &ServiceEntry,
        old: Option<&Listed>,
    ) -> (Content, Option<u64>) {
        match entry.scheduler {
            Scheduler::WeightedRoundRobin => {
                let table = weighted(&self.tables, numbers, entry, old);
                let begin = levels::word_of(table.cursor);
                (Content::Levels(table.levels), Some(begin))
            }
            Scheduler::Locality | Scheduler::ReplicatedLocality => {
                let rows = Rows::draft(&self.tables, &self.book, numbers, entry, old);
                let begin = rows.begin();
                (Content::Addresses(rows), Some(begin))
            }
            Scheduler::DestinationHash => {
                let dealt = buckets::destination_hash(numbers.len());
                (Content::Ring(by_index(numbers, dealt)), None)
            }
            Scheduler::SourceHash => {
                let weights: Vec<u16> = entry.servers.iter().map(|s| s.weight.get()).collect();
                let dealt = buckets::source_hash(&weights);
                (Content::Ring(by_index(numbers, dealt)), None)
            }
            Scheduler::MaglevHash => {
                let servers = entry.servers.iter();
                let weighed: Vec<_> = servers.map(|s| (s.address, s.hash_weight.get())).collect();
                (Content::Ring(by_index(numbers, mh::build(&weighed))), None)
            }
            Scheduler::RoundRobin
            | Scheduler::TwoChoices
            | Scheduler::LeastConnection
            | Scheduler::WeightedLeastConnection
            | Scheduler::ShortestExpectedDelay
            | Scheduler::NeverQueue
            | Scheduler::Failover
            | Scheduler::Overflow
            | Scheduler::Maglev => {
                let servers = numbers.iter().zip(&entry.servers);
                let ring = servers
                    .filter(|(_, s)| is_eligible(s))
                    .map(|(number, _)| *number);
                (Content::Ring(ring.collect()), None)
            }
        }
    }

    /// Writes tables into the arena, all or none, and tells the words that they take.
    fn write(&mut self, contents: &[Content]) -> Result<(Vec<Table>, Vec<Extent>), PutError> {
        let mut extents = Vec::with_capacity(contents.len());
        for content in contents {
            match self.book.lend_words(content.words()) {
                Ok(extent) => extents.push(extent),
                Err(error) => {
                    for extent in extents {
                        self.book.arena.release(extent);
                    }
                    return Err(error);
                }
            }
        }
        let written = contents.iter().zip(&extents);
        let written = written.map(|(content, extent)| content.write(&self.tables, *extent));
        Ok((written.collect(), extents))
    }
}

/// Slots of a service's consistent hash.
pub(crate) fn slots(scheduler: Scheduler, maglev: MaglevSlots, servers: usize) -> u32 {
    match (scheduler, maglev) {
        (Scheduler::Maglev, MaglevSlots::Auto) => table_size(servers),
        (Scheduler::Maglev, MaglevSlots::Small) => 65_537,
        (Scheduler::Maglev, MaglevSlots::Large) => 655_373,
        _ => fallback_size(servers),
    }
}

/// The numbers of servers that are given by their places in the list.
fn by_index(numbers: &[u32], places: Vec<usize>) -> Vec<u32> {
    let places = places.into_iter();
    places
        .filter_map(|place| numbers.get(place).copied())
        .collect()
}

fn is_eligible(server: &ServerEntry) -> bool {
    server.weight != Weight::QUIESCED
}

/// Writes entries from a word on, two to a word.
pub(crate) fn write_entries(tables: &Tables, start: u32, entries: &[u32]) -> Table {
    for (index, two) in (start..).zip(entries.chunks(2)) {
        if let Some(word) = tables.arena.get(index) {
            let second = two.get(1).copied().unwrap_or(0);
            word.store(pair(two[0], second), Relaxed);
        }
    }
    Table {
        start,
        len: u32::try_from(entries.len()).unwrap_or(u32::MAX),
    }
}

/// Fills the half that is not selected.
pub(crate) fn fill(half: &Service, gate: u32, draft: &Draft, entry: &ServiceEntry) {
    let quiesced = entry.servers.iter().filter(|server| !is_eligible(server));
    half.gate.store(u64::from(gate), Relaxed);
    half.scheduler
        .store(scheduler_word(entry.scheduler), Relaxed);
    half.costs.store(costs(entry.scheduler).0, Relaxed);
    service_options::write(half, entry);
    half.list.store(draft.list.start, draft.list.len);
    half.ring.store(draft.ring.start, draft.ring.len);
    half.hash_all
        .store(draft.hash_all.start, draft.hash_all.len);
    half.hash_fresh
        .store(draft.hash_fresh.start, draft.hash_fresh.len);
    half.quiesced.store(quiesced.count() as u64, Relaxed);
}

/// An entry of a table.
pub(crate) fn entry(tables: &Tables, table: Table, index: u32) -> Option<u32> {
    let (word, second) = table.place(index);
    let word = tables.arena.get(word)?.load(Acquire);
    Some(if second { high(word) } else { low(word) })
}
