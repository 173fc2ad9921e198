use evenkeel_model::GateState;

use super::support::*;
use crate::Sizes;

#[test]
fn an_open_service_sends_syns_round_robin_in_list_order() {
    in_room(|_| {
        let mut plane = detached(Sizes::small());
        plane
            .put_service(&service(&[server(14, 1), server(13, 1), server(12, 1)]))
            .unwrap();
        assert_eq!(
            send(&plane, 1000, SYN).0,
            PASS,
            "the gate is closed at first"
        );
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        assert_eq!(open(&plane, 1000..1006), [14, 13, 12, 14, 13, 12]);
        let view = &plane.snapshot().unwrap()[0];
        assert_eq!(view.gate, GateState::Open);
        assert_eq!(
            (view.stats.conns, view.stats.packets, view.stats.bytes),
            (6, 6, 240)
        );
        let counts: Vec<_> = view
            .servers
            .iter()
            .map(|s| (s.active, s.inactive, s.stats.conns))
            .collect();
        assert_eq!(counts, [(2, 0, 2); 3]);
        assert_eq!(plane.usage().half_open, 6);
    });
}

#[test]
fn a_service_without_servers_counts_a_drop() {
    in_room(|_| {
        let mut plane = detached(Sizes::small());
        plane.put_service(&service(&[])).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        assert_ne!(send(&plane, 1000, SYN).0, PASS);
        plane.put_service(&service(&[server(12, 0)])).unwrap();
        assert_ne!(send(&plane, 1001, SYN).0, PASS);
        let drops = plane.drops().unwrap();
        let none = drops
            .iter()
            .find(|counter| counter.name == "no-server")
            .unwrap();
        assert_eq!(none.value, 2);
    });
}

#[test]
fn connections_are_listed_with_their_state_and_server() {
    in_room(|_| {
        let mut plane = detached(Sizes::small());
        plane.put_service(&service(&[server(12, 1)])).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        send(&plane, 1000, SYN);
        send(&plane, 1000, ACK);
        send(&plane, 2000, SYN);
        let connections = plane.connections();
        let told: Vec<_> = connections
            .iter()
            .map(|c| {
                (
                    c.client.to_string(),
                    c.address.to_string(),
                    c.server.to_string(),
                    c.state.name(),
                    c.half_open,
                )
            })
            .collect();
        let (address, server) = ("198.18.14.146:80".to_owned(), "198.18.14.12:80".to_owned());
        assert_eq!(
            told,
            [
                (
                    "198.18.14.99:1000".to_owned(),
                    address.clone(),
                    server.clone(),
                    "ESTABLISHED",
                    false
                ),
                (
                    "198.18.14.99:2000".to_owned(),
                    address,
                    server,
                    "SYN_RECV",
                    true
                ),
            ]
        );
        assert!(connections[0].expires.as_secs_f64() > 890.0);
        assert!(!connections[0].assured);
        assert_eq!(plane.usage().established, 1);
        assert_eq!(plane.usage().unassured, 1);
    });
}

#[test]
fn connections_are_found_by_their_service_and_counted_beyond_the_limit() {
    in_room(|_| {
        let mut plane = detached(Sizes::small());
        let web = service(&[server(12, 1), server(13, 1)]);
        plane.put_service(&web).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        for port in 1000..1006 {
            send(&plane, port, SYN);
        }
        for port in 1000..1003 {
            send(&plane, port, ACK);
        }
        let of_web = plane.find_connections(usize::MAX, |c| c.service == Some(web.key));
        assert_eq!((of_web.matched, of_web.connections.len()), (6, 6));
        let two = plane.find_connections(2, |c| c.half_open);
        assert_eq!((two.matched, two.connections.len()), (3, 2));
        assert!(two.connections.iter().all(|c| c.half_open));
        let none = plane.find_connections(0, |_any| true);
        assert_eq!((none.matched, none.connections.len()), (6, 0));
        // Those of a server that has left are still its service's.
        plane.put_service(&service(&[server(13, 1)])).unwrap();
        let gone = |c: &crate::Connection| {
            c.service == Some(web.key) && c.server.ip() == web.servers[0].address.ip()
        };
        assert_eq!(plane.find_connections(0, gone).matched, 3);
    });
}

#[test]
fn another_loaded_program_of_the_object_can_be_run() {
    in_room(|_| {
        let mut plane = detached(Sizes::small());
        let run = crate::Run {
            program: "pass",
            repeat: 10,
            ..crate::Run::default()
        };
        assert!(plane.run_with(&packet(1, SYN), run).is_err());
        plane.load_program("pass").unwrap();
        let ran = plane.run_with(&packet(1, SYN), run).unwrap();
        assert_eq!((ran.verdict, ran.packet), (PASS, packet(1, SYN)));
    });
}
