//! Schedulers, compared with IPVS's own algorithms.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{DropReason, Event, SchedulerId, Shared};
use evenkeel_datapath::{Verdict, less_loaded_of_two};
use evenkeel_testkit::model::{Scheduler, buckets, least, mh, twos};
use evenkeel_testkit::packet::flags::{ACK, SYN};
use evenkeel_testkit::{NativeTables, TestServer, TestService};
use proptest::prelude::*;

use crate::common::{SERVICE, World, client};

/// The schedulers that compare loads.
const BY_LOAD: [(Scheduler, u64); 6] = [
    (Scheduler::LeastConnection, SchedulerId::LC),
    (Scheduler::WeightedLeastConnection, SchedulerId::WLC),
    (Scheduler::ShortestExpectedDelay, SchedulerId::SED),
    (Scheduler::NeverQueue, SchedulerId::NQ),
    (Scheduler::Failover, SchedulerId::FO),
    (Scheduler::Overflow, SchedulerId::OVF),
];

/// The servers of the first flows.
fn picks(world: &World, flows: u16) -> Vec<u32> {
    let pick = |i| {
        assert_eq!(world.send(client(i), SYN), Verdict::Transmit);
        world.last_server()
    };
    (0..flows).map(pick).collect()
}

/// `ip_vs_wrr_schedule` of net/netfilter/ipvs/ip_vs_wrr.c, over servers 1, 2, ..
struct Wrr {
    weights: Vec<i64>,
    last: usize,
    current: i64,
    max: i64,
    divisor: i64,
}

impl Wrr {
    fn new(weights: &[u32]) -> Self {
        let weights: Vec<i64> = weights.iter().map(|w| i64::from(*w)).collect();
        let gcd = |a: i64, b: i64| {
            let (mut a, mut b) = (a, b);
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        let divisor = weights.iter().fold(0, |a, b| gcd(a, *b)).max(1);
        let max = weights.iter().max().copied().unwrap_or(0) - (divisor - 1);
        Self {
            last: weights.len(),
            current: max,
            weights,
            max,
            divisor,
        }
    }

    fn schedule(&mut self) -> u32 {
        loop {
            let from = if self.last == self.weights.len() {
                0
            } else {
                self.last + 1
            };
            let found = (from..self.weights.len()).find(|i| self.weights[*i] >= self.current);
            if let Some(found) = found {
                self.last = found;
                return u32::try_from(found).expect("few servers") + 1;
            }
            self.last = self.weights.len();
            self.current -= self.divisor;
            if self.current <= 0 {
                self.current = self.max;
            }
        }
    }
}

#[test]
fn wrr_interleaves_as_the_ipvsadm_manual_says() {
    let world = World::scheduled(SchedulerId::WRR, &[4, 3, 2]);
    let round = [1, 1, 2, 1, 2, 3, 1, 2, 3];
    assert_eq!(picks(&world, 18), [round, round].concat());
}

#[test]
fn wrr_without_a_weighted_server_has_none() {
    for weights in [&[][..], &[0, 0]] {
        let world = World::scheduled(SchedulerId::WRR, weights);
        world.send(client(0), SYN);
        assert_eq!(world.tables.dropped(DropReason::NoServer), 1);
        assert_eq!(world.half_open(), 0);
    }
}

#[test]
fn wrr_counts_as_many_passes_as_weights_can_ask_for() {
    let world = World::scheduled(SchedulerId::WRR, &[65_535, 65_534, 1]);
    let cursor = &world.tables.arena[0];
    assert_eq!(picks(&world, 4), [1, 1, 2, 1]);
    // The second level's last pass, and in it the second server.
    cursor.store(1 << 48 | 1 << 32 | 65_532, SeqCst);
    let later: Vec<u32> = (10..16)
        .map(|i| {
            world.send(client(i), SYN);
            world.last_server()
        })
        .collect();
    assert_eq!(later, [2, 1, 2, 3, 1, 1]);
}

#[test]
fn wrr_cursor_that_names_no_level_begins_anew() {
    let world = World::scheduled(SchedulerId::WRR, &[2, 1]);
    for cursor in [u64::MAX, 2 << 48, 7 << 48 | 3] {
        world.tables.arena[0].store(cursor, SeqCst);
        let first = u16::try_from(cursor >> 52).expect("12 bits");
        world.send(client(first + 1), SYN);
        assert_eq!(world.last_server(), 1);
        world.tables.advance_secs(100);
    }
}

#[test]
fn wlc_chooses_the_least_loaded_for_its_weight() {
    let world = World::scheduled(SchedulerId::WLC, &[1, 2, 1]);
    assert_eq!(picks(&world, 8), [1, 2, 3, 2, 1, 2, 3, 2]);
    let counts: Vec<_> = (1..4).map(|s| world.counts(s).0).collect();
    assert_eq!(counts, [2, 4, 2]);
}

#[test]
fn wlc_counts_an_inactive_connection_as_a_256th_of_an_active_one() {
    let world = World::scheduled(SchedulerId::WLC, &[1, 1]);
    let load = |server: usize, active, inactive| {
        world.tables.loads[server].active.store(active, SeqCst);
        world.tables.loads[server].inactive.store(inactive, SeqCst);
    };
    for (first, second, expected) in [
        ((1, 0), (0, 256), 2),
        ((1, 0), (0, 257), 1),
        ((1, 0), (0, 258), 1),
        ((0, 5), (0, 5), 1),
        ((0, 6), (0, 5), 2),
    ] {
        load(1, first.0, first.1);
        load(2, second.0, second.1);
        world.tables.advance_secs(61);
        world.send(client(expected), SYN);
        assert_eq!(
            world.last_server(),
            u32::from(expected),
            "{first:?} {second:?}"
        );
    }
}

#[test]
fn wlc_passes_over_a_server_whose_weight_has_just_become_0() {
    let world = World::scheduled(SchedulerId::WLC, &[1, 1]);
    world.tables.servers[1].weights.store(1 << 32, SeqCst);
    assert_eq!(picks(&world, 3), [2, 2, 2]);
    world.tables.servers[2].weights.store(1 << 32, SeqCst);
    world.send(client(9), SYN);
    assert_eq!(world.tables.dropped(DropReason::NoServer), 1);
}

/// Services of more are refused by user space.
#[test]
fn wlc_looks_at_1024_servers() {
    let mut tables = NativeTables::new(16, 16);
    let grow = |of: &mut Vec<Shared>, len| of.resize_with(len, Shared::default);
    grow(&mut tables.arena, 1 << 23);
    tables.servers.resize_with(2048, Default::default);
    tables.loads.resize_with(2048, Default::default);
    let servers: Vec<_> = (1..1025).map(|number| TestServer::new(number, 1)).collect();
    let service = TestService::new(SERVICE).scheduled(SchedulerId::WLC);
    tables.put_service(service, &servers);
    let pick = |i| {
        let segment = evenkeel_testkit::packet::Segment::new(client(i), SERVICE, SYN);
        let mut frame = evenkeel_datapath::MemoryFrame::new(&segment.frame());
        let verdict = evenkeel_datapath::process(&mut frame, &tables);
        assert_eq!(verdict, Verdict::Transmit);
        u32::from(frame.bytes()[4]) << 8 | u32::from(frame.bytes()[5])
    };
    for number in 1..1024 {
        tables.loads[number].inactive.store(2, SeqCst);
    }
    tables.loads[1024].inactive.store(1, SeqCst);
    assert_eq!(pick(0), 1024);
    tables.loads[1024].inactive.store(9, SeqCst);
    assert_eq!(pick(1), 1);
}

#[test]
fn maglev_places_flows_as_the_hash_does_unknown_ones() {
    let world = World::scheduled(SchedulerId::MAGLEV, &[1, 1, 1]);
    let unknown: Vec<u32> = (0..60)
        .map(|i| {
            world.send(client(i), ACK);
            world.last_server()
        })
        .collect();
    assert_eq!(world.tables.happened(Event::UnknownFlow), 60);
    assert_eq!(picks(&world, 60), unknown);
    assert_eq!(world.half_open(), 60, "with an entry");
    assert!((1..4).all(|s| unknown.contains(&s)));
    world.check();
}

#[test]
fn maglev_flow_stays_while_the_table_changes() {
    let mut world = World::scheduled(SchedulerId::MAGLEV, &[1, 1, 1]);
    let before: Vec<u32> = (0..60).map(|i| world.open(client(i))).collect();
    world.set_weight(2, 0);
    world.set_weight(1, 3);
    for (i, server) in (0..).zip(before) {
        world.send(client(i), ACK);
        assert_eq!(world.last_server(), server);
    }
    for i in 100..160 {
        assert_ne!(world.open(client(i)), 2, "quiesced");
    }
    world.check();
}

#[test]
fn maglev_flow_is_found_again_without_its_entry_unless_its_slot_is_a_quiesced_servers() {
    let world = World::scheduled(SchedulerId::MAGLEV, &[1, 0, 1, 1]);
    let successor = World::scheduled(SchedulerId::MAGLEV, &[1, 0, 1, 1]);
    let mut lost = 0;
    for i in 0..200 {
        let server = world.open(client(i));
        assert_ne!(server, 2, "quiesced");
        successor.send(client(i), ACK);
        if successor.last_server() != server {
            assert_eq!(successor.last_server(), 2);
            lost += 1;
        }
    }
    assert!((1..100).contains(&lost), "{lost} of 200");
}

#[test]
fn unknown_scheduler_is_an_internal_fault() {
    let world = World::scheduled(u64::MAX, &[1]);
    assert_eq!(
        world.send(client(0), SYN),
        Verdict::Drop(DropReason::Internal)
    );
    assert_eq!(world.half_open(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn wrr_picks_in_ipvs_order(weights in prop::collection::vec(0u32..13, 1..9), scale in 1u32..4) {
        prop_assume!(weights.iter().any(|w| *w > 0));
        let weights: Vec<u32> = weights.iter().map(|w| w * scale).collect();
        let world = World::scheduled(SchedulerId::WRR, &weights);
        let mut model = Wrr::new(&weights);
        let expected: Vec<u32> = (0..150).map(|_| model.schedule()).collect();
        prop_assert_eq!(picks(&world, 150), expected);
    }

    /// One loop over [`Costs`](evenkeel_abi::Costs) picks what each of IPVS's functions would.
    #[test]
    fn those_that_compare_loads_pick_ipvs_server(
        servers in prop::collection::vec((0u16..9, 0u32..20, 0u32..400), 1..20),
        which in prop::sample::select(&BY_LOAD[..]),
    ) {
        let (scheduler, id) = which;
        let weights: Vec<u32> = servers.iter().map(|s| s.0.into()).collect();
        let world = World::scheduled(id, &weights);
        for ((_, active, inactive), load) in servers.iter().zip(&world.tables.loads[1..]) {
            load.active.store((*active).into(), SeqCst);
            load.inactive.store((*inactive).into(), SeqCst);
        }
        world.send(client(0), SYN);
        match least::pick(scheduler, &servers) {
            Some(place) => prop_assert_eq!(world.last_server() as usize, place + 1),
            None => prop_assert_eq!(world.tables.dropped(DropReason::NoServer), 1),
        }
    }

    /// `ip_vs_sh_schedule`, `ip_vs_dh_schedule` and `ip_vs_mh_schedule`.
    #[test]
    fn static_tables_place_by_address(weights in prop::collection::vec(0u16..5, 1..9), i in 0u16..500) {
        let of = |table: Vec<usize>, address: Ipv4Addr| {
            let place = table[usize::from(buckets::bucket(u32::from(address)))];
            (weights[place] > 0).then_some(u32::try_from(place).unwrap() + 1)
        };
        let wide: Vec<u32> = weights.iter().map(|w| (*w).into()).collect();
        let [low, high] = i.to_le_bytes();
        let address = Ipv4Addr::new(203, 0, high, low);
        let hashed: Vec<_> = (1..)
            .zip(&weights)
            .map(|(number, weight)| (TestServer::new(number, 1).address(80).into(), (*weight).max(1)))
            .collect();
        let place = mh::build(&hashed)[mh::bucket(u32::from(address))];
        let of_mh = (weights[place] > 0).then_some(u32::try_from(place).unwrap() + 1);
        for (id, expected) in [
            (SchedulerId::MH, of_mh),
            (SchedulerId::SH, of(buckets::source_hash(&weights), address)),
            (SchedulerId::DH, of(buckets::destination_hash(weights.len()), *SERVICE.ip())),
        ] {
            let world = World::scheduled(id, &wide);
            let verdict = world.send(SocketAddrV4::new(address, 1000 + i), SYN);
            match expected {
                Some(server) => prop_assert_eq!(world.last_server(), server),
                None => prop_assert_ne!(verdict, Verdict::Pass),
            }
            prop_assert_eq!(world.tables.dropped(DropReason::NoServer), u64::from(expected.is_none()));
        }
    }

    /// `ip_vs_twos_schedule`, whatever chance says.
    #[test]
    fn twos_picks_ipvs_server(
        servers in prop::collection::vec((0u16..9, 0u32..20, 0u32..400), 1..20),
        random: u64,
    ) {
        let weights: Vec<u32> = servers.iter().map(|s| s.0.into()).collect();
        let world = World::scheduled(SchedulerId::TWOS, &weights);
        for ((_, active, inactive), load) in servers.iter().zip(&world.tables.loads[1..]) {
            load.active.store((*active).into(), SeqCst);
            load.inactive.store((*inactive).into(), SeqCst);
        }
        let sum: u64 = weights.iter().copied().map(u64::from).sum();
        let numbers = [random & 0xffff_ffff, random >> 32].map(|r| (r * (sum + 1)) >> 32);
        let (start, len) = world.tables.services[0].halves[0].ring.load();
        let picked = less_loaded_of_two(&world.tables, random, start, len);
        let expected = twos::pick(&servers, numbers);
        prop_assert_eq!(picked.map(|server| server as usize - 1), expected);
    }
}

#[test]
fn twos_spreads_flows_by_weight_and_goes_on_from_pick_to_pick() {
    let world = World::scheduled(SchedulerId::TWOS, &[1, 3, 0]);
    let picked = picks(&world, 200);
    let heavy = picked.iter().filter(|server| **server == 2).count();
    assert!((140..160).contains(&heavy), "{heavy} of 200");
    assert!(!picked.contains(&3), "quiesced");
}
