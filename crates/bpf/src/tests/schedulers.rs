use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use evenkeel_model::wrr::WeightedRoundRobin;
use evenkeel_model::{
    Forwarding, GateState, Hop, MacAddress, Protocol, Scheduler, ServerEntry, ServiceEntry,
    ServiceKey, Weight, buckets, least, mh,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::support::*;
use crate::adopt::rebuild;
use crate::{DataPlane, PutError, Sizes};

fn by(scheduler: Scheduler, servers: &[ServerEntry]) -> ServiceEntry {
    ServiceEntry {
        scheduler,
        ..service(servers)
    }
}

fn plane_with(entry: &ServiceEntry) -> DataPlane {
    let mut plane = detached(Sizes::small());
    plane.put_service(entry).unwrap();
    plane.set_gate(VIP.into(), GateState::Open).unwrap();
    plane
}

/// Takes the maps over as a successor does.
fn adopt(plane: &mut DataPlane, sizes: &Sizes) {
    let adopted = rebuild(&mut plane.tables, sizes).unwrap();
    assert!(adopted.unfinished.is_empty());
    let entries = |book: &crate::book::Book| -> Vec<_> {
        let listed = book.services.values().filter_map(|r| r.listed.clone());
        listed.map(|listed| listed.entry).collect()
    };
    assert_eq!(entries(&adopted.book), entries(&plane.book));
    plane.book = adopted.book;
}

/// Whether all words are free once no service is left and no program runs.
fn all_words_are_free(plane: &mut DataPlane, sizes: &Sizes) -> bool {
    let later = Instant::now() + Duration::from_secs(60);
    let whole = plane.book.arena.alloc(sizes.arena_words, later);
    whole.map(|whole| plane.book.arena.release(whole)).is_ok()
}

/// Sends a SYN: the server that it went to, `None` if there was none.
fn pick(plane: &DataPlane, port: u16) -> Option<u8> {
    let (verdict, host) = send(plane, port, SYN);
    // Without a server the client (9) is answered with an ICMP error, as long as these are not too many.
    (verdict == TX && host != 9).then_some(host)
}

#[derive(Clone, Debug)]
enum Op {
    Open(u16),
    Add(u8, u16),
    Remove(u8),
    Weigh(u8, u16),
    /// Removals, an addition and a weight in one change.
    Batch(Vec<u8>, (u8, u16), (u8, u16)),
    Adopt,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let host = || 1u8..7;
    let weight = || prop_oneof![3 => 0u16..6, 1 => (0u16..4).prop_map(|w| w * 6)];
    let pair = move || (host(), weight());
    let op = prop_oneof![
        4 => (1u16..16).prop_map(Op::Open),
        3 => pair().prop_map(|(h, w)| Op::Add(h, w)),
        1 => host().prop_map(Op::Remove),
        2 => pair().prop_map(|(h, w)| Op::Weigh(h, w)),
        1 => (vec(host(), 0..3), pair(), pair()).prop_map(|(r, a, w)| Op::Batch(r, a, w)),
        1 => Just(Op::Adopt),
    ];
    vec(op, 1..24)
}

/// A data plane for many cases, each with a service of its own and with new ports.
struct Bench {
    plane: DataPlane,
    sizes: Sizes,
    port: u16,
}

impl Bench {
    fn new() -> Self {
        let sizes = Sizes {
            arena_words: 1 << 13,
            half_open: 1 << 16,
            ..Sizes::small()
        };
        Self {
            plane: detached(sizes),
            sizes,
            port: 1000,
        }
    }

    fn begin(&mut self, scheduler: Scheduler) {
        self.plane.remove_service(&key(VIP, PORT)).unwrap();
        assert!(all_words_are_free(&mut self.plane, &self.sizes));
        self.plane.put_service(&by(scheduler, &[])).unwrap();
        self.plane.set_gate(VIP.into(), GateState::Open).unwrap();
    }

    /// Takes the maps over as a successor does.
    fn adopt(&mut self) {
        adopt(&mut self.plane, &self.sizes);
    }
}

fn check(follow: impl Fn(&mut Bench, &[Op])) {
    let bench = RefCell::new(Bench::new());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(48));
    let run = runner.run(&ops(), |ops| {
        follow(&mut bench.borrow_mut(), &ops);
        Ok(())
    });
    run.unwrap();
}

type Model = WeightedRoundRobin<u8>;

fn weight_of(model: &Model, host: u8) -> Option<u32> {
    model.list().find(|(h, _)| **h == host).map(|(_, w)| w)
}

/// Sets a weight that differs; the same again would be an edit for IPVS, but is none for us.
fn weigh(model: &mut Model, host: u8, weight: u16) {
    if weight_of(model, host).is_some_and(|w| w != u32::from(weight)) {
        model.set_weight(&host, weight.into());
    }
}

/// Adds or weighs.
fn add(model: &mut Model, host: u8, weight: u16) {
    if weight_of(model, host).is_none() {
        model.add(host, weight.into());
    } else {
        weigh(model, host, weight);
    }
}

fn edit(model: &mut Model, op: &Op) {
    match op {
        Op::Add(host, weight) => add(model, *host, *weight),
        Op::Remove(host) => {
            model.remove(host);
        }
        Op::Weigh(host, weight) => weigh(model, *host, *weight),
        Op::Batch(removals, (new, weight), (weighed, other)) => {
            let before: Vec<u8> = model.list().map(|(host, _)| *host).collect();
            for host in before.iter().filter(|host| removals.contains(host)) {
                model.remove(host);
            }
            if !before.contains(new) {
                model.add(*new, (*weight).into());
            }
            if before.contains(weighed) {
                weigh(model, *weighed, *other);
            }
        }
        Op::Open(_) | Op::Adopt => {}
    }
}

fn servers_of(model: &Model) -> Vec<ServerEntry> {
    let list = model.list();
    list.map(|(host, weight)| server(*host, weight.into()))
        .collect()
}

fn follow_wrr(bench: &mut Bench, ops: &[Op]) {
    let mut model = Model::new();
    bench.begin(Scheduler::WeightedRoundRobin);
    for op in ops {
        match op {
            Op::Open(n) => {
                for _ in 0..*n {
                    bench.port += 1;
                    assert_eq!(pick(&bench.plane, bench.port), model.schedule());
                }
            }
            Op::Adopt => bench.adopt(),
            Op::Add(..) | Op::Remove(_) | Op::Weigh(..) | Op::Batch(..) => {
                edit(&mut model, op);
                let entry = by(Scheduler::WeightedRoundRobin, &servers_of(&model));
                bench.plane.put_service(&entry).unwrap();
            }
        }
    }
    bench.adopt();
}

#[test]
fn wrr_picks_what_ipvs_picks_whatever_happens_to_the_list() {
    in_room(|_| check(follow_wrr));
}

#[test]
fn wrr_begins_with_the_heaviest_where_it_replaces_another_scheduler() {
    in_room(|_| {
        let servers = [server(1, 4), server(2, 3), server(3, 2)];
        let mut plane = plane_with(&by(Scheduler::RoundRobin, &servers));
        assert_eq!(open(&plane, 1000..1001), [1]);
        plane
            .put_service(&by(Scheduler::WeightedRoundRobin, &servers))
            .unwrap();
        assert_eq!(open(&plane, 2000..2009), [1, 1, 2, 1, 2, 3, 1, 2, 3]);
        // The other way round the ring begins at its head.
        assert_eq!(open(&plane, 2009..2010), [1]);
        plane
            .put_service(&by(Scheduler::RoundRobin, &servers))
            .unwrap();
        assert_eq!(open(&plane, 3000..3004), [1, 2, 3, 1]);
        assert_eq!(send(&plane, 2008, ACK), (TX, 3));
    });
}

#[test]
fn a_hash_weight_alone_does_not_disturb_wrr() {
    in_room(|_| {
        let mut servers = [server(1, 2), server(2, 1)];
        let mut plane = plane_with(&by(Scheduler::RoundRobin, &servers));
        plane
            .put_service(&by(Scheduler::WeightedRoundRobin, &servers))
            .unwrap();
        assert_eq!(open(&plane, 1000..1002), [1, 1]);
        servers[0].hash_weight = Weight::try_from(2).unwrap();
        plane
            .put_service(&by(Scheduler::WeightedRoundRobin, &servers))
            .unwrap();
        assert_eq!(open(&plane, 2000..2004), [2, 1, 1, 2]);
    });
}

/// The schedulers that compare loads.
const BY_LOAD: [Scheduler; 6] = [
    Scheduler::LeastConnection,
    Scheduler::WeightedLeastConnection,
    Scheduler::ShortestExpectedDelay,
    Scheduler::NeverQueue,
    Scheduler::Failover,
    Scheduler::Overflow,
];

/// Opens, confirms and ends connections, and compares each pick with the model's.
fn follow_loads(bench: &mut Bench, ops: &[Op], scheduler: Scheduler) {
    // Only its list is used.
    let mut model = Model::new();
    bench.begin(scheduler);
    for op in ops {
        match op {
            Op::Open(n) => {
                for _ in 0..*n {
                    bench.port += 1;
                    let (plane, port) = (&bench.plane, bench.port);
                    let want = least(plane, scheduler);
                    assert_eq!(pick(plane, port), want, "port {port}");
                    // A third stays half-open, a third is established, a third ends.
                    for flags in [ACK, FIN | ACK].into_iter().take(usize::from(port % 3)) {
                        send(plane, port, flags);
                    }
                }
            }
            Op::Adopt => bench.adopt(),
            Op::Add(..) | Op::Remove(_) | Op::Weigh(..) | Op::Batch(..) => {
                edit(&mut model, op);
                let entry = by(scheduler, &servers_of(&model));
                bench.plane.put_service(&entry).unwrap();
            }
        }
    }
}

/// The model's next pick.
fn least(plane: &DataPlane, scheduler: Scheduler) -> Option<u8> {
    let view = &plane.snapshot().unwrap()[0];
    let servers = view.servers.iter();
    let loads: Vec<_> = servers
        .map(|s| (s.weight.get(), s.active, s.inactive))
        .collect();
    let picked = view.servers.get(least::pick(scheduler, &loads)?)?;
    match picked.address {
        SocketAddr::V4(address) => Some(address.ip().octets()[3]),
        SocketAddr::V6(_) => None,
    }
}

#[test]
fn those_that_compare_loads_pick_what_ipvs_picks_with_real_connections() {
    for scheduler in BY_LOAD {
        in_room(move |_| check(|bench, ops| follow_loads(bench, ops, scheduler)));
    }
}

#[test]
fn dh_sh_and_mh_place_by_address_and_refuse_those_of_a_quiesced_server() {
    in_room(|_| {
        let servers = [server(1, 1), server(2, 3), server(3, 0)];
        let mut plane = plane_with(&by(Scheduler::SourceHash, &servers));
        let client = u32::from(Ipv4Addr::new(198, 18, 14, 99));
        let dealt = buckets::source_hash(&[1, 3, 0]);
        let place = dealt[usize::from(buckets::bucket(client))];
        let expected = (place < 2).then(|| u8::try_from(place + 1).unwrap());
        for port in 1000..1010 {
            assert_eq!(pick(&plane, port), expected, "all of one client's");
        }
        plane
            .put_service(&by(Scheduler::MaglevHash, &servers[..2]))
            .unwrap();
        let weighed: Vec<_> = servers[..2]
            .iter()
            .map(|s| (s.address, s.hash_weight.get()))
            .collect();
        let place = mh::build(&weighed)[mh::bucket(client)];
        for port in 1500..1510 {
            assert_eq!(pick(&plane, port), u8::try_from(place + 1).ok());
        }
        plane
            .put_service(&by(Scheduler::DestinationHash, &servers))
            .unwrap();
        let dealt = buckets::destination_hash(3);
        let place = dealt[usize::from(buckets::bucket(u32::from(VIP)))];
        let expected = (place < 2).then(|| u8::try_from(place + 1).unwrap());
        for port in 2000..2010 {
            assert_eq!(pick(&plane, port), expected);
        }
    });
}

/// The n-th of many servers.
fn one_of_many(n: u16) -> ServerEntry {
    let [a, b] = n.to_be_bytes();
    ServerEntry {
        address: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(198, 19, a, b), PORT)),
        hop: MacAddress([2, 0, 0, 1, a, b]).into(),
        ..server(1, 1)
    }
}

#[test]
fn wlc_sees_the_last_of_1024_servers_and_no_service_has_more() {
    in_room(|_| {
        let mut plane = detached(Sizes {
            servers: 1 << 11,
            arena_words: 1 << 19,
            ..Sizes::small()
        });
        let mut servers: Vec<_> = (0..1025).map(one_of_many).collect();
        let entry = by(Scheduler::WeightedLeastConnection, &servers);
        let refused = plane.put_service(&entry).unwrap_err();
        assert!(
            matches!(
                refused,
                PutError::TooManyServers {
                    count: 1025,
                    max: 1024,
                    ..
                }
            ),
            "{refused}"
        );
        assert!(plane.snapshot().unwrap().is_empty());
        servers.pop();
        for server in &mut servers[..1023] {
            server.weight = Weight::QUIESCED;
        }
        let mut entry = by(Scheduler::WeightedLeastConnection, &servers);
        plane.put_service(&entry).unwrap();
        plane.set_gate(VIP.into(), GateState::Open).unwrap();
        let (verdict, frame) = plane.run(&packet(1000, SYN)).unwrap();
        assert_eq!((verdict, &frame[4..6]), (TX, &[3, 255][..]));
        // The one with a connection is not the least loaded any more.
        for server in &mut entry.servers {
            server.weight = Weight::ONE;
        }
        plane.put_service(&entry).unwrap();
        for (port, last) in [(1001, [0, 0]), (1002, [0, 1])] {
            let (_, frame) = plane.run(&packet(port, SYN)).unwrap();
            assert_eq!(frame[4..6], last);
        }
    });
}

#[test]
fn wrr_holds_a_list_for_each_of_many_weights() {
    in_room(|_| {
        let mut servers: Vec<_> = (0..300).map(one_of_many).collect();
        for (weight, server) in (1..).zip(&mut servers) {
            server.weight = Weight::try_from(weight).unwrap();
        }
        let mut plane = plane_with(&by(Scheduler::RoundRobin, &servers));
        plane
            .put_service(&by(Scheduler::WeightedRoundRobin, &servers))
            .unwrap();
        // Passes of one, two, three servers, each from the first that takes part in it.
        let hosts = (1u16..6).flat_map(|pass| 300 - pass..300);
        for (port, host) in (1000..).zip(hosts) {
            let (_, frame) = plane.run(&packet(port, SYN)).unwrap();
            assert_eq!(frame[4..6], host.to_be_bytes(), "port {port}");
        }
        adopt(&mut plane, &Sizes::small());
    });
}

#[test]
fn maglev_places_flows_alike_on_directors_that_never_met() {
    in_room(|_| {
        let mut servers = [server(1, 1), server(2, 1), server(3, 1)];
        servers[2].hash_weight = Weight::try_from(2).unwrap();
        let active = plane_with(&by(Scheduler::Maglev, &servers));
        servers.reverse();
        let other = plane_with(&by(Scheduler::Maglev, &servers));
        let mut flows = [0; 4];
        for port in 1000..1400 {
            let Some(host) = pick(&active, port) else {
                panic!("nobody for port {port}");
            };
            flows[usize::from(host)] += 1;
            // The successor knows nothing of the flow that the first one scheduled.
            assert_eq!(send(&other, port, ACK), (TX, host));
        }
        assert!(flows[1..].iter().all(|n| *n > 60), "{flows:?}");
        assert!(flows[3] > 150, "{flows:?}");
    });
}

#[test]
fn maglev_gives_a_quiesced_server_no_new_flow_and_leaves_the_others_where_they_were() {
    in_room(|_| {
        let servers: Vec<_> = (1..9).map(|host| server(host, 1)).collect();
        let mut plane = plane_with(&by(Scheduler::Maglev, &servers));
        let before: Vec<_> = (1000..1400).map(|port| pick(&plane, port)).collect();
        let mut quiesced = servers;
        quiesced[4].weight = Weight::QUIESCED;
        plane
            .put_service(&by(Scheduler::Maglev, &quiesced))
            .unwrap();
        let other = plane_with(&by(Scheduler::Maglev, &quiesced));
        let after: Vec<_> = (1000..1400).map(|port| pick(&other, port)).collect();
        assert!(after.iter().all(|host| *host != Some(5)));
        // Only the quiesced server's share is placed elsewhere.
        let mut pairs = before.iter().zip(&after);
        assert!(pairs.all(|(was, is)| *was == Some(5) || was == is));
        // Those that were there stay, on a director that knows them and on one that does not.
        let successor = plane_with(&by(Scheduler::Maglev, &quiesced));
        for (port, host) in (1000..1400).zip(before) {
            assert_eq!(Some(send(&plane, port, ACK).1), host);
            assert_eq!(Some(send(&successor, port, ACK).1), host);
        }
    });
}

#[test]
fn every_scheduler_and_protocol_survives_a_restart() {
    in_room(|room| {
        let options = room.options();
        let (mut plane, _) = DataPlane::start(&options).unwrap();
        let mut entries = Vec::new();
        for (port, scheduler) in (80..).zip(Scheduler::ALL) {
            for protocol in Protocol::ALL {
                let mut local = server(7, 2);
                local.forwarding = Forwarding::Local;
                local.hop = Hop::NONE;
                let mut entry = by(scheduler, &[server(13, 4), local, server(12, 0)]);
                entry.key = ServiceKey::single(protocol, (VIP, port).into());
                plane.put_service(&entry).unwrap();
                entries.push(entry);
            }
        }
        entries.sort_by_key(|entry| entry.key);
        drop(plane);
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted, entries);
        for entry in &entries {
            plane.put_service(entry).unwrap();
            plane.remove_service(&entry.key).unwrap();
        }
        assert!(all_words_are_free(&mut plane, &options.sizes));
    });
}

#[test]
fn a_service_of_a_program_that_knew_no_costs_goes_on_after_its_adoption() {
    in_room(|_| {
        let entry = by(
            Scheduler::WeightedLeastConnection,
            &[server(1, 1), server(2, 2)],
        );
        let mut plane = plane_with(&entry);
        for slot in plane.tables.services.as_slice() {
            slot.halves
                .iter()
                .for_each(|half| half.costs.store(0, SeqCst));
        }
        assert_eq!(pick(&plane, 999), None, "nothing is compared");
        adopt(&mut plane, &Sizes::small());
        assert_eq!(open(&plane, 1000..1003), [1, 2, 2]);
    });
}

#[test]
fn udp_flows_of_a_service_stay_on_their_server() {
    in_room(|_| {
        let mut entry = service(&[server(1, 1), server(2, 1)]);
        entry.key = ServiceKey::single(Protocol::Udp, (VIP, PORT).into());
        let mut plane = plane_with(&entry);
        let go = |plane: &DataPlane, port| {
            let (verdict, frame) = plane.run(&datagram(port)).unwrap();
            (verdict, frame[5])
        };
        assert_eq!(send(&plane, 1000, SYN).0, PASS, "there is no TCP service");
        assert_eq!(
            [1000, 1001, 1002].map(|p| go(&plane, p)),
            [(TX, 1), (TX, 2), (TX, 1)]
        );
        assert_eq!([1000, 1001].map(|p| go(&plane, p)), [(TX, 1), (TX, 2)]);
        let connections = plane.connections();
        assert_eq!(connections.len(), 3);
        assert!(
            connections
                .iter()
                .all(|c| c.state.name() == "UDP" && c.protocol == 17)
        );
        // A TCP service at the same address and port is another service behind the same gate.
        plane.put_service(&service(&[server(3, 1)])).unwrap();
        assert_eq!(pick(&plane, 1000), Some(3));
        assert_eq!(plane.book.gates.len(), 1);
        plane.remove_service(&entry.key).unwrap();
        assert_eq!(go(&plane, 1000).0, PASS);
        assert_eq!(pick(&plane, 2000), Some(3));
    });
}

#[test]
fn flows_of_a_local_server_pass_to_the_stack_and_are_counted() {
    in_room(|_| {
        let mut local = server(1, 1);
        local.forwarding = Forwarding::Local;
        let mut plane = plane_with(&service(&[local, server(2, 1)]));
        let sent = packet(1000, SYN);
        assert_eq!(plane.run(&sent).unwrap(), (PASS, sent));
        assert_eq!(send(&plane, 1001, SYN), (TX, 2));
        assert_eq!(send(&plane, 1000, ACK).0, PASS);
        let view = plane.snapshot().unwrap();
        let server = &view[0].servers[0];
        assert_eq!(server.forwarding, Forwarding::Local);
        assert_eq!((server.active, server.stats.packets), (1, 2));
        // The address went to another host.
        plane
            .put_service(&service(&[
                super::support::server(1, 1),
                super::support::server(2, 1),
            ]))
            .unwrap();
        assert_eq!(send(&plane, 1000, ACK), (TX, 1));
    });
}

#[test]
fn twos_takes_the_less_loaded_of_two_by_weight() {
    in_room(|_| {
        let mut plane = plane_with(&by(Scheduler::TwoChoices, &[server(1, 1), server(2, 3)]));
        let picked = open(&plane, 1000..1400);
        let heavy = picked.iter().filter(|host| **host == 2).count();
        assert!((280..320).contains(&heavy), "{heavy} of 400");
        plane
            .put_service(&by(Scheduler::TwoChoices, &[server(1, 0)]))
            .unwrap();
        assert_eq!(pick(&plane, 3000), None);
    });
}
