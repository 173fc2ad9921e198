use evenkeel_model::Scheduler;

use super::*;

fn shares(connections: u32) -> Vec<u16> {
    let plan = Plan::new(connections, OnFailure::Remove);
    plan.clients
        .iter()
        .map(|client| client.connections)
        .collect()
}

#[test]
fn no_process_holds_more_than_it_has_descriptors_for() {
    assert_eq!(shares(3_001), [601, 600, 600, 600, 600]);
    assert_eq!(shares(100_000), [12_500; 8]);
    let most = Plan::new(super::super::CONNECTIONS_MAX, OnFailure::Remove);
    let all: u32 = most.clients.iter().map(|c| u32::from(c.connections)).sum();
    assert_eq!(all, super::super::CONNECTIONS_MAX);
    assert!(
        most.clients
            .iter()
            .all(|c| u32::from(c.connections) <= CONNECTIONS_MAX)
    );
    assert!(most.processes * CONNECTIONS_MAX > all / 3);
}

#[test]
fn the_cluster_is_one_that_directors_take() {
    for (rule, connections, room) in [
        (OnFailure::Remove, 3_000, 131_072),
        (OnFailure::Quiesce, 100_000, 400_000),
    ] {
        let plan = Plan::new(connections, rule);
        let setup = plan.setup().unwrap();
        assert_eq!(setup.servers.len(), 3);
        let directors = setup
            .topology
            .nodes
            .iter()
            .filter(|node| node.config.is_some());
        for node in directors {
            let text = node.config.as_ref().unwrap();
            let config = evenkeel_config::parse("director.toml", text, &node.name).unwrap();
            let crowd = config.services.iter().find(|s| s.name == SERVICE).unwrap();
            assert_eq!(crowd.key.address(), Some(service_address().into()));
            assert_eq!(crowd.scheduler, Scheduler::Maglev);
            assert_eq!(crowd.on_failure, rule);
            assert_eq!(config.tables.connections, room);
            let checks = config
                .services
                .iter()
                .map(|s| s.check.as_ref().unwrap().cadence);
            assert!(checks.into_iter().all(|cadence| cadence.fall == 3));
        }
        let servers = setup
            .topology
            .nodes
            .iter()
            .filter(|n| n.kind == NodeKind::RealServer);
        for server in servers {
            assert_eq!(u32::try_from(server.boot.len()).unwrap(), plan.processes);
        }
        let clients = setup
            .topology
            .nodes
            .iter()
            .filter(|n| n.kind == NodeKind::Client);
        assert_eq!(clients.count(), plan.clients.len() + 1);
    }
}
