//! The state of a data plane in ordinary memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use evenkeel_abi::{
    BUCKET_WAYS, Bucket, Clients, Conn, DropReason, Event, FRAGMENT_BUCKETS, FlowKey, Gate,
    Globals, HINTS, Link, Load, ROUTERS_MAX, Router, Server, ServiceKey, ServiceSlot, Shared,
    State, Stats, Tick, Word, mark_words, pair,
};
use evenkeel_datapath::{Flow, Tables, folded};
use evenkeel_model::Listen;

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
    pub other_links: Vec<Link>,
    pub vips: BTreeMap<u32, u32>,
    pub vips6: BTreeMap<[u64; 2], u32>,
    pub gates: Vec<Gate>,
    pub routers: Vec<Router>,
    pub service_hints: Vec<Shared>,
    pub service_ids: BTreeMap<ServiceKey, u32>,
    pub services: Vec<ServiceSlot>,
    pub servers: Vec<Server>,
    pub loads: Vec<Load>,
    pub arena: Vec<Shared>,
    pub conns: Vec<Bucket>,
    pub buckets: Vec<Bucket>,
    pub conn_clients: Vec<Clients>,
    pub half_open_clients: Vec<Clients>,
    pub changed: Vec<Shared>,
    pub fragments: Vec<Bucket>,
    pub service_stats: Mutex<BTreeMap<u32, Stats>>,
    pub server_stats: Mutex<BTreeMap<u32, Stats>>,
    pub drops: [AtomicU64; DropReason::ALL.len()],
    pub events: [AtomicU64; Event::ALL.len()],
    /// Ports that services have by ranges, each with its service's number.
    pub(crate) ranges: Vec<(Listen, u32)>,
}

/// The director's own IPv6 address.
pub(crate) const OWN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// An IPv6 address as it lies in memory.
#[must_use]
pub fn words(address: Ipv6Addr) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address.octets();
    [
        u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
    ]
}

fn zeroed<T: Default>(n: usize) -> Vec<T> {
    std::iter::repeat_with(T::default).take(n).collect()
}

impl NativeTables {
    /// Empty tables for this many established connections and half-open buckets (a power of two).
    #[must_use]
    pub fn new(conns: u32, buckets: u32) -> Self {
        let conn_buckets = (conns * 2).div_ceil(u32::try_from(BUCKET_WAYS).expect("a few"));
        let tables = Self {
            now: AtomicU64::new(1000),
            globals: Globals::default(),
            state: State::default(),
            link: Link::default(),
            other_links: Vec::new(),
            vips: BTreeMap::new(),
            vips6: BTreeMap::new(),
            gates: zeroed(64),
            routers: zeroed(ROUTERS_MAX as usize),
            service_hints: zeroed(HINTS as usize),
            service_ids: BTreeMap::new(),
            services: zeroed(64),
            servers: zeroed(256),
            loads: zeroed(256),
            arena: zeroed(1 << 18),
            conns: zeroed(conn_buckets as usize),
            buckets: zeroed(buckets as usize),
            conn_clients: zeroed(conn_buckets as usize),
            half_open_clients: zeroed(buckets as usize),
            changed: zeroed(mark_words(conn_buckets) as usize),
            fragments: zeroed(FRAGMENT_BUCKETS as usize),
            service_stats: Mutex::default(),
            server_stats: Mutex::default(),
            drops: Default::default(),
            events: Default::default(),
            ranges: Vec::new(),
        };
        tables.globals.conns.store(u64::from(conns), Relaxed);
        tables
            .globals
            .conn_buckets
            .store(u64::from(conn_buckets), Relaxed);
        tables
            .globals
            .bucket_mask
            .store(u64::from(buckets) - 1, Relaxed);
        tables
            .globals
            .unassured_max
            .store(u64::from(conns / 2), Relaxed);
        tables.globals.secret.store(0x9abc_def0_1234_5678, Relaxed);
        tables
            .globals
            .address
            .store(u64::from(u32::from_ne_bytes([192, 0, 2, 2])), Relaxed);
        let [first, second] = words(OWN6);
        tables.globals.address6[0].store(first, Relaxed);
        tables.globals.address6[1].store(second, Relaxed);
        tables.link.index.store(1, Relaxed);
        tables
            .link
            .mac
            .store(Server::pack_mac(DIRECTOR, 0), Relaxed);
        tables
    }

    /// The number of the gate of an address.
    #[must_use]
    pub fn gate_number(&self, address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => self.gate_of(u32::from_ne_bytes(address.octets())),
            IpAddr::V6(address) => self.gate_of6(&words(address)),
        }
    }

    /// What packets to an address and port find their service by; an IPv6 address without a gate has none.
    #[must_use]
    pub fn service_key(&self, address: SocketAddr, protocol: u8) -> ServiceKey {
        let port = address.port().to_be();
        match address.ip() {
            IpAddr::V4(address) => {
                ServiceKey::new(u32::from_ne_bytes(address.octets()), port, protocol)
            }
            IpAddr::V6(address) => {
                let gate = self.gate_of6(&words(address)).unwrap_or(u32::MAX);
                ServiceKey::v6(gate, port, protocol)
            }
        }
    }

    /// The key of a flow, and what it is placed by.
    #[must_use]
    pub fn flow(&self, client: SocketAddr, service: SocketAddr, protocol: u8) -> Flow {
        let ([a, b], [c, d]) = (client.port().to_be_bytes(), service.port().to_be_bytes());
        self.flow_of(
            [client.ip(), service.ip()],
            u32::from_ne_bytes([a, b, c, d]),
            protocol,
        )
    }

    /// The same with both ports as they lie in a packet; the addresses are of one family.
    ///
    /// # Panics
    ///
    /// If they are not.
    #[must_use]
    pub fn flow_of(&self, addresses: [IpAddr; 2], ports: u32, protocol: u8) -> Flow {
        match addresses {
            [IpAddr::V4(client), IpAddr::V4(service)] => {
                let [client, service] = [client, service].map(|a| u32::from_ne_bytes(a.octets()));
                let key = FlowKey::new(client, service, ports, protocol);
                Flow::new(key, key.addresses)
            }
            [IpAddr::V6(client), IpAddr::V6(service)] => {
                let [client, service] = [client, service].map(words);
                let key = FlowKey::v6(self.digest(client, service), ports, protocol);
                Flow::new(key, pair(folded(client), folded(service)))
            }
            [..] => panic!("addresses of one family"),
        }
    }

    /// Advances the clock.
    pub fn advance_secs(&self, secs: u32) {
        self.now.fetch_add(Tick::in_secs(secs), SeqCst);
    }

    /// The word of a flow's entry in the established table.
    #[must_use]
    pub fn established(&self, key: &FlowKey) -> Option<Word> {
        let word = |conn: &Conn| Word(conn.word.load(SeqCst));
        let mut ways = self.conns.iter().flat_map(|bucket| &bucket.ways);
        ways.find(|conn| {
            word(conn).is_live()
                && conn.addresses.load(SeqCst) == key.addresses
                && conn.ports_protocol.load(SeqCst) == key.ports_protocol
        })
        .map(word)
    }

    /// The numbers of the buckets that are marked as changed, whose marks are taken by that.
    #[must_use]
    pub fn take_marks(&self) -> BTreeSet<u32> {
        let words = (0u32..).zip(self.changed.iter().map(|word| word.swap(0, SeqCst)));
        let marks = words.flat_map(|(word, bits)| {
            let set = (0..u64::BITS).filter(move |bit| bits >> bit & 1 != 0);
            set.map(move |bit| word * u64::BITS + bit)
        });
        marks.collect()
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

    fn ingress(&self) -> u32 {
        u32::try_from(self.link.index.load(Relaxed)).expect("an index")
    }

    fn link(&self, index: u32) -> Option<&Link> {
        let mut links = std::iter::once(&self.link).chain(&self.other_links);
        links.find(|link| link.index.load(Relaxed) == u64::from(index))
    }

    fn gate_of(&self, address: u32) -> Option<u32> {
        self.vips.get(&address).copied()
    }

    fn gate_of6(&self, address: &[u64; 2]) -> Option<u32> {
        self.vips6.get(address).copied()
    }

    fn gate(&self, gate: u32) -> Option<&Gate> {
        self.gates.get(gate as usize)
    }

    fn router(&self, id: u32) -> Option<&Router> {
        self.routers.get(id as usize)
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

    fn conn_bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.conns.get(bucket as usize)
    }

    fn bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.buckets.get(bucket as usize)
    }

    fn conn_clients(&self, bucket: u32) -> Option<&Clients> {
        self.conn_clients.get(bucket as usize)
    }

    fn half_open_clients(&self, bucket: u32) -> Option<&Clients> {
        self.half_open_clients.get(bucket as usize)
    }

    fn changed(&self, word: u32) -> Option<&Shared> {
        self.changed.get(word as usize)
    }

    fn fragment_bucket(&self, bucket: u32) -> Option<&Bucket> {
        self.fragments.get(bucket as usize % self.fragments.len())
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
