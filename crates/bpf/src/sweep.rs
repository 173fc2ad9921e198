//! The sweep: takes expired entries out of the tables.
//!
//! The only deleter of established entries. It claims an entry by compare-and-exchange of the word that it
//! has seen, so an entry that a packet refreshed meanwhile stays.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Instant;

use evenkeel_abi::{BUCKET_WAYS, Conn, FlowKey, State, Tick, Word};
use evenkeel_datapath::table::free_place;

use crate::convert::{count, now};
use crate::plane::DataPlane;
use crate::service::is_missing;
use crate::tables::Tables;

/// Bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepBudget {
    /// Places looked at, in each of the two tables; a quarter million take about a millisecond.
    pub places: u32,
    /// Established entries taken out; each costs two system calls.
    pub removals: u32,
}

impl Default for SweepBudget {
    /// A few milliseconds at most.
    fn default() -> Self {
        Self {
            places: 1 << 18,
            removals: 1 << 12,
        }
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
    place: u32,
    bucket: u32,
}

impl DataPlane {
    /// Takes expired entries out, starting where the last call ended.
    ///
    /// To be called several times a second; what is expired does not count for packets, only for
    /// ActiveConn and InActConn and for the room in the tables.
    pub fn sweep(&mut self, budget: SweepBudget) -> Swept {
        let now = now();
        Swept {
            established: self.sweep_established(budget, now),
            half_open: self.sweep_half_open(budget, now),
            servers: self.sweep_numbers(),
        }
    }

    fn sweep_established(&mut self, budget: SweepBudget, now: Tick) -> u32 {
        let used = used_places(&self.tables);
        let mut removed = 0;
        for _ in 0..budget.places.min(used) {
            if removed == budget.removals {
                break;
            }
            let place = if self.position.place < used {
                self.position.place
            } else {
                0
            };
            self.position.place = place + 1;
            let expired = self
                .tables
                .conns
                .get(place)
                .map(|conn| Word(conn.word.load(Acquire)));
            if let Some(word) = expired
                && word.is_live()
                && word.expiry() <= now
                && self.take_established(place, word)
            {
                removed += 1;
            }
        }
        removed
    }

    /// Takes an entry out if its word is still the one that was seen.
    fn take_established(&mut self, place: u32, word: Word) -> bool {
        let (Some(conn), Some(state)) = (self.tables.conns.get(place), self.tables.state.get(0))
        else {
            return false;
        };
        let claimed = conn
            .word
            .compare_exchange(word.0, word.dead().0, AcqRel, Relaxed);
        if claimed.is_err() {
            return false;
        }
        leave(&self.tables, word);
        state.established.fetch_sub(1, Relaxed);
        if word.is_unassured() {
            state.unassured.fetch_sub(1, Relaxed);
        }
        self.free_dead(place);
        true
    }

    /// Takes a claimed entry's key out and frees its place.
    fn free_dead(&mut self, place: u32) {
        let Some(key) = self.tables.conns.get(place).map(flow_key) else {
            return;
        };
        // A key stays with its place as long as it is there, so there is no race with an insertion.
        let gone = match self.tables.flows.get(&key, 0) {
            Ok(holder) if holder == place => self.tables.flows.remove(&key),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        // Freed while its key stands, the place would belong to two flows: it stays dead until adoption.
        if gone.is_err_and(|error| !is_missing(&error)) {
            return;
        }
        if let (Some(conn), Some(state)) = (self.tables.conns.get(place), self.tables.state.get(0))
        {
            conn.word.store(Word::FREE.0, Release);
            give_back(state, conn, place);
        }
    }

    /// Finishes what a predecessor had begun to take out.
    pub(crate) fn finish_dead(&mut self) {
        for place in 0..used_places(&self.tables) {
            let conn = self.tables.conns.get(place);
            if conn.is_some_and(|conn| Word(conn.word.load(Acquire)).is_dead()) {
                self.free_dead(place);
            }
        }
    }

    fn sweep_half_open(&mut self, budget: SweepBudget, now: Tick) -> u32 {
        let buckets = self.tables.half_open.len();
        let ways = u32::try_from(BUCKET_WAYS).unwrap_or(1);
        let mut removed = 0;
        for _ in 0..(budget.places / ways).min(buckets) {
            let index = self.position.bucket % buckets;
            self.position.bucket = index + 1;
            let bucket = self.tables.half_open.get(index);
            for conn in bucket.iter().flat_map(|bucket| &bucket.ways) {
                removed += u32::from(take_half_open(&self.tables, conn, now));
            }
        }
        removed
    }

    /// Frees the numbers of servers, and then of services, that nothing refers to any more.
    fn sweep_numbers(&mut self) -> u32 {
        let now = Instant::now();
        let loads = &self.tables.loads;
        let freed = self.book.servers.sweep(now, |number| {
            loads.get(number).is_none_or(|load| {
                load.active.load(Acquire) == 0 && load.inactive.load(Acquire) == 0
            })
        });
        for number in &freed {
            if let Some(server) = self.tables.servers.get(*number) {
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

/// Places that were ever used.
fn used_places(tables: &Tables) -> u32 {
    let fresh = tables
        .state
        .get(0)
        .map_or(0, |state| count(state.fresh.load(Acquire)));
    fresh.min(tables.conns.len())
}

fn take_half_open(tables: &Tables, conn: &Conn, now: Tick) -> bool {
    let word = Word(conn.word.load(Acquire));
    if !word.is_live() || word.expiry() > now {
        return false;
    }
    let freed = conn
        .word
        .compare_exchange(word.0, Word::FREE.0, AcqRel, Relaxed);
    if freed.is_err() {
        return false;
    }
    leave(tables, word);
    if let Some(state) = tables.state.get(0) {
        state.half_open.fetch_sub(1, Relaxed);
    }
    true
}

/// Stops counting an entry at its server.
fn leave(tables: &Tables, word: Word) {
    if let Some(load) = tables.loads.get(word.server()) {
        let counter = if word.is_active() {
            &load.active
        } else {
            &load.inactive
        };
        counter.fetch_sub(1, Relaxed);
    }
}

/// Puts a place on the free list.
fn give_back(state: &State, conn: &Conn, place: u32) {
    // Each round fails only if packets took or gave places meanwhile.
    while !free_place(state, conn, place) {}
}

pub(crate) fn flow_key(conn: &Conn) -> FlowKey {
    FlowKey {
        addresses: conn.addresses.load(Acquire),
        ports_protocol: conn.ports_protocol.load(Acquire),
    }
}
