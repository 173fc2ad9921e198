//! UDP services: one state, 300 s, an entry from the first packet on.

use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{ConnState, DropReason, Event};
use evenkeel_datapath::Verdict;
use evenkeel_testkit::packet::flags::SYN;
use evenkeel_testkit::packet::{Datagram, ROUTER, Segment};
use evenkeel_testkit::{TestServer, TestService};

use crate::common::{CLIENT, SERVICE, World, client};

/// Offset of the UDP header.
const UDP: usize = 34;

#[test]
fn each_flow_gets_a_server_in_turn_and_keeps_it() {
    let world = World::udp(&[1, 1, 1]);
    for i in 0..6 {
        assert_eq!(world.send_udp(client(i)), Verdict::Transmit);
        assert_eq!(world.last_server(), u32::from(i % 3) + 1);
    }
    for i in 0..6 {
        world.send_udp(client(i));
        assert_eq!(world.last_server(), u32::from(i % 3) + 1);
    }
    assert_eq!((world.half_open(), world.established()), (6, 0));
    assert_eq!(world.counts(1), (0, 2), "InActConn, as in IPVS");
    assert_eq!(world.conns(1), 2);
    assert_eq!(world.tables.happened(Event::UnknownFlow), 0);
    world.check();
}

#[test]
fn flow_moves_to_the_established_table_when_it_is_assured() {
    let world = World::udp(&[1, 1]);
    world.send_udp(CLIENT);
    world.send_udp(CLIENT);
    assert_eq!(
        (world.half_open(), world.established()),
        (1, 0),
        "within a second"
    );
    world.tables.advance_secs(1);
    world.send_udp(CLIENT);
    assert_eq!((world.half_open(), world.established()), (0, 1));
    assert_eq!(world.unassured(), 0, "it came assured");
    assert_eq!(world.state_of(CLIENT), Some(ConnState::Udp));
    assert_eq!(world.counts(1), (0, 1));
    world.send_udp(CLIENT);
    assert_eq!((world.last_server(), world.conns(1)), (1, 1));
    world.check();
}

#[test]
fn flow_lives_for_300_seconds_after_its_last_packet() {
    for assured in [false, true] {
        let world = World::udp(&[1, 1]);
        world.send_udp(CLIENT);
        if assured {
            world.tables.advance_secs(2);
            world.send_udp(CLIENT);
            assert_eq!(world.established(), 1);
        }
        world.tables.advance_secs(299);
        world.send_udp(CLIENT);
        assert_eq!(world.last_server(), 1);
        assert_eq!(
            world.established(),
            1,
            "the packet assured it, if not before"
        );
        world.tables.advance_secs(299);
        world.send_udp(CLIENT);
        assert_eq!(world.last_server(), 1, "refreshed");
        world.tables.advance_secs(301);
        world.send_udp(CLIENT);
        assert_eq!(world.last_server(), 2, "scheduled anew");
        assert_eq!((world.half_open(), world.established()), (0, 1), "in place");
        world.check();
    }
}

#[test]
fn flow_that_expired_half_open_is_scheduled_anew_in_its_place() {
    let world = World::udp(&[1, 1]);
    world.send_udp(CLIENT);
    world.tables.advance_secs(301);
    world.send_udp(CLIENT);
    assert_eq!(world.last_server(), 2);
    assert_eq!((world.half_open(), world.established()), (1, 0));
    assert_eq!(world.tables.happened(Event::Evicted), 0);
    world.check();
}

#[test]
fn flow_whose_server_is_gone_is_scheduled_anew_in_its_place() {
    for assured in [false, true] {
        let mut world = World::udp(&[1, 1]);
        world.send_udp(CLIENT);
        if assured {
            world.tables.advance_secs(2);
            world.send_udp(CLIENT);
        }
        world.remove(1);
        let before = (world.half_open(), world.established());
        assert_eq!(world.send_udp(CLIENT), Verdict::Transmit);
        assert_eq!(world.last_server(), 2);
        assert_eq!((world.half_open(), world.established()), before);
        assert_eq!((world.counts(1), world.counts(2)), ((0, 0), (0, 1)));
        world.check();
    }
}

#[test]
fn quiesced_server_keeps_its_flows_and_gets_no_new_one() {
    let mut world = World::udp(&[1, 1]);
    world.send_udp(CLIENT);
    assert_eq!(world.last_server(), 1);
    world.set_weight(1, 0);
    world.send_udp(CLIENT);
    assert_eq!(world.last_server(), 1);
    for i in 0..4 {
        world.send_udp(client(i));
        assert_eq!(world.last_server(), 2);
    }
}

#[test]
fn flood_is_placed_by_the_hash_without_entries() {
    let world = World::udp_with_sizes(&[1, 1], 1024, 1);
    for i in 0..8 {
        world.send_udp(client(i));
    }
    world.send_udp(client(8));
    let placed = world.last_server();
    assert_eq!(world.tables.happened(Event::FloodBegan), 1);
    assert_eq!(world.tables.happened(Event::FloodSyn), 1);
    world.send_udp(client(8));
    assert_eq!(
        world.last_server(),
        placed,
        "its next packet goes the same way"
    );
    assert_eq!(world.half_open(), 8);
    world.check();
}

/// As an established TCP connection that found no place there.
#[test]
fn assured_flow_is_not_evicted_although_the_established_table_is_full() {
    // One bucket.
    let world = World::udp_with_sizes(&[1, 1], 4, 2);
    world.tables.globals.unassured_max.store(100, SeqCst);
    world.tables.globals.conns.store(100, SeqCst);
    for i in 0..9 {
        world.send_udp(client(i));
    }
    world.tables.advance_secs(1);
    for i in 0..9 {
        world.send_udp(client(i));
    }
    let server = world.last_server();
    assert_eq!((world.half_open(), world.established()), (1, 8));
    for round in 0..10 {
        world.tables.advance_secs(4);
        for i in 0..20 {
            world.send_udp(client(100 + round * 20 + i));
        }
    }
    assert!(
        world.tables.happened(Event::Evicted) > 0,
        "there was a flood"
    );
    let before = world.conns(server);
    world.send_udp(client(8));
    assert_eq!(world.last_server(), server);
    assert_eq!(world.conns(server), before, "no new flow");
    world.check();
}

#[test]
fn headers_that_lie_are_dropped_and_never_reach_the_stack() {
    let world = World::udp(&[1]);
    let datagram = Datagram {
        payload: 20,
        ..Datagram::new(CLIENT, SERVICE)
    };
    let frame = datagram.frame();
    for len in 34..frame.len() {
        let verdict = world.send_frame(&frame[..len]).0;
        assert_eq!(verdict, Verdict::Drop(DropReason::Malformed), "{len} bytes");
    }
    for len in [0, 1, 7, 29, 0xffff] {
        let mut frame = frame.clone();
        frame[UDP + 4..UDP + 6].copy_from_slice(&u16::to_be_bytes(len));
        let verdict = world.send_frame(&frame).0;
        assert_eq!(
            verdict,
            Verdict::Drop(DropReason::Malformed),
            "length {len}"
        );
    }
    assert_eq!(world.half_open(), 0);
}

#[test]
fn odd_but_valid_datagrams_are_forwarded() {
    let world = World::udp(&[1]);
    let forwarded = |frame: &[u8], what| {
        let (verdict, out) = world.send_frame(frame);
        assert_eq!(verdict, Verdict::Transmit, "{what}");
        assert_eq!(out[UDP..], frame[UDP..], "{what}");
    };
    let mut frame = Datagram::new(CLIENT, SERVICE).frame();
    forwarded(&frame, "empty");
    frame[UDP + 6..UDP + 8].fill(0);
    forwarded(&frame, "without a checksum");
    frame.extend([0; 18]);
    forwarded(&frame, "padded to Ethernet's minimum");
    let mut frame = Datagram {
        payload: 4,
        ..Datagram::new(CLIENT, SERVICE)
    }
    .frame();
    frame[UDP + 5] = 10;
    forwarded(&frame, "shorter than its packet");
}

#[test]
fn ttl_is_decremented_and_the_checksum_follows() {
    let world = World::udp(&[1]);
    let datagram = Datagram {
        payload: 100,
        ..Datagram::new(CLIENT, SERVICE)
    };
    let (_, out) = world.send_frame(&datagram.frame());
    let expected = Datagram {
        destination: TestServer::new(1, 1).mac(),
        ttl: 63,
        ..datagram
    };
    assert_eq!(out[12..], expected.frame()[12..]);
}

#[test]
fn service_without_servers_answers_port_unreachable() {
    let world = World::udp(&[]);
    let frame = Datagram::new(CLIENT, SERVICE).frame();
    let (verdict, out) = world.send_frame(&frame);
    assert_eq!(verdict, Verdict::Transmit);
    assert_eq!(world.tables.dropped(DropReason::NoServer), 1);
    assert_eq!(out[0..6], ROUTER);
    let parsed = etherparse::PacketHeaders::from_ethernet_slice(&out).expect("a valid frame");
    let Some(etherparse::TransportHeader::Icmpv4(icmp)) = parsed.transport else {
        panic!("not ICMP")
    };
    let port = etherparse::icmpv4::DestUnreachableHeader::Port;
    assert_eq!(
        icmp.icmp_type,
        etherparse::Icmpv4Type::DestinationUnreachable(port)
    );
    assert_eq!(
        icmp.checksum,
        icmp.icmp_type.calc_checksum(parsed.payload.slice())
    );
    assert_eq!(parsed.payload.slice(), &frame[14..42]);
}

#[test]
fn the_same_port_is_another_service_and_another_flow_with_tcp() {
    let mut world = World::udp(&[1, 1]);
    let other = TestService {
        number: 1,
        ..TestService::new(SERVICE)
    };
    world.tables.put_service(other, &[TestServer::new(9, 1)]);
    world.send_udp(CLIENT);
    assert_eq!(world.last_server(), 1);
    world.send(CLIENT, SYN);
    assert_eq!(world.last_server(), 9);
    world.send_udp(CLIENT);
    assert_eq!(world.last_server(), 1);
    assert_eq!(world.half_open(), 2);
    assert_eq!((world.counts(1), world.counts(9)), ((0, 1), (1, 0)));
}

#[test]
fn the_other_protocols_packets_pass_where_only_one_has_a_service() {
    let world = World::udp(&[1]);
    let frame = Segment::new(CLIENT, SERVICE, SYN).frame();
    assert_eq!(world.send_frame(&frame), (Verdict::Pass, frame));
    let world = World::with_weights(&[1]);
    let frame = Datagram::new(CLIENT, SERVICE).frame();
    assert_eq!(world.send_frame(&frame), (Verdict::Pass, frame));
}
