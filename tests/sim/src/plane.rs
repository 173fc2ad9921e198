//! A director's data plane: the native one, and what user space does with its tables.
//!
//! It stands for `evenkeel_bpf::DataPlane` and its pins: it survives a daemon, and an unplugged director
//! begins with a new one. Changes are atomic by nature, since no packet comes in between.

mod fill;
mod mirror;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use evenkeel_abi::{GateState as Gates, Router, Server, ServiceKey as Key, Tick, pair};
use evenkeel_datapath::{MemoryFrame, Verdict, process};
use evenkeel_model::{
    GateState, OnRemoval, ServerEntry, ServiceEntry, ServiceKey, VirtualRouter, VirtualRouterId,
    Weight,
};
use evenkeel_testkit::NativeTables;

use self::fill::take_out;
use self::mirror::{Removals, flow_of};
use crate::Time;
use crate::node::Node;

/// Established connections that there is room for: many more than clients open, for what happens in full
/// tables is tested elsewhere.
const CONNECTIONS: u32 = 320;

/// Buckets of half-open ones.
const HALF_OPEN_BUCKETS: u32 = 32;

/// Words of the arena for each half of a service.
const PART: u32 = 4096;

/// Services whose tables fit the arena.
const SERVICES: u32 = 8;

/// What the tables hold, by names.
#[derive(Default)]
struct Book {
    services: BTreeMap<ServiceKey, Record>,
    /// Numbers of servers, by service and address; one whose connections live on keeps its own.
    servers: BTreeMap<(u32, SocketAddr), u32>,
    gates: BTreeMap<IpAddr, u32>,
    /// Virtual routers of addresses.
    reserved: BTreeMap<IpAddr, VirtualRouterId>,
}

struct Record {
    number: u32,
    /// `None`: removed, and its connections live on.
    entry: Option<ServiceEntry>,
    /// Since when servers are listed without a break.
    since: BTreeMap<SocketAddr, Time>,
}

/// The servers that a service's consistent hash is made of: addresses, weights, and whether they are quiesced.
pub type Placement = Vec<(SocketAddr, u16, bool)>;

/// How a predecessor left a virtual router, see `evenkeel_bpf::Standing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// At least one of its gates is open.
    pub open: bool,
    /// The role goes on: the lease lasts and nobody else was heard.
    pub goes_on: bool,
}

/// A data plane.
pub struct Plane {
    /// Its state.
    pub tables: NativeTables,
    book: Book,
    /// The lowest number for a new server: directors differ in it, as in the order in which they learned.
    first_server: u32,
    /// A packet or the sweep may have changed connections since they were last checked.
    pub touched: Cell<bool>,
    removals: Removals,
    /// The word of marks that changes are taken from.
    position: usize,
}

fn word(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => u32::from_ne_bytes(address.octets()),
        IpAddr::V6(_) => unreachable!("the cluster has IPv4 only"),
    }
}

const fn gate_word(state: GateState) -> u64 {
    match state {
        GateState::Open => Gates::OPEN,
        GateState::Draining => Gates::DRAINING,
        GateState::Closed => Gates::CLOSED,
    }
}

fn lowest_free(taken: &BTreeSet<u32>, from: u32) -> u32 {
    let mut numbers = from..;
    let free = numbers.find(|number| !taken.contains(number));
    free.expect("more numbers than entries")
}

impl Plane {
    /// An empty one of a director.
    #[must_use]
    pub fn new(node: Node, secret: u64, first_server: u32) -> Self {
        let mut tables = NativeTables::new(CONNECTIONS, HALF_OPEN_BUCKETS);
        tables.arena.truncate((2 * PART * SERVICES) as usize);
        tables.servers.truncate(64);
        tables.loads.truncate(64);
        tables.globals.secret.store(secret, SeqCst);
        let address = u64::from(word(node.address().into()));
        tables.globals.address.store(address, SeqCst);
        let mac = Server::pack_mac(node.mac(), 0);
        tables.link.mac.store(mac, SeqCst);
        Self {
            tables,
            book: Book::default(),
            first_server,
            touched: Cell::new(false),
            removals: Removals::default(),
            position: 0,
        }
    }

    /// Sets the time that packets see.
    pub fn set_time(&self, tick: Tick) {
        self.tables.now.store(tick.0, SeqCst);
    }

    /// Lets a packet pass.
    pub fn process(&mut self, frame: &mut MemoryFrame) -> Verdict {
        self.touched.set(true);
        process(frame, &self.tables)
    }

    /// Whether counters equal the tables, if anything has changed since this was asked last.
    ///
    /// # Panics
    /// If they don't.
    pub fn check(&self) {
        if self.touched.take() {
            self.tables.check();
        }
    }

    /// What an earlier daemon left.
    #[must_use]
    pub fn adopt(&self) -> Vec<ServiceEntry> {
        let records = self.book.services.values();
        records.filter_map(|record| record.entry.clone()).collect()
    }

    /// What it holds for a service.
    #[must_use]
    pub fn held(&self, key: &ServiceKey) -> Option<&ServiceEntry> {
        self.book.services.get(key)?.entry.as_ref()
    }

    /// Since when it has listed a server of a service without a break.
    #[must_use]
    pub fn listed_since(&self, key: &ServiceKey, server: SocketAddr) -> Option<Time> {
        let record = self.book.services.get(key)?;
        record.since.get(&server).copied()
    }

    /// What a service's consistent hash is made of, in an order that does not depend on the list's.
    #[must_use]
    pub fn placement(&self, key: &ServiceKey) -> Option<Placement> {
        let servers = self.held(key)?.servers.iter();
        let mut all: Placement = servers
            .map(|s| (s.address, s.hash_weight.get(), s.weight == Weight::QUIESCED))
            .collect();
        all.sort_unstable();
        Some(all)
    }

    /// Makes it hold exactly this for a service.
    pub fn put_service(&mut self, entry: &ServiceEntry, now: Time) {
        let ServiceKey::Single { address, protocol } = entry.key else {
            unreachable!("the cluster has no groups");
        };
        let gate = self.gate_for(address.ip());
        let number = self.number_of(&entry.key);
        let mut numbers = Vec::new();
        for server in &entry.servers {
            let lent = self.number_of_server(number, server.address);
            self.fill_server(lent, number, server);
            numbers.push(lent);
        }
        let mut held = Vec::new();
        for server in &entry.held {
            let lent = self.number_of_server(number, server.address);
            self.fill_server(lent, number, server);
            take_out(&self.tables.servers[lent as usize], OnRemoval::Keep);
            held.push(lent);
        }
        let key = Key::new(
            word(address.ip()),
            address.port().to_be(),
            protocol.number(),
        );
        let slot = &self.tables.services[number as usize];
        slot.key.store(key.packed(), SeqCst);
        let other = 1 - slot.select.load(SeqCst);
        let start = PART * (2 * number + u32::from(other == 1));
        self.fill(
            &slot.halves[usize::from(other == 1)],
            gate,
            entry,
            &numbers,
            start,
        );
        slot.select.store(other, SeqCst);
        slot.used.store(1, SeqCst);
        self.tables.service_ids.insert(key, number);
        for ((service, of), left) in &self.book.servers {
            if *service == number && !numbers.contains(left) && !held.contains(left) {
                take_out(
                    &self.tables.servers[*left as usize],
                    entry.options.on_removal,
                );
                debug_assert!(entry.servers.iter().all(|s| s.address != *of));
            }
        }
        let record = self.book.services.get_mut(&entry.key).expect("numbered");
        record.entry = Some(entry.clone());
        let before = std::mem::take(&mut record.since);
        let since = |s: &ServerEntry| before.get(&s.address).copied().unwrap_or(now);
        record.since = entry
            .servers
            .iter()
            .map(|s| (s.address, since(s)))
            .collect();
    }

    /// Forgets a service.
    pub fn remove_service(&mut self, key: &ServiceKey) {
        let Some(record) = self.book.services.get_mut(key) else {
            return;
        };
        record.entry = None;
        record.since.clear();
        let number = record.number;
        self.tables.services[number as usize].used.store(0, SeqCst);
        self.tables.service_ids.retain(|_, of| *of != number);
        for ((service, _), server) in &self.book.servers {
            if *service == number {
                take_out(&self.tables.servers[*server as usize], OnRemoval::Drop);
            }
        }
        self.give_up_unused();
    }

    /// Sets the gate of a stand-alone address.
    pub fn set_gate(&mut self, address: IpAddr, state: GateState) {
        assert!(
            !self.book.reserved.contains_key(&address),
            "{address} is a virtual router's"
        );
        match self.book.gates.get(&address) {
            Some(gate) => self.tables.gates[*gate as usize]
                .state
                .store(gate_word(state), SeqCst),
            None => assert_eq!(state, GateState::Closed, "{address} has no gate"),
        }
    }

    /// Takes part in exactly these virtual routers.
    pub fn reserve_gates(&mut self, routers: &[VirtualRouter]) {
        let mut wanted = BTreeMap::new();
        for router in routers {
            let of = &self.tables.routers[usize::from(router.id.get())];
            if of.used.load(SeqCst) != 1 {
                forget(of);
                of.used.store(1, SeqCst);
            }
            for address in &router.addresses {
                let gate = self.gate_for(*address);
                let gate = &self.tables.gates[gate as usize];
                gate.virtual_router.store(router.id.get().into(), SeqCst);
                wanted.insert(*address, router.id);
            }
        }
        let before = std::mem::replace(&mut self.book.reserved, wanted);
        for address in before.into_keys() {
            if !self.book.reserved.contains_key(&address) {
                let gate = &self.tables.gates[self.book.gates[&address] as usize];
                gate.state.store(Gates::CLOSED, SeqCst);
                gate.virtual_router.store(0, SeqCst);
            }
        }
        self.give_up_unused();
        for (id, router) in (0_u16..).zip(&self.tables.routers) {
            if !routers.iter().any(|of| u16::from(of.id.get()) == id) {
                router.used.store(0, SeqCst);
                forget(router);
            }
        }
    }

    /// Sets the gates of a virtual router.
    pub fn set_router(&self, id: VirtualRouterId, state: GateState) {
        for gate in self.gates_of(id) {
            gate.state.store(gate_word(state), SeqCst);
        }
    }

    /// Renews the lease of a role.
    pub fn renew(&self, id: VirtualRouterId, lasts: Duration) {
        let now = self.tables.now.load(SeqCst);
        let ticks = lasts.as_nanos().div_ceil(1 << Tick::SHIFT);
        let router = self.router(id);
        let lease = now + u64::try_from(ticks).expect("seconds") + 1;
        router.lease.store(lease, SeqCst);
        router.renewed.store(now, SeqCst);
        router.yielded.store(0, SeqCst);
    }

    /// Ends it.
    pub fn end_lease(&self, id: VirtualRouterId) {
        self.router(id).lease.store(0, SeqCst);
    }

    /// How a virtual router stands.
    #[must_use]
    pub fn standing(&self, id: VirtualRouterId) -> Standing {
        let router = self.router(id);
        let heard = router.heard.load(SeqCst);
        let foreign = heard != 0 && heard >= router.renewed.load(SeqCst);
        let mut gates = self.gates_of(id);
        let open = gates.any(|gate| gate.state.load(SeqCst) == Gates::OPEN);
        let alive = router.lease.load(SeqCst) >= self.tables.now.load(SeqCst);
        let yielded = router.yielded.load(SeqCst) != 0;
        Standing {
            open,
            goes_on: open && alive && !foreign && !yielded,
        }
    }

    /// How an address's gate acts; one that was yielded is as draining.
    #[must_use]
    pub fn gate(&self, address: Ipv4Addr) -> GateState {
        let Some(number) = self.book.gates.get(&IpAddr::V4(address)) else {
            return GateState::Closed;
        };
        let gate = &self.tables.gates[*number as usize];
        let router = usize::try_from(gate.virtual_router.load(SeqCst)).expect("a small number");
        let yielded = router != 0 && self.tables.routers[router].yielded.load(SeqCst) != 0;
        match gate.state.load(SeqCst) {
            Gates::OPEN if !yielded => GateState::Open,
            Gates::CLOSED => GateState::Closed,
            _ => GateState::Draining,
        }
    }

    /// Takes out what has expired, and frees the numbers that nothing refers to any more.
    pub fn sweep(&mut self) {
        self.touched.set(true);
        for key in self.tables.sweep() {
            self.removals.note(flow_of(&key));
        }
        let listed = |key: &(u32, SocketAddr)| {
            let mut records = self.book.services.values();
            let record = records.find(|record| record.number == key.0);
            record.is_some_and(|record| {
                let mut held = record.entry.iter().flat_map(|entry| &entry.held);
                record.since.contains_key(&key.1) || held.any(|server| server.address == key.1)
            })
        };
        let idle = |number: u32| {
            let load = &self.tables.loads[number as usize];
            load.active.load(SeqCst) + load.inactive.load(SeqCst) == 0
        };
        let freed: Vec<_> = self
            .book
            .servers
            .iter()
            .filter(|(key, number)| !listed(key) && idle(**number))
            .map(|(key, number)| (*key, *number))
            .collect();
        for (key, number) in freed {
            self.book.servers.remove(&key);
            let server = &self.tables.servers[number as usize];
            server.mac.store(0, SeqCst);
            server.owner.store(0, SeqCst);
        }
        let servers = &self.book.servers;
        self.book.services.retain(|_, record| {
            record.entry.is_some() || servers.keys().any(|(of, _)| *of == record.number)
        });
    }

    fn router(&self, id: VirtualRouterId) -> &Router {
        &self.tables.routers[usize::from(id.get())]
    }

    fn gates_of(&self, id: VirtualRouterId) -> impl Iterator<Item = &evenkeel_abi::Gate> {
        let number = u64::from(id.get());
        let gates = self.tables.gates.iter();
        gates.filter(move |gate| gate.virtual_router.load(SeqCst) == number)
    }

    fn gate_for(&mut self, address: IpAddr) -> u32 {
        if let Some(number) = self.book.gates.get(&address) {
            return *number;
        }
        let taken: BTreeSet<u32> = self.book.gates.values().copied().collect();
        let number = lowest_free(&taken, 0);
        let gate = &self.tables.gates[number as usize];
        gate.state.store(Gates::CLOSED, SeqCst);
        gate.virtual_router.store(0, SeqCst);
        gate.address_used.store(pair(word(address), 1), SeqCst);
        self.tables.vips.insert(word(address), number);
        self.book.gates.insert(address, number);
        number
    }

    /// Gives up gates of addresses that no service and no virtual router has.
    fn give_up_unused(&mut self) {
        let mut used: BTreeSet<IpAddr> = self.book.reserved.keys().copied().collect();
        let records = self.book.services.values();
        let entries = records.filter_map(|record| record.entry.as_ref());
        used.extend(entries.flat_map(ServiceEntry::addresses));
        let tables = &mut self.tables;
        self.book.gates.retain(|address, number| {
            let stays = used.contains(address);
            if !stays {
                tables.vips.remove(&word(*address));
                tables.gates[*number as usize]
                    .state
                    .store(Gates::CLOSED, SeqCst);
            }
            stays
        });
    }

    fn number_of(&mut self, key: &ServiceKey) -> u32 {
        if let Some(record) = self.book.services.get(key) {
            return record.number;
        }
        let taken: BTreeSet<u32> = self.book.services.values().map(|r| r.number).collect();
        let number = lowest_free(&taken, 0);
        assert!(number < SERVICES, "a few services");
        let record = Record {
            number,
            entry: None,
            since: BTreeMap::new(),
        };
        self.book.services.insert(*key, record);
        number
    }

    fn number_of_server(&mut self, service: u32, address: SocketAddr) -> u32 {
        let taken: BTreeSet<u32> = self.book.servers.values().copied().collect();
        let number = self.book.servers.entry((service, address));
        *number.or_insert_with(|| lowest_free(&taken, self.first_server))
    }
}

fn forget(router: &Router) {
    for word in [
        &router.lease,
        &router.heard,
        &router.yielded,
        &router.renewed,
    ] {
        word.store(0, SeqCst);
    }
}
