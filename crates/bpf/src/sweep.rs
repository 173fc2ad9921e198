//! The sweep: takes expired entries out of the tables.
//!
//! The only one that takes established entries out. It does so by compare-and-exchange of the word that it has
//! seen, so an entry that a packet refreshed meanwhile stays.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Instant;

use evenkeel_abi::{BUCKET_WAYS, Bucket, Clients, Conn, FlowKey, Shared, Tick, Word};
use evenkeel_datapath::table::weigh;

use crate::connections::{Entry, Names};
use crate::convert::loaded;
use crate::holders::{Holders, KEPT, RENEWED_BELOW};
use crate::locality::Remembered;
use crate::mapped::MappedArray;
use crate::plane::DataPlane;
use crate::tables::Tables;

/// Bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepBudget {
    /// Places looked at, in each of the two tables; a quarter million take about a millisecond.
    pub places: u32,
}

impl Default for SweepBudget {
    /// A millisecond or two: ten calls a second are done with two million places in a second.
    fn default() -> Self {
        Self { places: 1 << 18 }
    }
}

/// What one call did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Established entries taken out.
    pub established: u32,
    /// Half-open entries taken out.
    pub half_open: u32,
    /// Numbers of real servers that are free again.
    pub servers: u32,
}

/// Where the next call goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Position {
    established: u32,
    half_open: u32,
    /// The word of marks that changes are taken from.
    pub(crate) changed: u32,
}

impl DataPlane {
    /// Takes expired entries out, starting where the last call ended.
    ///
    /// To be called several times a second; what is expired does not count for packets, only for
    /// ActiveConn and InActConn and for the room in the tables.
    pub fn sweep(&mut self, budget: SweepBudget) -> Swept {
        let now = self.tables.now();
        Swept {
            established: self.sweep_established(budget, now),
            half_open: self.sweep_half_open(budget, now),
            servers: self.sweep_numbers(),
        }
    }

    fn sweep_established(&mut self, budget: SweepBudget, now: Tick) -> u32 {
        let Some(state) = self.tables.state.get(0) else {
            return 0;
        };
        let (conns, position) = (&self.tables.conns, &mut self.position.established);
        self.holders
            .pass(buckets_of(budget, conns), conns.len(), &self.book);
        let (tables, holders) = (&self.tables, &mut self.holders);
        let (removals, names) = (&mut self.removals, Names::of(tables, &self.book));
        let clients = &tables.conn_clients;
        sweep_table(
            (conns, clients),
            &state.established,
            position,
            budget,
            |conn, client| {
                let Some(entry) = take_expired(tables, holders, (conn, client), now) else {
                    return false;
                };
                state.established.fetch_sub(1, Relaxed);
                if entry.word.is_unassured() {
                    state.unassured.fetch_sub(1, Relaxed);
                }
                removals.note(|| names.flow(&entry));
                true
            },
        )
    }

    fn sweep_half_open(&mut self, budget: SweepBudget, now: Tick) -> u32 {
        let Some(state) = self.tables.state.get(0) else {
            return 0;
        };
        let (half_open, position) = (&self.tables.half_open, &mut self.position.half_open);
        let (tables, holders) = (&self.tables, &mut self.holders);
        let clients = &tables.half_open_clients;
        sweep_table(
            (half_open, clients),
            &state.half_open,
            position,
            budget,
            |conn, client| {
                let taken = take_expired(tables, holders, (conn, client), now).is_some();
                if taken {
                    state.half_open.fetch_sub(1, Relaxed);
                }
                taken
            },
        )
    }

    /// Frees the numbers of servers, and then of services, that nothing refers to any more.
    fn sweep_numbers(&mut self) -> u32 {
        let now = Instant::now();
        let loads = &self.tables.loads;
        let services = self.book.services.values();
        let remembered = Remembered::of(
            &self.tables,
            services.filter_map(|record| record.listed.as_ref()),
        );
        let freed = self.book.servers.sweep(now, |number| {
            let is_idle = loads.get(number).is_none_or(|load| {
                let counters = [&load.active, &load.inactive, &load.persistent];
                counters.iter().all(|counter| counter.load(Acquire) == 0)
            });
            is_idle && !remembered.has(number)
        });
        for number in &freed {
            if let Some(server) = self.tables.servers.get(*number) {
                // One that was kept is not any more.
                server.mac.store(0, Release);
                server.owner.store(0, Release);
            }
        }
        let servers = &self.book.servers;
        let gone = self.book.services.iter();
        let gone: Vec<_> = gone
            .filter(|(_, r)| r.listed.is_none() && !servers.serves(r.number))
            .map(|(key, record)| (*key, record.number))
            .collect();
        for (key, number) in gone {
            self.book.services.remove(&key);
            self.book.service_numbers.give_back(number, now);
        }
        u32::try_from(freed.len()).unwrap_or(u32::MAX)
    }
}

/// Lets `take` have a look at so many places of a table, unless that holds nothing; how many it took.
fn sweep_table(
    (table, clients): (&MappedArray<Bucket>, &MappedArray<Clients>),
    held: &Shared,
    position: &mut u32,
    budget: SweepBudget,
    mut take: impl FnMut(&Conn, &[Shared; 2]) -> bool,
) -> u32 {
    if held.load(Acquire) == 0 {
        return 0;
    }
    let buckets = table.len();
    let mut taken = 0;
    for _ in 0..buckets_of(budget, table) {
        let index = *position % buckets;
        *position = index + 1;
        let (Some(bucket), Some(clients)) = (table.get(index), clients.get(index)) else {
            continue;
        };
        for (conn, client) in bucket.ways.iter().zip(&clients.ways) {
            taken += u32::from(take(conn, client));
        }
    }
    taken
}

/// Buckets of a table that a call has a look at.
fn buckets_of(budget: SweepBudget, table: &MappedArray<Bucket>) -> u32 {
    let ways = u32::try_from(BUCKET_WAYS).unwrap_or(1);
    (budget.places / ways).min(table.len())
}

/// Takes an entry out if it has expired, and no connection holds it; the entry as it was.
fn take_expired(
    tables: &Tables,
    holders: &mut Holders,
    (conn, client): (&Conn, &[Shared; 2]),
    now: Tick,
) -> Option<Entry> {
    let word = Word(conn.word.load(Acquire));
    if !word.is_live() || keeps(tables, holders, (conn, client), word, now) || word.expiry() > now {
        return None;
    }
    let entry = Entry {
        word,
        key: flow_key(conn),
        client: loaded(client),
        half_open: false,
    };
    conn.word
        .compare_exchange(word.0, Word::FREE.0, AcqRel, Relaxed)
        .ok()?;
    leave(tables, word);
    Some(entry)
}

/// Notes what an entry holds; whether it is a template that is held itself, whose time is then prolonged.
fn keeps(
    tables: &Tables,
    holders: &mut Holders,
    (conn, client): (&Conn, &[Shared; 2]),
    word: Word,
    now: Tick,
) -> bool {
    if holders.is_idle() {
        return false;
    }
    let key = flow_key(conn);
    if !key.is_template() {
        if word.expiry() > now {
            let globals = tables.globals.get(0);
            let secret = globals.map_or(0, |globals| globals.secret.load(Relaxed));
            holders.note(word.server(), &key, client, secret);
        }
        return false;
    }
    if word.expiry() > now.after(RENEWED_BELOW) || !holders.holds(&key) {
        return false;
    }
    let kept = Word::live(word.server(), word.state(), now.after(KEPT));
    // If that fails, a packet has prolonged it.
    let _kept = conn.word.compare_exchange(word.0, kept.0, AcqRel, Relaxed);
    true
}

/// Stops counting an entry at its server.
fn leave(tables: &Tables, word: Word) {
    if let Some(load) = tables.loads.get(word.server()) {
        let counter = if word.is_template() != 0 {
            &load.persistent
        } else if word.is_active() {
            &load.active
        } else {
            &load.inactive
        };
        counter.fetch_sub(1, Relaxed);
        weigh(load);
    }
}

pub(crate) fn flow_key(conn: &Conn) -> FlowKey {
    FlowKey {
        addresses: conn.addresses.load(Acquire),
        ports_protocol: conn.ports_protocol.load(Acquire),
    }
}
