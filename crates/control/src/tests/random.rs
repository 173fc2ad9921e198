use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_model::{
    Edit, Forwarding, GateState, OnFailure, Protocol, Scheduler, SchedulerFlags, ServerSettings,
    ServiceKey, ServiceSettings, Thresholds, VirtualRouter, VirtualService, VrrpVersion, Weight,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::ServerView;

use super::shell::{Host, Shell, key, mac, real, router, server, shared, synced, tcp, web, weight};

#[derive(Clone, Debug)]
enum Op {
    Configure(Vec<VirtualService>, Vec<VirtualRouter>),
    SetHost(u8, Host),
    MoveNeighbour(u8, u8),
    FailPuts(u32),
    FailOrders(u32),
    Switch(u8),
    Edit(Edit),
    Forget,
    Own(Vec<u8>),
    Pass(u64),
}

fn own() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::subsequence(vec![12u8, 13, 16, 30, 200], 0..=5)
}

/// Each address of a service is stand-alone, or under one of two routers.
fn routers() -> impl Strategy<Value = Vec<VirtualRouter>> {
    let version = || prop_oneof![3 => Just(VrrpVersion::V3), 1 => Just(VrrpVersion::V2)];
    let owner = || prop_oneof![2 => Just(None), 1 => Just(Some(51u8)), 1 => Just(Some(52u8))];
    let owners = vec(owner(), 3);
    (owners, version(), version(), any::<bool>()).prop_map(|(owners, v51, v52, reverse)| {
        let mut routers = Vec::new();
        for (number, version) in [(51, v51), (52, v52)] {
            let owned = [146u8, 147, 148].into_iter().zip(&owners);
            let owned = owned.filter(|(_, owner)| **owner == Some(number));
            let addresses: Vec<u8> = owned.map(|(address, _)| address).collect();
            if !addresses.is_empty() {
                routers.push(VirtualRouter {
                    version,
                    ..router(number, &addresses)
                });
            }
        }
        if reverse {
            routers.reverse();
        }
        routers
    })
}

fn service(host: u8, port: u16) -> impl Strategy<Value = VirtualService> {
    let servers = proptest::sample::subsequence(vec![12u8, 13, 14, 15, 30], 0..=5);
    let check = prop_oneof![1 => Just(None), 3 => Just(Some(tcp())), 1 => Just({
        let mut slow = tcp();
        slow.cadence.every *= 2;
        Some(slow)
    })];
    let sorry = prop_oneof![2 => Just(None), 2 => Just(Some(16u8)), 1 => Just(Some(30))];
    let rest = (any::<bool>(), sorry);
    (servers, 0i64..3, check, rest).prop_map(move |(servers, weight, check, (quiesce, sorry))| {
        let is_server = |sorry: &u8| servers.contains(sorry);
        VirtualService {
            sorry_server: sorry.filter(|s| !is_server(s)).map(|s| server(s, 1)),
            key: key(host, port),
            check,
            on_failure: if quiesce {
                OnFailure::Quiesce
            } else {
                OnFailure::Remove
            },
            servers: servers.into_iter().map(|n| server(n, weight)).collect(),
            ..web()
        }
    })
}

fn services() -> impl Strategy<Value = Vec<VirtualService>> {
    let one = |host, port| proptest::option::of(service(host, port));
    (one(146, 80), one(146, 81), one(147, 80)).prop_map(|(a, mut b, c)| {
        if let Some(dns) = &mut b {
            dns.key = ServiceKey::single(Protocol::Udp, SocketAddr::from(([198, 18, 14, 146], 81)));
        }
        [a, b, c].into_iter().flatten().collect()
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    let key = || (146u8..149, 80u16..82).prop_map(|(host, port)| key(host, port));
    let host = || (12u8..17).prop_map(|n| real(n).ip());
    let of_server = || {
        (0i64..3).prop_map(|w| ServerSettings {
            weight: weight(w),
            thresholds: Thresholds::default(),
        })
    };
    let scheduler = || prop_oneof![Just(Scheduler::RoundRobin), Just(Scheduler::Maglev)];
    let of_service = || {
        scheduler().prop_map(|scheduler| ServiceSettings {
            scheduler,
            flags: SchedulerFlags::default(),
            persistence: None,
            one_packet: false,
        })
    };
    prop_oneof![
        2 => (key(), of_service()).prop_map(|(k, s)| Edit::AddService(k, s)),
        2 => (key(), of_service()).prop_map(|(k, s)| Edit::EditService(k, s)),
        2 => key().prop_map(Edit::DeleteService),
        3 => (key(), host(), of_server()).prop_map(|(k, h, s)| Edit::AddServer(k, h, s)),
        3 => (key(), host(), of_server()).prop_map(|(k, h, s)| Edit::EditServer(k, h, s)),
        3 => (key(), host()).prop_map(|(k, h)| Edit::DeleteServer(k, h)),
        4 => (key(), host()).prop_map(|(k, h)| Edit::Drain(k, h)),
        2 => (key(), host()).prop_map(|(k, h)| Edit::Ready(k, h)),
        1 => Just(Edit::Clear),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let host = prop_oneof![Just(Host::Passes), Just(Host::Fails), Just(Host::Hangs)];
    prop_oneof![
        2 => (services(), routers()).prop_map(|(s, r)| Op::Configure(s, r)),
        3 => (12u8..16, host).prop_map(|(n, host)| Op::SetHost(n, host)),
        1 => (prop_oneof![12u8..16, Just(30)], 1u8..4).prop_map(|(n, m)| Op::MoveNeighbour(n, m)),
        1 => (1u32..3).prop_map(Op::FailPuts),
        1 => (1u32..3).prop_map(Op::FailOrders),
        2 => prop_oneof![Just(51u8), Just(52)].prop_map(Op::Switch),
        1 => own().prop_map(Op::Own),
        3 => edit().prop_map(Op::Edit),
        1 => Just(Op::Forget),
        4 => (0u64..3000).prop_map(Op::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The simulated shell checks the world after every event; here the events are any.
    #[test]
    fn arbitrary_sequences_uphold_invariants(
        first in (services(), routers()),
        ops in vec(op(), 1..25),
        second in (services(), routers()),
        own_later in own(),
        is_synced in any::<bool>(),
    ) {
        let shared = if is_synced { synced } else { shared };
        let mut shell = Shell::start(shared(first.0, first.1));
        for op in ops {
            match op {
                Op::Configure(services, routers) => shell.reload(shared(services, routers)),
                Op::SetHost(n, host) => {
                    shell.hosts.insert(real(n), host);
                }
                Op::MoveNeighbour(n, m) => shell.move_neighbour(real(n).ip(), mac(m)),
                Op::FailPuts(puts) => shell.failing_puts = puts,
                Op::FailOrders(orders) => shell.failing_orders = orders,
                Op::Switch(router) => shell.switch(router),
                Op::Own(own) => shell.own(&own),
                // A refusal changes nothing, which the shell checks.
                Op::Edit(edit) => drop(shell.edit(edit)),
                Op::Forget => shell.forget_edits(),
                Op::Pass(millis) => shell.run(Duration::from_millis(millis)),
            }
        }
        // Left alone with servers that all answer, everything configured and on the link is in.
        shell.hosts.clear();
        shell.failing_puts = 0;
        shell.failing_orders = 0;
        shell.run(Duration::from_secs(20));
        is_settled(&shell)?;
        // Restarted, it adopts what it finds, and ends at what the configuration says.
        let (found, kept) = (shell.data_plane.into_values().collect(), shell.kept);
        let mut shell = Shell::edited(shared(second.0, second.1), kept, found, &own_later);
        shell.run(Duration::from_secs(20));
        prop_assert_eq!(shell.ready, 1);
        is_settled(&shell)?;
    }
}

/// Everything is as the configuration says.
fn is_settled(shell: &Shell) -> Result<(), TestCaseError> {
    for service in shell.control.view().services {
        let reached =
            |server: &ServerView| server.hop.is_some() || server.forwarding == Forwarding::Local;
        let mut usable = false;
        for server in &service.servers {
            let weight = match server.drained_since {
                Some(_) => Weight::QUIESCED,
                None => server.weight,
            };
            prop_assert_eq!(server.in_force, reached(server).then_some(weight));
            usable |= reached(server) && weight > Weight::QUIESCED;
        }
        if let Some(sorry) = &service.sorry_server {
            let needed = reached(sorry) && !usable;
            prop_assert_eq!(sorry.in_force, needed.then_some(Weight::ONE));
        }
        for address in service.entry.addresses() {
            if shell.thread.seat_of(address).is_none() {
                prop_assert_eq!(shell.thread.gates.get(&address), Some(&GateState::Open));
            }
        }
    }
    let configured = &shell.control.director().virtual_routers;
    prop_assert_eq!(shell.thread.seats.len(), configured.len());
    for router in configured {
        let seat = shell.thread.seats.get(&router.id);
        let addresses = seat.map(|seat| &seat.config.addresses);
        prop_assert_eq!(addresses, Some(&router.addresses));
        prop_assert!(seat.is_some_and(|seat| seat.may_take_over));
    }
    Ok(())
}
