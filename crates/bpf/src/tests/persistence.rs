use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use evenkeel_abi::{ConnState, Tick, Word};
use evenkeel_model::{
    GateState, GroupNumber, Listen, Listens, Persistence, Ports, Protocol, ServerEntry,
    ServiceEntry, ServiceKey,
};

use super::support::*;
use crate::{Connection, DataPlane, Sizes, SweepBudget};

const MINUTE: Duration = Duration::from_secs(60);

fn persistent(prefix: u8, servers: &[ServerEntry]) -> ServiceEntry {
    let mut entry = service(servers);
    entry.options.persistence = Some(Persistence {
        timeout: MINUTE,
        prefix,
    });
    entry
}

fn put(plane: &mut DataPlane, entry: &ServiceEntry) {
    plane.put_service(entry).unwrap();
    for address in entry.addresses() {
        plane.set_gate(address, GateState::Open).unwrap();
    }
}

fn plane_with(entry: &ServiceEntry) -> DataPlane {
    let mut plane = detached(Sizes::small());
    put(&mut plane, entry);
    plane
}

/// Sends a segment of a client, by the last byte of its address: the server that it went to.
fn from(plane: &DataPlane, client: u8, client_port: u16, to: u16, flags: u8) -> u8 {
    let mut frame = packet(client_port, flags);
    frame[26..30].copy_from_slice(&[203, 0, 113, client]);
    frame[36..38].copy_from_slice(&to.to_be_bytes());
    let (verdict, frame) = plane.run(&frame).unwrap();
    assert_eq!(verdict, TX);
    frame[5]
}

fn opened(plane: &DataPlane, client: u8, ports: std::ops::Range<u16>) -> Vec<u8> {
    ports
        .map(|port| from(plane, client, port, PORT, SYN))
        .collect()
}

fn templates(plane: &DataPlane) -> Vec<Connection> {
    let all = plane.connections().into_iter();
    all.filter(|connection| connection.template).collect()
}

/// Makes the templates, or all others, expire so many ticks from now.
fn expire(plane: &DataPlane, templates: bool, ticks: u64) {
    let now = plane.tables().now();
    let tables = plane.tables();
    let buckets = tables.conns.as_slice().iter();
    let buckets = buckets.chain(tables.half_open.as_slice());
    for conn in buckets.flat_map(|bucket| &bucket.ways) {
        let word = Word(conn.word.load(SeqCst));
        if word.is_live() && (word.is_template() != 0) == templates {
            let unassured = u64::from(word.is_unassured());
            let word = Word::live(word.server(), word.state(), now.after(ticks));
            conn.word.store(word.unassured_if(unassured).0, SeqCst);
        }
    }
}

#[test]
fn new_connections_of_a_client_go_where_its_earlier_ones_went() {
    in_room(|_| {
        let plane = plane_with(&persistent(32, &[server(1, 1), server(2, 1)]));
        assert_eq!(opened(&plane, 1, 1000..1004), [1; 4]);
        assert_eq!(opened(&plane, 2, 1000..1004), [2; 4]);
        assert_eq!(opened(&plane, 3, 1000..1004), [1; 4]);
        assert_eq!(opened(&plane, 1, 2000..2004), [1; 4]);
        let found = templates(&plane);
        assert_eq!(found.len(), 3);
        for template in &found {
            assert_eq!(template.client.port(), 0);
            assert_eq!(template.address, SocketAddr::from((VIP, PORT)));
            assert_eq!(template.state, ConnState::None);
            assert_eq!(template.protocol, 6);
            assert!(template.expires > MINUTE - Duration::from_secs(2));
            assert!(template.expires <= MINUTE + Duration::from_secs(1));
        }
        // Templates are no connections.
        let servers = &plane.snapshot().unwrap()[0].servers;
        let counts: Vec<_> = servers
            .iter()
            .map(|s| (s.active, s.inactive, s.persistent))
            .collect();
        assert_eq!(counts, [(12, 0, 2), (4, 0, 1)]);
    });
}

#[test]
fn clients_that_are_alike_under_the_mask_go_together() {
    in_room(|_| {
        let plane = plane_with(&persistent(28, &[server(1, 1), server(2, 1)]));
        for client in [16, 17, 31] {
            assert_eq!(opened(&plane, client, 1000..1002), [1; 2]);
        }
        for client in [32, 47] {
            assert_eq!(opened(&plane, client, 1000..1002), [2; 2]);
        }
        let clients: Vec<IpAddr> = templates(&plane).iter().map(|t| t.client.ip()).collect();
        assert!(
            clients.contains(&IpAddr::from([203, 0, 113, 16])),
            "{clients:?}"
        );
        assert!(
            clients.contains(&IpAddr::from([203, 0, 113, 32])),
            "{clients:?}"
        );
    });
}

#[test]
fn a_template_ends_with_its_time_unless_a_connection_holds_it() {
    in_room(|_| {
        let mut plane = plane_with(&persistent(32, &[server(1, 1), server(2, 1)]));
        let budget = SweepBudget::default();
        // The sweep has to have come by once before it knows what is held.
        let _swept = (plane.sweep(budget), plane.sweep(budget));
        assert_eq!(opened(&plane, 1, 1000..1002), [1; 2]);
        let _swept = (plane.sweep(budget), plane.sweep(budget));
        expire(&plane, true, 10);
        let _swept = plane.sweep(budget);
        let [template] = templates(&plane).try_into().unwrap();
        assert!(template.expires > Duration::from_secs(58), "{template:?}");
        assert_eq!(opened(&plane, 1, 1002..1003), [1]);

        expire(&plane, false, 0);
        let _swept = (plane.sweep(budget), plane.sweep(budget));
        expire(&plane, true, 10);
        let _swept = (plane.sweep(budget), plane.sweep(budget));
        let [template] = templates(&plane).try_into().unwrap();
        assert!(template.expires < Duration::from_secs(1), "{template:?}");
        expire(&plane, true, 0);
        let _swept = plane.sweep(budget);
        assert!(templates(&plane).is_empty());
        let servers = &plane.snapshot().unwrap()[0].servers;
        assert!(
            servers
                .iter()
                .all(|s| (s.active, s.inactive, s.persistent) == (0, 0, 0))
        );
        assert_eq!(opened(&plane, 1, 2000..2002), [2; 2], "it is rr's turn");
    });
}

#[test]
fn a_connection_refreshes_its_template() {
    in_room(|_| {
        let plane = plane_with(&persistent(32, &[server(1, 1), server(2, 1)]));
        assert_eq!(opened(&plane, 1, 1000..1001), [1]);
        expire(&plane, true, Tick::in_secs(20));
        assert_eq!(opened(&plane, 1, 1001..1002), [1]);
        let [template] = templates(&plane).try_into().unwrap();
        assert!(
            template.expires > MINUTE - Duration::from_secs(2),
            "{template:?}"
        );
        // One that is over names no server.
        expire(&plane, true, 0);
        assert_eq!(opened(&plane, 1, 1002..1004), [2; 2]);
        assert_eq!(templates(&plane).len(), 1);
    });
}

#[test]
fn a_quiesced_server_keeps_its_clients_and_a_removed_one_loses_them() {
    in_room(|_| {
        let mut plane = plane_with(&persistent(32, &[server(1, 1), server(2, 1)]));
        assert_eq!(opened(&plane, 1, 1000..1002), [1; 2]);
        put(&mut plane, &persistent(32, &[server(1, 0), server(2, 1)]));
        assert_eq!(opened(&plane, 1, 1002..1004), [1; 2]);
        assert_eq!(opened(&plane, 2, 1002..1004), [2; 2]);
        put(&mut plane, &persistent(32, &[server(2, 1)]));
        assert_eq!(opened(&plane, 1, 1004..1006), [2; 2]);
    });
}

#[test]
fn a_groups_ports_share_their_templates() {
    in_room(|_| {
        let mut entry = persistent(32, &[server(1, 1), server(2, 1)]);
        entry.key = ServiceKey::Group(GroupNumber::new(7).unwrap());
        for server in &mut entry.servers {
            server.address.set_port(0);
        }
        entry.group = Listens::new([Listen {
            address: VIP.into(),
            protocol: Protocol::Tcp,
            ports: Ports::range(80, 443).unwrap(),
        }]);
        let plane = plane_with(&entry);
        for client in [1, 2] {
            for port in [80, 443, 100] {
                assert_eq!(from(&plane, client, 1000, port, SYN), client);
            }
        }
        let found = templates(&plane);
        assert_eq!(found.len(), 2);
        for template in found {
            assert_eq!(template.address.ip(), IpAddr::from([0, 0, 0, 7]));
            assert_eq!((template.address.port(), template.protocol), (0, 0));
        }
    });
}

#[test]
fn persistence_and_timeouts_survive_a_restart() {
    in_room(|room| {
        let options = room.options();
        let mut entry = persistent(24, &[server(1, 1), server(2, 1)]);
        entry.options.timeouts.tcp = Some(Duration::from_secs(77));
        {
            let (mut plane, _) = DataPlane::start(&options).unwrap();
            put(&mut plane, &entry);
            assert_eq!(opened(&plane, 1, 1000..1002), [1; 2]);
        }
        let (plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted, [entry]);
        assert_eq!(opened(&plane, 1, 1002..1004), [1; 2]);
        assert_eq!(plane.snapshot().unwrap()[0].servers[0].persistent, 1);
    });
}

#[test]
fn a_services_timeouts_are_its_connections() {
    in_room(|_| {
        let mut entry = service(&[server(1, 1)]);
        let timeouts = &mut entry.options.timeouts;
        timeouts.tcp = Some(Duration::from_secs(30));
        timeouts.tcp_fin = Some(Duration::from_secs(7));
        let plane = plane_with(&entry);
        let expires = |plane: &DataPlane| plane.connections()[0].expires.as_secs();
        send(&plane, 1000, SYN);
        assert!((58..=60).contains(&expires(&plane)), "IPVS's for SYN_RECV");
        send(&plane, 1000, ACK);
        assert!((28..=30).contains(&expires(&plane)));
        send(&plane, 1000, FIN | ACK);
        assert!((5..=7).contains(&expires(&plane)));
    });
}

#[test]
fn a_trace_tells_that_a_template_names_the_server() {
    in_room(|_| {
        let plane = plane_with(&persistent(32, &[server(1, 1), server(2, 1)]));
        let traced = |plane: &DataPlane| {
            let packet = crate::TracePacket {
                client: "203.0.113.1:4000".parse().unwrap(),
                address: SocketAddr::from((VIP, PORT)),
                protocol: Protocol::Tcp,
                flags: SYN,
            };
            plane.trace(&packet).unwrap()
        };
        assert_eq!(traced(&plane).chosen, Some(crate::Chosen::Scheduler));
        assert_eq!(opened(&plane, 1, 1000..1001), [1]);
        let trace = traced(&plane);
        assert_eq!(trace.chosen, Some(crate::Chosen::Template));
        assert_eq!(
            trace.server.map(|server| last_byte(server.address)),
            Some(1)
        );
        assert_eq!(templates(&plane).len(), 1);
    });
}
