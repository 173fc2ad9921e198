//! The state of a data plane in ordinary memory.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use evenkeel_abi::{
    Bucket, Conn, DropReason, Event, FlowKey, Gate, GateState, Globals, HINTS, Link, Load, Server,
    ServerFlags, ServiceKey, ServiceSlot, Shared, Span, State, Stats, Tick, pair,
};
use evenkeel_datapath::{Insert, Tables};
use evenkeel_model::hash_table;

use crate::packet::DIRECTOR;

/// Everything that packets read and change, natively.
///
/// The fields are those of the maps; tests fill and inspect them.
#[expect(
    missing_docs,
    reason = "each field is the map of the same name in `evenkeel_abi::map`"
)]
pub struct NativeTables {
    pub now: AtomicU64,
    pub globals: Globals,
    pub state: State,
    pub link: Link,
    pub vips: BTreeMap<u32, u32>,
    pub gates: Vec<Gate>,
    pub service_hints: Vec<Shared>,
    pub service_ids: BTreeMap<ServiceKey, u32>,
    pub services: Vec<ServiceSlot>,
    pub servers: Vec<Server>,
    pub loads: Vec<Load>,
    pub arena: Vec<Shared>,
    pub flows: Mutex<BTreeMap<FlowKey, u32>>,
    pub conns: Vec<Conn>,
    pub buckets: Vec<Bucket>,
    pub service_stats: Mutex<BTreeMap<u32, Stats>>,
    pub server_stats: Mutex<BTreeMap<u32, Stats>>,
    pub drops: [AtomicU64; DropReason::ALL.len()],
    pub events: [AtomicU64; Event::ALL.len()],
}

/// A real server of a test's service: its number, the last byte of its MAC address, and its weight.
#[derive(Clone, Copy, Debug)]
pub struct TestServer {
    /// Number.
    pub number: u32,
    /// Weight in force.
    pub weight: u32,
}

impl TestServer {
    /// Its MAC address.
    #[must_use]
    pub fn mac(self) -> [u8; 6] {
        let [.., high, low] = self.number.to_be_bytes();
        [2, 0, 0, 1, high, low]
    }

    /// Its address.
    #[must_use]
    pub fn address(self, port: u16) -> SocketAddrV4 {
        let [.., high, low] = self.number.to_be_bytes();
        SocketAddrV4::new(Ipv4Addr::new(10, 1, high, low), port)
    }
}

fn zeroed<T: Default>(n: usize) -> Vec<T> {
    std::iter::repeat_with(T::default).take(n).collect()
}

impl NativeTables {
    /// Empty tables for this many established connections and half-open buckets (a power of two).
    #[must_use]
    pub fn new(conns: u32, buckets: u32) -> Self {
        let tables = Self {
            now: AtomicU64::new(1000),
            globals: Globals::default(),
            state: State::default(),
            link: Link::default(),
            vips: BTreeMap::new(),
            gates: zeroed(16),
            service_hints: zeroed(HINTS as usize),
            service_ids: BTreeMap::new(),
            services: zeroed(16),
            servers: zeroed(256),
            loads: zeroed(256),
            arena: zeroed(1 << 16),
            flows: Mutex::default(),
            conns: zeroed(conns as usize),
            buckets: zeroed(buckets as usize),
            service_stats: Mutex::default(),
            server_stats: Mutex::default(),
            drops: Default::default(),
            events: Default::default(),
        };
        tables.globals.conns.store(u64::from(conns), Relaxed);
        tables
            .globals
            .bucket_mask
            .store(u64::from(buckets) - 1, Relaxed);
        tables
            .globals
            .unassured_max
            .store(u64::from(conns / 2), Relaxed);
        tables.globals.secret.store(0x1234_5678, Relaxed);
        tables
            .globals
            .address
            .store(u64::from(u32::from_ne_bytes([192, 0, 2, 2])), Relaxed);
        tables
            .link
            .mac
            .store(Server::pack_mac(DIRECTOR, 0), Relaxed);
        tables
    }

    /// Puts service number 0 at this address, with an open gate, in place of the one before.
    ///
    /// # Panics
    ///
    /// If the servers don't fit the tables.
    pub fn put_service(&mut self, service: SocketAddrV4, servers: &[TestServer]) {
        let address = u32::from_ne_bytes(service.ip().octets());
        let key = ServiceKey::new(address, service.port().to_be(), 6);
        self.vips.insert(address, 0);
        self.gates[0].state.store(GateState::OPEN, SeqCst);
        self.service_ids.insert(key, 0);
        for server in &self.servers {
            server.mac.store(0, SeqCst);
        }
        for server in servers {
            let entry = &self.servers[server.number as usize];
            entry
                .weights
                .store(pair(server.weight, server.weight.max(1)), SeqCst);
            entry.owner.store(pair(1, 0), SeqCst);
            entry
                .mac
                .store(Server::pack_mac(server.mac(), ServerFlags::PRESENT), SeqCst);
        }
        let half = &self.services[0].halves[0];
        let fresh: Vec<_> = servers.iter().copied().filter(|s| s.weight > 0).collect();
        half.quiesced
            .store((servers.len() - fresh.len()) as u64, SeqCst);
        let last = fresh.len().saturating_sub(1) as u64;
        self.arena[0].store(last, SeqCst);
        let ring: Vec<u32> = fresh.iter().map(|s| s.number).collect();
        let mut at = self.lend(&half.ring, 1, &ring);
        at = self.lend(&half.hash_all, at, &hashed(servers));
        self.lend(&half.hash_fresh, at, &hashed(&fresh));
    }

    fn lend(&self, span: &Span, start: u32, entries: &[u32]) -> u32 {
        for (i, two) in entries.chunks(2).enumerate() {
            let word = pair(two[0], two.get(1).copied().unwrap_or(0));
            self.arena[start as usize + i].store(word, SeqCst);
        }
        let len = u32::try_from(entries.len()).expect("a table fits the arena");
        span.store(start, len);
        start + len.div_ceil(2)
    }

    /// Advances the clock.
    pub fn advance_secs(&self, secs: u32) {
        self.now.fetch_add(Tick::in_secs(secs), SeqCst);
    }

    /// Packets dropped for a reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].load(SeqCst)
    }

    /// Events of a kind.
    #[must_use]
    pub fn happened(&self, event: Event) -> u64 {
        self.events[event as usize].load(SeqCst)
    }
}

fn hashed(servers: &[TestServer]) -> Vec<u32> {
    let list: Vec<_> = servers
        .iter()
        .map(|s| (SocketAddr::V4(s.address(80)), s.weight.max(1)))
        .collect();
    hash_table::build(&list, 0)
        .into_iter()
        .map(|i| servers[i as usize].number)
        .collect()
}

fn add(stats: &Mutex<BTreeMap<u32, Stats>>, index: u32, bytes: u64, new_flow: bool) {
    let mut stats = stats.lock().expect("no test panics while it counts");
    let entry = stats.entry(index).or_default();
    entry.conns += u64::from(new_flow);
    entry.packets += 1;
    entry.bytes += bytes;
}

impl Tables for NativeTables {
    fn now(&self) -> Tick {
        Tick(self.now.load(Relaxed))
    }

    fn globals(&self) -> Option<&Globals> {
        Some(&self.globals)
    }

    fn state(&self) -> Option<&State> {
        Some(&self.state)
    }

    fn link(&self) -> Option<&Link> {
        Some(&self.link)
    }

    fn gate_of(&self, address: u32) -> Option<u32> {
        self.vips.get(&address).copied()
    }

    fn gate(&self, gate: u32) -> Option<&Gate> {
        self.gates.get(gate as usize)
    }

    fn service_hint(&self, index: u32) -> Option<&Shared> {
        self.service_hints.get(index as usize)
    }

    fn service_of(&self, key: &ServiceKey) -> Option<u32> {
        self.service_ids.get(key).copied()
    }

    fn service(&self, service: u32) -> Option<&ServiceSlot> {
        self.services.get(service as usize)
    }

    fn server(&self, server: u32) -> Option<&Server> {
        self.servers.get(server as usize)
    }

    fn server_load(&self, server: u32) -> Option<&Load> {
        self.loads.get(server as usize)
    }

    fn arena(&self, word: u32) -> Option<&Shared> {
        self.arena.get(word as usize)
    }

    fn flow(&self, key: &FlowKey) -> Option<u32> {
        self.flows.lock().ok()?.get(key).copied()
    }

    fn insert_flow(&self, key: &FlowKey, place: u32) -> Insert {
        let Ok(mut flows) = self.flows.lock() else {
            return Insert::Full;
        };
        if flows.contains_key(key) {
            return Insert::Exists;
        }
        if flows.len() >= self.conns.len() {
            return Insert::Full;
        }
        flows.insert(*key, place);
        Insert::Done
    }

    fn conn(&self, place: u32) -> Option<&Conn> {
        self.conns.get(place as usize)
    }

    fn bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.buckets.get(bucket as usize)
    }

    fn count(&self, service: u32, server: u32, bytes: u64, new_flow: bool) {
        add(&self.service_stats, service, bytes, new_flow);
        add(&self.server_stats, server, bytes, new_flow);
    }

    fn count_drop(&self, reason: DropReason) {
        self.drops[reason as usize].fetch_add(1, Relaxed);
    }

    fn count_event(&self, event: Event) {
        self.events[event as usize].fetch_add(1, Relaxed);
    }
}
