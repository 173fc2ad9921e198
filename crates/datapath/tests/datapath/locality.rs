//! lblc and lblcr, compared with IPVS's own algorithms.

use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{DropReason, Locality, SchedulerId, pair};
use evenkeel_datapath::{ServiceAt, Tables as _};
use evenkeel_testkit::model::Scheduler;
use evenkeel_testkit::model::locality::{Candidate, Localities};
use evenkeel_testkit::packet::flags::{ACK, SYN};
use evenkeel_testkit::{NativeTables, TestServer, TestService};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{SERVICE, World, client};

const BOTH: [(Scheduler, u64); 2] = [
    (Scheduler::Locality, SchedulerId::LBLC),
    (Scheduler::ReplicatedLocality, SchedulerId::LBLCR),
];

/// Addresses of the service.
const ADDRESSES: u32 = 3;

/// Gives the service rows for several addresses; where they stand.
fn lay_rows(tables: &NativeTables, rows: u32, places: u32) -> u32 {
    let start = 5000;
    tables.arena[start as usize - 1].store(places.into(), SeqCst);
    for row in 0..rows {
        let newest = start + row * (Locality::MEMBERS + places) + Locality::SERVERS;
        tables.arena[newest as usize].store(places.into(), SeqCst);
    }
    tables.services[0].halves[0].ring.store(start, rows);
    start
}

#[derive(Clone, Debug)]
struct Step {
    ticks: u64,
    gate: u32,
    /// Whose load changes, to what: weight, active, inactive, overloaded.
    change: Option<(prop::sample::Index, (u16, u32, u32, bool))>,
}

fn load() -> impl Strategy<Value = (u16, u32, u32, bool)> {
    let overloaded = prop::bool::weighted(0.1);
    let inactive = prop_oneof![3 => 0u32..2, 1 => 0u32..600];
    let load = (0u16..6, 0u32..8, inactive, overloaded);
    // Many servers are loaded alike, so that it matters which of them is the first.
    prop_oneof![1 => load, 1 => Just((2, 1, 0, false)), 1 => Just((2, 3, 0, false))]
}

fn step() -> impl Strategy<Value = Step> {
    let ticks = prop_oneof![
        6 => 0u64..100,
        2 => 0..Locality::EXPIRATION,
        1 => Locality::EXPIRATION - 1..Locality::EXPIRATION + 3,
    ];
    let change = prop::option::of((any::<prop::sample::Index>(), load()));
    let step = (ticks, 0..ADDRESSES, change);
    step.prop_map(|(ticks, gate, change)| Step {
        ticks,
        gate,
        change,
    })
}

fn set_load(
    tables: &NativeTables,
    server: usize,
    (weight, active, inactive, overloaded): (u16, u32, u32, bool),
) {
    let load = &tables.loads[server];
    load.active.store(active.into(), SeqCst);
    load.inactive.store(inactive.into(), SeqCst);
    load.overloaded.store(overloaded.into(), SeqCst);
    let weights = pair(weight.into(), 1);
    tables.servers[server].weights.store(weights, SeqCst);
}

proptest! {
    /// `ip_vs_lblc_schedule` and `ip_vs_lblcr_schedule`, at several addresses, over days.
    #[test]
    fn both_pick_ipvs_server_whatever_changes(
        mut loads in vec(load(), 1..12),
        steps in vec(step(), 1..60),
    ) {
        for (scheduler, id) in BOTH {
            let weights: Vec<u32> = loads.iter().map(|load| load.0.into()).collect();
            let world = World::scheduled(id, &weights);
            let places = if id == SchedulerId::LBLCR { weights.len() } else { 0 };
            lay_rows(&world.tables, 2 * ADDRESSES, u32::try_from(places).unwrap());
            for (server, load) in (1..).zip(&loads) {
                set_load(&world.tables, server, *load);
            }
            let mut model = Localities::new(scheduler, Locality::EXPIRATION).unwrap();
            let mut now = 0;
            for step in &steps {
                now += step.ticks;
                world.tables.now.store(now, SeqCst);
                if let Some((which, load)) = &step.change {
                    let index = which.index(loads.len());
                    loads[index] = *load;
                    set_load(&world.tables, index + 1, *load);
                }
                let list: Vec<_> = (1u32..)
                    .zip(&loads)
                    .map(|(server, &(weight, active, inactive, overloaded))| Candidate {
                        server,
                        loaded: (weight, active, inactive),
                        overloaded,
                    })
                    .collect();
                let expected = model.pick(now, step.gate, &list).ok_or(DropReason::NoServer);
                let picked = world.tables.by_locality(ServiceAt::new(0, step.gate));
                prop_assert_eq!(picked, expected);
            }
        }
    }
}

#[test]
fn an_address_without_a_row_is_scheduled_by_load_alone() {
    for (_, id) in BOTH {
        let world = World::scheduled(id, &[1, 1]);
        let pick = |gate| world.tables.by_locality(ServiceAt::new(0, gate));
        assert_eq!(pick(7), Ok(1), "it has the only row");
        world.tables.loads[1].active.store(1, SeqCst);
        assert_eq!([pick(7), pick(8)], [Ok(1), Ok(2)]);
        world.tables.loads[2].active.store(2, SeqCst);
        assert_eq!([pick(7), pick(8)], [Ok(1), Ok(1)]);
    }
}

#[test]
fn members_that_another_packet_changes_stay_as_it_leaves_them() {
    let world = World::scheduled(SchedulerId::LBLCR, &[1, 1]);
    let at = ServiceAt::new(0, 7);
    assert_eq!(world.tables.by_locality(at), Ok(1));
    let row = world.tables.row_of(at).unwrap();
    let members = &world.tables.arena[(row.start + Locality::SERVERS) as usize];
    assert_eq!(members.load(SeqCst), 1, "of two places");
    members.store(pair(1, 1), SeqCst);
    world.tables.loads[1].active.store(2, SeqCst);
    assert_eq!(world.tables.by_locality(at), Ok(2), "but is no member");
    assert_eq!(members.load(SeqCst), pair(1, 1));
    members.store(1, SeqCst);
    assert_eq!(world.tables.by_locality(at), Ok(2));
    assert_eq!(members.load(SeqCst), 0);
}

#[test]
fn flows_go_to_one_server_until_it_is_busy() {
    for (scheduler, id) in BOTH {
        let world = World::scheduled(id, &[2, 2, 9]);
        let picked: Vec<u32> = (0..8).map(|i| world.open(client(i))).collect();
        assert_eq!(picked, [1, 1, 1, 2, 2, 2, 3, 3], "{scheduler:?}");
        // What is known stays.
        world.send(client(0), ACK);
        assert_eq!(world.last_server(), 1);
        world.tables.loads[3].overloaded.store(1, SeqCst);
        world.send(client(9), SYN);
        let expected = if id == SchedulerId::LBLC { 3 } else { 1 };
        assert_eq!(world.last_server(), expected, "{scheduler:?}");
        world.check();
    }
}

#[test]
fn all_1024_servers_can_be_members() {
    let mut tables = NativeTables::new(16, 16);
    tables.arena.resize_with(1 << 23, Default::default);
    tables.servers.resize_with(2048, Default::default);
    tables.loads.resize_with(2048, Default::default);
    let servers: Vec<_> = (1..1025).map(|number| TestServer::new(number, 1)).collect();
    let service = TestService::new(SERVICE).scheduled(SchedulerId::LBLCR);
    tables.put_service(service, &servers);
    let at = ServiceAt::new(0, 0);
    for number in 1..1025 {
        assert_eq!(tables.by_locality(at), Ok(number));
        tables.loads[number as usize].active.store(2, SeqCst);
    }
    // All are busy: the newest of equals is taken, until the oldest is the least loaded.
    assert_eq!(tables.by_locality(at), Ok(1024));
    tables.loads[1].active.store(1, SeqCst);
    assert_eq!(tables.by_locality(at), Ok(1));
    let row = tables.row_of(at).unwrap();
    tables.loads[500].active.store(3, SeqCst);
    tables.now.fetch_add(Locality::EXPIRATION - 1, SeqCst);
    assert_eq!(tables.by_locality(at), Ok(1));
    tables.now.fetch_add(2, SeqCst);
    assert_eq!(tables.by_locality(at), Ok(1));
    let newest = &tables.arena[(row.start + Locality::SERVERS) as usize];
    assert_eq!(newest.load(SeqCst), 1, "one has left");
    let member =
        |place: u32| tables.arena[(row.start + Locality::MEMBERS + place) as usize].load(SeqCst);
    let members: Vec<_> = (1..1024)
        .map(|place| evenkeel_abi::low(member(place)))
        .collect();
    let others: Vec<_> = (1..1025).rev().filter(|number| *number != 500).collect();
    assert_eq!(members, others);
}

#[test]
fn the_ring_of_another_scheduler_is_no_table_of_rows() {
    let world = World::scheduled(SchedulerId::RR, &[1, 1]);
    let words = || -> Vec<u64> {
        let arena = world.tables.arena.iter();
        arena.map(|word| word.load(SeqCst)).collect()
    };
    let before = words();
    assert_eq!(world.tables.by_locality(ServiceAt::new(0, 7)), Ok(1));
    assert_eq!(words(), before);
}
