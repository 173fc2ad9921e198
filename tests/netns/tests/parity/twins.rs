//! A loaded program and a native data plane with the same services.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{
    Bucket, Conn, ConnState, Globals, Link, Router, Service, Shared, State, Tick, Word, low,
};
use evenkeel_bpf::{DataPlane, Interface, Mode, Options, Sizes};
use evenkeel_datapath::{MemoryFrame, Verdict, process};
use evenkeel_model::{
    Forwarding, Fragments, GateState, Hop, Listens, MacAddress, Protocol, Scheduler, ServerEntry,
    ServiceEntry, ServiceKey, ServiceOptions, Thresholds, Way, Weight,
};
use evenkeel_testkit::NativeTables;
use evenkeel_testkit::packet::{DIRECTOR, as_v6};

use crate::corpus::{FIRST_V6, LOCAL, ROUTERS, SERVICES, Spec};

/// The loopback interface, which packets of test runs seem to come in by.
const LINK: u32 = 1;
/// A second interface that the program knows.
const OTHER: u32 = 2;

/// Within so many ticks after its birth a further packet does not assure a flow.
const YOUNG: u64 = Tick::in_secs(1);

pub(crate) struct Twins {
    kernel: DataPlane,
    native: NativeTables,
    /// Advertisements that both took note of.
    heard: Cell<u32>,
    /// The ways that servers are reached by, in turn; none: as packets came in.
    ways: &'static [Way],
}

/// Copies a half of a service to the native tables.
fn mirror_half(k: &Service, n: &Service) {
    let copy = |from: &Shared, to: &Shared| to.store(from.load(SeqCst), SeqCst);

    copy(&k.gate, &n.gate);
    copy(&k.scheduler, &n.scheduler);
    copy(&k.costs, &n.costs);
    copy(&k.quiesced, &n.quiesced);
    copy(&k.flags, &n.flags);
    copy(&k.persistence, &n.persistence);
    for (k, n) in k.timeouts.iter().zip(&n.timeouts) {
        copy(k, n);
    }
    for (k, n) in [
        (&k.list, &n.list),
        (&k.ring, &n.ring),
        (&k.hash_all, &n.hash_all),
        (&k.hash_fresh, &n.hash_fresh),
    ] {
        let (start, len) = k.load();
        n.store(start, len);
    }
}

impl Twins {
    /// Twins with the services and virtual routers of the corpus.
    pub(crate) fn new(connections: u32, half_open: u32) -> Self {
        let mut twins = Self::bare(connections, half_open);
        twins.put_services(0);
        for spec in SERVICES {
            twins.set_gate(spec.address.ip(), GateState::Open);
        }
        for id in ROUTERS {
            twins.for_router(id, |router| router.used.store(1, SeqCst));
        }
        for (spec, id) in [(0, ROUTERS[0]), (4, ROUTERS[1]), (FIRST_V6, ROUTERS[2])] {
            twins.put_under(SERVICES[spec].address.ip(), id);
        }
        twins
    }

    /// Twins without a service.
    pub(crate) fn bare(connections: u32, half_open: u32) -> Self {
        let options = Options {
            pin_dir: "/nowhere".into(),
            interface: "none".into(),
            link_index: LINK,
            others: vec![Interface {
                name: "other".into(),
                index: OTHER,
                mac: MacAddress([2, 0, 0, 0, 0, 99]),
                mode: Mode::Generic,
            }],
            mac: MacAddress(DIRECTOR),
            address: Some([192, 0, 2, 2].into()),
            address6: Some("2001:db8::2".parse().expect("an address")),
            mode: Mode::Generic,
            sizes: Sizes {
                connections,
                half_open,
                ..Sizes::small()
            },
        };
        let kernel = DataPlane::load_detached(&options).expect("the object loads; root is needed");
        let buckets = kernel.tables().half_open.len();
        let mut native = NativeTables::new(connections, buckets);
        let conn_buckets = kernel.tables().conns.as_slice().len();
        native.conns.resize_with(conn_buckets, Default::default);
        let clients = &mut native.conn_clients;
        clients.resize_with(conn_buckets, Default::default);
        let words = kernel.tables().changed.as_slice().len();
        native.changed.resize_with(words, Default::default);
        assert!(SERVICES.len() < native.services.len(), "room for them");
        let servers = kernel.tables().servers.as_slice().len();
        native.servers.resize_with(servers, Default::default);
        native.loads.resize_with(servers, Default::default);
        let words = kernel.tables().arena.as_slice().len();
        native.arena.resize_with(words, Default::default);
        Self {
            kernel,
            native,
            heard: Cell::new(0),
            ways: &[],
        }
    }

    /// Gives servers these ways, one after the other.
    pub(crate) fn put_ways(&mut self, ways: &'static [Way]) {
        self.ways = ways;
        self.put_services(0);
    }

    /// The services' servers, which differ from round to round.
    pub(crate) fn put_services(&mut self, round: u32) {
        for spec in SERVICES {
            let weights = spec.weights[round as usize % 2];
            self.put(&spec, weights);
        }
    }

    /// Puts a service of a scheduler with as many servers of weight 1.
    pub(crate) fn put_many(&mut self, address: SocketAddrV4, scheduler: Scheduler, servers: usize) {
        let spec = Spec {
            address: address.into(),
            protocol: Protocol::Tcp,
            scheduler,
            weights: [&[]; 2],
            local: false,
            fragments: Fragments::Follow,
        };
        self.put(&spec, &vec![1; servers]);
        self.set_gate(IpAddr::V4(*address.ip()), GateState::Open);
    }

    fn put(&mut self, spec: &Spec, weights: &[i64]) {
        let port = spec.address.port();
        let server = |(i, weight): (u16, &i64)| {
            let [high, low] = i.to_be_bytes();
            let is_local = spec.local && usize::from(i) == 12 + LOCAL;
            ServerEntry {
                address: match SocketAddrV4::new([198, 18, high, low].into(), port) {
                    address if spec.address.is_ipv6() => as_v6(address),
                    address => address.into(),
                },
                weight: Weight::try_from(*weight).expect("a weight"),
                hash_weight: Weight::ONE,
                forwarding: if is_local {
                    Forwarding::Local
                } else {
                    Forwarding::DirectRouting
                },
                hop: if is_local {
                    Hop::NONE
                } else {
                    Hop {
                        mac: MacAddress([2, 0, 0, 1, high, low]),
                        way: self
                            .ways
                            .get(usize::from(i) % self.ways.len().max(1))
                            .copied(),
                    }
                },
                thresholds: Thresholds::default(),
            }
        };
        let entry = ServiceEntry {
            key: ServiceKey::Single {
                protocol: spec.protocol,
                address: spec.address,
            },
            group: Listens::default(),
            scheduler: spec.scheduler,
            options: ServiceOptions {
                fragments: spec.fragments,
                ..ServiceOptions::default()
            },
            servers: (12..).zip(weights).map(server).collect(),
            held: Vec::new(),
        };
        self.kernel.put_service(&entry).expect("the service fits");
        self.mirror();
    }

    /// Puts a service with three servers of weight 1 under rr, and opens its gates.
    pub(crate) fn put_group(
        &mut self,
        key: ServiceKey,
        group: Listens,
        options: ServiceOptions,
        mac: u8,
    ) {
        self.put_limited(key, group, Scheduler::RoundRobin, options, mac, [0; 3]);
    }

    /// The same with a scheduler and upper thresholds.
    pub(crate) fn put_limited(
        &mut self,
        key: ServiceKey,
        group: Listens,
        scheduler: Scheduler,
        options: ServiceOptions,
        mac: u8,
        upper: [u32; 3],
    ) {
        let server = |host: u8| ServerEntry {
            address: SocketAddr::new(IpAddr::from([198, 18, mac, host]), key.port()),
            weight: Weight::ONE,
            hash_weight: Weight::ONE,
            forwarding: Forwarding::DirectRouting,
            hop: MacAddress([2, 0, 0, 1, mac, host]).into(),
            thresholds: Thresholds {
                upper: upper[usize::from(host) - 1],
                lower: 0,
            },
        };
        let entry = ServiceEntry {
            key,
            group,
            scheduler,
            options,
            servers: (1..=3).map(server).collect(),
            held: Vec::new(),
        };
        self.kernel.put_service(&entry).expect("the service fits");
        for address in entry.addresses() {
            self.kernel
                .set_gate(address, GateState::Open)
                .expect("the address has a gate");
        }
        self.mirror();
    }

    pub(crate) fn set_gate(&mut self, address: IpAddr, state: GateState) {
        self.kernel
            .set_gate(address, state)
            .expect("the address has a gate");
        self.mirror();
    }

    /// Puts an address under a virtual router.
    fn put_under(&mut self, address: IpAddr, id: u16) {
        let number = self.native.gate_number(address).expect("it has a gate");
        let gate = self.kernel.tables().gates.get(number).expect("it is there");
        gate.virtual_router.store(u64::from(id), SeqCst);
        self.mirror();
    }

    /// Changes a virtual router of both.
    pub(crate) fn for_router(&self, id: u16, change: impl Fn(&Router)) {
        let routers = &self.kernel.tables().routers;
        change(routers.get(id.into()).expect("one for each id"));
        change(&self.native.routers[usize::from(id)]);
    }

    /// Copies what user space wrote into the kernel's maps to the native tables; what packets
    /// change stays as the native packets left it.
    fn mirror(&mut self) {
        let (from, to) = (self.kernel.tables(), &mut self.native);
        let copy = |from: &Shared, to: &Shared| to.store(from.load(SeqCst), SeqCst);
        let globals = from.globals.get(0).expect("one");
        copy(&globals.secret, &to.globals.secret);
        copy(&globals.hash_seed, &to.globals.hash_seed);
        copy(&globals.bucket_mask, &to.globals.bucket_mask);
        copy(&globals.conn_buckets, &to.globals.conn_buckets);
        copy(&globals.unassured_max, &to.globals.unassured_max);
        copy(&globals.address, &to.globals.address);
        for (kernel, native) in globals.address6.iter().zip(&to.globals.address6) {
            copy(kernel, native);
        }
        let link = from.link(LINK).expect("the program's");
        copy(&link.mac, &to.link.mac);
        copy(&link.index, &to.link.index);
        let other = from.link(OTHER).expect("the other's");
        to.other_links = vec![Link::default()];
        copy(&other.mac, &to.other_links[0].mac);
        copy(&other.index, &to.other_links[0].index);
        for (kernel, hint) in from.service_hints.as_slice().iter().zip(&to.service_hints) {
            copy(kernel, hint);
        }
        for (i, gate) in (0..).zip(&to.gates) {
            let kernel = from.gates.get(i).expect("as many");
            copy(&kernel.state, &gate.state);
            copy(&kernel.virtual_router, &gate.virtual_router);
            copy(&kernel.fragments, &gate.fragments);
            let (start, len) = kernel.ports.load();
            gate.ports.store(start, len);
            let address = kernel.address_used.load(SeqCst);
            let words = [&kernel.address6[0], &kernel.address6[1]].map(|word| word.load(SeqCst));
            match address >> 32 {
                0 => None,
                1 => to.vips.insert(low(address), i),
                _ => to.vips6.insert(words, i),
            };
        }
        for (i, slot) in (0..).zip(&to.services) {
            let kernel = from.services.get(i).expect("as many");
            copy(&kernel.select, &slot.select);
            copy(&kernel.used, &slot.used);
            copy(&kernel.key, &slot.key);
            for (kernel, native) in kernel.halves.iter().zip(&slot.halves) {
                mirror_half(kernel, native);
            }
        }
        let ids = from.service_ids().expect("they can be read");
        to.service_ids = ids.into_iter().collect();
        for (i, server) in (0..).zip(&to.servers) {
            let kernel = from.servers.get(i).expect("as many");
            copy(&kernel.mac, &server.mac);
            copy(&kernel.egress, &server.egress);
            copy(&kernel.weights, &server.weights);
        }
        for (i, load) in (0..).zip(&to.loads) {
            copy(
                &from.loads.get(i).expect("as many").thresholds,
                &load.thresholds,
            );
        }
        for (i, router) in (0..).zip(&to.routers) {
            let kernel = from.routers.get(i).expect("as many");
            copy(&kernel.used, &router.used);
        }
        for (i, word) in (0..).zip(&to.arena) {
            copy(from.arena.get(i).expect("as large"), word);
        }
    }

    /// Changes the words of both.
    pub(crate) fn for_both(&self, change: impl Fn(&State, &Globals)) {
        let tables = self.kernel.tables();
        change(
            tables.state.get(0).expect("one"),
            tables.globals.get(0).expect("one"),
        );
        change(&self.native.state, &self.native.globals);
    }

    /// Makes the connections of both older.
    pub(crate) fn age(&self, ticks: u64) {
        self.for_all_births(|born, _now| born.saturating_sub(ticks));
    }

    /// Makes the young connections of both as young as can be.
    ///
    /// The kernel sees a packet up to a tick later, which must not decide whether it assures its flow: to be
    /// called much more often than once a second.
    pub(crate) fn keep_young(&self) {
        self.for_all_births(|born, now| if now < born + YOUNG { now } else { born });
    }

    /// What a long run does from time to time: every flow grows old at once, and the new ones stay young.
    pub(crate) fn settle(&self, packet: usize) {
        if packet.is_multiple_of(1000) {
            self.age(Tick::in_secs(4));
        }
        if packet.is_multiple_of(100) {
            self.keep_young();
        }
    }

    fn for_all_births(&self, change: impl Fn(u64, u64) -> u64) {
        let kernel = self.kernel.tables();
        let (half_open, conns) = (kernel.half_open.as_slice(), kernel.conns.as_slice());
        let native = self.native.buckets.iter().chain(&self.native.conns);
        let ways = half_open.iter().chain(conns).chain(native);
        let now = self.kernel.tables().now().0;
        for conn in ways.flat_map(|b| &b.ways) {
            let born = change(conn.born.load(SeqCst), now);
            conn.born.store(born, SeqCst);
        }
    }

    /// Gives the native half-open entries the births of the kernel's, which saw its packets a moment later:
    /// which of two entries is older must not depend on that.
    pub(crate) fn share_births(&self) {
        let kernel = self.kernel.tables().half_open.as_slice().iter();
        let ways = |bucket: &Bucket| bucket.ways.each_ref().map(|way| way.born.load(SeqCst));
        for (born, native) in kernel.map(ways).zip(&self.native.buckets) {
            for (born, way) in born.into_iter().zip(&native.ways) {
                way.born.store(born, SeqCst);
            }
        }
    }

    /// Both judge the packet alike and leave the same bytes.
    pub(crate) fn agree(&self, packet: &[u8], what: &str) {
        // Errors are limited by the second, and the two are not in the same one.
        self.for_both(|state, _| state.icmp.store(0, SeqCst));
        self.native.now.store(self.kernel.tables().now().0, SeqCst);
        let mut frame = MemoryFrame::new(packet);
        let native = match process(&mut frame, &self.native) {
            Verdict::Drop(_) => 1,
            Verdict::Pass => 2,
            Verdict::Transmit => 3,
            Verdict::Redirect(_) => 4,
        };
        let traced = self.kernel.trace_frame(packet).expect("the maps are read");
        let (kernel, bytes) = self.kernel.run(packet).expect("the program runs");
        assert_eq!(native, kernel, "verdict of {what}: {packet:02x?}");
        assert_eq!(traced.0, kernel, "traced verdict of {what}: {packet:02x?}");
        assert_eq!(traced.1, bytes, "traced bytes of {what}: {packet:02x?}");
        assert_eq!(frame.bytes(), bytes, "bytes of {what}: {packet:02x?}");
        for (id, native) in (0..).zip(&self.native.routers) {
            let kernel = self.kernel.tables().routers.get(id).expect("as many");
            let of = |r: &Router| (r.heard.load(SeqCst) != 0, r.yielded.load(SeqCst));
            assert_eq!(
                of(native),
                of(kernel),
                "router {id} after {what}: {packet:02x?}"
            );
            let heard = native.heard.swap(0, SeqCst) != 0;
            self.heard.set(self.heard.get() + u32::from(heard));
            kernel.heard.store(0, SeqCst);
        }
    }

    /// Advertisements that both took note of so far.
    pub(crate) fn heard(&self) -> u32 {
        self.heard.get()
    }

    /// Established flows in this state.
    pub(crate) fn established(&self, state: ConnState) -> usize {
        let ways = self.native.conns.iter().flat_map(|bucket| &bucket.ways);
        let words = ways.map(|c| Word(c.word.load(SeqCst)));
        let words = words.filter(|word| word.is_live() && word.state() == state as u8);
        words.count()
    }

    /// Number of the server whose MAC address a packet gets.
    pub(crate) fn server_of(&self, packet: &[u8]) -> u16 {
        let (verdict, bytes) = self.kernel.run(packet).expect("the program runs");
        assert_eq!(verdict, 3, "sent on");
        u16::from_be_bytes([bytes[4], bytes[5]])
    }

    /// Changes the counters of the servers of both, in the order of their numbers.
    pub(crate) fn for_loads(&self, change: impl Fn(usize, &evenkeel_abi::Load)) {
        let kernel = self.kernel.tables().loads.as_slice();
        for loads in [kernel, &self.native.loads] {
            for (number, load) in loads.iter().enumerate() {
                change(number, load);
            }
        }
    }

    /// Both hold the same connections and the same counts.
    pub(crate) fn agree_on_tables(&self) {
        let kernel = self.kernel.tables();
        let essence = |conn: &Conn| {
            let word = Word(conn.word.load(SeqCst));
            let key = (
                conn.addresses.load(SeqCst),
                conn.ports_protocol.load(SeqCst),
            );
            word.is_live().then_some((key, word.server(), word.state()))
        };
        let conns = |buckets: &[Bucket]| {
            let ways = buckets.iter().flat_map(|bucket| &bucket.ways);
            ways.map(essence).collect::<Vec<_>>()
        };
        assert_eq!(
            conns(&self.native.conns),
            conns(kernel.conns.as_slice()),
            "established"
        );
        assert_eq!(
            conns(&self.native.buckets),
            conns(kernel.half_open.as_slice()),
            "half-open"
        );
        assert_eq!(
            conns(&self.native.fragments),
            conns(kernel.fragments.as_slice()),
            "fragments"
        );
        let marks =
            |words: &[Shared]| -> Vec<u64> { words.iter().map(|word| word.load(SeqCst)).collect() };
        assert_eq!(
            marks(&self.native.changed),
            marks(kernel.changed.as_slice()),
            "marks of changes"
        );
        let state = kernel.state.get(0).expect("one");
        for (what, native, kernel) in [
            (
                "established",
                &self.native.state.established,
                &state.established,
            ),
            ("unassured", &self.native.state.unassured, &state.unassured),
            ("half-open", &self.native.state.half_open, &state.half_open),
        ] {
            assert_eq!(native.load(SeqCst), kernel.load(SeqCst), "{what}");
        }
        for (i, native) in (0..).zip(&self.native.loads) {
            let load = kernel.loads.get(i).expect("as many");
            let of = |l: &evenkeel_abi::Load| (l.active.load(SeqCst), l.inactive.load(SeqCst));
            assert_eq!(of(native), of(load), "server {i}");
        }
    }
}
