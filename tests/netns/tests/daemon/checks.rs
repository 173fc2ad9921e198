//! What checks do to the list of servers, and do not do to flows.

use std::time::{Duration, Instant};

use evenkeel_api::ServerState;
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::backend::{Backend, HEALTH, Health};
use evenkeel_netns_tests::cluster::{config, server, service};
use evenkeel_netns_tests::streams::{STREAMS, Streams};

const EVERY: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_millis(200);
const FALL: u32 = 2;

/// A check of the health page.
fn check() -> String {
    format!(
        "check = {{ http = \"/\", status = 200, port = {HEALTH}, every = \"{}ms\", timeout = \"{}ms\", fall = {FALL}, rise = 2 }}",
        EVERY.as_millis(),
        TIMEOUT.as_millis()
    )
}

#[test]
fn a_quiesced_server_keeps_its_flows_and_gets_no_new_ones() {
    let cluster = Cluster::boot("t-quiesce", 2);
    let backends: Vec<Backend> = (1..=2)
        .map(|n| Backend::start(&cluster, &server(n)))
        .collect();
    let quiesce = format!("on-failure = \"quiesce\"\n{}", check());
    let text = config(&[
        service("streams", STREAMS, &[1, 2], &quiesce),
        service("web", 80, &[1, 2], &quiesce),
    ]);
    let _daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    let streams = Streams::start(&cluster, 6);
    cluster.eventually("streams are on both", || {
        backends.iter().all(|backend| backend.running().len() == 3)
    });
    streams.all_get_on(&cluster);

    backends[0].set_health(Health::Bad);
    cluster.eventually("the failed server has weight 0", || {
        let server = cluster.server_of(STREAMS, 1);
        server.state == ServerState::Down
            && server.weight == 0
            && cluster.server_of(80, 1).weight == 0
    });
    let failed = cluster.server_of(STREAMS, 1);
    assert!(failed.listed && failed.reason.contains("503"), "{failed:?}");
    assert_eq!(
        (failed.weight_configured, failed.active),
        (1, 3),
        "{failed:?}"
    );
    let listing = cluster.run("director", &["ipvsadm", "-Ln"]);
    let row = listing
        .lines()
        .find(|line| line.contains("198.18.14.12:81"))
        .unwrap();
    let columns: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        columns,
        ["->", "198.18.14.12:81", "Route", "0", "3", "0"],
        "{listing}"
    );
    streams.all_get_on(&cluster);
    assert_eq!(cluster.answers(80, 6), vec![server(2); 6]);

    backends[0].set_health(Health::Good);
    cluster.eventually("it has its weight back", || {
        cluster.server_of(STREAMS, 1).weight == 1 && cluster.server_of(80, 1).weight == 1
    });
    assert!(cluster.answers(80, 2).contains(&server(1)));
    streams.all_get_on(&cluster);
    for end in streams.stop() {
        end.unwrap();
    }
}

#[test]
fn hung_servers_delay_no_other_check() {
    let cluster = Cluster::boot("t-hung", 4);
    let backends: Vec<Backend> = (1..=4)
        .map(|n| Backend::start(&cluster, &server(n)))
        .collect();
    let _daemon = cluster.start_daemon(&config(&[service("web", 80, &[1, 2, 3, 4], &check())]));
    cluster.wait_until_ready();
    for backend in &backends[..3] {
        backend.set_health(Health::Hung);
    }
    cluster.eventually("the hung servers are out", || {
        (1..=3).all(|number| !cluster.server_of(80, number).listed)
    });
    let hung = cluster.server_of(80, 1);
    assert!(hung.reason.contains("no answer within 200ms"), "{hung:?}");
    assert_eq!(cluster.answers(80, 3), vec![server(4); 3]);

    let failing = Instant::now();
    backends[3].set_health(Health::Bad);
    cluster.eventually("the last one is out", || !cluster.server_of(80, 4).listed);
    let took = failing.elapsed();
    // With one check waiting for another's timeout it would be three times as much.
    let allowed = EVERY * FALL + TIMEOUT + Duration::from_millis(300);
    assert!(took <= allowed, "{took:?} > {allowed:?}");

    let good = Instant::now();
    backends[3].set_health(Health::Good);
    cluster.eventually("it is back", || cluster.server_of(80, 4).listed);
    let took = good.elapsed();
    assert!(took <= allowed, "{took:?} > {allowed:?}");
    assert_eq!(cluster.answers(80, 3), vec![server(4); 3]);
}
