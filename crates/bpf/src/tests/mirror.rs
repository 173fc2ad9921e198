//! What one director's data plane tells another's, and what that makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use evenkeel_abi::{ConnState, Tick, Word};
use evenkeel_model::{
    GateState, OnRemoval, Persistence, Protocol, ServiceEntry, ServiceKey, Weight,
};

use super::ipv6::{OTHER6, VIP6, group6, put, sent, server6, service6};
use super::support::*;
use crate::recount::drift;
use crate::{Connection, DataPlane, Flow, Installed, Mirrored, ServerView, Sizes, SweepBudget};

const PLENTY: usize = 1 << 20;

fn plane_with(entries: &[ServiceEntry]) -> DataPlane {
    let mut plane = detached(Sizes::small());
    for entry in entries {
        put(&mut plane, entry);
    }
    plane
}

fn connect(plane: &DataPlane, port: u16) -> u8 {
    let (verdict, host) = send(plane, port, SYN);
    assert_eq!(verdict, TX);
    assert_eq!(send(plane, port, ACK), (TX, host));
    host
}

fn taken(plane: &mut DataPlane, budget: usize) -> Vec<Connection> {
    let mut taken = Vec::new();
    let given = plane.take_changes(budget, |connection| {
        taken.push(*connection);
        true
    });
    assert_eq!(given, taken.len());
    taken
}

/// Connections but for their expiry.
fn essence(connections: &[Connection]) -> BTreeSet<(Flow, SocketAddr, ConnState, bool)> {
    let essence = |c: &Connection| (c.flow(), c.server, c.state, c.assured);
    connections.iter().map(essence).collect()
}

fn established(plane: &DataPlane) -> Vec<Connection> {
    let all = plane.connections().into_iter();
    all.filter(|connection| !connection.half_open).collect()
}

/// Makes half-open entries older, and established ones that `which` names expire.
fn age(plane: &DataPlane, which: impl Fn(Word) -> bool) {
    let tables = plane.tables();
    for conn in tables.half_open.as_slice().iter().flat_map(|b| &b.ways) {
        conn.born.fetch_sub(Tick::in_secs(2), SeqCst);
    }
    for conn in tables.conns.as_slice().iter().flat_map(|b| &b.ways) {
        let word = Word(conn.word.load(SeqCst));
        if word.is_live() && which(word) {
            let unassured = u64::from(word.is_unassured());
            let old = Word::live(word.server(), word.state(), Tick(1)).unassured_if(unassured);
            let _raced = conn.word.compare_exchange(word.0, old.0, SeqCst, SeqCst);
        }
    }
}

/// Gives all that one plane has to another; what became of each.
fn copy(from: &mut DataPlane, to: &DataPlane) -> Vec<Installed> {
    let changes = taken(from, PLENTY);
    let installed = changes.iter().map(|c| to.install(&Mirrored::from(c)));
    installed.collect()
}

#[test]
fn changes_are_what_packets_did_and_each_is_given_once() {
    in_room(|_| {
        let mut plane = plane_with(&[service(&[server(1, 1), server(2, 1)])]);
        assert!(!plane.has_changes());
        for port in 1000..1040 {
            connect(&plane, port);
        }
        open(&plane, 2000..2004);
        assert!(plane.has_changes());
        let changes = taken(&mut plane, PLENTY);
        assert_eq!(changes.len(), 40, "no half-open ones");
        assert_eq!(essence(&changes), essence(&established(&plane)));
        assert!(!plane.has_changes());
        send(&plane, 1000, ACK);
        assert!(!plane.has_changes(), "a refresh");
        send(&plane, 1000, FIN | ACK);
        let changes = taken(&mut plane, PLENTY);
        let finished = |c: &&Connection| c.flow().client.port() == 1000;
        let finished = changes.iter().find(finished).unwrap();
        assert_eq!(finished.state, ConnState::FinWait);
        assert!(changes.len() <= 8, "a bucket");
    });
}

#[test]
fn a_budget_is_kept_and_the_rest_stays_for_the_next_call() {
    in_room(|_| {
        let mut plane = plane_with(&[service(&[server(1, 1)])]);
        for port in 1000..1200 {
            connect(&plane, port);
        }
        assert_eq!(taken(&mut plane, 7), []);
        let mut all = Vec::new();
        let mut calls = 0;
        while plane.has_changes() {
            let some = taken(&mut plane, 20);
            assert!(some.len() <= 20);
            all.extend(some);
            calls += 1;
        }
        assert!(calls >= 10, "{calls}");
        assert_eq!(all.len(), 200);
        assert_eq!(essence(&all), essence(&established(&plane)));
        // What there was no use for costs nothing of the budget.
        for port in 1000..1200 {
            send(&plane, port, FIN | ACK);
        }
        assert_eq!(plane.take_changes(8, |_| false), 0);
        assert!(!plane.has_changes());
    });
}

#[test]
fn what_is_forgotten_is_given_by_a_walk_alone_and_what_follows_as_a_change() {
    in_room(|_| {
        let mut plane = plane_with(&[service(&[server(1, 1)])]);
        for port in 1000..1100 {
            connect(&plane, port);
        }
        plane.forget_changes();
        assert!(!plane.has_changes());
        let mut walked = 0;
        let end = plane.walk(0, u32::MAX, usize::MAX, |_| {
            walked += 1;
            true
        });
        assert_eq!((end, walked), (None, 100));
        connect(&plane, 2000);
        let given = taken(&mut plane, usize::MAX);
        assert!(given.iter().any(|c| c.client.port() == 2000), "{given:?}");
    });
}

#[test]
fn a_walk_in_parts_comes_by_every_connection_once() {
    in_room(|_| {
        let plane = plane_with(&[service(&[server(1, 1)])]);
        for port in 1000..1100 {
            connect(&plane, port);
        }
        for (buckets, budget) in [(100, PLENTY), (u32::MAX, 16), (1 << 20, PLENTY), (7, 8)] {
            let mut all = Vec::new();
            let mut next = Some(0);
            while let Some(from) = next {
                let before = all.len();
                next = plane.walk(from, buckets, budget, |connection| {
                    all.push(*connection);
                    true
                });
                assert!(all.len() - before <= budget);
                assert!(next.is_none_or(|next| next > from || budget < 16));
            }
            assert_eq!(all.len(), 100);
            assert_eq!(essence(&all), essence(&established(&plane)));
        }
    });
}

#[test]
fn a_connection_that_was_told_goes_on_at_its_server() {
    in_room(|_| {
        let mut active = plane_with(&[service(&[server(1, 1), server(2, 1), server(3, 1)])]);
        let hosts: Vec<u8> = (1000..1030).map(|port| connect(&active, port)).collect();
        // Its servers have other numbers, and one is quiesced.
        let mut backup = plane_with(&[service(&[server(3, 1), server(1, 1), server(2, 0)])]);
        backup.set_gate(VIP.into(), GateState::Closed).unwrap();
        assert_eq!(copy(&mut active, &backup), [Installed::Entered; 30]);
        assert!(
            !backup.has_changes(),
            "no news to the one that told of them"
        );
        assert_eq!(
            essence(&established(&backup)),
            essence(&established(&active))
        );
        assert_eq!(backup.usage().established, 30);
        assert_eq!(backup.usage().unassured, 30);
        send(&active, 1000, FIN | ACK);
        assert!(copy(&mut active, &backup).contains(&Installed::Changed));
        assert_eq!(
            essence(&established(&backup)),
            essence(&established(&active))
        );
        assert!(drift(backup.tables()).unwrap().iter().all(|d| *d == 0));
        backup.set_gate(VIP.into(), GateState::Open).unwrap();
        for (port, host) in (1000..1030).zip(hosts) {
            assert_eq!(send(&backup, port, ACK), (TX, host));
        }
    });
}

#[test]
fn udp_flows_templates_and_groups_are_told_too() {
    in_room(|_| {
        let persistent = |mut entry: ServiceEntry| {
            entry.options.persistence = Some(Persistence {
                timeout: Duration::from_secs(60),
                prefix: 24,
            });
            entry
        };
        let tcp = persistent(service(&[server(1, 1), server(2, 1)]));
        let mut udp = service(&[server(3, 1), server(4, 1)]);
        udp.key = ServiceKey::single(Protocol::Udp, SocketAddr::from((VIP, PORT)));
        let group = persistent(group6());
        let mut single = persistent(service6(&[server6(13, 1), server6(14, 1)]));
        single.key = ServiceKey::single(Protocol::Tcp, SocketAddr::from((OTHER6, 443)));
        let entries = [tcp, udp, group, single];
        let (mut active, mut backup) = (plane_with(&entries), plane_with(&entries));
        for entry in &entries {
            for address in entry.addresses() {
                backup.set_gate(address, GateState::Closed).unwrap();
            }
        }
        // From here on it is another server's turn than at the backup.
        connect(&active, 999);
        for port in 1000..1004 {
            connect(&active, port);
            active.run(&datagram(port)).unwrap();
        }
        age(&active, |_| false);
        for port in 1000..1004 {
            active.run(&datagram(port)).unwrap();
        }
        let of_v6 = [(1, (VIP6, 80)), (1, (OTHER6, 8042)), (2, (OTHER6, 443))];
        for (host, to) in of_v6 {
            for flags in [SYN, ACK] {
                assert_eq!(sent(&active, host, 1000, to, flags).0, TX);
            }
        }
        let outcomes = copy(&mut active, &backup);
        assert!(
            outcomes.iter().all(|o| *o == Installed::Entered),
            "{outcomes:?}"
        );
        let told = established(&active);
        let count = |which: fn(&Connection) -> bool| told.iter().filter(|c| which(c)).count();
        assert_eq!(count(|c| c.template), 3, "{told:#?}");
        assert_eq!(count(|c| c.protocol == 17), 4);
        assert_eq!(count(|c| c.address.is_ipv6() && !c.template), 3);
        assert_eq!(essence(&established(&backup)), essence(&told));
        assert!(drift(backup.tables()).unwrap().iter().all(|d| *d == 0));
        for entry in &entries {
            for address in entry.addresses() {
                backup.set_gate(address, GateState::Open).unwrap();
            }
        }
        for port in 1000..1004 {
            assert_eq!(send(&backup, port, ACK), send(&active, port, ACK));
            let host = |plane: &DataPlane| plane.run(&datagram(port)).unwrap().1[5];
            assert_eq!(host(&backup), host(&active));
        }
        for (host, to) in of_v6 {
            let at = |plane: &DataPlane, port, flags| sent(plane, host, port, to, flags);
            assert_eq!(at(&backup, 1000, ACK), at(&active, 1000, ACK));
            // By the template.
            assert_eq!(at(&backup, 1001, SYN), at(&active, 1001, SYN));
        }
        assert_eq!(send(&backup, 3000, SYN), send(&active, 3000, SYN));
    });
}

fn mirrored(port: u16) -> Mirrored {
    Mirrored {
        flow: Flow {
            client: SocketAddr::from(([198, 18, 14, 99], port)),
            address: SocketAddr::from((VIP, PORT)),
            protocol: 6,
            template: false,
        },
        server: server(1, 1).address,
        state: ConnState::Established,
        remaining: Duration::from_secs(60),
        assured: true,
    }
}

#[test]
fn what_is_not_known_here_or_makes_no_sense_is_not_installed() {
    in_room(|_| {
        let mut plane = plane_with(&[service(&[server(1, 1)])]);
        plane.set_gate(VIP.into(), GateState::Closed).unwrap();
        let refused = |change: fn(&mut Mirrored)| {
            let mut entry = mirrored(1000);
            change(&mut entry);
            plane.install(&entry)
        };
        assert_eq!(
            refused(|m| m.flow.address.set_port(81)),
            Installed::UnknownService
        );
        assert_eq!(refused(|m| m.flow.protocol = 17), Installed::Senseless);
        let of_udp = |m: &mut Mirrored| (m.flow.protocol, m.state) = (17, ConnState::Udp);
        assert_eq!(refused(of_udp), Installed::UnknownService);
        assert_eq!(refused(|m| m.flow.protocol = 99), Installed::UnknownService);
        assert_eq!(
            refused(|m| m.server = server(2, 1).address),
            Installed::UnknownServer
        );
        assert_eq!(
            refused(|m| m.server = server6(1, 1).address),
            Installed::UnknownServer
        );
        assert_eq!(
            refused(|m| m.remaining = Duration::ZERO),
            Installed::Senseless
        );
        assert_eq!(refused(|m| m.state = ConnState::None), Installed::Senseless);
        assert_eq!(refused(|m| m.flow.template = true), Installed::Senseless);
        let v6 = |m: &mut Mirrored| m.flow.client = SocketAddr::from((VIP6, 1));
        assert_eq!(refused(v6), Installed::Senseless);
        let of_group = |m: &mut Mirrored| {
            m.flow.template = true;
            m.flow.protocol = 0;
            m.state = ConnState::None;
        };
        assert_eq!(refused(of_group), Installed::UnknownService);
        assert_eq!(plane.connections(), []);
        assert_eq!(plane.install(&mirrored(1000)), Installed::Entered);
        let [connection] = plane.connections().try_into().unwrap();
        assert_eq!(
            Mirrored {
                remaining: connection.expires,
                ..mirrored(1000)
            },
            Mirrored::from(&connection)
        );
        let shorter = Duration::from_secs(60).saturating_sub(connection.expires);
        assert!(shorter < Duration::from_secs(5), "{connection:?}");
        plane.remove_service(&key(VIP, PORT)).unwrap();
        assert_eq!(plane.install(&mirrored(1001)), Installed::UnknownService);
    });
}

#[test]
fn a_kept_server_gets_what_is_told_of_it_and_a_removed_one_does_not() {
    in_room(|_| {
        let mut entry = service(&[server(1, 1), server(2, 1)]);
        entry.options.on_removal = OnRemoval::Keep;
        let mut plane = plane_with(&[entry.clone()]);
        connect(&plane, 1);
        entry.servers.remove(0);
        put(&mut plane, &entry);
        assert_eq!(plane.install(&mirrored(1000)), Installed::Entered);
        assert_eq!(send(&plane, 1000, ACK), (TX, 1));
        entry.options.on_removal = OnRemoval::Drop;
        put(&mut plane, &entry);
        assert_eq!(plane.install(&mirrored(1001)), Installed::UnknownServer);
    });
}

#[test]
fn a_held_server_has_its_flows_and_gets_no_new_ones() {
    in_room(|_| {
        let both = service(&[server(1, 1), server(2, 1)]);
        let mut holding = service(&[server(2, 1)]);
        holding.held = vec![server(1, 0)];
        // From the list, and from nowhere.
        for mut plane in [
            plane_with(&[both.clone(), holding.clone()]),
            plane_with(&[holding.clone()]),
        ] {
            assert_eq!(plane.install(&mirrored(1000)), Installed::Entered);
            assert_eq!(send(&plane, 1000, ACK), (TX, 1));
            for port in 2000..2010 {
                assert_eq!(connect(&plane, port), 2);
                assert_eq!(
                    send(&plane, port + 100, ACK),
                    (TX, 2),
                    "unknown flows neither"
                );
            }
            let view = plane.snapshot().unwrap().remove(0);
            let addresses =
                |servers: &[ServerView]| servers.iter().map(|s| s.address).collect::<Vec<_>>();
            assert_eq!(addresses(&view.servers), [server(2, 1).address]);
            assert_eq!(addresses(&view.held), [server(1, 1).address]);
            assert_eq!(view.held[0].active, 1);
            assert!(
                plane
                    .connections()
                    .iter()
                    .any(|c| c.server == server(1, 1).address)
            );
            // It comes back with its flows.
            put(&mut plane, &both);
            assert_eq!(plane.snapshot().unwrap()[0].servers[0].active, 1);
            assert_eq!(send(&plane, 1000, ACK), (TX, 1));
            // It is held again, and then let go of.
            put(&mut plane, &holding);
            assert_eq!(send(&plane, 1000, ACK), (TX, 1));
            put(&mut plane, &service(&[server(2, 1)]));
            assert_eq!(send(&plane, 1000, ACK).0, DROP);
            assert_eq!(plane.install(&mirrored(1001)), Installed::UnknownServer);
        }
    });
}

#[test]
fn a_held_server_is_reached_by_another_way_in_place_and_leaves_with_its_service() {
    in_room(|_| {
        let mut holding = service(&[server(2, 1)]);
        holding.held = vec![server(1, 0)];
        let mut plane = plane_with(&[holding.clone()]);
        assert_eq!(plane.install(&mirrored(1000)), Installed::Entered);
        let replaced = |plane: &DataPlane| plane.book.services[&key(VIP, PORT)].replaced;
        let before = replaced(&plane);
        holding.held[0].hop = server(7, 1).hop;
        put(&mut plane, &holding);
        assert_eq!(send(&plane, 1000, ACK), (TX, 7));
        assert_eq!(connect(&plane, 1001), 2, "it is held still");
        assert_eq!(replaced(&plane), before);
        plane.remove_service(&key(VIP, PORT)).unwrap();
        put(&mut plane, &service(&[server(2, 1)]));
        assert_eq!(send(&plane, 1000, ACK).0, DROP);
    });
}

#[test]
fn a_successor_holds_what_was_held() {
    in_room(|room| {
        let options = room.options();
        let mut entry = service(&[server(2, 1)]);
        entry.held = vec![server(1, 0)];
        entry.held[0].hash_weight = Weight::QUIESCED;
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        plane.put_service(&entry).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        assert_eq!(plane.install(&mirrored(1000)), Installed::Entered);
        drop(plane);
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted, [entry.clone()]);
        assert_eq!(send(&plane, 1000, ACK), (TX, 1));
        plane.put_service(&entry).unwrap();
        plane.sweep(SweepBudget { places: 1 << 20 });
        assert_eq!(send(&plane, 1000, ACK), (TX, 1));
    });
}

#[test]
fn where_the_gate_is_open_what_this_director_has_stays() {
    in_room(|_| {
        let mut plane = plane_with(&[service(&[server(2, 1), server(1, 1)])]);
        assert_eq!(connect(&plane, 1000), 2);
        assert_eq!(plane.install(&mirrored(1000)), Installed::Kept);
        assert_eq!(send(&plane, 1001, SYN), (TX, 1), "half-open");
        assert_eq!(plane.install(&mirrored(1001)), Installed::Kept);
        assert_eq!(plane.install(&mirrored(1002)), Installed::Entered);
        assert!(!plane.remove(&mirrored(1002).flow), "its own");
        for (state, port) in [(GateState::Draining, 1000), (GateState::Closed, 1001)] {
            plane.set_gate(VIP.into(), state).unwrap();
            assert!(matches!(
                plane.install(&mirrored(port)),
                Installed::Changed | Installed::Entered
            ));
        }
        let usage = plane.usage();
        assert_eq!(
            (usage.established, usage.unassured, usage.half_open),
            (3, 0, 0)
        );
        assert!(plane.remove(&mirrored(1002).flow));
        assert!(!plane.remove(&mirrored(1002).flow));
        assert!(drift(plane.tables()).unwrap().iter().all(|d| *d == 0));
    });
}

#[test]
fn what_the_sweep_takes_out_is_told_where_somebody_asks() {
    in_room(|_| {
        let entries = [service(&[server(1, 1)]), service6(&[server6(11, 1)])];
        let mut plane = plane_with(&entries);
        let open_all = |plane: &DataPlane| {
            for port in 1000..1010 {
                connect(plane, port);
                for flags in [SYN, ACK] {
                    assert_eq!(sent(plane, 1, port, (VIP6, PORT), flags), (TX, 11));
                }
            }
        };
        open_all(&plane);
        age(&plane, |_| true);
        assert_eq!(plane.sweep(SweepBudget::default()).established, 20);
        assert_eq!(plane.take_removals(PLENTY), [], "nobody asked");
        plane.keep_removals(100);
        open_all(&plane);
        let flows: BTreeSet<Flow> = established(&plane).iter().map(Connection::flow).collect();
        age(&plane, |_| true);
        assert_eq!(plane.sweep(SweepBudget::default()).established, 20);
        // One that lives again is none.
        connect(&plane, 1000);
        let mut removed = plane.take_removals(5);
        removed.extend(plane.take_removals(PLENTY));
        assert_eq!(removed.len(), 19);
        assert!(removed.iter().all(|flow| flows.contains(flow)));
        assert!(!removed.contains(&mirrored(1000).flow));
        assert_eq!(plane.removals_lost(), 0);
        plane.keep_removals(4);
        open_all(&plane);
        age(&plane, |_| true);
        assert_eq!(plane.sweep(SweepBudget::default()).established, 20);
        assert_eq!(plane.take_removals(PLENTY).len(), 4);
        assert_eq!(plane.removals_lost(), 16);
    });
}

#[test]
fn new_flows_are_placed_by_the_hash_unless_it_is_put_off() {
    in_room(|_| {
        let servers = [server(1, 1), server(2, 1), server(3, 1)];
        let (plane, bare) = (
            plane_with(&[service(&servers)]),
            plane_with(&[service(&servers)]),
        );
        plane.place_by_hash_in(Some(Duration::ZERO));
        for port in 1000..1040 {
            let (verdict, host) = send(&plane, port, SYN);
            assert_eq!(verdict, TX);
            assert_eq!(send(&bare, port, ACK), (TX, host), "as a partner places it");
        }
        assert_eq!(plane.usage().half_open, 40);
        assert!(!plane.usage().flood);
        let asked = || {
            let events = plane.events().unwrap();
            let asked = events.iter().find(|event| event.name == "asked-syn");
            asked.unwrap().value
        };
        assert_eq!(asked(), 40);
        plane.place_by_hash_in(None);
        assert_eq!(open(&plane, 2000..2003), [1, 2, 3]);
        // As long as nobody puts it off.
        plane.place_by_hash_in(Some(Duration::from_secs(3600)));
        send(&plane, 3000, SYN);
        assert_eq!(asked(), 40);
        plane.place_by_hash_in(Some(Duration::from_millis(1)));
        let mut port = 3000;
        wait_until("it is not put off any more", || {
            port += 1;
            send(&plane, port, SYN);
            asked() > 40
        });
    });
}

#[test]
fn nothing_is_lost_while_packets_flow() {
    in_room(|room| {
        let options = room.options();
        // The program of the first start runs on for the packets; the second one owns the maps.
        let (packets, _) = DataPlane::start(&options).unwrap();
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        put(
            &mut plane,
            &service(&[server(1, 1), server(2, 1), server(3, 1)]),
        );
        plane.keep_removals(PLENTY);
        let stop = AtomicBool::new(false);
        let mut copy: BTreeMap<Flow, Connection> = BTreeMap::new();
        let mut follow = |plane: &mut DataPlane| {
            for flow in plane.take_removals(PLENTY) {
                copy.remove(&flow);
            }
            for connection in taken(plane, PLENTY) {
                copy.insert(connection.flow(), connection);
            }
            copy.clone()
        };
        thread::scope(|scope| {
            for seed in [11, 13] {
                let (packets, stop) = (&packets, &stop);
                scope.spawn(move || super::concurrency::disturb(packets, seed, stop));
            }
            for round in 0..500 {
                age(&plane, |word| {
                    (word.0 ^ u64::from(word.server()) ^ round).is_multiple_of(5)
                });
                plane.sweep(SweepBudget::default());
                let _told = plane.install(&mirrored(1000 + u16::try_from(round % 64).unwrap()));
                follow(&mut plane);
            }
            stop.store(true, SeqCst);
        });
        plane.sweep(SweepBudget::default());
        let copy = follow(&mut plane);
        assert_eq!(plane.removals_lost(), 0);
        let drift = drift(plane.tables()).unwrap();
        assert!(drift.iter().all(|d| *d == 0), "{drift:?}");
        // What was installed is no news: only packets' own flows have to be there.
        let mut own = 0;
        for connection in established(&plane) {
            match copy.get(&connection.flow()) {
                Some(told) => {
                    own += 1;
                    assert_eq!(
                        (told.server, told.state),
                        (connection.server, connection.state)
                    );
                }
                None => assert!(connection.assured, "installed: {connection:?}"),
            }
        }
        assert!(own > 5, "{own}");
        let flows: BTreeSet<Flow> = established(&plane).iter().map(Connection::flow).collect();
        let dead = copy.keys().find(|flow| !flows.contains(flow));
        assert_eq!(dead, None);
    });
}

#[test]
fn a_successor_counts_what_was_installed() {
    in_room(|room| {
        let options = room.options();
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        plane.put_service(&service(&[server(1, 1)])).unwrap();
        for port in 1000..1020 {
            assert_eq!(plane.install(&mirrored(port)), Installed::Entered);
        }
        let (usage, before) = (plane.usage(), plane.connections());
        drop(plane);
        let (plane, _) = DataPlane::start(&options).unwrap();
        assert_eq!(plane.usage(), usage);
        assert_eq!(essence(&plane.connections()), essence(&before));
        assert!(drift(plane.tables()).unwrap().iter().all(|d| *d == 0));
    });
}
