//! What the data plane does with packets, one story a test.

use std::net::Ipv4Addr;

use crate::common::{CLIENT, SERVICE, World, client};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{ConnState, DropReason, Event, GateState};
use evenkeel_datapath::Verdict;
use evenkeel_testkit::TestServer;
use evenkeel_testkit::packet::flags::{ACK, FIN, RST, SYN};
use evenkeel_testkit::packet::{DIRECTOR, ROUTER, Segment};

#[test]
fn syn_goes_to_the_servers_in_turn() {
    let world = World::with_weights(&[1, 1, 1]);
    let servers: Vec<_> = (0..7).map(|i| world.open(client(i))).collect();
    assert_eq!(servers, [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn quiesced_server_gets_no_new_flow() {
    let world = World::with_weights(&[1, 0, 2]);
    let servers: Vec<_> = (0..4).map(|i| world.open(client(i))).collect();
    assert_eq!(servers, [1, 3, 1, 3]);
}

#[test]
fn frame_is_addressed_to_the_server_and_ttl_is_decremented() {
    let world = World::with_weights(&[1]);
    let segment = Segment {
        payload: 100,
        ..Segment::new(CLIENT, SERVICE, SYN)
    };
    let (verdict, out) = world.send_frame(&segment.frame());
    assert_eq!(verdict, Verdict::Transmit);
    let expected = Segment {
        destination: TestServer::new(1, 1).mac(),
        ttl: 63,
        ..segment
    }
    .frame();
    assert_eq!(out[0..6], expected[0..6], "destination");
    assert_eq!(out[6..12], DIRECTOR, "source");
    assert_eq!(out[12..], expected[12..], "the rest, checksum included");
}

#[test]
fn handshake_and_close_follow_ipvs_states() {
    let world = World::with_weights(&[1]);
    world.send(CLIENT, SYN);
    assert_eq!(world.counts(1), (1, 0), "SYN_RECV is active");
    assert_eq!((world.half_open(), world.established()), (1, 0));
    world.send(CLIENT, ACK);
    assert_eq!((world.half_open(), world.established()), (0, 1));
    assert_eq!(world.state_of(CLIENT), Some(ConnState::Established));
    assert_eq!(world.counts(1), (1, 0));
    world.send(CLIENT, FIN | ACK);
    assert_eq!(world.state_of(CLIENT), Some(ConnState::FinWait));
    assert_eq!(world.counts(1), (0, 1));
    world.send(CLIENT, ACK);
    assert_eq!(world.state_of(CLIENT), Some(ConnState::FinWait));
    world.send(CLIENT, RST);
    assert_eq!(world.state_of(CLIENT), Some(ConnState::Close));
    world.check();
}

#[test]
fn flow_keeps_its_server_while_others_are_placed() {
    let world = World::with_weights(&[1, 1, 1]);
    let server = world.open(CLIENT);
    for i in 1..50 {
        world.open(client(i));
        assert_eq!(world.send(CLIENT, ACK), Verdict::Transmit);
        assert_eq!(world.last_server(), server);
    }
    world.check();
}

#[test]
fn retransmitted_syn_finds_its_half_open_entry() {
    let world = World::with_weights(&[1, 1, 1]);
    world.send(CLIENT, SYN);
    let server = world.last_server();
    world.send(CLIENT, SYN);
    assert_eq!(world.last_server(), server);
    assert_eq!(world.half_open(), 1);
    assert_eq!(world.conns(server), 1, "counted once");
}

#[test]
fn retransmitted_syn_to_a_removed_server_is_scheduled_anew() {
    let mut world = World::with_weights(&[1, 1]);
    world.send(CLIENT, SYN);
    assert_eq!(world.last_server(), 1);
    world.remove(1);
    world.send(CLIENT, SYN);
    assert_eq!(world.last_server(), 2);
    assert_eq!(world.counts(1), (0, 0));
    world.check();
}

#[test]
fn established_flow_of_a_removed_server_is_dropped_and_counted() {
    let mut world = World::with_weights(&[1, 1]);
    assert_eq!(world.open(CLIENT), 1);
    world.remove(1);
    assert_eq!(
        world.send(CLIENT, ACK),
        Verdict::Drop(DropReason::ServerGone)
    );
    assert_eq!(world.tables.dropped(DropReason::ServerGone), 1);
    world.check();
}

#[test]
fn syn_in_time_wait_close_or_fin_wait_is_scheduled_anew() {
    for closing in [FIN | ACK, RST] {
        let world = World::with_weights(&[1, 1]);
        assert_eq!(world.open(CLIENT), 1);
        world.send(CLIENT, closing);
        world.send(CLIENT, SYN);
        assert_eq!(world.last_server(), 2, "flags {closing:#x}");
        assert_eq!(world.state_of(CLIENT), Some(ConnState::SynRecv));
        world.check();
    }
}

#[test]
fn syn_of_an_established_flow_stays_with_its_server() {
    let world = World::with_weights(&[1, 1]);
    assert_eq!(world.open(CLIENT), 1);
    world.send(CLIENT, SYN);
    assert_eq!(world.last_server(), 1);
    assert_eq!(world.state_of(CLIENT), Some(ConnState::Established));
}

#[test]
fn unknown_flow_goes_by_the_hash_and_makes_no_entry() {
    let world = World::with_weights(&[1, 1, 1]);
    world.send(CLIENT, ACK);
    let server = world.last_server();
    for _ in 0..3 {
        world.send(CLIENT, ACK);
        assert_eq!(world.last_server(), server);
    }
    assert_eq!((world.half_open(), world.established()), (0, 0));
    assert_eq!(world.tables.happened(Event::UnknownFlow), 4);
}

#[test]
fn expired_entry_is_no_entry_although_nobody_swept() {
    let world = World::with_weights(&[1, 1]);
    assert_eq!(world.open(CLIENT), 1);
    world.tables.advance_secs(901);
    world.send(CLIENT, SYN);
    assert_eq!(world.last_server(), 2, "scheduled anew");
    world.check();
}

#[test]
fn flow_is_assured_by_a_packet_a_second_later() {
    let world = World::with_weights(&[1]);
    world.open(CLIENT);
    assert_eq!(world.unassured(), 1);
    world.send(CLIENT, ACK);
    assert_eq!(world.unassured(), 1, "too early");
    world.tables.advance_secs(1);
    world.send(CLIENT, ACK);
    assert_eq!(world.unassured(), 0);
    world.check();
}

#[test]
fn new_flows_go_by_the_hash_while_too_many_are_unassured() {
    let world = World::with_sizes(&[1, 1], 16, 16);
    for i in 0..8 {
        world.open(client(i));
    }
    assert_eq!(world.unassured(), 8);
    world.send(client(100), SYN);
    assert_eq!(world.half_open(), 0);
    assert_eq!(world.tables.happened(Event::FullSyn), 1);
    let placed = world.last_server();
    world.send(client(100), ACK);
    assert_eq!(
        world.last_server(),
        placed,
        "its next packet goes the same way"
    );
    world.check();
}

#[test]
fn flood_never_evicts_an_entry_younger_than_three_seconds() {
    let world = World::with_sizes(&[1, 1], 1024, 1);
    for i in 0..8 {
        world.send(client(i), SYN);
    }
    assert_eq!(world.half_open(), 8);
    world.send(client(8), SYN);
    assert_eq!(world.half_open(), 8, "placed without an entry");
    assert_eq!(world.tables.happened(Event::FloodBegan), 1);
    assert_eq!(world.tables.happened(Event::Evicted), 0);
    let placed = world.last_server();
    world.send(client(8), ACK);
    assert_eq!(world.last_server(), placed);
    world.tables.advance_secs(4);
    world.send(client(9), SYN);
    assert_eq!(world.tables.happened(Event::Evicted), 1);
    assert_eq!(world.half_open(), 8);
    world.check();
}

#[test]
fn flood_costs_an_established_flow_nothing() {
    let world = World::with_sizes(&[1, 1, 1], 1024, 1);
    let server = world.open(CLIENT);
    for i in 1..200 {
        world.send(client(i), SYN);
    }
    world.send(CLIENT, ACK);
    assert_eq!(world.last_server(), server);
    world.check();
}

#[test]
fn flood_syn_whose_slot_is_quiesced_needs_an_entry() {
    let world = World::with_sizes(&[1, 0], 1024, 1);
    for i in 0..8 {
        world.send(client(i), SYN);
    }
    let mut dropped = 0;
    for i in 8..100 {
        match world.send(client(i), SYN) {
            Verdict::Transmit => assert_eq!(world.last_server(), 1),
            Verdict::Drop(reason) => {
                assert_eq!(reason, DropReason::TableFull);
                dropped += 1;
            }
            other @ (Verdict::Pass | Verdict::Redirect(_)) => panic!("{other:?}"),
        }
    }
    assert!(
        dropped > 20,
        "about half of the slots are the quiesced server's: {dropped}"
    );
    world.check();
}

#[test]
fn full_established_table_keeps_the_flow_half_open() {
    // One bucket.
    let world = World::with_sizes(&[1, 1], 4, 16);
    world.tables.globals.unassured_max.store(100, SeqCst);
    world.tables.globals.conns.store(100, SeqCst);
    for i in 0..9 {
        world.send(client(i), SYN);
        world.send(client(i), ACK);
    }
    assert_eq!((world.established(), world.half_open()), (8, 1));
    let server = world.last_server();
    world.send(client(8), ACK);
    assert_eq!(world.last_server(), server);
    world.check();
}

#[test]
fn service_without_servers_answers_port_unreachable() {
    let world = World::with_weights(&[]);
    let (verdict, out) = world.send_frame(&Segment::new(CLIENT, SERVICE, SYN).frame());
    assert_eq!(verdict, Verdict::Transmit);
    assert_eq!(world.tables.dropped(DropReason::NoServer), 1);
    assert_eq!(out[0..6], ROUTER);
    let parsed = etherparse::PacketHeaders::from_ethernet_slice(&out).expect("a valid frame");
    let Some(etherparse::NetHeaders::Ipv4(ip, _)) = parsed.net else {
        panic!("not IPv4")
    };
    assert_eq!(
        (ip.source, ip.destination),
        (SERVICE.ip().octets(), CLIENT.ip().octets())
    );
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    let Some(etherparse::TransportHeader::Icmpv4(icmp)) = parsed.transport else {
        panic!("not ICMP")
    };
    assert_eq!(
        icmp.checksum,
        icmp.icmp_type.calc_checksum(parsed.payload.slice())
    );
    assert_eq!(
        icmp.icmp_type,
        etherparse::Icmpv4Type::DestinationUnreachable(
            etherparse::icmpv4::DestUnreachableHeader::Port
        )
    );
    assert_eq!(
        parsed.payload.slice().len(),
        28,
        "header and 8 bytes are quoted"
    );
}

#[test]
fn ttl_one_is_answered_as_a_router_does() {
    let world = World::with_weights(&[1]);
    let (verdict, out) = world.send_frame(
        &Segment {
            ttl: 1,
            ..Segment::new(CLIENT, SERVICE, SYN)
        }
        .frame(),
    );
    assert_eq!(verdict, Verdict::Transmit);
    assert_eq!(world.tables.dropped(DropReason::TtlExceeded), 1);
    let parsed = etherparse::PacketHeaders::from_ethernet_slice(&out).expect("a valid frame");
    let Some(etherparse::NetHeaders::Ipv4(ip, _)) = parsed.net else {
        panic!("not IPv4")
    };
    assert_eq!(
        Ipv4Addr::from(ip.source),
        Ipv4Addr::new(192, 0, 2, 2),
        "the director's own address"
    );
    let Some(etherparse::TransportHeader::Icmpv4(icmp)) = parsed.transport else {
        panic!("not ICMP")
    };
    assert_eq!(
        icmp.icmp_type,
        etherparse::Icmpv4Type::TimeExceeded(
            etherparse::icmpv4::TimeExceededCode::TtlExceededInTransit
        )
    );
}

#[test]
fn icmp_errors_are_limited() {
    let world = World::with_weights(&[]);
    let frame = Segment::new(CLIENT, SERVICE, SYN).frame();
    let answered = (0..1500)
        .filter(|_| world.send_frame(&frame).0 == Verdict::Transmit)
        .count();
    assert_eq!(answered, 1000);
    world.tables.advance_secs(2);
    assert_eq!(world.send_frame(&frame).0, Verdict::Transmit);
}

#[test]
fn frames_for_another_mac_pass_untouched() {
    let world = World::with_weights(&[1]);
    let frame = Segment {
        destination: [2, 9, 9, 9, 9, 9],
        ..Segment::new(CLIENT, SERVICE, SYN)
    }
    .frame();
    assert_eq!(world.send_frame(&frame), (Verdict::Pass, frame));
    assert_eq!(world.half_open(), 0);
}

#[test]
fn other_ports_and_addresses_pass_untouched() {
    let world = World::with_weights(&[1]);
    let mut service = SERVICE;
    service.set_port(81);
    let frame = Segment::new(CLIENT, service, SYN).frame();
    assert_eq!(world.send_frame(&frame), (Verdict::Pass, frame));
}

#[test]
fn closed_gate_passes_to_the_stack_and_draining_still_forwards() {
    let world = World::with_weights(&[1]);
    world.gate(GateState::CLOSED);
    assert_eq!(world.send(CLIENT, SYN), Verdict::Pass);
    world.gate(GateState::DRAINING);
    assert_eq!(world.send(CLIENT, SYN), Verdict::Transmit);
}

#[test]
fn a_fragment_that_is_no_services_is_dropped_and_other_addresses_pass() {
    let world = World::with_weights(&[1]);
    let mut service = SERVICE;
    service.set_port(81);
    let mut frame = Segment::new(CLIENT, service, ACK).frame();
    frame[20] = 0x20;
    assert_eq!(
        world.send_frame(&frame).0,
        Verdict::Drop(DropReason::Fragment)
    );
    frame[33] ^= 1;
    assert_eq!(world.send_frame(&frame).0, Verdict::Pass);
}

#[test]
fn truncated_segments_are_dropped_and_never_reach_the_stack() {
    let world = World::with_weights(&[1]);
    let frame = Segment::new(CLIENT, SERVICE, SYN).frame();
    for len in 34..frame.len() {
        let verdict = world.send_frame(&frame[..len]).0;
        assert_eq!(verdict, Verdict::Drop(DropReason::Malformed), "{len} bytes");
    }
    assert_eq!(world.half_open(), 0);
}
