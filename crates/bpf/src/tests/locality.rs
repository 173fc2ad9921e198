use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use evenkeel_abi::{Locality, Shared, low, pair};
use evenkeel_model::locality::{Candidate, Localities};
use evenkeel_model::{
    GateState, GroupNumber, Listen, Listens, Ports, Protocol, Scheduler, ServerEntry, ServiceEntry,
    ServiceKey, Thresholds, Weight,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::ipv6::packet6;
use super::support::*;
use crate::adopt::rebuild;
use crate::{DataPlane, Sizes, SweepBudget};

const BOTH: [Scheduler; 2] = [Scheduler::Locality, Scheduler::ReplicatedLocality];

/// Addresses of the service.
const ADDRESSES: [Ipv4Addr; 3] = [
    VIP,
    Ipv4Addr::new(198, 18, 14, 147),
    Ipv4Addr::new(198, 18, 14, 148),
];

/// A group at these addresses.
fn group(scheduler: Scheduler, addresses: &[Ipv4Addr], servers: &[ServerEntry]) -> ServiceEntry {
    let mut entry = ServiceEntry {
        key: ServiceKey::Group(GroupNumber::new(5).unwrap()),
        group: Listens::new(addresses.iter().map(|address| Listen {
            address: IpAddr::V4(*address),
            protocol: Protocol::Tcp,
            ports: Ports::one(PORT),
        })),
        scheduler,
        ..service(servers)
    };
    for server in &mut entry.servers {
        server.address.set_port(0);
    }
    entry
}

fn put(plane: &mut DataPlane, entry: &ServiceEntry) {
    plane.put_service(entry).unwrap();
    for address in entry.addresses() {
        plane.set_gate(address, GateState::Open).unwrap();
    }
}

/// Sends a packet to an address: the server that it went to.
fn send_to(plane: &DataPlane, address: Ipv4Addr, port: u16, flags: u8) -> Option<u8> {
    let mut frame = packet(port, flags);
    frame[30..34].copy_from_slice(&address.octets());
    let (verdict, frame) = plane.run(&frame).unwrap();
    // Without a server the client (9) is answered with an ICMP error, as long as these are not too many.
    (verdict == TX && frame[5] != 9).then_some(frame[5])
}

/// Takes the maps over as a successor does.
fn adopt(plane: &mut DataPlane, sizes: &Sizes) {
    let adopted = rebuild(&mut plane.tables, sizes).unwrap();
    assert!(adopted.unfinished.is_empty());
    plane.book = adopted.book;
}

#[derive(Clone, Debug)]
enum Op {
    /// Flows to an address, of which some are established and some end.
    Open(usize, u16),
    /// The list: host, weight and upper threshold of each.
    List(Vec<(u8, u16, u32)>),
    /// How many of the addresses it has.
    Addresses(usize),
    Adopt,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let threshold = prop_oneof![3 => Just(0u32), 1 => 1u32..6];
    let weight = prop_oneof![2 => 0u16..4, 1 => 4u16..12];
    let server = (1u8..8, weight, threshold);
    let op = prop_oneof![
        6 => (0..ADDRESSES.len(), 1u16..12).prop_map(|(a, n)| Op::Open(a, n)),
        3 => vec(server, 0..7).prop_map(Op::List),
        1 => (1..=ADDRESSES.len()).prop_map(Op::Addresses),
        1 => Just(Op::Adopt),
    ];
    vec(op, 1..24)
}

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
}

fn candidates(plane: &DataPlane) -> Vec<Candidate<u8>> {
    let view = &plane.snapshot().unwrap()[0];
    let record = plane
        .book
        .services
        .values()
        .find_map(|record| record.listed.as_ref());
    let numbers = &record.unwrap().numbers;
    view.servers
        .iter()
        .zip(numbers)
        .map(|(server, number)| Candidate {
            server: last_byte(server.address),
            loaded: (server.weight.get(), server.active, server.inactive),
            overloaded: plane
                .tables
                .loads
                .get(*number)
                .unwrap()
                .overloaded
                .load(SeqCst)
                != 0,
        })
        .collect()
}

fn follow(bench: &mut Bench, ops: &[Op], scheduler: Scheduler) {
    let mut entry = group(scheduler, &ADDRESSES, &[]);
    bench.plane.remove_service(&entry.key).unwrap();
    put(&mut bench.plane, &entry);
    let mut model = Localities::new(scheduler, 1 << 40).unwrap();
    for op in ops {
        match op {
            Op::Open(address, n) => {
                let address = ADDRESSES[*address];
                if !entry.addresses().any(|one| one == address) {
                    continue;
                }
                for _ in 0..*n {
                    bench.port += 1;
                    let (plane, port) = (&bench.plane, bench.port);
                    let want = model.pick(0, address, &candidates(plane));
                    assert_eq!(send_to(plane, address, port, SYN), want, "port {port}");
                    for flags in [ACK, FIN | ACK].into_iter().take(usize::from(port % 3)) {
                        send_to(plane, address, port, flags);
                    }
                }
            }
            Op::List(servers) => {
                let mut list: Vec<ServerEntry> = Vec::new();
                for (host, weight, upper) in servers {
                    let mut one = server(*host, i64::from(*weight));
                    one.address.set_port(0);
                    one.thresholds = Thresholds {
                        upper: *upper,
                        lower: 0,
                    };
                    if list.iter().all(|other| other.address != one.address) {
                        list.push(one);
                    }
                }
                entry.servers = list;
                put(&mut bench.plane, &entry);
            }
            Op::Addresses(count) => {
                let all = group(scheduler, &ADDRESSES[..*count], &[]);
                for gone in &ADDRESSES[*count..] {
                    model.forget(gone);
                }
                entry.group = all.group;
                put(&mut bench.plane, &entry);
            }
            Op::Adopt => adopt(&mut bench.plane, &bench.sizes),
        }
    }
}

#[test]
fn lblc_and_lblcr_pick_what_ipvs_picks_with_real_connections() {
    for scheduler in BOTH {
        in_room(move |_| {
            let bench = RefCell::new(Bench::new());
            let mut runner = TestRunner::new(ProptestConfig::with_cases(48));
            let run = runner.run(&ops(), |ops| {
                follow(&mut bench.borrow_mut(), &ops, scheduler);
                Ok(())
            });
            run.unwrap();
        });
    }
}

/// Opens connections to the service.
fn open_to(plane: &DataPlane, ports: std::ops::Range<u16>) -> Vec<Option<u8>> {
    let open = |port| {
        let host = send_to(plane, VIP, port, SYN);
        send_to(plane, VIP, port, ACK);
        host
    };
    ports.map(open).collect()
}

fn sweep_until(plane: &mut DataPlane, mut done: impl FnMut(&mut DataPlane) -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done(plane) {
        assert!(Instant::now() < end, "it takes too long");
        plane.sweep(SweepBudget::default());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_server_that_comes_back_is_a_member_as_before() {
    in_room(|_| {
        let sizes = Sizes::small();
        let mut plane = detached(sizes);
        let both = [server(1, 1), server(2, 1)];
        let mut entry = ServiceEntry {
            scheduler: Scheduler::ReplicatedLocality,
            ..service(&both)
        };
        put(&mut plane, &entry);
        assert_eq!(open_to(&plane, 1000..1003), [1, 1, 2].map(Some));
        let number = plane.book.services[&entry.key]
            .listed
            .as_ref()
            .unwrap()
            .numbers[1];
        entry.servers.pop();
        put(&mut plane, &entry);
        // Its only connection ends, but it is remembered, by a successor too.
        plane
            .tables
            .loads
            .get(number)
            .unwrap()
            .active
            .store(0, SeqCst);
        for _ in 0..30 {
            assert_eq!(plane.sweep(SweepBudget::default()).servers, 0);
            std::thread::sleep(Duration::from_millis(50));
        }
        adopt(&mut plane, &sizes);
        assert_eq!(open_to(&plane, 1003..1004), [Some(1)]);
        entry.servers = both.to_vec();
        put(&mut plane, &entry);
        let listed = plane.book.services[&entry.key].listed.clone().unwrap();
        assert_eq!(listed.numbers[1], number);
        // Were it no member, the other one would not be left before it is busy.
        plane
            .tables
            .loads
            .get(listed.numbers[0])
            .unwrap()
            .active
            .store(1, SeqCst);
        assert_eq!(open_to(&plane, 1004..1005), [Some(2)]);
        // With another scheduler nothing is remembered.
        entry.servers.pop();
        entry.scheduler = Scheduler::RoundRobin;
        put(&mut plane, &entry);
        plane
            .tables
            .loads
            .get(number)
            .unwrap()
            .active
            .store(0, SeqCst);
        sweep_until(&mut plane, |plane| {
            plane.tables.servers.get(number).unwrap().owner.load(SeqCst) == 0
        });
    });
}

/// A word of the first row of the only service.
fn word(plane: &DataPlane, word: u32) -> &Shared {
    let record = plane.book.services.values().next().unwrap();
    let start = record.listed.as_ref().unwrap().ring.start;
    plane.tables.arena.get(start + word).unwrap()
}

/// Sets a connection count.
fn set_active(plane: &DataPlane, host: usize, active: u64) {
    let record = plane.book.services.values().next().unwrap();
    let number = record.listed.as_ref().unwrap().numbers[host - 1];
    plane
        .tables
        .loads
        .get(number)
        .unwrap()
        .active
        .store(active, SeqCst);
}

#[test]
fn an_address_without_a_flow_for_a_day_is_forgotten() {
    in_room(|_| {
        for scheduler in BOTH {
            let mut plane = detached(Sizes::small());
            let entry = ServiceEntry {
                scheduler,
                ..service(&[server(1, 1), server(2, 1)])
            };
            put(&mut plane, &entry);
            assert_eq!(open_to(&plane, 1000..1002), [Some(1); 2]);
            // Ticks wrap, so that it does not matter for how long the machine has been up.
            let used = word(&plane, Locality::USED);
            let now = used.load(SeqCst);
            set_active(&plane, 1, 1);
            used.store(now.wrapping_sub(Locality::EXPIRATION), SeqCst);
            assert_eq!(open_to(&plane, 1002..1003), [Some(2)]);
            set_active(&plane, 1, 0);
            assert_eq!(
                open_to(&plane, 1003..1004),
                [Some(2)],
                "the first is no member"
            );
        }
    });
}

#[test]
fn the_most_loaded_member_goes_after_a_day_without_a_change() {
    in_room(|_| {
        let mut plane = detached(Sizes::small());
        let entry = ServiceEntry {
            scheduler: Scheduler::ReplicatedLocality,
            ..service(&[server(1, 1), server(2, 1), server(3, 1)])
        };
        put(&mut plane, &entry);
        for host in 1..4u8 {
            let port = 1000 + u16::from(host);
            assert_eq!(open_to(&plane, port..port + 1), [Some(host)]);
            set_active(&plane, host.into(), 2);
        }
        assert_eq!(low(word(&plane, Locality::SERVERS).load(SeqCst)), 0);
        set_active(&plane, 2, 5);
        let changed = word(&plane, Locality::CHANGED);
        let then = changed.load(SeqCst).wrapping_sub(Locality::EXPIRATION + 2);
        changed.store(then, SeqCst);
        assert_eq!(
            open_to(&plane, 1010..1011),
            [Some(3)],
            "the newest of equals"
        );
        let members = (1..3).map(|place| word(&plane, Locality::MEMBERS + place).load(SeqCst));
        let record = plane.book.services.values().next().unwrap();
        let numbers = &record.listed.as_ref().unwrap().numbers;
        let left = [numbers[2], numbers[0]].map(|number| pair(number, number));
        assert_eq!(members.collect::<Vec<_>>(), left);
        assert_eq!(word(&plane, Locality::SERVERS).load(SeqCst), 1);
        assert!(changed.load(SeqCst) > then || then > u64::MAX / 2);
    });
}

#[test]
fn a_trace_names_the_server_and_changes_nothing() {
    in_room(|_| {
        for scheduler in BOTH {
            let mut plane = detached(Sizes::small());
            let entry = ServiceEntry {
                scheduler,
                ..service(&[server(1, 1), server(2, 1)])
            };
            put(&mut plane, &entry);
            let words = |plane: &DataPlane| -> Vec<u64> {
                let arena = plane.tables.arena.as_slice();
                arena.iter().map(|word| word.load(SeqCst)).collect()
            };
            let traced = |plane: &DataPlane| {
                let (verdict, frame) = plane.trace_frame(&packet(999, SYN)).unwrap();
                (verdict == TX).then_some(frame[5])
            };
            let before = words(&plane);
            assert_eq!(traced(&plane), Some(1));
            assert_eq!(words(&plane), before, "no row was taken");
            assert_eq!(open_to(&plane, 1000..1002), [Some(1); 2]);
            let before = words(&plane);
            assert_eq!(traced(&plane), Some(2), "the first one is busy");
            assert_eq!(words(&plane), before);
            assert_eq!(open_to(&plane, 1002..1003), [Some(2)]);
        }
    });
}

/// IPv6 addresses whose words combine to the same.
const SIX: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 2),
];

#[test]
fn each_address_of_ipv6_has_its_own_servers() {
    in_room(|_| {
        let six =
            |host: u16| SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 9, host), 0));
        for scheduler in BOTH {
            let mut plane = detached(Sizes::small());
            let mut entry = group(scheduler, &[], &[server(1, 1), server(2, 1)]);
            for (host, server) in (1..).zip(&mut entry.servers) {
                server.address = six(host);
            }
            entry.group = Listens::new(SIX.map(|address| Listen {
                address: IpAddr::V6(address),
                protocol: Protocol::Tcp,
                ports: Ports::one(PORT),
            }));
            put(&mut plane, &entry);
            let pick = |plane: &DataPlane, address: Ipv6Addr, port: u16| {
                let from = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 7, 9);
                let frame = packet6(from, port, (address, PORT), SYN);
                plane.run(&frame).unwrap().1[5]
            };
            assert_eq!(pick(&plane, SIX[0], 1000), 1);
            assert_eq!(pick(&plane, SIX[1], 1001), 2);
            assert_eq!(
                [0, 1].map(|n| pick(&plane, SIX[usize::from(n)], 1002 + n)),
                [1, 2]
            );
        }
    });
}

#[test]
fn a_thousand_servers_fit_and_an_upgrade_keeps_them() {
    in_room(|_| {
        let sizes = Sizes {
            servers: 1 << 11,
            arena_words: 1 << 19,
            // So many that no bucket is full, whatever the secret.
            half_open: 1 << 16,
            ..Sizes::small()
        };
        let mut plane = detached(sizes);
        let many = |n: u16| {
            let [a, b] = n.to_be_bytes();
            ServerEntry {
                address: SocketAddr::from((Ipv4Addr::new(198, 19, a, b), PORT)),
                hop: evenkeel_model::MacAddress([2, 0, 0, 1, a, b]).into(),
                ..server(1, 1)
            }
        };
        let mut entry = ServiceEntry {
            scheduler: Scheduler::ReplicatedLocality,
            ..service(&(0..1024).map(many).collect::<Vec<_>>())
        };
        put(&mut plane, &entry);
        let pick = |plane: &DataPlane, port: u16| {
            let (verdict, frame) = plane.run(&packet(port, SYN)).unwrap();
            assert_eq!(verdict, TX);
            u16::from_be_bytes([frame[4], frame[5]])
        };
        let numbers = plane.book.services[&entry.key]
            .listed
            .clone()
            .unwrap()
            .numbers;
        let load = |plane: &DataPlane, server: u16, active: u64| {
            let load = plane.tables.loads.get(numbers[usize::from(server)]);
            load.unwrap().active.store(active, SeqCst);
        };
        for n in 0..1024 {
            assert_eq!(pick(&plane, 2000 + n), n);
            load(&plane, n, 2);
        }
        load(&plane, 0, 1);
        assert_eq!(pick(&plane, 4000), 0);
        adopt(&mut plane, &sizes);
        for server in &mut entry.servers {
            server.weight = Weight::try_from(2).unwrap();
        }
        put(&mut plane, &entry);
        load(&plane, 0, 2);
        load(&plane, 77, 1);
        assert_eq!(pick(&plane, 4001), 77, "the least loaded member of all");
    });
}
