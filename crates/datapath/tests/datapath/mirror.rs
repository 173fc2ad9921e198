//! Marks of changes, and entries that another director tells of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use evenkeel_abi::{ConnState, FlowKey, SchedulerId, Tick, Word, pair};
use evenkeel_datapath::{Installed, MemoryFrame, Tables as _, Verdict, install, process, remove};
use evenkeel_testkit::packet::flags::{ACK, FIN, RST, SYN};
use evenkeel_testkit::packet::{Segment, as_v6};
use evenkeel_testkit::{Dice, NativeTables, TestService};
use proptest::prelude::*;

use crate::common::{SERVICE, World, client};

/// An entry but for its expiry: its key, its word's other bits, and when it was made.
type Essence = (FlowKey, u64, u64);

/// What a bucket holds, for each bucket of the established table.
fn held(tables: &NativeTables) -> Vec<Vec<Essence>> {
    let essence = |conn: &evenkeel_abi::Conn| {
        let word = Word(conn.word.load(SeqCst));
        let key = FlowKey {
            addresses: conn.addresses.load(SeqCst),
            ports_protocol: conn.ports_protocol.load(SeqCst),
        };
        let rest = word.0 ^ word.expiry().0;
        word.is_live().then(|| (key, rest, conn.born.load(SeqCst)))
    };
    let buckets = tables.conns.iter();
    buckets
        .map(|bucket| bucket.ways.iter().filter_map(essence).collect())
        .collect()
}

fn changed(before: &[Vec<Essence>], after: &[Vec<Essence>]) -> BTreeSet<u32> {
    let both = (0..).zip(before.iter().zip(after));
    both.filter(|(_, (before, after))| before != after)
        .map(|(number, _)| number)
        .collect()
}

fn key_of(world: &World, client: SocketAddrV4, protocol: u8) -> FlowKey {
    let (client, service) = (world.at(client), world.at(SERVICE));
    world.tables.flow(client, service, protocol).key
}

const TCP: u8 = 6;

fn live(world: &World, server: u32, state: ConnState, secs: u32) -> Word {
    Word::live(
        server,
        state as u8,
        world.tables.now().after(Tick::in_secs(secs)),
    )
}

/// Takes out what has expired.
fn sweep(tables: &NativeTables) {
    let now = tables.now();
    let ways = tables.conns.iter().flat_map(|bucket| &bucket.ways);
    for conn in ways {
        let word = Word(conn.word.load(SeqCst));
        if word.is_live() && word.expiry() <= now {
            let key = FlowKey {
                addresses: conn.addresses.load(SeqCst),
                ports_protocol: conn.ports_protocol.load(SeqCst),
            };
            assert!(remove(tables, &key));
        }
    }
}

#[test]
fn each_step_of_a_connection_marks_its_bucket_and_a_refresh_does_not() {
    let world = World::with_weights(&[1, 1]);
    let client = client(1);
    let marked = || world.tables.take_marks().len();
    world.send(client, SYN);
    assert_eq!(marked(), 0, "half-open");
    world.send(client, ACK);
    assert_eq!(marked(), 1, "established");
    world.tables.advance_secs(5);
    world.send(client, ACK);
    assert_eq!(marked(), 1, "assured");
    world.tables.advance_secs(5);
    let before = world.tables.established(&key_of(&world, client, TCP));
    world.send(client, ACK);
    let after = world.tables.established(&key_of(&world, client, TCP));
    assert_ne!(before, after, "refreshed");
    assert_eq!(marked(), 0, "refreshed");
    world.send(client, FIN | ACK);
    assert_eq!(marked(), 1, "FIN_WAIT");
    world.send(client, SYN);
    assert_eq!(marked(), 1, "begun anew");
}

#[test]
fn an_entry_of_another_director_sends_the_next_packet_to_its_server() {
    for service in [TestService::new(SERVICE), TestService::at(as_v6(SERVICE))] {
        let world = World::of(service, &[1, 1, 1], 1024, 64);
        for number in 0..30 {
            let (from, server) = (client(number), 1 + u32::from(number) % 3);
            let key = key_of(&world, from, TCP);
            let word = live(&world, server, ConnState::Established, 60);
            assert_eq!(
                install(&world.tables, &key, word, false),
                Installed::Entered
            );
            assert_eq!(world.send(from, ACK), Verdict::Transmit);
            assert_eq!(world.last_server(), server);
        }
        world.check();
        assert_eq!(world.counts(1), (10, 0));
    }
}

#[test]
fn an_entry_that_lives_is_overwritten_only_where_that_is_asked_for() {
    let world = World::with_weights(&[1, 1]);
    let server = world.open(client(1));
    let other = 3 - server;
    let key = key_of(&world, client(1), TCP);
    let word = live(&world, other, ConnState::FinWait, 60);
    assert_eq!(install(&world.tables, &key, word, false), Installed::Kept);
    assert_eq!(world.counts(server), (1, 0));
    assert_eq!(install(&world.tables, &key, word, true), Installed::Changed);
    assert_eq!(
        (world.counts(server), world.counts(other)),
        ((0, 0), (0, 1))
    );
    world.check();
    world.tables.advance_secs(120);
    let word = live(&world, server, ConnState::Established, 60);
    assert_eq!(
        install(&world.tables, &key, word, false),
        Installed::Changed
    );
    world.check();
}

#[test]
fn a_half_open_entry_makes_way_only_where_that_is_asked_for() {
    let world = World::with_weights(&[1, 1]);
    world.send(client(1), SYN);
    let key = key_of(&world, client(1), TCP);
    let word = live(&world, 2, ConnState::Established, 60);
    assert_eq!(install(&world.tables, &key, word, false), Installed::Kept);
    assert_eq!(install(&world.tables, &key, word, true), Installed::Entered);
    assert_eq!((world.half_open(), world.established()), (0, 1));
    world.check();
}

#[test]
fn a_full_table_takes_no_entry() {
    let world = World::with_sizes(&[1], 4, 8);
    let outcomes = (0..5).map(|number| {
        let key = key_of(&world, client(number), TCP);
        install(
            &world.tables,
            &key,
            live(&world, 1, ConnState::Established, 60),
            true,
        )
    });
    let outcomes: Vec<_> = outcomes.collect();
    assert_eq!(outcomes[..4], [Installed::Entered; 4]);
    assert_eq!(outcomes[4], Installed::NoRoom);
    world.check();
}

#[test]
fn a_removed_entry_is_unknown_and_counts_no_more() {
    let world = World::with_weights(&[1]);
    world.open(client(1));
    let key = key_of(&world, client(1), TCP);
    assert!(remove(&world.tables, &key));
    assert!(!remove(&world.tables, &key));
    assert_eq!(
        (world.established(), world.unassured(), world.counts(1)),
        (0, 0, (0, 0))
    );
    world.check();
}

#[test]
fn new_flows_go_by_the_hash_from_when_it_is_asked_for() {
    let world = World::with_weights(&[1, 1, 1]);
    world.tables.state.hash_from.store(1, SeqCst);
    let elsewhere = World::with_weights(&[1, 1, 1]);
    for number in 0..20 {
        assert_eq!(world.send(client(number), SYN), Verdict::Transmit);
        let first = world.last_server();
        world.send(client(number), ACK);
        assert_eq!(world.last_server(), first, "its later packets too");
        elsewhere.send(client(number), ACK);
        let there = elsewhere.last_server();
        assert_eq!(there, first, "where nobody was told of it too");
    }
    assert_eq!((world.half_open(), world.established()), (0, 20));
    assert_eq!(world.tables.happened(evenkeel_abi::Event::AskedSyn), 20);
    assert_eq!(world.tables.happened(evenkeel_abi::Event::FloodSyn), 0);
    let later = world.tables.now().after(Tick::in_secs(10));
    world.tables.state.hash_from.store(later.0, SeqCst);
    world.send(client(21), SYN);
    assert_eq!(world.tables.happened(evenkeel_abi::Event::AskedSyn), 20);
    world.tables.advance_secs(11);
    world.send(client(22), SYN);
    let asked = world.tables.happened(evenkeel_abi::Event::AskedSyn);
    assert_eq!(asked, 21, "nobody has put it off");
}

#[test]
fn a_flow_placed_on_request_keeps_its_server_when_the_list_changes() {
    let mut world = World::with_weights(&[1, 1, 1]);
    world.tables.state.hash_from.store(1, SeqCst);
    let mut servers = Vec::new();
    for number in 0..20 {
        world.send(client(number), SYN);
        servers.push(world.last_server());
        world.send(client(number), ACK);
    }
    world.set_local(Some(3));
    for (number, server) in (0..).zip(servers) {
        world.send(client(number), ACK);
        assert_eq!(world.last_server(), server, "{number}");
    }
}

/// Sends packets of few flows for as long as nobody stops it.
fn disturb(tables: &NativeTables, seed: u64, stop: &AtomicBool) {
    let mut dice = Dice::new(seed);
    while !stop.load(SeqCst) {
        let flags = dice.pick(&[SYN, SYN, ACK, ACK, FIN | ACK, RST]);
        let from = client(u16::try_from(dice.below(48)).expect("small"));
        let packet = Segment::new(from, SERVICE, flags).frame();
        process(&mut MemoryFrame::new(&packet), tables);
    }
}

#[test]
fn nothing_is_lost_where_marks_are_taken_while_packets_flow() {
    let world = World::with_sizes(&[1, 1, 1], 256, 64);
    let tables = &world.tables;
    let stop = AtomicBool::new(false);
    let mut copy: BTreeMap<u32, Vec<Essence>> = BTreeMap::new();
    let mut taken = 0;
    let without_birth = |bucket: &Vec<Essence>| {
        let mut entries: Vec<_> = bucket.iter().map(|entry| (entry.0, entry.1)).collect();
        entries.sort_unstable();
        entries
    };
    let mut take = || {
        let marks = tables.take_marks();
        taken += marks.len();
        // As a reader has to: the marks first, then what they are of.
        let now = held(tables);
        for mark in marks {
            copy.insert(mark, now[mark as usize].clone());
        }
    };
    thread::scope(|scope| {
        for seed in [11, 13] {
            let stop = &stop;
            scope.spawn(move || disturb(tables, seed, stop));
        }
        for _ in 0..2000 {
            take();
            thread::yield_now();
        }
        stop.store(true, SeqCst);
    });
    take();
    assert!(taken > 100, "{taken}");
    for (number, bucket) in (0..).zip(held(tables)) {
        let copied = copy.get(&number).map(without_birth).unwrap_or_default();
        assert_eq!(copied, without_birth(&bucket), "bucket {number}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Packet {
        client: u16,
        flags: u8,
    },
    Advance(u32),
    Install {
        client: u16,
        server: u32,
        state: usize,
        secs: u32,
        assured: bool,
        overwrites: bool,
    },
    Remove(u16),
    Sweep,
}

fn op() -> impl Strategy<Value = Op> {
    let flags = prop_oneof![4 => Just(SYN), 6 => Just(ACK), 2 => Just(FIN | ACK), 1 => Just(RST), 1 => Just(0)];
    let install = (
        0u16..24,
        1u32..4,
        1usize..11,
        1u32..400,
        any::<bool>(),
        any::<bool>(),
    );
    prop_oneof![
        20 => (0u16..24, flags).prop_map(|(client, flags)| Op::Packet { client, flags }),
        3 => (0u32..200).prop_map(Op::Advance),
        5 => install.prop_map(|(client, server, state, secs, assured, overwrites)| {
            Op::Install { client, server, state, secs, assured, overwrites }
        }),
        2 => (0u16..24).prop_map(Op::Remove),
        2 => Just(Op::Sweep),
    ]
}

/// A service of either protocol and family, with persistence or without.
fn service() -> impl Strategy<Value = (TestService, bool)> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(udp, is_v6, persistent)| {
        let address = if is_v6 {
            as_v6(SERVICE)
        } else {
            SERVICE.into()
        };
        let service = TestService::at(address).scheduled(SchedulerId::RR);
        (if udp { service.udp() } else { service }, persistent)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Counters equal the tables, and the buckets that packets changed are marked, others not.
    #[test]
    fn arbitrary_packets_installs_and_removals_uphold_counters_and_marks(
        (service, persistent) in service(),
        ops in prop::collection::vec(op(), 1..120),
        conns in prop_oneof![Just(4u32), Just(64)],
        buckets in prop_oneof![Just(1u32), Just(8)],
    ) {
        let world = World::of(service, &[1, 1, 1], conns, buckets);
        let is_v6 = service.address.is_ipv6();
        if persistent {
            let mask = if is_v6 { 128 } else { u32::MAX };
            let ticks = u32::try_from(Tick::in_secs(60)).expect("small");
            world.tables.services[0].halves[0].persistence.store(pair(ticks, mask), SeqCst);
        }
        let udp = service.protocol != TCP;
        for op in ops {
            let before = held(&world.tables);
            match op {
                Op::Packet { client: c, flags } => {
                    if udp { world.send_udp(client(c)) } else { world.send(client(c), flags) };
                    let marks = world.tables.take_marks();
                    let changed = changed(&before, &held(&world.tables));
                    // That the client of an IPv6 entry is noted may mark a bucket once more.
                    if is_v6 {
                        prop_assert!(marks.is_superset(&changed), "{marks:?} {changed:?}");
                    } else {
                        prop_assert_eq!(marks, changed);
                    }
                }
                Op::Advance(secs) => world.tables.advance_secs(secs),
                Op::Install { client: c, server, state, secs, assured, overwrites } => {
                    let key = key_of(&world, client(c), service.protocol);
                    let state = if udp { ConnState::Udp } else { ConnState::ALL[state] };
                    let word = live(&world, server, state, secs)
                        .unassured_if(u64::from(!assured));
                    let outcome = install(&world.tables, &key, word, overwrites);
                    if matches!(outcome, Installed::Entered | Installed::Changed) {
                        prop_assert_eq!(world.tables.established(&key), Some(word));
                    } else {
                        prop_assert_eq!(&before, &held(&world.tables));
                    }
                    prop_assert!(outcome != Installed::Kept || !overwrites);
                }
                Op::Remove(c) => {
                    let key = key_of(&world, client(c), service.protocol);
                    let was = world.tables.established(&key).is_some();
                    prop_assert_eq!(remove(&world.tables, &key), was);
                    prop_assert_eq!(world.tables.established(&key), None);
                }
                Op::Sweep => sweep(&world.tables),
            }
            prop_assert!(world.tables.take_marks().is_empty());
            world.check();
        }
    }
}
