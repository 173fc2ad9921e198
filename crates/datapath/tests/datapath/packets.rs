//! No wrong packet: any sound packet to a service, with what is sent for it judged by etherparse.
//!
//! What is judged is in `NativeTables::judged`; here is what sound packets add to it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use crate::common::{CLIENT, SERVICE, World, client};
use etherparse::checksum::Sum16BitWords;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use evenkeel_abi::{DropReason, SchedulerId, ServiceFlags};
use evenkeel_datapath::Verdict;
use evenkeel_testkit::TestService;
use evenkeel_testkit::packet::flags::{ACK, SYN};
use evenkeel_testkit::packet::{Content, Crafted, Segment};
use proptest::collection::vec;
use proptest::prelude::*;

/// A packet around its content, and the bytes that it carries.
fn crafted(
    from: SocketAddrV4,
    to: SocketAddrV4,
    content: impl Strategy<Value = Content>,
) -> impl Strategy<Value = Crafted> {
    let header = (
        prop_oneof![4 => any::<u8>(), 1 => 0u8..3],
        any::<u8>(),
        any::<u16>(),
        any::<bool>(),
        0usize..=10,
    );
    let payload = prop_oneof![3 => vec(any::<u8>(), 0..64), 1 => vec(any::<u8>(), 0..1400)];
    (content, header, payload, 0usize..20).prop_map(move |(content, header, payload, padding)| {
        let (ttl, type_of_service, identification, dont_fragment, options) = header;
        Crafted {
            from,
            to,
            content,
            ttl,
            type_of_service,
            identification,
            dont_fragment,
            options,
            payload,
            padding,
        }
    })
}

fn tcp() -> impl Strategy<Value = Content> {
    // Mostly those that a client sends: ACK, SYN, PSH and ACK, FIN and ACK, RST.
    let flags = prop_oneof![
        1 => 0u16..512,
        1 => prop::sample::select(vec![0x10, 0x02, 0x18, 0x11, 0x04]),
    ];
    (flags, 0usize..=10).prop_map(|(flags, options)| Content::Tcp { flags, options })
}

fn udp() -> impl Strategy<Value = Content> {
    any::<bool>().prop_map(|checksum| Content::Udp { checksum })
}

fn content(is_udp: bool) -> BoxedStrategy<Content> {
    if is_udp { udp().boxed() } else { tcp().boxed() }
}

/// An ICMP error that quotes a packet of the service, whole or cut behind its ports.
fn error(to: SocketAddrV4, is_udp: bool) -> impl Strategy<Value = Crafted> {
    let about = crafted(SERVICE, to, content(is_udp));
    let router = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 77), 0);
    let kind = prop::sample::select(vec![3, 11, 12]);
    let icmp = (kind, 0u8..16, any::<[u8; 4]>()).prop_map(|(kind, code, word)| Content::Icmp {
        kind,
        code,
        word,
    });
    let outer = crafted(router, SERVICE, icmp);
    (outer, about, 8usize..200).prop_map(|(outer, about, rest)| {
        let mut quoted = about.packet();
        quoted.truncate(20 + 4 * about.options + rest);
        Crafted {
            payload: quoted,
            ..outer
        }
    })
}

/// Packets and errors of a few clients.
fn packets(is_udp: bool) -> impl Strategy<Value = Vec<Crafted>> {
    let one = (0u16..6, any::<bool>()).prop_flat_map(move |(number, own)| {
        let from = if own { client(number) } else { CLIENT };
        prop_oneof![
            4 => crafted(from, SERVICE, content(is_udp)),
            1 => error(from, is_udp),
        ]
    });
    vec(one, 1..24)
}

/// A service of either protocol with any scheduler, its servers' weights and packets for it.
fn case() -> impl Strategy<Value = (TestService, Vec<u32>, Vec<Crafted>)> {
    let schedulers = SchedulerId::RR..=SchedulerId::LBLCR;
    (schedulers, any::<bool>(), vec(0u32..3, 0..4)).prop_flat_map(|(scheduler, is_udp, weights)| {
        let service = TestService::new(SERVICE).scheduled(scheduler);
        let service = if is_udp { service.udp() } else { service };
        (Just(service), Just(weights), packets(is_udp))
    })
}

/// Whether every checksum of the frame is right, by etherparse.
fn has_good_checksums(frame: &[u8]) -> bool {
    let packet = SlicedPacket::from_ethernet(frame).expect("a sound packet");
    let Some(NetSlice::Ipv4(net)) = packet.net else {
        return false;
    };
    let ip = net.header().to_header();
    let transport = match packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            tcp.to_header().calc_checksum_ipv4(&ip, tcp.payload()).ok() == Some(tcp.checksum())
        }
        Some(TransportSlice::Udp(udp)) => {
            let sum = udp.to_header().calc_checksum_ipv4(&ip, udp.payload());
            udp.checksum() == 0 || sum.ok() == Some(udp.checksum())
        }
        // Over the bytes, for etherparse knows no second word of some errors.
        Some(TransportSlice::Icmpv4(icmp)) => {
            let sum = Sum16BitWords::new().add_slice(icmp.slice());
            sum.ones_complement() == 0
        }
        _ => false,
    };
    transport && ip.header_checksum == ip.calc_header_checksum()
}

#[test]
fn a_reset_for_a_server_that_left_has_right_checksums() {
    let world = World::with_weights(&[1]);
    let flags = &world.tables.services[0].halves[0].flags;
    flags.store(ServiceFlags::GONE_RESET, SeqCst);
    world.send(CLIENT, SYN);
    world.send(CLIENT, ACK);
    world.tables.servers[1].mac.store(0, SeqCst);
    for payload in [0, 1, 7, 100, 1400] {
        let segment = Segment {
            payload,
            ..Segment::new(CLIENT, SERVICE, ACK)
        };
        let (verdict, out) = world.send_frame(&segment.frame());
        assert_eq!((verdict, out.len()), (Verdict::Transmit, 54));
        assert!(has_good_checksums(&out), "{payload}: {out:02x?}");
    }
    assert_eq!(world.tables.dropped(DropReason::ServerGoneReset), 5);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// It is forwarded as it is but for MAC addresses, TTL and IP checksum, answered with the right ICMP error,
    /// or dropped for a reason that sound packets can have; never does it reach the stack.
    #[test]
    fn sound_packets_are_forwarded_right_or_answered_right((service, weights, packets) in case()) {
        let world = World::of(service, &weights, 64, 8);
        for packet in packets {
            let sent = packet.frame();
            prop_assert!(has_good_checksums(&sent), "the test's own packet");
            let (verdict, out) = world.tables.judged(&sent);
            world.check();
            match verdict {
                Verdict::Transmit | Verdict::Redirect(_) => {
                    prop_assert!(has_good_checksums(&out));
                }
                Verdict::Drop(reason) => {
                    let is_error = matches!(packet.content, Content::Icmp { .. });
                    let is_due = match reason {
                        DropReason::TtlExceeded => is_error && packet.ttl <= 1,
                        DropReason::NoServer => is_error && weights.is_empty(),
                        // Every server is quiesced.
                        DropReason::TableFull => weights.iter().all(|weight| *weight == 0),
                        DropReason::Malformed
                        | DropReason::Fragment
                        | DropReason::FragmentEarly
                        | DropReason::ServerGone
                        | DropReason::ServerGoneReset
                        | DropReason::GateDraining
                        | DropReason::Internal
                        | DropReason::NoWayOut => false,
                    };
                    prop_assert!(is_due, "dropped as {reason:?}");
                }
                Verdict::Pass => prop_assert!(false, "it reached the stack"),
            }
        }
    }
}
