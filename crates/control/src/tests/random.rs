use std::time::Duration;

use evenkeel_model::{OnFailure, VirtualService};
use proptest::collection::vec;
use proptest::prelude::*;

use super::shell::{Host, Shell, director, key, mac, real, server, tcp, web};

#[derive(Clone, Debug)]
enum Op {
    Configure(Vec<VirtualService>),
    SetHost(u8, Host),
    MoveNeighbour(u8, u8),
    FailPuts(u32),
    Pass(u64),
}

fn service(host: u8, port: u16) -> impl Strategy<Value = VirtualService> {
    let servers = proptest::sample::subsequence(vec![12u8, 13, 14, 15, 30], 0..=5);
    let check = prop_oneof![1 => Just(None), 3 => Just(Some(tcp())), 1 => Just({
        let mut slow = tcp();
        slow.cadence.every *= 2;
        Some(slow)
    })];
    (servers, 0i64..3, check, any::<bool>()).prop_map(move |(servers, weight, check, quiesce)| {
        VirtualService {
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
    (one(146, 80), one(146, 81), one(147, 80))
        .prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

fn op() -> impl Strategy<Value = Op> {
    let host = prop_oneof![Just(Host::Passes), Just(Host::Fails), Just(Host::Hangs)];
    prop_oneof![
        2 => services().prop_map(Op::Configure),
        3 => (12u8..16, host).prop_map(|(n, host)| Op::SetHost(n, host)),
        1 => (prop_oneof![12u8..16, Just(30)], 1u8..4).prop_map(|(n, m)| Op::MoveNeighbour(n, m)),
        1 => (1u32..3).prop_map(Op::FailPuts),
        4 => (0u64..3000).prop_map(Op::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The simulated shell checks the world after every event; here the events are any.
    #[test]
    fn arbitrary_sequences_uphold_invariants(
        first in services(),
        ops in vec(op(), 1..25),
        second in services(),
    ) {
        let mut shell = Shell::start(director(first));
        for op in ops {
            match op {
                Op::Configure(services) => shell.configure(services),
                Op::SetHost(n, host) => {
                    shell.hosts.insert(real(n), host);
                }
                Op::MoveNeighbour(n, m) => shell.move_neighbour(real(n).ip(), mac(m)),
                Op::FailPuts(puts) => shell.failing_puts = puts,
                Op::Pass(millis) => shell.run(Duration::from_millis(millis)),
            }
        }
        // Left alone with servers that all answer, everything configured and on the link is in.
        shell.hosts.clear();
        shell.failing_puts = 0;
        shell.run(Duration::from_secs(20));
        for service in shell.control.view().services {
            for server in service.servers {
                prop_assert_eq!(server.in_force, server.mac.map(|_| server.weight));
            }
        }
        // Restarted, it adopts what it finds, and ends at what the configuration says.
        let found = shell.data_plane.into_values().collect();
        let mut shell = Shell::restart(director(second), found);
        shell.run(Duration::from_secs(20));
        prop_assert_eq!(shell.ready, 1);
        for service in shell.control.view().services {
            for server in service.servers {
                prop_assert_eq!(server.in_force, server.mac.map(|_| server.weight));
            }
        }
    }
}
