//! The maps as one packet sees them, which they never learn of.
//!
//! What packets write is copied at first sight, and the copy is given out: writes end there. What only
//! user space writes is the maps' own. Counters are notes here.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{
    Bucket, Clients, DropReason, Event, FlowKey, Gate, Globals, Link, Load, Router, Server,
    ServiceKey, ServiceSlot, Shared, State, Tick, Word, map,
};
use evenkeel_datapath::Tables as _;

use crate::error::ReadError;
use crate::tables::{Tables, found};
use crate::trace::copies::{Copied as _, Copies};

/// What a packet that was forwarded was counted for.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) service: u32,
    pub(super) server: u32,
    pub(super) new_flow: bool,
}

/// A flow's entry.
#[derive(Clone, Copy)]
pub(super) enum Entry {
    /// In the established table.
    Established(Word),
    /// In the half-open table.
    HalfOpen(Word),
}

impl Entry {
    /// Its word.
    pub(super) const fn word(self) -> Word {
        match self {
            Self::Established(word) | Self::HalfOpen(word) => word,
        }
    }
}

pub(super) struct View<'a> {
    tables: &'a Tables,
    ingress: u32,
    now: Tick,
    state: OnceCell<State>,
    routers: Copies<Router>,
    loads: Copies<Load>,
    arena: Copies<Shared>,
    conns: Copies<Bucket>,
    buckets: Copies<Bucket>,
    fragments: Copies<Bucket>,
    pub(super) counted: Cell<Option<Counted>>,
    pub(super) dropped: Cell<Option<DropReason>>,
    pub(super) events: RefCell<Vec<Event>>,
    /// Whether a template named the server.
    pub(super) by_template: Cell<bool>,
    unread: RefCell<Option<ReadError>>,
}

impl<'a> View<'a> {
    pub(super) fn new(tables: &'a Tables, ingress: u32, now: Tick) -> Self {
        Self {
            tables,
            ingress,
            now,
            state: OnceCell::new(),
            routers: Copies::new(),
            loads: Copies::new(),
            arena: Copies::new(),
            conns: Copies::new(),
            buckets: Copies::new(),
            fragments: Copies::new(),
            counted: Cell::new(None),
            dropped: Cell::new(None),
            events: RefCell::default(),
            by_template: Cell::new(false),
            unread: RefCell::new(None),
        }
    }

    /// What could not be read, if something could not.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        self.unread.take().map_or(Ok(()), Err)
    }

    /// Whether new flows are placed by the consistent hash now: too many connections, flood mode, or because it was
    /// asked for.
    pub(super) fn is_pressed(&self) -> bool {
        let (Some(globals), Some(state)) = (self.globals(), self.state()) else {
            return false;
        };
        state.established.load(Relaxed) >= globals.conns.load(Relaxed)
            || state.unassured.load(Relaxed) >= globals.unassured_max.load(Relaxed)
            || state.flood_until.load(Relaxed) > self.now.0
            || evenkeel_datapath::is_asked(state, self.now)
    }

    /// The entry of a flow, expired or not.
    pub(super) fn entry(&self, key: &FlowKey) -> Option<Entry> {
        let find = evenkeel_datapath::entry_of(self, key)?;
        Some(match find {
            (word, false) => Entry::Established(word),
            (word, true) => Entry::HalfOpen(word),
        })
    }

    fn read<T>(&self, read: Result<Option<T>, ReadError>) -> Option<T> {
        read.unwrap_or_else(|error| {
            self.unread.replace(Some(error));
            None
        })
    }
}

impl evenkeel_datapath::Tables for View<'_> {
    fn now(&self) -> Tick {
        self.now
    }

    fn globals(&self) -> Option<&Globals> {
        self.tables.globals.get(0)
    }

    fn state(&self) -> Option<&State> {
        let original = self.tables.state.get(0)?;
        Some(self.state.get_or_init(|| original.copied()))
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn link(&self, index: u32) -> Option<&Link> {
        self.tables.link(index)
    }

    fn gate_of(&self, address: u32) -> Option<u32> {
        self.read(found(map::VIPS, self.tables.vips.get(&address, 0)))
    }

    fn gate_of6(&self, address: &[u64; 2]) -> Option<u32> {
        self.read(found(map::VIPS6, self.tables.vips6.get(address, 0)))
    }

    fn gate(&self, gate: u32) -> Option<&Gate> {
        self.tables.gates.get(gate)
    }

    fn router(&self, id: u32) -> Option<&Router> {
        self.routers.of(id, self.tables.routers.get(id))
    }

    fn service_hint(&self, index: u32) -> Option<&Shared> {
        self.tables.service_hints.get(index)
    }

    fn service_of(&self, key: &ServiceKey) -> Option<u32> {
        let number = self.tables.service_ids.get(key, 0);
        self.read(found(map::SERVICE_IDS, number))
    }

    fn service(&self, service: u32) -> Option<&ServiceSlot> {
        self.tables.services.get(service)
    }

    fn server(&self, server: u32) -> Option<&Server> {
        self.tables.servers.get(server)
    }

    fn server_load(&self, server: u32) -> Option<&Load> {
        self.loads.of(server, self.tables.loads.get(server))
    }

    fn arena(&self, word: u32) -> Option<&Shared> {
        self.arena.of(word, self.tables.arena.get(word))
    }

    fn conn_bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.conns.of(bucket, self.tables.conns.get(bucket))
    }

    fn bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.buckets.of(bucket, self.tables.half_open.get(bucket))
    }

    fn conn_clients(&self, _bucket: u32) -> Option<&Clients> {
        None
    }

    fn half_open_clients(&self, _bucket: u32) -> Option<&Clients> {
        None
    }

    fn changed(&self, _word: u32) -> Option<&Shared> {
        None
    }

    fn fragment_bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.fragments.of(bucket, self.tables.fragments.get(bucket))
    }

    fn persistent_server(&self, service: u32, template: &FlowKey) -> Option<u32> {
        let server = evenkeel_datapath::persistent_server(self, service, template);
        self.by_template.set(server.is_some());
        server
    }

    fn count(&self, service: u32, server: u32, _bytes: u64, new_flow: bool) {
        self.counted.set(Some(Counted {
            service,
            server,
            new_flow,
        }));
    }

    fn count_drop(&self, reason: DropReason) {
        self.dropped.set(Some(reason));
    }

    fn count_event(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }
}
