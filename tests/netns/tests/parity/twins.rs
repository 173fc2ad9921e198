//! A loaded program and a native data plane with the same services.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{Bucket, Conn, Globals, ServiceKey as Key, Shared, State, Tick, Word, low};
use evenkeel_bpf::{DataPlane, Mode, Options, Sizes};
use evenkeel_datapath::{Verdict, process};
use evenkeel_model::{
    Forwarding, GateState, MacAddress, Protocol, Scheduler, ServerEntry, ServiceEntry, ServiceKey,
    Weight,
};
use evenkeel_testkit::packet::DIRECTOR;
use evenkeel_testkit::{NativeFrame, NativeTables};
use nix::time::{ClockId, clock_gettime};

use crate::corpus::SERVICES;

pub(crate) struct Twins {
    kernel: DataPlane,
    native: NativeTables,
}

impl Twins {
    pub(crate) fn new(connections: u32, half_open: u32) -> Self {
        let options = Options {
            pin_dir: "/nowhere".into(),
            interface: "none".into(),
            link_index: 1,
            mac: MacAddress(DIRECTOR),
            address: Some([192, 0, 2, 2].into()),
            mode: Mode::Generic,
            sizes: Sizes {
                connections,
                half_open,
                ..Sizes::small()
            },
        };
        let kernel = DataPlane::load_detached(&options).expect("the object loads; root is needed");
        let buckets = kernel.tables().half_open.len();
        let mut twins = Self {
            kernel,
            native: NativeTables::new(connections, buckets),
        };
        for service in SERVICES {
            twins.put_service(service, &[]);
            twins.set_gate(service, GateState::Open);
        }
        twins.put_services(0);
        twins
    }

    /// The services' servers, which differ from round to round.
    pub(crate) fn put_services(&mut self, round: u32) {
        let second = if round.is_multiple_of(2) { 0 } else { 3 };
        self.put_service(
            SERVICES[0],
            if round % 5 == 4 { &[1, 1] } else { &[1, 1, 1] },
        );
        self.put_service(SERVICES[1], &[1, second, 1]);
    }

    fn put_service(&mut self, service: SocketAddrV4, weights: &[i64]) {
        let server = |(i, weight): (u8, &i64)| ServerEntry {
            address: SocketAddr::new(IpAddr::from([198, 18, 14, i]), service.port()),
            weight: Weight::try_from(*weight).expect("a weight"),
            hash_weight: Weight::ONE,
            forwarding: Forwarding::DirectRouting,
            mac: MacAddress([2, 0, 0, 1, 0, i]),
        };
        let key = ServiceKey {
            protocol: Protocol::Tcp,
            address: service.into(),
        };
        let servers = (12..).zip(weights).map(server).collect();
        let entry = ServiceEntry {
            key,
            scheduler: Scheduler::RoundRobin,
            servers,
        };
        self.kernel.put_service(&entry).expect("the service fits");
        self.mirror();
    }

    pub(crate) fn set_gate(&mut self, service: SocketAddrV4, state: GateState) {
        self.kernel
            .set_gate((*service.ip()).into(), state)
            .expect("the address has a gate");
        self.mirror();
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
        copy(&globals.unassured_max, &to.globals.unassured_max);
        copy(&globals.address, &to.globals.address);
        copy(&from.links.get(0).expect("one").mac, &to.link.mac);
        for (kernel, hint) in from.service_hints.as_slice().iter().zip(&to.service_hints) {
            copy(kernel, hint);
        }
        for (i, gate) in (0..).zip(&to.gates) {
            let kernel = from.gates.get(i).expect("as many");
            copy(&kernel.state, &gate.state);
            let address = kernel.address_used.load(SeqCst);
            if address >> 32 != 0 {
                to.vips.insert(low(address), i);
            }
        }
        for (i, slot) in (0..).zip(&to.services) {
            let kernel = from.services.get(i).expect("as many");
            copy(&kernel.select, &slot.select);
            copy(&kernel.used, &slot.used);
            copy(&kernel.key, &slot.key);
            for (k, n) in kernel.halves.iter().zip(&slot.halves) {
                copy(&k.gate, &n.gate);
                copy(&k.quiesced, &n.quiesced);
                for (k, n) in [
                    (&k.ring, &n.ring),
                    (&k.hash_all, &n.hash_all),
                    (&k.hash_fresh, &n.hash_fresh),
                ] {
                    let (start, len) = k.load();
                    n.store(start, len);
                }
            }
            if kernel.used.load(SeqCst) != 0 {
                let key = kernel.key.load(SeqCst);
                let key = Key {
                    address: low(key),
                    port_protocol: u32::try_from(key >> 32).expect("32 bits"),
                };
                to.service_ids.insert(key, i);
            }
        }
        for (i, server) in (0..).zip(&to.servers) {
            let kernel = from.servers.get(i).expect("as many");
            copy(&kernel.mac, &server.mac);
            copy(&kernel.weights, &server.weights);
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

    /// Makes the half-open entries of both older.
    pub(crate) fn age_half_open(&self, ticks: u64) {
        let buckets = self
            .kernel
            .tables()
            .half_open
            .as_slice()
            .iter()
            .chain(&self.native.buckets);
        for conn in buckets.flat_map(|b| &b.ways) {
            let born = conn.born_or_next.load(SeqCst);
            conn.born_or_next.store(born.saturating_sub(ticks), SeqCst);
        }
    }

    /// Gives the native half-open entries the births of the kernel's, which saw its packets a moment later:
    /// which of two entries is older must not depend on that.
    pub(crate) fn share_births(&self) {
        let kernel = self.kernel.tables().half_open.as_slice().iter();
        let ways = |bucket: &Bucket| {
            bucket
                .ways
                .each_ref()
                .map(|way| way.born_or_next.load(SeqCst))
        };
        for (born, native) in kernel.map(ways).zip(&self.native.buckets) {
            for (born, way) in born.into_iter().zip(&native.ways) {
                way.born_or_next.store(born, SeqCst);
            }
        }
    }

    /// Both judge the packet alike and leave the same bytes.
    pub(crate) fn agree(&self, packet: &[u8], what: &str) {
        // Errors are limited by the second, and the two are not in the same one.
        self.for_both(|state, _| state.icmp.store(0, SeqCst));
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).expect("the clock is there");
        let ns = u64::try_from(now.tv_sec()).expect("positive") * 1_000_000_000
            + u64::try_from(now.tv_nsec()).expect("positive");
        self.native.now.store(Tick::from_ns(ns).0, SeqCst);
        let mut frame = NativeFrame::new(packet);
        let native = match process(&mut frame, &self.native) {
            Verdict::Drop(_) => 1,
            Verdict::Pass => 2,
            Verdict::Transmit => 3,
        };
        let (kernel, bytes) = self.kernel.run(packet).expect("the program runs");
        assert_eq!(native, kernel, "verdict of {what}: {packet:02x?}");
        assert_eq!(frame.bytes(), bytes, "bytes of {what}: {packet:02x?}");
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
        let conns = |conns: &mut dyn Iterator<Item = &Conn>| conns.map(essence).collect::<Vec<_>>();
        assert_eq!(
            conns(&mut self.native.conns.iter()),
            conns(&mut kernel.conns.as_slice().iter()),
            "established"
        );
        fn ways<'a>(buckets: impl Iterator<Item = &'a Bucket>) -> impl Iterator<Item = &'a Conn> {
            buckets.flat_map(|b| &b.ways)
        }
        assert_eq!(
            conns(&mut ways(self.native.buckets.iter())),
            conns(&mut ways(kernel.half_open.as_slice().iter())),
            "half-open"
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
