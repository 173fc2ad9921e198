use std::collections::BTreeSet;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

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

/// Where packets of unknown flows go, by client.
fn placed(plane: &DataPlane) -> Vec<u8> {
    (0..64).map(|client| placed_one(plane, client)).collect()
}

fn placed_one(plane: &DataPlane, client: u8) -> u8 {
    let mut frame = packet(2024, ACK);
    frame[26..30].copy_from_slice(&[203, 0, 113, client]);
    let (verdict, frame) = plane.run(&frame).unwrap();
    assert_eq!(verdict, TX);
    frame[5]
}

#[test]
fn packets_meet_one_table_or_the_other_while_they_change() {
    in_room(|room| {
        let mut options = room.options();
        options.sizes.arena_words = 1 << 23;
        // The program of the first start runs on for the packets; the second one owns the maps.
        let (packets, _) = DataPlane::start(&options).unwrap();
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        plane.put_service(&service(&[server(1, 1)])).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        for slots in [MaglevSlots::Small, MaglevSlots::Large] {
            let entry = |hosts: [u8; 3]| {
                let mut entry = service(&hosts.map(|host| server(host, 1)));
                entry.scheduler = Scheduler::Maglev;
                entry.options.maglev.slots = slots;
                entry
            };
            let entries = [entry([1, 2, 3]), entry([2, 3, 4])];
            let tables = entries.each_ref().map(|entry| {
                plane.put_service(entry).unwrap();
                placed(&plane)
            });
            let differing: Vec<u8> = (0..64u8)
                .filter(|c| tables[0][usize::from(*c)] != tables[1][usize::from(*c)])
                .collect();
            assert!(differing.len() > 10, "{slots:?}: {differing:?}");
            // Even: at rest, odd: changing; the table at rest is that of half the number.
            let turn = AtomicU32::new(2);
            thread::scope(|scope| {
                let looker = scope.spawn(|| watch(&packets, &tables, &differing, &turn));
                for change in 1..=40 {
                    turn.fetch_add(1, SeqCst);
                    plane.put_service(&entries[1 - change % 2]).unwrap();
                    turn.fetch_add(1, SeqCst);
                }
                turn.store(u32::MAX, SeqCst);
                let (seen, changing) = looker.join().unwrap();
                assert!(
                    changing > 10,
                    "{slots:?}: {changing} of {seen} during a change"
                );
            });
        }
    });
}

/// Sends packets until the turns end: each goes where one table says, that at rest where the change is over, and within
/// a change never to the old one after the new one. How many there were, and how many of them during a change.
fn watch(plane: &DataPlane, tables: &[Vec<u8>; 2], clients: &[u8], turn: &AtomicU32) -> (u32, u32) {
    let (mut seen, mut changing) = (0, 0);
    let mut newest = (0, false);
    for client in clients.iter().cycle() {
        let before = turn.load(SeqCst);
        let server = placed_one(plane, *client);
        let after = turn.load(SeqCst);
        if after == u32::MAX {
            break;
        }
        seen += 1;
        let [of_even, of_odd] = tables.each_ref().map(|table| table[usize::from(*client)]);
        assert!([of_even, of_odd].contains(&server), "{server} of {client}");
        if before != after {
            continue;
        }
        // The second table stands before the first change.
        let table_at = |turn: u32| {
            if (turn / 2).is_multiple_of(2) {
                of_even
            } else {
                of_odd
            }
        };
        if before.is_multiple_of(2) {
            assert_eq!(server, table_at(before), "after turn {before}");
            continue;
        }
        changing += 1;
        if newest.0 != before {
            newest = (before, false);
        }
        let is_new = server == table_at(before + 1);
        assert!(
            is_new || !newest.1,
            "the old table after the new one, turn {before}"
        );
        newest.1 |= is_new;
    }
    (seen, changing)
}
