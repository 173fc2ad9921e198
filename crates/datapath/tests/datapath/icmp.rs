//! ICMP for a virtual address.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{DropReason, GateState, SchedulerId};
use evenkeel_datapath::Verdict;
use evenkeel_testkit::packet::IcmpError;
use evenkeel_testkit::packet::flags::{ACK, SYN};

use crate::common::{SERVICE, World, client};

const TCP: u8 = 6;
const UDP: u8 = 17;

fn error(i: u16, protocol: u8) -> IcmpError {
    IcmpError::fragmentation_needed(client(i), SERVICE, protocol)
}

/// All that packets may change.
fn state(world: &World) -> Vec<u64> {
    let tables = &world.tables;
    let buckets = tables.conns.iter().chain(&tables.buckets);
    let ways = buckets.flat_map(|bucket| &bucket.ways);
    let arena = tables.arena.iter().map(|word| word.load(SeqCst));
    let words = ways.map(|conn| conn.word.load(SeqCst));
    words.chain(arena).collect()
}

#[test]
fn errors_follow_the_flow_that_they_quote() {
    let world = World::with_weights(&[1, 1, 1]);
    for i in 0..30 {
        let server = world.open(client(i));
        let before = state(&world);
        let (verdict, out) = world.send_frame(&error(i, TCP).frame());
        assert_eq!((verdict, world.last_server()), (Verdict::Transmit, server));
        assert_eq!(state(&world), before, "it left a trace");
        // As a router forwards: the TTL is one less, and all that is above IP is as it was.
        assert_eq!(out[22], 63);
        assert_eq!(out[34..], error(i, TCP).frame()[34..]);
        let (header, _) = etherparse::Ipv4Header::from_slice(&out[14..]).unwrap();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
    }
    world.check();
}

#[test]
fn errors_follow_half_open_and_udp_flows_too() {
    let world = World::with_weights(&[1, 1, 1]);
    for i in 0..30 {
        assert_eq!(world.send(client(i), SYN), Verdict::Transmit);
        let server = world.last_server();
        world.send_frame(&error(i, TCP).frame());
        assert_eq!(world.last_server(), server);
    }
    let world = World::udp(&[1, 1, 1]);
    for i in 0..30 {
        assert_eq!(world.send_udp(client(i)), Verdict::Transmit);
        let server = world.last_server();
        world.send_frame(&error(i, UDP).frame());
        assert_eq!(world.last_server(), server);
    }
    world.check();
}

#[test]
fn errors_of_unknown_flows_go_where_their_packets_would() {
    let world = World::scheduled(SchedulerId::MAGLEV, &[1, 1, 0]);
    for i in 0..60 {
        world.send_frame(&error(i, TCP).frame());
        let server = world.last_server();
        world.send(client(i), ACK);
        assert_eq!(world.last_server(), server);
    }
    assert_eq!(world.half_open() + world.established(), 0);
}

#[test]
fn errors_of_flows_that_have_timed_out_go_where_those_of_unknown_ones_do() {
    let world = World::with_weights(&[1, 1, 1]);
    let unknown = World::with_weights(&[1, 1, 1]);
    for i in 0..30 {
        world.open(client(i));
        world.send(client(30 + i), SYN);
    }
    world.tables.advance_secs(1000);
    for i in 0..60 {
        world.send_frame(&error(i, TCP).frame());
        unknown.send_frame(&error(i, TCP).frame());
        assert_eq!(world.last_server(), unknown.last_server());
    }
    world.check();
}

#[test]
fn every_kind_of_error_is_followed_and_nothing_else() {
    let world = World::with_weights(&[1]);
    world.open(client(0));
    for kind in 0..=255 {
        let message = IcmpError {
            kind,
            ..error(0, TCP)
        };
        let expected = match kind {
            3 | 11 | 12 => Verdict::Transmit,
            _ => Verdict::Pass,
        };
        assert_eq!(world.send_frame(&message.frame()).0, expected, "{kind}");
    }
}

#[test]
fn echo_is_answered_only_while_this_director_holds_the_address() {
    let world = World::with_weights(&[1]);
    let request = IcmpError {
        kind: 8,
        code: 0,
        ..error(0, TCP)
    };
    let request = request.frame();
    assert_eq!(world.send_frame(&request).0, Verdict::Pass);
    world.gate(GateState::DRAINING);
    let silent = Verdict::Drop(DropReason::GateDraining);
    assert_eq!(world.send_frame(&request).0, silent);
    world.gate(GateState::OPEN);
    world.tables.gates[0].virtual_router.store(51, SeqCst);
    world.tables.routers[51].yielded.store(1, SeqCst);
    assert_eq!(world.send_frame(&request).0, silent);
    world.gate(GateState::CLOSED);
    assert_eq!(world.send_frame(&request).0, Verdict::Pass, "the stack's");
}

#[test]
fn draining_gate_follows_errors_and_a_closed_one_does_not() {
    let world = World::with_weights(&[1]);
    world.open(client(0));
    world.gate(GateState::DRAINING);
    let message = error(0, TCP).frame();
    assert_eq!(world.send_frame(&message).0, Verdict::Transmit);
    world.gate(GateState::CLOSED);
    assert_eq!(world.send_frame(&message).0, Verdict::Pass);
}

#[test]
fn errors_that_quote_nothing_of_a_service_pass_and_bad_ones_are_dropped() {
    let world = World::with_weights(&[1]);
    let good = error(0, TCP);
    let a = |change: fn(&mut IcmpError)| {
        let mut message = good.clone();
        change(&mut message);
        message.frame()
    };
    let malformed = Verdict::Drop(DropReason::Malformed);
    let cases = [
        ("another port", a(|m| m.quoted[21] ^= 1), Verdict::Pass),
        ("another protocol", a(|m| m.quoted[9] = 50), Verdict::Pass),
        ("another source", a(|m| m.quoted[12] ^= 1), malformed),
        ("no IPv4", a(|m| m.quoted[0] = 0x65), malformed),
        ("a short header", a(|m| m.quoted[0] = 0x44), malformed),
        ("a long header", a(|m| m.quoted[0] = 0x4f), malformed),
        ("too little", a(|m| m.quoted.truncate(23)), malformed),
        (
            "a later fragment",
            a(|m| m.quoted[7] = 1),
            Verdict::Drop(DropReason::Fragment),
        ),
        (
            "for nobody of ours",
            a(|m| m.service = Ipv4Addr::new(192, 0, 2, 9)),
            Verdict::Pass,
        ),
    ];
    for (what, frame, expected) in cases {
        assert_eq!(world.send_frame(&frame).0, expected, "{what}");
    }
    // A first fragment has its ports.
    let first = a(|m| m.quoted[6] |= 0x20);
    assert_eq!(world.send_frame(&first).0, Verdict::Transmit);
    let frame = good.frame();
    for len in 14 + 20..frame.len() {
        let verdict = world.send_frame(&frame[..len]).0;
        assert_eq!(verdict, malformed, "{len} bytes");
    }
}

#[test]
fn nobody_is_told_of_an_error_that_can_not_go_on() {
    let mut world = World::with_weights(&[1]);
    world.open(client(0));
    let late = IcmpError {
        ttl: 1,
        ..error(0, TCP)
    };
    // RFC 1122 §3.2.2: no error about an error.
    assert_eq!(
        world.send_frame(&late.frame()).0,
        Verdict::Drop(DropReason::TtlExceeded)
    );
    world.remove(1);
    let message = error(0, TCP).frame();
    assert_eq!(
        world.send_frame(&message).0,
        Verdict::Drop(DropReason::ServerGone)
    );
    let message = error(1, TCP).frame();
    assert_eq!(
        world.send_frame(&message).0,
        Verdict::Drop(DropReason::NoServer)
    );
}
