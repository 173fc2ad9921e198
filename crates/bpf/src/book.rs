//! What this process knows of the maps: which numbers and words are lent out, and to whom.
//!
//! Rebuilt from the maps at adoption.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use evenkeel_abi::{ServiceKey as Key, Span};
use evenkeel_model::{Listens, ServiceEntry, ServiceKey};

use crate::arena::{Arena, Extent, Shortage};
use crate::convert::packet_key;
use crate::cursor::Start;
use crate::error::PutError;
use crate::grace::{self, GRACE};
use crate::numbers::{Owner, Pool, ServerNumbers};
use crate::options::Sizes;

/// What is lent out, and to whom.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) arena: Arena,
    pub(crate) servers: ServerNumbers,
    pub(crate) service_numbers: Pool,
    pub(crate) gate_numbers: Pool,
    /// Gate of each virtual address.
    pub(crate) gates: HashMap<IpAddr, u32>,
    /// Addresses under a virtual router, with its index in `ROUTERS`; each has a gate, whether a service has it or not.
    pub(crate) reserved: BTreeMap<IpAddr, u16>,
    /// The words of the steps of addresses with port ranges.
    pub(crate) ports: HashMap<IpAddr, Extent>,
    /// Services, removed ones too as long as connections count on their servers.
    pub(crate) services: BTreeMap<ServiceKey, Record>,
    /// Every program that ran at this time has ended.
    grace: Option<Instant>,
}

/// A service's number and what stands in its slot.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) number: u32,
    /// `None`: it was removed.
    pub(crate) listed: Option<Listed>,
    /// By what packets find it.
    pub(crate) takes: Listens,
    /// When the half that is not selected was replaced; `None`: it was never published.
    pub(crate) replaced: Option<Instant>,
}

/// A service as published.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) entry: ServiceEntry,
    /// Numbers of its servers, in list order.
    pub(crate) numbers: Vec<u32>,
    /// Numbers of those that it holds.
    pub(crate) held: Vec<u32>,
    /// Its runs of words, each once.
    pub(crate) extents: Vec<Extent>,
    /// Its ring, or wrr's levels.
    pub(crate) ring: Table,
    /// The cursor as published, with rr.
    pub(crate) start: Start,
}

impl Listed {
    /// The numbers and addresses of its servers, and of those that it holds.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (u32, SocketAddr)> {
        let numbers = self.numbers.iter().chain(&self.held).copied();
        let servers = self.entry.servers.iter().chain(&self.entry.held);
        numbers.zip(servers.map(|server| server.address))
    }

    /// Whether it lists or holds the server of this number.
    pub(crate) fn has(&self, number: u32) -> bool {
        self.numbers.contains(&number) || self.held.contains(&number)
    }
}

/// A table in the arena: its first word and its number of entries, two to a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Table {
    pub(crate) fn of(span: &Span) -> Self {
        let (start, len) = span.load();
        Self { start, len }
    }

    /// The words that it takes.
    pub(crate) const fn extent(self) -> Extent {
        Extent {
            start: self.start,
            len: self.len.div_ceil(2),
        }
    }

    /// The words that it takes as a ring: one more, the cursor, before the entries.
    pub(crate) const fn ring_extent(self) -> Extent {
        Extent {
            start: self.cursor(),
            len: self.len.div_ceil(2) + 1,
        }
    }

    /// The word of a ring's cursor.
    pub(crate) const fn cursor(self) -> u32 {
        self.start.saturating_sub(1)
    }

    /// The word and half of an entry.
    pub(crate) const fn place(self, index: u32) -> (u32, bool) {
        (self.start.saturating_add(index / 2), index % 2 == 1)
    }
}

impl Book {
    pub(crate) fn new(sizes: &Sizes) -> Self {
        Self {
            arena: Arena::new(sizes.arena_words),
            servers: ServerNumbers::new(sizes.servers),
            service_numbers: Pool::new(sizes.services),
            gate_numbers: Pool::new(sizes.gates),
            gates: HashMap::new(),
            reserved: BTreeMap::new(),
            ports: HashMap::new(),
            services: BTreeMap::new(),
            grace: None,
        }
    }

    /// The number of an address's gate; 0 if there is none.
    pub(crate) fn gate_number(&self, address: &IpAddr) -> u32 {
        self.gates.get(address).copied().unwrap_or(0)
    }

    /// A service's key as its slot has it, whose gate is there.
    pub(crate) fn key_words(&self, key: &ServiceKey) -> Key {
        match key {
            ServiceKey::Single { protocol, address } => {
                let gate = self.gate_number(&address.ip());
                packet_key(*protocol, address.ip(), address.port(), gate)
            }
            ServiceKey::Group(number) => Key::group(number.get()),
        }
    }

    /// Waits until no running program can have read what was retired at `since`.
    pub(crate) fn wait_since(&mut self, since: Instant) {
        let over = since.elapsed() >= GRACE || self.grace.is_some_and(|grace| since <= grace);
        if !over {
            self.wait();
        }
    }

    fn wait(&mut self) {
        let called = grace::wait();
        self.grace = Some(called);
        self.arena.grace_passed(called);
        self.servers.grace_passed(called);
        self.service_numbers.grace_passed(called);
        self.gate_numbers.grace_passed(called);
    }

    /// Lends something out, after waiting for programs to let go of it if need be.
    fn lend<T>(
        &mut self,
        what: &'static str,
        max: u32,
        take: impl Fn(&mut Self, Instant) -> Result<T, Shortage>,
    ) -> Result<T, PutError> {
        let mut taken = take(self, Instant::now());
        if matches!(taken, Err(Shortage::Grace)) {
            self.wait();
            taken = take(self, Instant::now());
        }
        taken.map_err(|_short: Shortage| PutError::Full { what, max })
    }

    pub(crate) fn lend_words(&mut self, len: u32) -> Result<Extent, PutError> {
        let max = self.arena.words();
        self.lend("words of rings and hash tables", max, |book, now| {
            book.arena.alloc(len, now)
        })
    }

    pub(crate) fn lend_service(&mut self) -> Result<u32, PutError> {
        let max = self.service_numbers.limit();
        self.lend("virtual services", max, |book, now| {
            book.service_numbers.take(now)
        })
    }

    pub(crate) fn lend_gate(&mut self) -> Result<u32, PutError> {
        let max = self.gate_numbers.limit();
        self.lend("virtual addresses", max, |book, now| {
            book.gate_numbers.take(now)
        })
    }

    pub(crate) fn lend_server(&mut self, owner: Owner) -> Result<(u32, bool), PutError> {
        let max = self.servers.limit();
        self.lend("real servers", max, |book, now| {
            book.servers.join(owner, now)
        })
    }
}
