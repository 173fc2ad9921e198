//! Fragments: later ones follow their packet's first, or all go by addresses where the service says so.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{DropReason, Event, GateState};
use evenkeel_datapath::Verdict;
use evenkeel_testkit::TestService;
use evenkeel_testkit::packet::{Datagram, Segment, flags, fragments};

use crate::common::{CLIENT, LOCAL, SERVICE, World, client};

const EARLY: Verdict = Verdict::Drop(DropReason::FragmentEarly);

/// A datagram of 4,000 bytes in three fragments.
fn pieces(client: SocketAddrV4, identification: u16) -> Vec<Vec<u8>> {
    let datagram = Datagram {
        payload: 4000,
        ..Datagram::new(client, SERVICE)
    };
    let pieces = fragments(&datagram.frame(), identification, 1480);
    assert_eq!(pieces.len(), 3);
    pieces
}

/// The server that a frame goes to; 0: none.
fn server_of(world: &World, frame: &[u8]) -> u32 {
    world.send_frame(frame);
    world.last_server()
}

#[test]
fn later_fragments_go_where_the_first_went() {
    let world = World::udp(&[1, 1, 1]);
    // All first ones before any other.
    let datagrams: Vec<_> = (0..30).map(|i| pieces(client(i), 100 + i)).collect();
    let homes: Vec<u32> = datagrams
        .iter()
        .map(|pieces| server_of(&world, &pieces[0]))
        .collect();
    assert!([1, 2, 3].iter().all(|server| homes.contains(server)));
    for (pieces, home) in datagrams.iter().zip(&homes) {
        // Later ones may come in any order, and twice.
        for piece in [2, 1, 2] {
            assert_eq!(server_of(&world, &pieces[piece]), *home);
        }
    }
    let stats = world.tables.service_stats.lock().expect("no panic");
    assert_eq!((stats[&0].packets, stats[&0].conns), (30 * 4, 30));
    drop(stats);
    world.check();
}

#[test]
fn a_fragment_before_its_first_is_dropped_and_counted() {
    let world = World::udp(&[1]);
    let [first, second, third] = pieces(CLIENT, 7).try_into().expect("three");
    assert_eq!(world.send_frame(&second).0, EARLY);
    assert_eq!(world.send_frame(&first).0, Verdict::Transmit);
    assert_eq!(world.send_frame(&third).0, Verdict::Transmit);
    // Another packet's.
    assert_eq!(world.send_frame(&pieces(CLIENT, 8)[1]).0, EARLY);
    assert_eq!(world.tables.dropped(DropReason::FragmentEarly), 2);
}

#[test]
fn a_first_fragment_is_remembered_for_thirty_seconds() {
    let world = World::udp(&[1]);
    let [first, second, _] = pieces(CLIENT, 7).try_into().expect("three");
    world.send_frame(&first);
    world.tables.advance_secs(29);
    assert_eq!(world.send_frame(&second).0, Verdict::Transmit);
    world.tables.advance_secs(2);
    assert_eq!(world.send_frame(&second).0, EARLY);
    world.send_frame(&first);
    world.tables.advance_secs(20);
    world.send_frame(&first);
    world.tables.advance_secs(20);
    assert_eq!(world.send_frame(&second).0, Verdict::Transmit, "refreshed");
}

#[test]
fn tcp_segments_in_fragments_follow_too() {
    let world = World::with_weights(&[1, 1]);
    let home = world.open(CLIENT);
    let segment = Segment {
        payload: 2000,
        ..Segment::new(CLIENT, SERVICE, flags::ACK)
    };
    let pieces = fragments(&segment.frame(), 9, 1000);
    for piece in &pieces {
        assert_eq!(server_of(&world, piece), home);
    }
    // A first fragment with half a header could hide flags in the next one.
    let tiny = fragments(&segment.frame(), 10, 16);
    let malformed = Verdict::Drop(DropReason::Malformed);
    assert_eq!(world.send_frame(&tiny[0]).0, malformed);
}

#[test]
fn a_table_with_no_room_forgets_the_oldest_packet() {
    let world = World::udp(&[1, 1, 1]);
    // One bucket holds eight packets; with 8,192 places 12,000 packets of one client overflow some.
    for identification in 0..12_000 {
        world.send_frame(&pieces(CLIENT, identification)[0]);
        if identification % 1000 == 0 {
            world.tables.now.fetch_add(1, SeqCst);
        }
    }
    assert!(world.tables.happened(Event::FragmentEvicted) > 3000);
    let known = |identification| world.send_frame(&pieces(CLIENT, identification)[1]).0;
    let latest = (11_900..12_000).filter(|i| known(*i) == Verdict::Transmit);
    assert!(latest.count() > 95, "the newest ones are there");
    let oldest = (0..100).filter(|i| known(*i) == Verdict::Transmit);
    assert!(oldest.count() < 50, "the oldest ones went");
    world.check();
}

#[test]
fn fragments_by_address_need_no_order() {
    let service = TestService::new(SERVICE).udp().with_fragments_by_address();
    let world = World::of(service, &[1, 1, 1], 1024, 64);
    let mut homes = [0; 4];
    for last in 0..100 {
        let client = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, last), 5000);
        let sent = pieces(client, 7);
        let to = [2, 0, 1].map(|piece| server_of(&world, &sent[piece]));
        assert_eq!(to, [to[0]; 3]);
        // Whatever the ports.
        let other = SocketAddrV4::new(*client.ip(), 5001);
        assert_eq!(server_of(&world, &pieces(other, 8)[0]), to[0]);
        homes[to[0] as usize] += 1;
    }
    assert!(homes[1..].iter().all(|home| *home > 15), "{homes:?}");
    // They make no entries; whole packets keep to their flows.
    assert_eq!(world.half_open() + world.established(), 0);
    let server = {
        world.send_udp(CLIENT);
        world.last_server()
    };
    for _ in 0..3 {
        pieces(CLIENT, 9).iter().for_each(|piece| {
            world.send_frame(piece);
        });
        world.send_udp(CLIENT);
        assert_eq!(world.last_server(), server);
    }
    world.check();
}

#[test]
fn fragments_stay_with_the_gate_the_ttl_and_local_servers() {
    let mut world = World::udp(&[]);
    world.set_local(Some(1));
    let [first, second, mut third] = pieces(CLIENT, 7).try_into().expect("three");
    for piece in [&first, &second] {
        assert_eq!(world.send_frame(piece).0, Verdict::Pass);
    }
    let stats = |world: &World| world.tables.server_stats.lock().expect("no panic")[&LOCAL].packets;
    assert_eq!(stats(&world), 2);
    let mut world = World::udp(&[1]);
    world.send_frame(&first);
    third[22] = 1;
    let verdict = world.send_frame(&third).0;
    assert_eq!(verdict, Verdict::Drop(DropReason::TtlExceeded));
    world.gate(GateState::CLOSED);
    assert_eq!(world.send_frame(&second).0, Verdict::Pass);
    world.gate(GateState::OPEN);
    world.remove(1);
    let verdict = world.send_frame(&second).0;
    assert_eq!(verdict, Verdict::Drop(DropReason::ServerGone));
    let mut cut = second.clone();
    cut.truncate(100);
    let verdict = world.send_frame(&cut).0;
    assert_eq!(verdict, Verdict::Drop(DropReason::Malformed));
}
