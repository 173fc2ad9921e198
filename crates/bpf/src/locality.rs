//! What lblc and lblcr remember of a service's addresses, in the arena ([`Locality`]).

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{Locality, low, pair};
use evenkeel_model::{Scheduler, ServiceEntry};

use crate::arena::Extent;
use crate::book::{Book, Listed, Table};
use crate::tables::Tables;
use crate::takes::addresses;

/// Most members of an address: as many as the program looks at.
const MEMBERS_MAX: usize = 1024;
/// Most servers that have left and are remembered; IPVS has no bound.
const LEFT_MAX: usize = 64;

/// Whether a scheduler remembers addresses.
pub(crate) const fn is_local(scheduler: Scheduler) -> bool {
    match scheduler {
        Scheduler::Locality | Scheduler::ReplicatedLocality => true,
        Scheduler::RoundRobin
        | Scheduler::WeightedRoundRobin
        | Scheduler::LeastConnection
        | Scheduler::WeightedLeastConnection
        | Scheduler::ShortestExpectedDelay
        | Scheduler::NeverQueue
        | Scheduler::Failover
        | Scheduler::Overflow
        | Scheduler::DestinationHash
        | Scheduler::SourceHash
        | Scheduler::MaglevHash
        | Scheduler::TwoChoices
        | Scheduler::Maglev => false,
    }
}

/// Rows of a service with so many addresses: a packet finds its own soon.
pub(crate) const fn rows_for(addresses: usize) -> usize {
    if addresses <= 1 { 1 } else { 2 * addresses }
}

/// Words that a service takes for so many addresses, if each may have all its servers.
pub(crate) fn most_words(scheduler: Scheduler, addresses: usize, servers: usize) -> u64 {
    if !is_local(scheduler) {
        return 0;
    }
    let replicated = scheduler == Scheduler::ReplicatedLocality;
    let places = if replicated { servers as u64 } else { 0 };
    rows_for(addresses) as u64 * (u64::from(Locality::MEMBERS) + places) + 1
}

/// What is remembered of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Number of its gate.
    gate: u32,
    used: u64,
    changed: u64,
    /// Its servers' numbers, the newest member first.
    servers: Vec<u32>,
}

/// A service's table, before it is written.
#[derive(Debug)]
pub(crate) struct Rows {
    replicated: bool,
    /// How many rows there is room for.
    count: u32,
    /// Places of a row.
    places: u32,
    rows: Vec<Row>,
}

impl Rows {
    /// The table of a service that lists servers of these numbers, with what `old` remembers of the addresses that it
    /// still has. A server that has left, and may come back, stays a member, as in IPVS.
    pub(crate) fn draft(
        tables: &Tables,
        book: &Book,
        numbers: &[u32],
        entry: &ServiceEntry,
        old: Option<&Listed>,
    ) -> Self {
        let replicated = entry.scheduler == Scheduler::ReplicatedLocality;
        let addresses = addresses(&entry.listens());
        let gates: BTreeSet<u32> = addresses
            .iter()
            .map(|address| book.gate_number(address))
            .collect();
        let old = old.filter(|old| old.entry.scheduler == entry.scheduler);
        let mut rows = old.map_or_else(Vec::new, |old| read(tables, old));
        rows.retain(|row| gates.contains(&row.gate));
        let mut members: HashSet<u32> = numbers.iter().copied().collect();
        let most = MEMBERS_MAX.min(members.len() + LEFT_MAX);
        for row in &mut rows {
            row.servers.retain(|server| {
                members.contains(server) || (members.len() < most && members.insert(*server))
            });
        }
        let places = if replicated { members.len() } else { 0 };
        Self {
            replicated,
            count: u32::try_from(rows_for(addresses.len())).unwrap_or(0),
            places: u32::try_from(places).unwrap_or(0),
            rows,
        }
    }

    /// Words of a row.
    const fn row_words(&self) -> u32 {
        Locality::MEMBERS + self.places
    }

    /// Words that it takes, the one before the rows included.
    pub(crate) const fn words(&self) -> u32 {
        self.count
            .saturating_mul(self.row_words())
            .saturating_add(1)
    }

    /// What stands in the word before the rows.
    pub(crate) const fn begin(&self) -> u64 {
        self.places as u64
    }

    /// Writes it into words that no program reads; the first is left for the places.
    pub(crate) fn write(&self, tables: &Tables, extent: Extent) -> Table {
        let table = Table {
            start: extent.start + 1,
            len: self.count,
        };
        let words = table.start..table.start + self.count * self.row_words();
        for word in words.filter_map(|word| tables.arena.get(word)) {
            word.store(0, Relaxed);
        }
        let mut free: BTreeSet<u32> = (0..self.count).collect();
        for row in &self.rows {
            let first = row.gate % self.count.max(1);
            let place = free.range(first..).next().or_else(|| free.first()).copied();
            let Some(place) = place else {
                break;
            };
            free.remove(&place);
            self.write_row(tables, table.start + place * self.row_words(), row);
        }
        if self.replicated {
            for place in free {
                let start = table.start + place * self.row_words();
                store(tables, start + Locality::SERVERS, self.places.into());
            }
        }
        table
    }

    fn write_row(&self, tables: &Tables, start: u32, row: &Row) {
        store(tables, start + Locality::USED, row.used);
        store(tables, start + Locality::CHANGED, row.changed);
        let servers = if self.replicated {
            let members = row
                .servers
                .iter()
                .take(usize::try_from(self.places).unwrap_or(0));
            let count = u32::try_from(members.len()).unwrap_or(0);
            let newest = self.places - count;
            for (place, member) in (start + Locality::MEMBERS + newest..).zip(members) {
                store(tables, place, pair(*member, *member));
            }
            newest
        } else {
            row.servers.first().map_or(0, |server| server + 1)
        };
        store(tables, start + Locality::SERVERS, servers.into());
        store(tables, start + Locality::GATE, u64::from(row.gate) + 1);
    }
}

fn store(tables: &Tables, word: u32, value: u64) {
    if let Some(word) = tables.arena.get(word) {
        word.store(value, Relaxed);
    }
}

fn load(tables: &Tables, word: u32) -> Option<u64> {
    Some(tables.arena.get(word)?.load(Acquire))
}

/// What a service remembers; packets may change it meanwhile.
fn read(tables: &Tables, listed: &Listed) -> Vec<Row> {
    let replicated = listed.entry.scheduler == Scheduler::ReplicatedLocality;
    let ring = listed.ring;
    let Some(places) = load(tables, ring.cursor()).map(low) else {
        return Vec::new();
    };
    let rows = (0..ring.len).map(|row| ring.start + row * (Locality::MEMBERS + places));
    rows.filter_map(|start| read_row(tables, start, places, replicated))
        .collect()
}

/// A row; `None` if it is free.
fn read_row(tables: &Tables, start: u32, places: u32, replicated: bool) -> Option<Row> {
    let word = |word| load(tables, start + word);
    let gate = low(word(Locality::GATE)?).checked_sub(1)?;
    let servers = low(word(Locality::SERVERS)?);
    let servers = if replicated {
        let members = (servers..places).filter_map(|place| word(Locality::MEMBERS + place));
        let mut seen = HashSet::new();
        // While a packet moves the members, one of them stands there twice.
        members
            .map(low)
            .filter(|member| seen.insert(*member))
            .collect()
    } else {
        servers.checked_sub(1).into_iter().collect()
    };
    Some(Row {
        gate,
        used: word(Locality::USED)?,
        changed: word(Locality::CHANGED)?,
        servers,
    })
}

/// The words that an adopted table takes; `None` if it is out of bounds.
pub(crate) fn extent(tables: &Tables, ring: Table) -> Option<Extent> {
    let start = ring.start.checked_sub(1)?;
    let row = low(load(tables, start)?).checked_add(Locality::MEMBERS)?;
    let len = ring.len.checked_mul(row)?.checked_add(1)?;
    start.checked_add(len)?;
    Some(Extent { start, len })
}

/// The servers that some address has, looked for once.
pub(crate) struct Remembered<'a> {
    tables: &'a Tables,
    listed: Vec<&'a Listed>,
    servers: OnceCell<HashSet<u32>>,
}

impl<'a> Remembered<'a> {
    pub(crate) fn of(tables: &'a Tables, services: impl Iterator<Item = &'a Listed>) -> Self {
        Self {
            tables,
            listed: services
                .filter(|listed| is_local(listed.entry.scheduler))
                .collect(),
            servers: OnceCell::new(),
        }
    }

    /// Whether an address has the server of this number.
    pub(crate) fn has(&self, server: u32) -> bool {
        let servers = self.servers.get_or_init(|| {
            let rows = self
                .listed
                .iter()
                .flat_map(|listed| read(self.tables, listed));
            rows.flat_map(|row| row.servers).collect()
        });
        servers.contains(&server)
    }
}
