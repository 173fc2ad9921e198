//! Overload: servers that have as many connections as they may have, and the flags of sh and mh.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::Word;
use evenkeel_model::rr::RoundRobin;
use evenkeel_model::wrr::WeightedRoundRobin;
use evenkeel_model::{
    GateState, Scheduler, SchedulerFlags, ServerEntry, ServiceEntry, Thresholds, buckets, least, mh,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::support::*;
use crate::{DataPlane, Sizes, SweepBudget};

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 99);

fn limited(host: u8, weight: i64, upper: u32, lower: u32) -> ServerEntry {
    ServerEntry {
        thresholds: Thresholds { upper, lower },
        ..server(host, weight)
    }
}

fn plane_of(entry: &ServiceEntry) -> DataPlane {
    let mut plane = detached(Sizes::small());
    plane.put_service(entry).unwrap();
    plane.set_gate(VIP.into(), GateState::Open).unwrap();
    plane
}

/// Makes a server's connections expire, but for so many, and sweeps.
fn expire(plane: &mut DataPlane, host: u8, mut keep: u32) {
    let now = plane.tables().now();
    let tables = plane.tables();
    let conns = tables.conns.as_slice().iter();
    let ways = conns
        .chain(tables.half_open.as_slice())
        .flat_map(|bucket| &bucket.ways);
    for conn in ways {
        let word = Word(conn.word.load(SeqCst));
        let of = tables
            .servers
            .get(word.server())
            .map(crate::convert::server_address);
        if !word.is_live() || of.is_none_or(|of| last_byte(of) != host) {
            continue;
        }
        if keep > 0 {
            keep -= 1;
            continue;
        }
        let unassured = u64::from(word.is_unassured());
        let over = Word::live(word.server(), word.state(), now).unassured_if(unassured);
        conn.word.store(over.0, SeqCst);
    }
    let _swept = plane.sweep(SweepBudget::default());
}

/// Puts a service in place of the last case's, of which nothing is left.
fn begin(plane: &mut DataPlane, entry: &ServiceEntry) {
    for host in 1..8 {
        expire(plane, host, 0);
    }
    plane.remove_service(&entry.key).unwrap();
    plane.put_service(entry).unwrap();
    plane.set_gate(VIP.into(), GateState::Open).unwrap();
}

/// What a test knows of the servers: their entries, and which are overloaded.
struct Known {
    servers: Vec<ServerEntry>,
    overloaded: BTreeMap<u8, bool>,
}

impl Known {
    fn new(servers: &[ServerEntry]) -> Self {
        Self {
            servers: servers.to_vec(),
            overloaded: BTreeMap::new(),
        }
    }

    fn is_full(&self, host: u8) -> bool {
        self.overloaded.get(&host).copied().unwrap_or(false)
    }

    /// As `ip_vs_bind_dest` and `ip_vs_unbind_dest` decide.
    fn changed(&mut self, host: u8, connections: u32, bound: bool) {
        let Some(entry) = self.servers.iter().find(|s| host_of(s.address) == host) else {
            return;
        };
        let Thresholds { upper, lower } = entry.thresholds;
        if bound && upper != 0 && connections >= upper {
            self.overloaded.insert(host, true);
        }
        let is_low = match (upper, lower) {
            (0, _) => true,
            (_, 0) => connections * 4 < upper * 3,
            _ => connections < lower,
        };
        if !bound && is_low {
            self.overloaded.insert(host, false);
        }
    }
}

fn host_of(address: SocketAddr) -> u8 {
    match address {
        SocketAddr::V4(address) => address.ip().octets()[3],
        SocketAddr::V6(_) => 0,
    }
}

/// Connections of each server, in list order.
fn loads(plane: &DataPlane) -> Vec<(u8, u16, u32, u32)> {
    let view = &plane.snapshot().unwrap()[0];
    let servers = view.servers.iter();
    servers
        .map(|s| (host_of(s.address), s.weight.get(), s.active, s.inactive))
        .collect()
}

fn connections(plane: &DataPlane, host: u8) -> u32 {
    let loads = loads(plane);
    let of = loads.iter().find(|load| load.0 == host).unwrap();
    of.2 + of.3
}

/// The next pick of a scheduler with nothing but its list: the next one that is not overloaded.
trait Turns {
    fn turn(&mut self) -> Option<u8>;
    fn hosts(&self) -> Vec<(u8, u32)>;
}

impl Turns for RoundRobin<u8> {
    fn turn(&mut self) -> Option<u8> {
        self.schedule()
    }
    fn hosts(&self) -> Vec<(u8, u32)> {
        self.list().map(|(host, weight)| (*host, weight)).collect()
    }
}

impl Turns for WeightedRoundRobin<u8> {
    fn turn(&mut self) -> Option<u8> {
        self.schedule()
    }
    fn hosts(&self) -> Vec<(u8, u32)> {
        self.list().map(|(host, weight)| (*host, weight)).collect()
    }
}

fn next(turns: &mut impl Turns, known: &Known) -> Option<u8> {
    let hosts = turns.hosts();
    let open = |(host, weight): &(u8, u32)| *weight > 0 && !known.is_full(*host);
    if !hosts.iter().any(open) {
        return None;
    }
    loop {
        let host = turns.turn()?;
        if !known.is_full(host) {
            return Some(host);
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Open(u8),
    /// A server's connections expire, but for so many.
    Expire(u8, u32),
}

fn ops() -> impl Strategy<Value = (Vec<(u16, u32, u32)>, Vec<Op>)> {
    let server =
        (0u16..4, 0u32..5, 0u32..4).prop_map(|(w, upper, lower)| (w, upper, lower.min(upper)));
    let op = prop_oneof![
        3 => (1u8..8).prop_map(Op::Open),
        1 => (1u8..6, 0u32..4).prop_map(|(host, keep)| Op::Expire(host, keep)),
    ];
    (vec(server, 1..6), vec(op, 1..16))
}

/// Runs cases of a scheduler; `expected` says which servers a pick may be, nothing where there is none.
fn check(scheduler: Scheduler, expected: impl Fn(&DataPlane, &mut Case) -> Option<Vec<u8>>) {
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(48)
    });
    let plane = RefCell::new(plane_of(&service(&[])));
    let run = runner.run(&ops(), |(servers, ops)| {
        let plane = &mut plane.borrow_mut();
        let servers = (1u8..).zip(servers);
        let servers: Vec<ServerEntry> = servers
            .map(|(host, (weight, upper, lower))| limited(host, weight.into(), upper, lower))
            .collect();
        begin(
            plane,
            &ServiceEntry {
                scheduler,
                ..service(&servers)
            },
        );
        let mut case = Case::new(&servers);
        for op in ops {
            match op {
                Op::Open(n) => {
                    for _ in 0..n {
                        case.port += 1;
                        let want = expected(plane, &mut case);
                        let (verdict, host) = send(plane, case.port, SYN);
                        let picked = (verdict == TX && host != 9).then_some(host);
                        let fits = match (&want, picked) {
                            (None, None) => true,
                            (Some(want), Some(host)) => want.contains(&host),
                            (None, Some(_)) | (Some(_), None) => false,
                        };
                        assert!(fits, "{picked:?} is not of {want:?}");
                        let Some(host) = picked else {
                            return Ok(());
                        };
                        case.known.changed(host, connections(plane, host), true);
                    }
                }
                Op::Expire(host, keep) => {
                    if usize::from(host) <= servers.len() {
                        let before = connections(plane, host);
                        expire(plane, host, keep);
                        if connections(plane, host) < before {
                            case.known.changed(host, connections(plane, host), false);
                        }
                    }
                }
            }
        }
        Ok(())
    });
    run.unwrap();
}

struct Case {
    known: Known,
    rr: RoundRobin<u8>,
    wrr: WeightedRoundRobin<u8>,
    port: u16,
}

impl Case {
    fn new(servers: &[ServerEntry]) -> Self {
        let (mut rr, mut wrr) = (RoundRobin::new(), WeightedRoundRobin::new());
        // New ones come to the head.
        for server in servers.iter().rev() {
            rr.add(host_of(server.address), server.weight.get().into());
            wrr.add(host_of(server.address), server.weight.get().into());
        }
        Self {
            known: Known::new(servers),
            rr,
            wrr,
            port: 1000,
        }
    }

    /// All servers that take new flows.
    fn open(&self) -> Option<Vec<u8>> {
        let servers = self.known.servers.iter();
        let open: Vec<u8> = servers
            .filter(|s| s.weight.get() > 0)
            .map(|s| host_of(s.address))
            .filter(|host| !self.known.is_full(*host))
            .collect();
        (!open.is_empty()).then_some(open)
    }
}

#[test]
fn rr_and_wrr_pass_overloaded_servers_by() {
    in_room(|_| {
        check(Scheduler::RoundRobin, |_, case| {
            next(&mut case.rr, &case.known).map(|host| vec![host])
        });
        check(Scheduler::WeightedRoundRobin, |_, case| {
            next(&mut case.wrr, &case.known).map(|host| vec![host])
        });
    });
}

#[test]
fn those_that_compare_loads_leave_overloaded_servers_out() {
    in_room(|_| {
        for scheduler in [
            Scheduler::LeastConnection,
            Scheduler::WeightedLeastConnection,
            Scheduler::ShortestExpectedDelay,
            Scheduler::NeverQueue,
            Scheduler::Failover,
            Scheduler::Overflow,
        ] {
            check(scheduler, |plane, case| {
                let all = loads(plane);
                let open = |host| u16::from(!case.known.is_full(host));
                let loads: Vec<_> = all
                    .iter()
                    .map(|(host, weight, active, inactive)| {
                        (weight * open(*host), *active, *inactive)
                    })
                    .collect();
                least::pick(scheduler, &loads).map(|index| vec![all[index].0])
            });
        }
    });
}

#[test]
fn twos_and_maglev_pick_none_that_is_overloaded() {
    in_room(|_| {
        check(Scheduler::TwoChoices, |_, case| case.open());
        check(Scheduler::Maglev, |_, case| case.open());
    });
}

/// The server's place that sh or mh names, as `ip_vs_{sh,mh}_get{,_fallback}` do.
fn hashed(
    dealt: &[usize],
    bucket: impl Fn(u32) -> usize,
    fallback: bool,
    is_open: impl Fn(usize) -> bool,
) -> Option<usize> {
    let first = bucket(0);
    if is_open(dealt[first]) {
        return Some(dealt[first]);
    }
    if !fallback {
        return None;
    }
    let offsets = (0..dealt.len()).map(|offset| (offset + first) % dealt.len());
    let mut places = offsets.map(|offset| dealt[bucket(u32::try_from(offset).unwrap())]);
    places.find(|place| is_open(*place))
}

#[test]
fn sh_and_mh_follow_their_flags() {
    in_room(|_| {
        let weights = [1u16, 3, 0, 2];
        let servers: Vec<ServerEntry> = (1u8..)
            .zip(weights)
            .map(|(host, weight)| limited(host, weight.into(), u32::from(host == 2) * 6, 0))
            .collect();
        let client = u32::from(CLIENT);
        for (port, fallback) in [(false, false), (false, true), (true, false), (true, true)] {
            for scheduler in [Scheduler::SourceHash, Scheduler::MaglevHash] {
                let mut entry = ServiceEntry {
                    scheduler,
                    ..service(&servers)
                };
                entry.options.flags = SchedulerFlags { port, fallback };
                let plane = plane_of(&entry);
                let dealt = if scheduler == Scheduler::SourceHash {
                    buckets::source_hash(&weights)
                } else {
                    let weighed = servers.iter().map(|s| (s.address, s.hash_weight.get()));
                    mh::build(&weighed.collect::<Vec<_>>())
                };
                let mut known = Known::new(&servers);
                for client_port in 2000..2060u16 {
                    let of = client.wrapping_add(u32::from(port) * u32::from(client_port));
                    let bucket = |offset: u32| {
                        if scheduler == Scheduler::SourceHash {
                            (usize::from(buckets::bucket(of)) + offset as usize) & 0xff
                        } else {
                            mh::bucket(of.wrapping_add(offset))
                        }
                    };
                    let is_open = |place: usize| {
                        weights[place] > 0 && !known.is_full(u8::try_from(place + 1).unwrap())
                    };
                    let want = hashed(&dealt, bucket, fallback, is_open);
                    let want = want.map(|place| u8::try_from(place + 1).unwrap());
                    let (verdict, host) = send(&plane, client_port, SYN);
                    let picked = (verdict == TX && host != 9).then_some(host);
                    assert_eq!(
                        picked, want,
                        "{scheduler:?} {port} {fallback} {client_port}"
                    );
                    if let Some(host) = picked {
                        known.changed(host, connections(&plane, host), true);
                    }
                }
            }
        }
    });
}

#[test]
fn thresholds_survive_a_restart_and_a_higher_one_takes_a_server_back() {
    in_room(|room| {
        let options = room.options();
        let entry = service(&[limited(1, 1, 2, 1), server(2, 1)]);
        let open_ports = |plane: &DataPlane, ports: std::ops::Range<u16>| open(plane, ports);
        {
            let (mut plane, _) = DataPlane::start(&options).unwrap();
            plane.put_service(&entry).unwrap();
            plane.set_gate(VIP.into(), GateState::Open).unwrap();
            assert_eq!(open_ports(&plane, 1000..1006), [1, 2, 1, 2, 2, 2]);
        }
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert_eq!(adopted, std::slice::from_ref(&entry));
        assert_eq!(open_ports(&plane, 2000..2002), [2, 2]);
        let more = service(&[limited(1, 1, 3, 0), server(2, 1)]);
        plane.put_service(&more).unwrap();
        let picked = open_ports(&plane, 3000..3004);
        assert_eq!(picked.iter().filter(|host| **host == 1).count(), 1);
    });
}
