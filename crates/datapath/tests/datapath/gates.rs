//! Gates: ARP, advertisements of other directors, and yielding to them.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{DropReason, GateState, Router};
use evenkeel_datapath::Verdict;
use evenkeel_testkit::packet::flags::SYN;
use evenkeel_testkit::packet::{Advert, Covers, DIRECTOR, Segment, arp_request, arp_request_to};
use evenkeel_wire::vrrp;
use proptest::prelude::*;

use crate::common::{CLIENT, SERVICE, World};

/// The virtual router that the service's address belongs to.
const ID: u8 = 51;

/// An open gate under a virtual router that this director takes part in.
fn world() -> World {
    let world = World::with_weights(&[1]);
    let gate = &world.tables.gates[0];
    gate.virtual_router.store(u64::from(ID), SeqCst);
    router(&world).used.store(1, SeqCst);
    world
}

fn router(world: &World) -> &Router {
    &world.tables.routers[usize::from(ID)]
}

fn lease(world: &World, ticks: u64) {
    let until = world.tables.now.load(SeqCst) + ticks;
    router(world).lease.store(until, SeqCst);
}

fn advert(version: u8) -> Advert {
    Advert::new(version, ID, &[*SERVICE.ip()])
}

/// Sends a frame that must pass untouched; whether it counted as a foreign advertisement.
fn is_heard(world: &World, frame: &[u8]) -> bool {
    router(world).heard.store(0, SeqCst);
    let (verdict, out) = world.send_frame(frame);
    assert_eq!(verdict, Verdict::Pass);
    assert_eq!(out, frame, "untouched");
    let heard = router(world).heard.load(SeqCst);
    assert!(heard == 0 || heard == world.tables.now.load(SeqCst));
    heard != 0
}

fn has_yielded(world: &World) -> bool {
    router(world).yielded.load(SeqCst) != 0
}

#[test]
fn good_advertisements_are_heard_and_pass() {
    let world = world();
    let eight: Vec<Ipv4Addr> = (1..9).map(|i| Ipv4Addr::new(198, 18, 14, i)).collect();
    let most = vec![*SERVICE.ip(); 255];
    for version in [2, 3] {
        let good = advert(version);
        let rfc9568 = Advert {
            covers: Covers::Message,
            ..good.clone()
        };
        let unicast = Advert {
            to: Ipv4Addr::new(192, 0, 2, 2),
            ..good.clone()
        };
        let options = Advert {
            options: 40,
            ..good.clone()
        };
        let stopping = Advert {
            priority: 0,
            ..good.clone()
        };
        let many = Advert::new(version, ID, &eight);
        let full = Advert {
            options: 40,
            ..Advert::new(version, ID, &most)
        };
        for good in [good, rfc9568, unicast, options, stopping, many, full] {
            assert!(is_heard(&world, &good.frame()), "{good:?}");
        }
        let mut padded = advert(version).frame();
        padded.resize(60, 0);
        assert!(is_heard(&world, &padded));
    }
}

#[test]
fn others_are_not_heard_and_pass_too() {
    let world = world();
    router(&world).lease.store(0, SeqCst);
    for version in [2, 3] {
        let good = advert(version);
        let a = |change: fn(&mut Advert)| {
            let mut advert = good.clone();
            change(&mut advert);
            advert.frame()
        };
        let mut longer = good.frame();
        longer.extend([0; 8]);
        longer[17] += 8;
        longer[24..26].fill(0);
        let sum = etherparse::Ipv4Header::from_slice(&longer[14..])
            .expect("a header")
            .0;
        longer[24..26].copy_from_slice(&sum.calc_header_checksum().to_be_bytes());
        let mut other_mac = good.frame();
        other_mac[5] = 0x13;
        let bad = [
            ("TTL", a(|a| a.ttl = 254)),
            ("another virtual router", a(|a| a.virtual_router += 1)),
            ("virtual router 0", a(|a| a.virtual_router = 0)),
            ("our own", a(|a| a.source_mac = DIRECTOR)),
            ("no address", a(|a| a.addresses.clear())),
            ("no interval", a(|a| a.interval = 0)),
            ("version 1", a(|a| a.version = 1)),
            ("version 4", a(|a| a.version = 4)),
            ("bytes behind the message", longer),
            ("a frame for somebody else", other_mac),
        ];
        for (what, frame) in bad {
            assert!(!is_heard(&world, &frame), "version {version}: {what}");
        }
        let frame = good.frame();
        for len in 14..frame.len() {
            assert!(
                !is_heard(&world, &frame[..len]),
                "version {version}: {len} bytes"
            );
        }
    }
    let v2 = Advert {
        covers: Covers::PseudoHeader,
        ..advert(2)
    };
    assert!(
        !is_heard(&world, &v2.frame()),
        "version 2 has no pseudo-header"
    );
    assert!(!has_yielded(&world));
}

#[test]
fn any_flipped_bit_is_noticed() {
    let world = world();
    for version in [2, 3] {
        let good = advert(version).frame();
        for bit in 14 * 8..good.len() * 8 {
            let mut frame = good.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_heard(&world, &frame), "version {version}, bit {bit}");
        }
    }
}

#[test]
fn fragments_are_not_heard() {
    let world = world();
    let mut frame = advert(3).frame();
    let header = etherparse::Ipv4Header::from_slice(&frame[14..])
        .expect("a header")
        .0;
    let fragment = etherparse::Ipv4Header {
        more_fragments: true,
        dont_fragment: false,
        ..header
    };
    let sum = fragment.calc_header_checksum();
    frame[20] = 0x20;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    assert!(!is_heard(&world, &frame));
}

#[test]
fn virtual_routers_that_are_not_ours_are_not_heard() {
    let world = world();
    router(&world).used.store(0, SeqCst);
    assert!(!is_heard(&world, &advert(3).frame()));
    assert!(!has_yielded(&world));
}

#[test]
fn director_yields_only_when_its_lease_has_run_out() {
    let world = world();
    lease(&world, 10);
    assert!(is_heard(&world, &advert(3).frame()));
    assert!(!has_yielded(&world));
    lease(&world, 0);
    assert!(is_heard(&world, &advert(3).frame()));
    assert!(!has_yielded(&world), "until this tick");
    world.tables.now.fetch_add(1, SeqCst);
    assert!(!has_yielded(&world), "not without an advertisement");
    assert!(is_heard(&world, &advert(3).frame()));
    assert!(has_yielded(&world));
}

#[test]
fn yielded_gate_forwards_and_is_silent() {
    let world = world();
    let request = arp_request(*SERVICE.ip());
    assert_eq!(world.send_frame(&request).0, Verdict::Pass);
    router(&world).yielded.store(1, SeqCst);
    assert_eq!(
        world.send_frame(&request).0,
        Verdict::Drop(DropReason::GateDraining)
    );
    assert_eq!(world.send(CLIENT, SYN), Verdict::Transmit);
    router(&world).yielded.store(0, SeqCst);
    assert_eq!(world.send_frame(&request).0, Verdict::Pass);
}

#[test]
fn arp_requests_are_dropped_while_draining_or_yielded() {
    let world = world();
    let gate = &world.tables.gates[0];
    let asked = arp_request(*SERVICE.ip());
    let confirmed = arp_request_to(DIRECTOR, *SERVICE.ip());
    let flooded = arp_request_to([2, 9, 9, 9, 9, 9], *SERVICE.ip());
    let mut reply = asked.clone();
    reply[21] = 2;
    for (state, yielded, router, silent) in [
        (GateState::CLOSED, 0, ID, false),
        (GateState::CLOSED, 1, ID, false),
        (GateState::OPEN, 0, ID, false),
        (GateState::OPEN, 1, ID, true),
        (GateState::OPEN, 1, 0, false),
        (GateState::OPEN, 1, ID + 1, false),
        (GateState::DRAINING, 0, ID, true),
        (GateState::DRAINING, 1, ID, true),
        (GateState::DRAINING, 0, 0, true),
    ] {
        world.gate(state);
        gate.virtual_router.store(u64::from(router), SeqCst);
        self::router(&world).yielded.store(yielded, SeqCst);
        let expected = if silent {
            Verdict::Drop(DropReason::GateDraining)
        } else {
            Verdict::Pass
        };
        let what = format!("gate {state}, yielded {yielded}, router {router}");
        assert_eq!(world.send_frame(&asked).0, expected, "{what}");
        assert_eq!(world.send_frame(&confirmed).0, expected, "{what}");
        assert_eq!(world.send_frame(&flooded).0, Verdict::Pass, "{what}");
        assert_eq!(world.send_frame(&reply).0, Verdict::Pass, "{what}");
        let other = arp_request(Ipv4Addr::new(192, 0, 2, 2));
        assert_eq!(world.send_frame(&other).0, Verdict::Pass, "{what}");
    }
}

#[test]
fn frames_to_the_group_are_not_balanced() {
    let world = world();
    let frame = Segment {
        destination: vrrp::GROUP_MAC,
        ..Segment::new(CLIENT, SERVICE, SYN)
    }
    .frame();
    assert_eq!(world.send_frame(&frame), (Verdict::Pass, frame));
    assert_eq!(world.half_open(), 0);
}

#[test]
fn role_does_not_change_what_is_forwarded() {
    let world = world();
    for (state, verdict) in [
        (GateState::OPEN, Verdict::Transmit),
        (GateState::DRAINING, Verdict::Transmit),
        (GateState::CLOSED, Verdict::Pass),
    ] {
        for (lease, yielded) in [(0, 0), (0, 1), (u64::MAX, 0)] {
            world.gate(state);
            router(&world).lease.store(lease, SeqCst);
            router(&world).yielded.store(yielded, SeqCst);
            assert_eq!(world.send(CLIENT, SYN), verdict, "gate {state}");
        }
    }
}

/// A message of any version, count, interval and length, whose checksum is right more often than not.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![4 => Just(0x21), 4 => Just(0x31), 1 => any::<u8>()];
    let head = (
        kind,
        any::<u8>(),
        0u8..4,
        any::<[u8; 2]>(),
        any::<[u8; 20]>(),
    );
    let lens = (prop_oneof![Just(0i8), Just(4), Just(-4), Just(8)], 0u8..3);
    (head, lens).prop_map(|((kind, priority, count, interval, body), (more, sum))| {
        let len = 8 + i8::try_from(count).expect("small") * 4;
        let len = len + if kind == 0x21 { 8 } else { 0 } + more;
        let mut out = vec![
            kind,
            ID,
            priority,
            count,
            interval[0],
            interval[1] & 3,
            0,
            0,
        ];
        out.extend(body.iter().cycle().take(40));
        out.truncate(usize::try_from(len).expect("at least 4").max(8));
        let mut words = etherparse::checksum::Sum16BitWords::new().add_slice(&out);
        if sum == 1 {
            let len = u16::try_from(out.len()).expect("small");
            words = words
                .add_4bytes([192, 0, 2, 3])
                .add_4bytes(vrrp::GROUP)
                .add_2bytes([0, 112])
                .add_2bytes(len.to_be_bytes());
        }
        let sum = words.ones_complement().to_ne_bytes();
        out[6..8].copy_from_slice(&sum);
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// What the program calls a good advertisement is what user space parses.
    #[test]
    fn program_hears_what_user_space_can_read(message in message()) {
        let world = world();
        let (source, group) = (Ipv4Addr::new(192, 0, 2, 3), Ipv4Addr::from(vrrp::GROUP));
        let len = u16::try_from(message.len()).expect("small");
        let number = etherparse::IpNumber(112);
        let ip = etherparse::Ipv4Header::new(len, 255, number, source.octets(), vrrp::GROUP);
        let mut ip = ip.expect("small");
        ip.header_checksum = ip.calc_header_checksum();
        let mut frame = vrrp::GROUP_MAC.to_vec();
        frame.extend([2, 0, 0, 0, 0, 3, 0x08, 0x00]);
        frame.extend(ip.to_bytes());
        frame.extend(&message);
        let readable = vrrp::parse(&message, source.into(), group.into()).is_ok();
        prop_assert_eq!(is_heard(&world, &frame), readable);
    }
}
