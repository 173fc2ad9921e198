//! Services of several addresses and ports, and what is scheduled packet by packet.

use std::net::{Ipv4Addr, SocketAddrV4};

use std::time::Duration;

use evenkeel_model::{
    GroupNumber, Listen, Listens, MaglevOptions, Persistence, Ports, Protocol, Scheduler,
    SchedulerFlags, ServiceKey, ServiceOptions,
};
use evenkeel_testkit::packet::flags::{ACK, SYN};
use evenkeel_testkit::packet::{Datagram, Segment, fragments};

use crate::corpus::{Corpus, seeds};
use crate::twins::Twins;

const WIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 200);
const NARROW: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 201);
const ALONE: SocketAddrV4 = SocketAddrV4::new(NARROW, 53);

fn listen(address: Ipv4Addr, protocol: Protocol, ports: Ports) -> Listen {
    Listen {
        address: address.into(),
        protocol,
        ports,
    }
}

/// Third bytes of the MAC addresses of the servers of the first group, the second, a service of one port inside
/// of what the second takes, and one of single packets.
const MACS: [u8; 4] = [1, 2, 3, 4];

fn twins() -> Twins {
    let mut twins = Twins::bare(1 << 12, 1 << 12);
    let range = Ports::range(8000, 8099).expect("a range");
    let first = [
        listen(WIDE, Protocol::Tcp, Ports::one(80)),
        listen(NARROW, Protocol::Tcp, range),
        listen(WIDE, Protocol::Udp, Ports::ANY),
    ];
    let second = [listen(NARROW, Protocol::Tcp, Ports::ANY)];
    let group = |number| ServiceKey::Group(GroupNumber::new(number).expect("not 0"));
    let plain = ServiceOptions::default();
    twins.put_group(group(1), Listens::new(first), plain, MACS[0]);
    twins.put_group(group(7), Listens::new(second), plain, MACS[1]);
    let single = ServiceKey::single(Protocol::Tcp, (NARROW, 443).into());
    twins.put_group(single, Listens::default(), plain, MACS[2]);
    let one_packet = ServiceOptions {
        one_packet: true,
        ..plain
    };
    let alone = ServiceKey::single(Protocol::Udp, ALONE.into());
    twins.put_group(alone, Listens::default(), one_packet, MACS[3]);
    twins
}

#[test]
fn native_and_kernel_agree_on_whose_a_port_is() {
    let twins = twins();
    let client = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 1024);
    let of = |address, port| {
        let frame = Segment::new(client, SocketAddrV4::new(address, port), SYN).frame();
        twins.agree(&frame, &format!("{address}:{port}"));
        twins.server_of(&frame).to_be_bytes()[0]
    };
    assert_eq!(of(WIDE, 80), MACS[0]);
    for port in [8000, 8001, 8050, 8099] {
        assert_eq!(of(NARROW, port), MACS[0]);
    }
    for port in [1, 80, 442, 444, 7999, 8100, 65535] {
        assert_eq!(of(NARROW, port), MACS[1]);
    }
    assert_eq!(of(NARROW, 443), MACS[2]);
    let udp = |port| {
        let frame = Datagram::new(client, SocketAddrV4::new(WIDE, port)).frame();
        twins.agree(&frame, &format!("{WIDE}:{port}"));
        twins.server_of(&frame).to_be_bytes()[0]
    };
    assert_eq!([udp(1), udp(5000), udp(65535)], [MACS[0]; 3]);
    let nobodys = Segment::new(client, SocketAddrV4::new(WIDE, 81), SYN).frame();
    twins.agree(&nobodys, "a port of no service");
    twins.agree_on_tables();
}

#[test]
fn native_and_kernel_agree_on_groups_and_single_packets() {
    for seed in seeds() {
        let twins = twins();
        let mut corpus = Corpus::new(seed);
        for i in 0..4000 {
            twins.settle(i);
            let client = corpus.pick(&[1024, 1025, 1026, 1027]);
            let client = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), client);
            let address = corpus.pick(&[WIDE, NARROW]);
            let port = corpus.pick(&[53, 80, 443, 7999, 8000, 8042, 8099, 8100]);
            let to = SocketAddrV4::new(address, port);
            let what = format!("seed {seed}, packet {i}, to {to}");
            match corpus.pick(&[0, 1, 2, 3]) {
                0 => twins.agree(&Segment::new(client, to, SYN).frame(), &what),
                1 => twins.agree(&Segment::new(client, to, ACK).frame(), &what),
                2 => twins.agree(&Datagram::new(client, to).frame(), &what),
                _ => {
                    let datagram = Datagram {
                        payload: 3000,
                        ..Datagram::new(client, to)
                    };
                    let number = u16::try_from(i).expect("small");
                    for piece in fragments(&datagram.frame(), number, 1480) {
                        twins.agree(&piece, &what);
                    }
                }
            }
        }
        twins.agree_on_tables();
    }
}

#[test]
fn single_packets_go_by_turns_and_fragments_of_one_go_together() {
    let twins = twins();
    let client = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 1024);
    let packet = Datagram::new(client, ALONE).frame();
    let servers: Vec<u16> = (0..6).map(|_| twins.server_of(&packet)).collect();
    assert_eq!(servers[..3], servers[3..]);
    assert!(servers[0] != servers[1] && servers[1] != servers[2]);
    for number in 0..6 {
        let datagram = Datagram {
            payload: 3000,
            ..Datagram::new(client, ALONE)
        };
        let pieces = fragments(&datagram.frame(), number, 1480);
        let servers: Vec<u16> = pieces.iter().map(|piece| twins.server_of(piece)).collect();
        assert!(
            servers.iter().all(|server| *server == servers[0]),
            "{servers:?}"
        );
    }
}

/// Services with persistence, thresholds and flags, one port each from 1000 on.
fn with_options() -> (Twins, Vec<SocketAddrV4>) {
    let mut twins = Twins::bare(1 << 12, 1 << 12);
    let plain = ServiceOptions::default();
    let persistent = |prefix| ServiceOptions {
        persistence: Some(Persistence {
            timeout: Duration::from_secs(600),
            prefix,
        }),
        ..plain
    };
    let hashed = |port, fallback| ServiceOptions {
        flags: SchedulerFlags { port, fallback },
        ..plain
    };
    let by_client = ServiceOptions {
        maglev: MaglevOptions {
            by_client: true,
            ..MaglevOptions::default()
        },
        ..plain
    };
    let services = [
        (Scheduler::RoundRobin, persistent(32), [0; 3]),
        (
            Scheduler::WeightedLeastConnection,
            persistent(24),
            [0, 4, 0],
        ),
        (Scheduler::RoundRobin, plain, [3, 0, 9]),
        (Scheduler::WeightedRoundRobin, plain, [3, 0, 9]),
        (Scheduler::TwoChoices, plain, [3, 0, 9]),
        (Scheduler::LeastConnection, plain, [3, 5, 9]),
        (Scheduler::Locality, plain, [3, 5, 9]),
        (Scheduler::ReplicatedLocality, plain, [3, 5, 9]),
        (Scheduler::ReplicatedLocality, persistent(32), [0, 4, 0]),
        (Scheduler::Maglev, plain, [3, 5, 0]),
        (Scheduler::Maglev, by_client, [0; 3]),
        (Scheduler::SourceHash, hashed(true, true), [3, 5, 0]),
        (Scheduler::MaglevHash, hashed(true, true), [3, 5, 0]),
        (Scheduler::MaglevHash, hashed(false, false), [3, 5, 0]),
    ];
    let mut addresses = Vec::new();
    for (port, (scheduler, options, upper)) in (1000..).zip(services) {
        let address = SocketAddrV4::new(WIDE, port);
        let key = ServiceKey::single(Protocol::Tcp, address.into());
        twins.put_limited(key, Listens::default(), scheduler, options, 1, upper);
        addresses.push(address);
    }
    (twins, addresses)
}

#[test]
fn native_and_kernel_agree_on_persistence_thresholds_and_flags() {
    for seed in seeds() {
        let (twins, addresses) = with_options();
        let mut corpus = Corpus::new(seed);
        for i in 0..4000 {
            twins.settle(i);
            let last = corpus.pick(&[1, 2, 3, 4, 5, 6]);
            let port = corpus.pick(&[1024, 1025, 1026, 1027, 1028, 1029, 1030, 1031]);
            let client = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, last), port);
            let to = corpus.pick(&addresses);
            let flags = corpus.pick(&[SYN, SYN, ACK]);
            let frame = Segment::new(client, to, flags).frame();
            twins.agree(
                &frame,
                &format!("seed {seed}, packet {i}, {client} to {to}"),
            );
        }
        twins.agree_on_tables();
    }
}
