use std::net::Ipv4Addr;

use evenkeel_model::{
    GateState, GroupNumber, Listen, Listens, Ports, Protocol, ServiceEntry, ServiceKey,
};

use super::support::*;
use crate::{DataPlane, PutError};

const OTHER: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 147);

fn listen(address: Ipv4Addr, protocol: Protocol, ports: Ports) -> Listen {
    Listen {
        address: address.into(),
        protocol,
        ports,
    }
}

/// A group of a port, a range and any port, at two addresses.
fn group(hosts: &[u8]) -> ServiceEntry {
    let mut entry = service(
        &hosts
            .iter()
            .map(|host| server(*host, 1))
            .collect::<Vec<_>>(),
    );
    entry.key = ServiceKey::Group(GroupNumber::new(5).unwrap());
    for server in &mut entry.servers {
        server.address.set_port(0);
    }
    entry.group = Listens::new([
        listen(VIP, Protocol::Tcp, Ports::one(PORT)),
        listen(OTHER, Protocol::Tcp, Ports::range(8000, 8099).unwrap()),
        listen(OTHER, Protocol::Udp, Ports::ANY),
    ]);
    entry
}

fn open_gates(plane: &mut DataPlane, entry: &ServiceEntry) {
    for address in entry.addresses() {
        plane.set_gate(address, GateState::Open).unwrap();
    }
}

/// As [`send`], to that address and port.
fn send_to(plane: &DataPlane, client_port: u16, address: Ipv4Addr, port: u16) -> (u32, u8) {
    let mut frame = packet(client_port, SYN);
    frame[30..34].copy_from_slice(&address.octets());
    frame[36..38].copy_from_slice(&port.to_be_bytes());
    let (verdict, frame) = plane.run(&frame).unwrap();
    (verdict, frame[5])
}

#[test]
fn a_group_is_one_service_at_all_its_addresses_and_ports() {
    in_room(|_| {
        let entry = group(&[11, 12]);
        let mut plane = detached(crate::Sizes::small());
        plane.put_service(&entry).unwrap();
        open_gates(&mut plane, &entry);
        let hosts = [
            send_to(&plane, 1, VIP, PORT),
            send_to(&plane, 2, OTHER, 8000),
            send_to(&plane, 3, OTHER, 8099),
            send_to(&plane, 4, VIP, PORT),
        ];
        assert_eq!(hosts, [(TX, 11), (TX, 12), (TX, 11), (TX, 12)]);
        assert_eq!(send_to(&plane, 5, OTHER, 7999).0, PASS);
        assert_eq!(send_to(&plane, 5, OTHER, 8100).0, PASS);
        // A gate is one address's.
        plane.set_gate(OTHER.into(), GateState::Closed).unwrap();
        assert_eq!(send_to(&plane, 6, OTHER, 8000).0, PASS);
        assert_eq!(send_to(&plane, 6, VIP, PORT).0, TX);
        let snapshot = plane.snapshot().unwrap();
        assert_eq!(snapshot[0].stats.conns, 5);
    });
}

#[test]
fn what_a_group_takes_can_change_and_ends_with_it() {
    in_room(|_| {
        let mut entry = group(&[11]);
        let mut plane = detached(crate::Sizes::small());
        plane.put_service(&entry).unwrap();
        open_gates(&mut plane, &entry);
        assert_eq!(send_to(&plane, 1, OTHER, 8050).0, TX);
        entry.group = Listens::new([listen(
            OTHER,
            Protocol::Tcp,
            Ports::range(8060, 8070).unwrap(),
        )]);
        plane.put_service(&entry).unwrap();
        assert_eq!(send_to(&plane, 1, OTHER, 8050).0, PASS);
        assert_eq!(send_to(&plane, 2, OTHER, 8065).0, TX);
        assert_eq!(send_to(&plane, 3, VIP, PORT).0, PASS);
        plane.remove_service(&entry.key).unwrap();
        assert_eq!(send_to(&plane, 4, OTHER, 8065).0, PASS);
    });
}

#[test]
fn a_port_stands_before_a_range_of_any_port() {
    in_room(|_| {
        let mut any = group(&[11]);
        any.group = Listens::new([listen(VIP, Protocol::Tcp, Ports::ANY)]);
        let mut plane = detached(crate::Sizes::small());
        plane.put_service(&any).unwrap();
        open_gates(&mut plane, &any);
        assert_eq!(send_to(&plane, 1, VIP, PORT), (TX, 11));
        plane.put_service(&service(&[server(13, 1)])).unwrap();
        assert_eq!(send_to(&plane, 2, VIP, PORT), (TX, 13));
        assert_eq!(send_to(&plane, 3, VIP, PORT + 1), (TX, 11));
        plane.remove_service(&key(VIP, PORT)).unwrap();
        assert_eq!(send_to(&plane, 4, VIP, PORT), (TX, 11));
    });
}

#[test]
fn a_group_survives_a_restart() {
    in_room(|room| {
        let options = room.options();
        let entry = group(&[11, 12]);
        {
            let (mut plane, _) = DataPlane::start(&options).unwrap();
            plane.put_service(&entry).unwrap();
            open_gates(&mut plane, &entry);
            assert_eq!(send_to(&plane, 1, OTHER, 8000), (TX, 11));
        }
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted, std::slice::from_ref(&entry));
        assert_eq!(send_to(&plane, 1, OTHER, 8000), (TX, 11));
        assert_eq!(send_to(&plane, 2, OTHER, 8001), (TX, 12));
        plane.remove_service(&entry.key).unwrap();
        assert_eq!(send_to(&plane, 3, OTHER, 8001).0, PASS);
        drop(plane);
        let (_plane, adopted) = DataPlane::start(&options).unwrap();
        assert!(adopted.is_empty());
    });
}

#[test]
fn a_group_without_ipv6_is_refused_and_changes_nothing() {
    in_room(|_| {
        let mut entry = group(&[11]);
        let mut plane = detached(crate::Sizes::small());
        plane.put_service(&entry).unwrap();
        let before = plane.snapshot().unwrap();
        entry.group = Listens::new([Listen {
            address: "2001:db8::1".parse().unwrap(),
            protocol: Protocol::Tcp,
            ports: Ports::one(80),
        }]);
        let refused = plane.put_service(&entry);
        assert!(
            matches!(refused, Err(PutError::TwoFamilies { .. })),
            "{refused:?}"
        );
        assert_eq!(plane.snapshot().unwrap(), before);
    });
}
