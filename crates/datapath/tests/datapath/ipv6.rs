//! What IPv6 has of its own: extension headers, fragments behind them, ICMPv6, neighbour discovery, and digests in keys.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{DropReason, GateState, ROUTERS6, SchedulerId, ServiceFlags, pair};
use evenkeel_datapath::Verdict;
use evenkeel_testkit::packet::flags::{ACK, SYN};
use evenkeel_testkit::packet::{
    DIRECTOR, Datagram, Segment, advert6, as_v6, fragments6, icmp6_error, icmp6_quoting,
    solicitation, with_headers,
};
use evenkeel_testkit::{TestService, words};

use crate::common::{CLIENT, SERVICE, World, client};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const OPTIONS: u8 = 60;

const TOO_BIG: u8 = 2;

fn service() -> TestService {
    TestService::at(as_v6(SERVICE))
}

fn world(weights: &[u32]) -> World {
    World::of(service(), weights, 1024, 64)
}

fn segment(flags: u8) -> Segment {
    Segment::new(as_v6(CLIENT), as_v6(SERVICE), flags)
}

fn vip() -> Ipv6Addr {
    match as_v6(SERVICE).ip() {
        IpAddr::V6(address) => address,
        IpAddr::V4(_) => unreachable!("it is of IPv6"),
    }
}

#[test]
fn extension_headers_do_not_part_a_packet_from_its_flow() {
    let world = world(&[1, 1, 1]);
    let server = world.open(CLIENT);
    for headers in [
        &[(HOP_BY_HOP, 0)][..],
        &[(OPTIONS, 0), (ROUTING, 2), (OPTIONS, 5)],
        &[(OPTIONS, 0); 7],
        &[(OPTIONS, 100)],
    ] {
        let frame = with_headers(&segment(ACK).frame(), headers);
        assert_eq!(world.send_frame(&frame).0, Verdict::Transmit, "{headers:?}");
        assert_eq!(world.last_server(), server, "{headers:?}");
    }
    world.check();
}

#[test]
fn more_headers_than_are_looked_behind_never_reach_the_stack() {
    let world = world(&[1]);
    for headers in [&[(OPTIONS, 0); 8][..], &[(OPTIONS, 126)]] {
        let frame = with_headers(&segment(SYN).frame(), headers);
        let verdict = world.send_frame(&frame).0;
        assert_eq!(verdict, Verdict::Drop(DropReason::Malformed), "{headers:?}");
    }
    let mut cut = with_headers(&segment(SYN).frame(), &[(OPTIONS, 2)]);
    cut.truncate(14 + 40 + 1);
    let verdict = world.send_frame(&cut).0;
    assert_eq!(verdict, Verdict::Drop(DropReason::Malformed));
    world.gate(GateState::CLOSED);
    assert_eq!(world.send_frame(&cut).0, Verdict::Pass);
}

#[test]
fn the_last_hop_is_answered_as_a_router_does_and_no_server_as_a_port_without_one() {
    let expiring = Segment {
        ttl: 1,
        payload: 1400,
        ..segment(SYN)
    };
    // Both errors are judged whole.
    assert_eq!(
        world(&[1]).send_frame(&expiring.frame()).0,
        Verdict::Transmit
    );
    let world = world(&[]);
    for payload in [0, 1, 3, 500, 1400] {
        let frame = Segment {
            payload,
            ..segment(SYN)
        }
        .frame();
        assert_eq!(world.send_frame(&frame).0, Verdict::Transmit, "{payload}");
    }
    assert_eq!(world.tables.dropped(DropReason::NoServer), 5);
    // Nobody is told at a group's address, or at none.
    for first in [0xff02, 0] {
        let from = SocketAddr::from(([first, 0, 0, 0, 0, 0, 0, u16::from(first != 0)], 4000));
        let frame = Segment::new(from, as_v6(SERVICE), SYN).frame();
        let verdict = world.send_frame(&frame).0;
        assert_eq!(verdict, Verdict::Drop(DropReason::NoServer));
    }
}

#[test]
fn clients_of_a_server_that_left_are_reset() {
    let mut world = World::of(service().with_resets(), &[1, 1], 1024, 64);
    let server = world.open(CLIENT);
    world.remove(server);
    let frame = with_headers(&segment(ACK).frame(), &[(OPTIONS, 1)]);
    for frame in [segment(ACK).frame(), frame] {
        assert_eq!(world.send_frame(&frame).0, Verdict::Transmit);
    }
    assert_eq!(world.tables.dropped(DropReason::ServerGoneReset), 2);
}

#[test]
fn fragments_follow_their_first_one_behind_other_headers_too() {
    let udp = service().udp();
    let world = World::of(udp, &[1, 1, 1], 1024, 64);
    for (number, headers) in [&[][..], &[(HOP_BY_HOP, 0)], &[(ROUTING, 1), (OPTIONS, 0)]]
        .iter()
        .enumerate()
    {
        let from = as_v6(client(u16::try_from(number).unwrap()));
        let whole = Datagram {
            payload: 3000,
            ..Datagram::new(from, as_v6(SERVICE))
        };
        let identification = 77 << 16 | u32::try_from(number).unwrap();
        let pieces = fragments6(&whole.frame(), identification, 1024);
        let pieces: Vec<_> = pieces.iter().map(|p| with_headers(p, headers)).collect();
        let early = world.send_frame(&pieces[1]).0;
        assert_eq!(early, Verdict::Drop(DropReason::FragmentEarly));
        let mut servers = BTreeSet::new();
        for piece in &pieces {
            assert_eq!(world.send_frame(piece).0, Verdict::Transmit);
            servers.insert(world.last_server());
        }
        assert_eq!(servers.len(), 1, "{headers:?}");
    }
    world.check();
}

#[test]
fn fragments_by_addresses_need_no_order() {
    let world = World::of(
        service().udp().with_fragments_by_address(),
        &[1, 1, 1],
        1024,
        64,
    );
    let whole = Datagram {
        payload: 3000,
        ..Datagram::new(as_v6(CLIENT), as_v6(SERVICE))
    };
    let mut servers = BTreeSet::new();
    for piece in fragments6(&whole.frame(), 9, 1024).iter().rev() {
        assert_eq!(world.send_frame(piece).0, Verdict::Transmit);
        servers.insert(world.last_server());
    }
    assert_eq!(servers.len(), 1);
}

#[test]
fn a_packet_too_big_follows_the_flow_that_it_quotes() {
    let world = world(&[1, 1, 1]);
    for i in 0..6 {
        let server = world.open(client(i));
        let quoting = |bytes| icmp6_error(TOO_BIG, as_v6(client(i)), as_v6(SERVICE), 6, bytes);
        let behind = Segment::new(as_v6(SERVICE), as_v6(client(i)), ACK).frame();
        let behind = with_headers(&behind, &[(OPTIONS, 1)]);
        for frame in [
            quoting(20),
            quoting(4),
            icmp6_quoting(TOO_BIG, vip().into(), &behind[14..]),
            with_headers(&quoting(20), &[(HOP_BY_HOP, 0)]),
        ] {
            assert_eq!(world.send_frame(&frame).0, Verdict::Transmit);
            assert_eq!(world.last_server(), server);
        }
        let short = world.send_frame(&quoting(3)).0;
        assert_eq!(short, Verdict::Drop(DropReason::Malformed));
    }
    let of_another = icmp6_error(TOO_BIG, as_v6(client(0)), as_v6(client(9)), 6, 20);
    let quoted = of_another[14 + 40 + 8..].to_vec();
    let verdict = world
        .send_frame(&icmp6_quoting(TOO_BIG, vip().into(), &quoted))
        .0;
    assert_eq!(verdict, Verdict::Drop(DropReason::Malformed));
    world.check();
}

#[test]
fn neighbours_and_pings_are_answered_only_while_this_director_holds_the_address() {
    let world = world(&[1]);
    let echo = icmp6_quoting(128, vip().into(), &[0; 8]);
    let questions = [
        solicitation(vip(), None),
        solicitation(vip(), Some(DIRECTOR)),
        echo,
    ];
    let other = solicitation("2001:db8::99".parse().unwrap(), None);
    for (state, expected) in [
        (GateState::OPEN, Verdict::Pass),
        (GateState::DRAINING, Verdict::Drop(DropReason::GateDraining)),
        (GateState::CLOSED, Verdict::Pass),
    ] {
        world.gate(state);
        for question in &questions {
            assert_eq!(world.send_frame(question).0, expected, "{state}");
        }
        assert_eq!(world.send_frame(&other).0, Verdict::Pass);
    }
}

#[test]
fn an_advertisement_of_ipv6_is_one_of_its_own_virtual_router() {
    let world = world(&[1]);
    let [four, six] = [51, ROUTERS6 + 51].map(|index| &world.tables.routers[index as usize]);
    four.used.store(1, SeqCst);
    six.used.store(1, SeqCst);
    world.tables.gates[0]
        .virtual_router
        .store(u64::from(ROUTERS6 + 51), SeqCst);
    let mut damaged = advert6(51, 2, (3, 255));
    damaged[14 + 40 + 9] ^= 1;
    for bad in [
        advert6(51, 2, (3, 254)),
        advert6(51, 2, (2, 255)),
        advert6(51, 0, (3, 255)),
        advert6(52, 2, (3, 255)),
        damaged,
    ] {
        assert_eq!(world.send_frame(&bad).0, Verdict::Pass);
        assert_eq!(six.heard.load(SeqCst), 0);
    }
    assert_eq!(world.send_frame(&advert6(51, 2, (3, 255))).0, Verdict::Pass);
    assert_ne!(six.heard.load(SeqCst), 0);
    assert_eq!(six.yielded.load(SeqCst), 1, "the lease had run out");
    assert_eq!(four.heard.load(SeqCst), 0);
    let question = world.send_frame(&solicitation(vip(), None)).0;
    assert_eq!(question, Verdict::Drop(DropReason::GateDraining));
}

/// IPVS hashes addresses of IPv6 by their four words combined (`addr_fold` of ip_vs_sh.c, ip_vs_dh.c, ip_vs_mh.c):
/// clients whose combined words are the same have the same server.
#[test]
fn source_hashing_goes_by_the_combined_words_of_an_address() {
    for scheduler in [SchedulerId::SH, SchedulerId::MH] {
        let world = World::of(service().scheduled(scheduler), &[1; 7], 1024, 64);
        let mut servers = BTreeSet::new();
        for word in 0..40u16 {
            let mut same = BTreeSet::new();
            for [a, b] in [[0, word], [word, 0], [0x0db8, word ^ 0x0db8]] {
                let from = Ipv6Addr::new(0x2001, 0xdb8, 0, a, 0, b, 0, 0);
                let frame = Segment::new((from, 4000), as_v6(SERVICE), SYN).frame();
                assert_eq!(world.send_frame(&frame).0, Verdict::Transmit);
                same.insert(world.last_server());
            }
            assert_eq!(same.len(), 1, "{word}");
            servers.extend(same);
        }
        assert!(servers.len() > 3, "{servers:?}");
    }
}

#[test]
fn the_clients_addresses_stand_beside_their_entries() {
    let world = world(&[1, 1]);
    world.send(client(1), SYN);
    world.open(client(2));
    let noted = |clients: &[evenkeel_abi::Clients]| {
        let ways = clients.iter().flat_map(|clients| &clients.ways);
        let words = ways.map(|[a, b]| [a.load(SeqCst), b.load(SeqCst)]);
        words.filter(|words| *words != [0, 0]).collect::<Vec<_>>()
    };
    let address = |port| match as_v6(client(port)).ip() {
        IpAddr::V6(address) => words(address),
        IpAddr::V4(_) => unreachable!("it is of IPv6"),
    };
    assert_eq!(noted(&world.tables.conn_clients), [address(2)]);
    assert!(noted(&world.tables.half_open_clients).contains(&address(1)));
}

#[test]
fn clients_of_one_prefix_go_together_while_their_template_lives() {
    let world = world(&[1, 1, 1]);
    let half = &world.tables.services[0].halves[0];
    half.persistence.store(pair(1 << 12, 64), SeqCst);
    half.flags.fetch_or(ServiceFlags::IPV6, SeqCst);
    let mut of_prefix = Vec::new();
    for prefix in 1..=3u16 {
        let mut servers = BTreeSet::new();
        for host in 1..=5u16 {
            let from = Ipv6Addr::new(0x2001, 0xdb8, 7, prefix, host, 0, 0, host);
            let frame = Segment::new((from, 4000), as_v6(SERVICE), SYN).frame();
            assert_eq!(world.send_frame(&frame).0, Verdict::Transmit);
            servers.insert(world.last_server());
        }
        assert_eq!(servers.len(), 1, "{prefix}");
        of_prefix.extend(servers);
    }
    assert_eq!(of_prefix, [1, 2, 3]);
    world.check();
}
