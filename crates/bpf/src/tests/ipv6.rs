use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use evenkeel_model::{
    GateState, GroupNumber, Listen, Listens, Persistence, Ports, Protocol, Scheduler, ServerEntry,
    ServiceEntry, ServiceKey, VirtualRouterId,
};

use super::support::*;
use crate::{Chosen, DataPlane, Fate, Placement, PutError, TracePacket};

pub(super) const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x146);
pub(super) const OTHER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x147);
const PROTOCOL: u8 = 6;

pub(super) fn client(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, host)
}

pub(super) fn server6(host: u8, weight: i64) -> ServerEntry {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into());
    ServerEntry {
        address: SocketAddr::from((address, PORT)),
        ..server(host, weight)
    }
}

pub(super) fn service6(servers: &[ServerEntry]) -> ServiceEntry {
    ServiceEntry {
        key: ServiceKey::single(Protocol::Tcp, SocketAddr::from((VIP6, PORT))),
        ..service(servers)
    }
}

/// A group of both addresses, with two servers.
pub(super) fn group6() -> ServiceEntry {
    let listen = |address: Ipv6Addr, ports| Listen {
        address: address.into(),
        protocol: Protocol::Tcp,
        ports,
    };
    let without_port = |host| {
        let mut server = server6(host, 1);
        server.address.set_port(0);
        server
    };
    ServiceEntry {
        key: ServiceKey::Group(GroupNumber::new(7).unwrap()),
        group: Listens::new([
            listen(VIP6, Ports::one(80)),
            listen(OTHER6, Ports::range(8000, 8099).unwrap()),
        ]),
        servers: vec![without_port(11), without_port(12)],
        held: Vec::new(),
        ..service(&[])
    }
}

/// A client's TCP packet.
pub(super) fn packet6(
    from: Ipv6Addr,
    client_port: u16,
    (to, port): (Ipv6Addr, u16),
    flags: u8,
) -> Vec<u8> {
    let mut frame = MAC.0.to_vec();
    frame.extend([2, 0, 0, 0, 9, 9, 0x86, 0xdd]);
    frame.extend([0x60, 0, 0, 0, 0, 20, PROTOCOL, 64]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(client_port.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}

pub(super) fn sent(
    plane: &DataPlane,
    host: u16,
    client_port: u16,
    to: (Ipv6Addr, u16),
    flags: u8,
) -> (u32, u8) {
    let packet = packet6(client(host), client_port, to, flags);
    let (verdict, frame) = plane.run(&packet).unwrap();
    (verdict, frame[5])
}

/// Opens a connection to the service and returns its server.
fn opened(plane: &DataPlane, host: u16, port: u16) -> u8 {
    let (verdict, server) = sent(plane, host, port, (VIP6, PORT), SYN);
    assert_eq!(verdict, TX);
    assert_eq!(sent(plane, host, port, (VIP6, PORT), ACK), (TX, server));
    server
}

pub(super) fn put(plane: &mut DataPlane, entry: &ServiceEntry) {
    plane.put_service(entry).unwrap();
    for address in entry.addresses() {
        plane.set_gate(address, GateState::Open).unwrap();
    }
}

#[test]
fn connections_of_ipv6_are_listed_with_both_addresses() {
    in_room(|_| {
        let mut plane = detached(crate::Sizes::small());
        put(&mut plane, &service6(&[server6(11, 1), server6(12, 1)]));
        assert_eq!(opened(&plane, 1, 1000), 11);
        assert_eq!(sent(&plane, 2, 1001, (VIP6, PORT), SYN), (TX, 12));
        let listed = |half_open: bool| {
            let mut connections = plane.connections().into_iter();
            connections.find(|c| c.half_open == half_open).unwrap()
        };
        let (first, second) = (listed(false), listed(true));
        assert_eq!(first.client, SocketAddr::from((client(1), 1000)));
        assert_eq!(first.address, SocketAddr::from((VIP6, PORT)));
        assert_eq!(first.server, server6(11, 1).address);
        assert_eq!(second.client, SocketAddr::from((client(2), 1001)));
        assert_eq!(second.server, server6(12, 1).address);
        assert_eq!(plane.connections().len(), 2);
    });
}

#[test]
fn a_successor_adopts_services_groups_and_templates_of_ipv6() {
    in_room(|room| {
        let options = room.options();
        let mut single = service6(&[server6(11, 1), server6(12, 2)]);
        single.key = ServiceKey::single(Protocol::Tcp, SocketAddr::from((OTHER6, 443)));
        let mut group = group6();
        for entry in [&mut single, &mut group] {
            entry.options.persistence = Some(Persistence {
                timeout: Duration::from_secs(60),
                prefix: 64,
            });
        }
        let before = {
            let (mut plane, _) = DataPlane::start(&options).unwrap();
            put(&mut plane, &single);
            put(&mut plane, &group);
            put(&mut plane, &service(&[server(1, 1)]));
            for (host, to) in [(1, (VIP6, 80)), (1, (OTHER6, 8042)), (2, (OTHER6, 443))] {
                assert_eq!(sent(&plane, host, 1000, to, SYN).0, TX);
                assert_eq!(sent(&plane, host, 1000, to, ACK).0, TX);
            }
            plane.connections()
        };
        let (plane, adopted) = DataPlane::start(&options).unwrap();
        let key = |entry: &ServiceEntry| entry.key;
        assert_eq!(adopted.iter().map(key).collect::<Vec<_>>(), {
            let mut keys = vec![single.key, group.key, service(&[]).key];
            keys.sort();
            keys
        });
        for entry in [&single, &group] {
            assert!(adopted.contains(entry), "{adopted:#?}");
        }
        let name = |c: &crate::Connection| (c.client, c.address, c.server, c.template);
        let names = |all: &[crate::Connection]| all.iter().map(name).collect::<Vec<_>>();
        assert_eq!(names(&plane.connections()), names(&before));
        let templates: Vec<SocketAddr> = before
            .iter()
            .filter(|c| c.template)
            .map(|c| c.address)
            .collect();
        // IPVS shows a mark in the place of an address's first word.
        let of_group = SocketAddr::from((Ipv6Addr::from_bits(7 << 96), 0));
        assert_eq!(
            templates.len(),
            2,
            "one for the group and one for the service"
        );
        assert!(templates.contains(&of_group), "{templates:?}");
        let server = |to| sent(&plane, 1, 1001, to, SYN).1;
        assert_eq!(server((VIP6, 80)), server((OTHER6, 8000)));
    });
}

#[test]
fn connections_outlive_a_service_that_goes_and_comes_back_with_another_gate() {
    in_room(|room| {
        let mut options = room.options();
        options.sizes.gates = 2;
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        let entry = service6(&[server6(11, 1), server6(12, 1)]);
        put(&mut plane, &entry);
        let server = opened(&plane, 1, 1000);
        let gate = plane.book.gate_number(&VIP6.into());
        plane.remove_service(&entry.key).unwrap();
        assert_eq!(sent(&plane, 1, 1000, (VIP6, PORT), ACK).0, PASS);
        let others = [0x1001, 0x1002].map(|last| {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
            let mut other = service6(&[server6(13, 1)]);
            other.key = ServiceKey::single(Protocol::Tcp, SocketAddr::from((address, PORT)));
            put(&mut plane, &other);
            (address, other)
        });
        let number = |plane: &DataPlane, address: Ipv6Addr| plane.book.gate_number(&address.into());
        let taken = others
            .iter()
            .find(|(address, _)| number(&plane, *address) == gate);
        let (address, _) = taken.expect("another address has the gate's number");
        // The flow of the same client and ports is another address's, and unknown.
        assert_eq!(sent(&plane, 1, 1000, (*address, PORT), ACK), (TX, 13));
        let (_, other) = others.iter().find(|(a, _)| a != address).unwrap();
        plane.remove_service(&other.key).unwrap();
        put(&mut plane, &entry);
        assert_ne!(number(&plane, VIP6), gate);
        assert_eq!(sent(&plane, 1, 1000, (VIP6, PORT), ACK), (TX, server));
        drop(plane);
        let (plane, _) = DataPlane::start(&options).unwrap();
        assert_eq!(sent(&plane, 1, 1000, (VIP6, PORT), ACK), (TX, server));
    });
}

#[test]
fn a_service_of_two_families_is_refused() {
    in_room(|_| {
        let mut plane = detached(crate::Sizes::small());
        for entry in [service6(&[server(1, 1)]), service(&[server6(1, 1)])] {
            let refused = plane.put_service(&entry).unwrap_err();
            assert!(matches!(refused, PutError::TwoFamilies { .. }), "{refused}");
        }
        assert_eq!(plane.snapshot().unwrap(), []);
        assert!(plane.book.gates.is_empty());
    });
}

#[test]
fn virtual_routers_of_one_number_and_both_families_are_two() {
    in_room(|_| {
        let mut plane = detached(crate::Sizes::small());
        plane.put_service(&service(&[server(1, 1)])).unwrap();
        plane.put_service(&service6(&[server6(1, 1)])).unwrap();
        let id = VirtualRouterId::try_from(51).unwrap();
        let lists = [(id, vec![IpAddr::V4(VIP)]), (id, vec![IpAddr::V6(VIP6)])];
        let gates = plane.reserve_gates(&lists).unwrap();
        gates[1].set(GateState::Open);
        gates[1].renew(Duration::from_secs(60));
        assert!(gates[1].standing().lease_alive && !gates[0].standing().lease_alive);
        assert_eq!(plane.gate_of(VIP6.into()), GateState::Open);
        assert_eq!(plane.gate_of(VIP.into()), GateState::Closed);
        let refused = plane.set_gate(VIP6.into(), GateState::Closed).unwrap_err();
        assert!(
            refused.to_string().contains("virtual router `51`"),
            "{refused}"
        );
        gates[0].set(GateState::Open);
        gates[1].set(GateState::Draining);
        assert_eq!(plane.gate_of(VIP.into()), GateState::Open);
    });
}

#[test]
fn a_trace_of_ipv6_tells_what_the_packet_then_meets() {
    in_room(|_| {
        let mut plane = detached(crate::Sizes::small());
        put(&mut plane, &service6(&[server6(11, 1), server6(12, 1)]));
        let asked = |port: u16, flags| TracePacket {
            protocol: Protocol::Tcp,
            client: SocketAddr::from((client(1), port)),
            address: SocketAddr::from((VIP6, PORT)),
            flags,
        };
        let told = plane.trace(&asked(1000, SYN)).unwrap();
        assert_eq!(told.fate, Fate::Forwarded);
        assert_eq!(told.chosen, Some(Chosen::Scheduler));
        let server = told.server.unwrap();
        assert_eq!(opened(&plane, 1, 1000), server.hop.mac.0[5]);
        assert_eq!(server.address, server6(server.hop.mac.0[5], 1).address);
        let known = plane.trace(&asked(1000, ACK)).unwrap();
        assert_eq!(known.chosen, Some(Chosen::Entry));
        assert!(known.entry.is_some_and(|entry| !entry.half_open));
    });
}

#[test]
fn a_flow_without_an_entry_goes_where_every_director_would_place_it() {
    in_room(|_| {
        let servers = [11, 12, 13].map(|host| server6(host, 1));
        let mut plane = detached(crate::Sizes::small());
        let mut entry = service6(&servers);
        entry.scheduler = Scheduler::Maglev;
        put(&mut plane, &entry);
        let list = servers.map(|server| (server.address, 1));
        let placement = Placement::of(&list);
        for port in 1000..1100 {
            let from = SocketAddr::from((client(port), port));
            let to = SocketAddr::from((VIP6, PORT));
            let place = placement.place(from, to, Protocol::Tcp).unwrap();
            let (verdict, host) = sent(&plane, port, port, (VIP6, PORT), ACK);
            assert_eq!((verdict, host), (TX, [11, 12, 13][place]));
        }
    });
}
