use std::collections::BTreeSet;

use evenkeel_model::{GateState, MaglevOptions, MaglevSlots, Scheduler};

use super::support::*;
use crate::{DataPlane, Sizes};

fn plane(slots: MaglevSlots, by_client: bool) -> DataPlane {
    let mut plane = detached(Sizes {
        arena_words: 1 << 21,
        ..Sizes::small()
    });
    let mut entry = service(&[server(1, 1), server(2, 1), server(3, 1)]);
    entry.scheduler = Scheduler::Maglev;
    entry.options.maglev = MaglevOptions { slots, by_client };
    plane.put_service(&entry).unwrap();
    plane.set_gate(VIP.into(), GateState::Open).unwrap();
    plane
}

/// The servers that a client's connections go to, and its segments of no known connection.
fn servers_of(plane: &DataPlane, client: u8) -> BTreeSet<u8> {
    let ports = (1024..1032).map(|port| (port, SYN));
    ports
        .chain((2024..2032).map(|port| (port, ACK)))
        .map(|(port, flags)| {
            let mut frame = packet(port, flags);
            frame[26..30].copy_from_slice(&[203, 0, 113, client]);
            let (verdict, frame) = plane.run(&frame).unwrap();
            assert_eq!(verdict, TX);
            frame[5]
        })
        .collect()
}

#[test]
fn by_the_client_all_of_its_connections_go_to_one_server() {
    for slots in [MaglevSlots::Auto, MaglevSlots::Small, MaglevSlots::Large] {
        let plane = plane(slots, true);
        let mut used = BTreeSet::new();
        for client in 1..40 {
            let servers = servers_of(&plane, client);
            assert_eq!(servers.len(), 1, "{slots:?}, client {client}: {servers:?}");
            used.extend(servers);
        }
        assert_eq!(used, BTreeSet::from([1, 2, 3]), "{slots:?}");
    }
}

#[test]
fn by_the_flow_a_clients_connections_are_spread() {
    for slots in [MaglevSlots::Small, MaglevSlots::Large] {
        let servers = servers_of(&plane(slots, false), 1);
        assert_eq!(servers, BTreeSet::from([1, 2, 3]), "{slots:?}");
    }
}
