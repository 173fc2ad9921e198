use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use aya::maps::{Array, Map, MapData};
use evenkeel_abi::{ConnState, DropReason, Event, map};
use evenkeel_model::{Forwarding, GateState, Hop, MacAddress, Protocol, Scheduler, ServerEntry};
use evenkeel_testkit::Dice;

use super::support::*;
use crate::{Chosen, DataPlane, Fate, Sizes, Trace, TracePacket};

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 99);

/// The packet that [`send`] sends.
fn asked(client_port: u16, flags: u8) -> TracePacket {
    TracePacket {
        protocol: Protocol::Tcp,
        client: SocketAddr::from((CLIENT, client_port)),
        address: SocketAddr::from((VIP, PORT)),
        flags,
    }
}

fn trace(plane: &DataPlane, client_port: u16, flags: u8) -> Trace {
    plane.trace(&asked(client_port, flags)).unwrap()
}

/// Last byte of the server's address, and of its MAC address.
fn host(trace: &Trace) -> Option<u8> {
    trace.server.map(|server| last_byte(server.address))
}

/// Small enough that all words are read soon.
const SIZES: Sizes = Sizes {
    connections: 1 << 8,
    half_open: 1 << 8,
    servers: 1 << 6,
    arena_words: 1 << 13,
    ..Sizes::small()
};

fn plane_with(scheduler: Scheduler, servers: &[ServerEntry]) -> DataPlane {
    let mut plane = detached(SIZES);
    put(&mut plane, scheduler, servers);
    plane.set_gate(VIP.into(), GateState::Open).unwrap();
    plane
}

fn put(plane: &mut DataPlane, scheduler: Scheduler, servers: &[ServerEntry]) {
    let mut entry = service(servers);
    entry.scheduler = scheduler;
    plane.put_service(&entry).unwrap();
}

/// A connection's entry as a trace tells it: table, state, and last byte of the server's address.
fn told(entry: Option<crate::TracedEntry>) -> Option<(bool, ConnState, u8)> {
    entry.map(|e| (e.half_open, e.state, last_byte(e.server)))
}

/// The same of the connection that the tables hold.
fn held(plane: &DataPlane, client_port: u16) -> Option<(bool, ConnState, u8)> {
    let mut connections = plane.connections().into_iter();
    let connection = connections.find(|c| c.client.port() == client_port)?;
    let host = last_byte(connection.server);
    Some((connection.half_open, connection.state, host))
}

/// Sends the packet right after tracing it: all that was told holds.
fn agree(plane: &DataPlane, client_port: u16, flags: u8) {
    let what = format!("port {client_port}, flags {flags:#04x}");
    let trace = trace(plane, client_port, flags);
    assert_eq!(told(trace.entry), held(plane, client_port), "{what}");
    let (verdict, to) = send(plane, client_port, flags);
    let (expected, host) = match trace.fate {
        Fate::Passed => (PASS, None),
        Fate::Forwarded => (TX, host(&trace)),
        Fate::Answered(_) => (TX, None),
        Fate::Dropped(_) => (DROP, None),
    };
    assert_eq!(verdict, expected, "{what}: {trace:?}");
    if let Some(host) = host {
        assert_eq!(to, host, "{what}: {trace:?}");
    }
    assert_eq!(
        told(trace.entry_after),
        held(plane, client_port),
        "{what}: {trace:?}"
    );
}

#[test]
fn the_program_does_what_a_trace_tells_whatever_the_scheduler() {
    in_room(|_| {
        let ports: Vec<u16> = (1000..1040).collect();
        let flags = [SYN, SYN, SYN, ACK, ACK, FIN | ACK, RST, SYN | ACK, 0];
        let servers = [server(12, 1), server(13, 3), server(14, 2)];
        let mut plane = plane_with(Scheduler::RoundRobin, &servers);
        for scheduler in Scheduler::ALL {
            put(&mut plane, scheduler, &servers);
            let mut random = Dice::new(1);
            for _ in 0..400 {
                agree(&plane, random.pick(&ports), random.pick(&flags));
            }
            // A quiesced server and one that left, then none at all.
            put(&mut plane, scheduler, &[server(12, 0), server(14, 2)]);
            for _ in 0..200 {
                agree(&plane, random.pick(&ports), random.pick(&flags));
            }
            put(&mut plane, scheduler, &[]);
            for _ in 0..20 {
                agree(&plane, random.pick(&ports), random.pick(&flags));
            }
        }
    });
}

#[test]
fn the_program_does_what_a_trace_tells_under_pressure() {
    in_room(|_| {
        let servers = [server(12, 1), server(13, 0)];
        for scheduler in [Scheduler::RoundRobin, Scheduler::Maglev] {
            let mut plane = detached(Sizes {
                half_open: 8,
                ..SIZES
            });
            put(&mut plane, scheduler, &servers);
            plane.set_gate(VIP.into(), GateState::Open).unwrap();
            for port in 1000..1100 {
                agree(&plane, port, SYN);
                agree(&plane, port, ACK);
            }
            let state = plane.tables().state.get(0).unwrap();
            state.flood_until.store(u64::MAX, SeqCst);
            for port in 1100..1200 {
                agree(&plane, port, SYN);
            }
            state.flood_until.store(0, SeqCst);
            plane.place_by_hash_in(Some(Duration::ZERO));
            for port in 1200..1300 {
                agree(&plane, port, SYN);
                agree(&plane, port, ACK);
            }
        }
    });
}

/// All words of an array map, by its name.
fn array<const WORDS: usize>(plane: &DataPlane, name: &str, words: &mut Vec<u64>) {
    let found: &Map = plane.ebpf.map(name).unwrap();
    let array = Array::<&MapData, [u64; WORDS]>::try_from(found).unwrap();
    for index in 0..array.len() {
        words.extend(array.get(&index, 0).unwrap());
    }
}

/// All that the maps hold.
fn words(plane: &DataPlane) -> (Vec<u64>, String) {
    let mut words = Vec::new();
    array::<11>(plane, map::GLOBALS, &mut words);
    array::<6>(plane, map::STATE, &mut words);
    array::<2>(plane, map::LINKS, &mut words);
    array::<8>(plane, map::GATES, &mut words);
    array::<8>(plane, map::ROUTERS, &mut words);
    array::<1>(plane, map::SERVICE_HINTS, &mut words);
    array::<72>(plane, map::SERVICES, &mut words);
    array::<8>(plane, map::SERVERS, &mut words);
    array::<8>(plane, map::LOADS, &mut words);
    array::<1>(plane, map::ARENA, &mut words);
    array::<32>(plane, map::CONNS, &mut words);
    array::<16>(plane, map::CONN_CLIENTS, &mut words);
    array::<16>(plane, map::HALF_OPEN_CLIENTS, &mut words);
    array::<32>(plane, map::HALF_OPEN, &mut words);
    array::<1>(plane, map::CHANGED, &mut words);
    let tables = plane.tables();
    let vips: Vec<_> = tables.vips.iter().map(Result::unwrap).collect();
    let ids: Vec<_> = tables.service_ids.iter().map(Result::unwrap).collect();
    let counters = (0..64).map(|i| {
        let service = tables.service_stats.get(&i, 0).unwrap();
        let server = tables.server_stats.get(&i, 0).unwrap();
        (service.to_vec(), server.to_vec())
    });
    let counters: Vec<_> = counters.collect();
    let (drops, events) = (plane.drops().unwrap(), plane.events().unwrap());
    let rest = format!("{vips:?} {ids:?} {counters:?} {drops:?} {events:?}");
    (words, rest)
}

#[test]
fn a_trace_changes_no_word_of_any_map() {
    in_room(|_| {
        let servers = [server(12, 1), server(13, 2), server(14, 0)];
        let mut plane = plane_with(Scheduler::RoundRobin, &servers);
        // So that an advertisement is noted.
        let router = plane.tables().routers.get(51).unwrap();
        router.used.store(1, SeqCst);
        for scheduler in Scheduler::ALL {
            put(&mut plane, scheduler, &servers);
            for port in 1000..1010 {
                send(&plane, port, SYN);
                send(&plane, port, if port % 2 == 0 { ACK } else { FIN });
            }
            send(&plane, 1011, SYN);
            let before = words(&plane);
            for flags in [SYN, ACK, FIN | ACK, RST] {
                for port in 1000..1020 {
                    trace(&plane, port, flags);
                }
            }
            let datagram = TracePacket {
                protocol: Protocol::Udp,
                ..asked(1000, 0)
            };
            plane.trace(&datagram).unwrap();
            for frame in [
                arp_request(VIP),
                advert(51, [198, 18, 14, 9].into(), VIP),
                packet(1003, SYN),
            ] {
                plane.trace_frame(&frame).unwrap();
            }
            let after = words(&plane);
            assert!(before.0 == after.0, "{}: words", scheduler.name());
            assert_eq!(before.1, after.1, "{}", scheduler.name());
        }
    });
}

#[test]
fn a_trace_names_the_entry_or_what_chooses_without_one() {
    in_room(|_| {
        let plane = plane_with(Scheduler::RoundRobin, &[server(12, 1), server(13, 1)]);
        let new = trace(&plane, 1000, SYN);
        assert_eq!(
            (new.fate, new.chosen),
            (Fate::Forwarded, Some(Chosen::Scheduler))
        );
        assert_eq!(
            (new.gate, new.scheduler),
            (Some(GateState::Open), Some(Scheduler::RoundRobin))
        );
        assert_eq!(told(new.entry), None);
        assert_eq!(told(new.entry_after), Some((true, ConnState::SynRecv, 12)));
        let to = new.server.unwrap();
        assert_eq!(to.hop, MacAddress([2, 0, 0, 0, 1, 12]).into());
        assert_eq!(to.forwarding, Forwarding::DirectRouting);

        let unknown = trace(&plane, 1000, ACK);
        assert_eq!(unknown.chosen, Some(Chosen::HashUnknown));
        assert_eq!(unknown.events, [Event::UnknownFlow]);
        assert_eq!(unknown.entry_after, None);

        assert_eq!(send(&plane, 1000, SYN), (TX, 12));
        let half_open = trace(&plane, 1000, ACK);
        assert_eq!(half_open.chosen, Some(Chosen::Entry));
        assert_eq!(told(half_open.entry), Some((true, ConnState::SynRecv, 12)));
        let established = (false, ConnState::Established, 12);
        assert_eq!(told(half_open.entry_after), Some(established));
        send(&plane, 1000, ACK);
        let known = trace(&plane, 1000, ACK);
        assert_eq!(known.chosen, Some(Chosen::Entry));
        assert_eq!(told(known.entry), Some(established));
        assert!(known.entry.unwrap().expires.as_secs() > 890);

        send(&plane, 1000, RST);
        let anew = trace(&plane, 1000, SYN);
        assert_eq!(anew.chosen, Some(Chosen::SchedulerAnew));
        assert_eq!(
            told(anew.entry_after),
            Some((false, ConnState::SynRecv, 13))
        );
    });
}

#[test]
fn a_trace_names_the_consistent_hash_under_pressure() {
    in_room(|_| {
        let mut plane = plane_with(Scheduler::RoundRobin, &[server(12, 1), server(13, 1)]);
        let flood = |plane: &DataPlane, until| {
            let state = plane.tables().state.get(0).unwrap();
            state.flood_until.store(until, SeqCst);
        };
        flood(&plane, u64::MAX);
        assert_eq!(trace(&plane, 1, SYN).chosen, Some(Chosen::HashFlood));
        flood(&plane, 0);
        plane.place_by_hash_in(Some(Duration::ZERO));
        assert_eq!(trace(&plane, 1, SYN).chosen, Some(Chosen::HashAsked));
        plane.place_by_hash_in(None);
        flood(&plane, u64::MAX);
        put(
            &mut plane,
            Scheduler::RoundRobin,
            &[server(12, 1), server(13, 0)],
        );
        let chosen: Vec<_> = (1..40).map(|port| trace(&plane, port, SYN)).collect();
        assert!(chosen.iter().all(|trace| host(trace) == Some(12)));
        let fresh = |trace: &&Trace| trace.chosen == Some(Chosen::HashFresh);
        let entered = |trace: &Trace| trace.entry_after.is_some();
        assert!(chosen.iter().any(|trace| fresh(&trace)), "{chosen:?}");
        assert!(chosen.iter().filter(fresh).all(entered), "{chosen:?}");
        flood(&plane, 0);
        let globals = plane.tables().globals.get(0).unwrap();
        globals.unassured_max.store(0, SeqCst);
        put(&mut plane, Scheduler::RoundRobin, &[server(12, 1)]);
        assert_eq!(trace(&plane, 1, SYN).chosen, Some(Chosen::HashFull));
    });
}

#[test]
fn a_trace_says_why_a_packet_goes_to_no_server() {
    in_room(|_| {
        let mut plane = plane_with(Scheduler::RoundRobin, &[server(12, 1)]);
        let elsewhere = |address: Ipv4Addr, port| TracePacket {
            address: SocketAddr::from((address, port)),
            ..asked(1000, SYN)
        };
        let tell = |plane: &DataPlane, packet| {
            let trace = plane.trace(&packet).unwrap();
            (trace.fate, trace.gate, trace.scheduler.is_some())
        };
        let nobodys = elsewhere([198, 18, 14, 1].into(), PORT);
        assert_eq!(tell(&plane, nobodys), (Fate::Passed, None, false));
        let open = Some(GateState::Open);
        assert_eq!(
            tell(&plane, elsewhere(VIP, 81)),
            (Fate::Passed, open, false)
        );
        send(&plane, 1000, SYN);
        put(&mut plane, Scheduler::RoundRobin, &[]);
        let gone = trace(&plane, 1000, ACK);
        assert_eq!(gone.fate, Fate::Dropped(DropReason::ServerGone));
        assert_eq!(told(gone.entry), Some((true, ConnState::SynRecv, 12)));
        assert_eq!(
            trace(&plane, 1001, SYN).fate,
            Fate::Answered(DropReason::NoServer)
        );
        plane.set_gate(VIP.into(), GateState::Closed).unwrap();
        let closed = Some(GateState::Closed);
        assert_eq!(tell(&plane, asked(1000, ACK)), (Fate::Passed, closed, true));
        let mut local = server(13, 1);
        (local.forwarding, local.hop) = (Forwarding::Local, Hop::NONE);
        put(&mut plane, Scheduler::RoundRobin, &[local]);
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        let own = trace(&plane, 1002, SYN);
        assert_eq!((own.fate, host(&own)), (Fate::Passed, Some(13)));
    });
}
