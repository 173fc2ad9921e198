//! Plain HTTP through the real daemon. Runs on the oldest kernel under emulation too, so it waits long.

use std::time::Duration;

use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::{config, server, service};

const REQUESTS: usize = 100;

#[test]
fn a_hundred_requests_are_answered_by_the_real_servers_in_turn() {
    let mut cluster = Cluster::boot("t-http", 2);
    cluster.be_patient(Duration::from_secs(120));
    // A check that is late on a slow machine must not take a server out.
    let check = "check = { http = \"/\", status = 200, every = \"5s\", timeout = \"5s\", fall = 5, rise = 1 }";
    let _daemon = cluster.start_daemon(&config(&[service("web", 80, &[1, 2], check)]));
    cluster.wait_until_ready();

    let answers = cluster.answers(80, REQUESTS);
    assert_eq!(answers.len(), REQUESTS);
    for pair in answers.windows(2) {
        assert_ne!(pair[0], pair[1], "not in turn: {answers:?}");
    }
    for number in [1, 2] {
        let of_server = answers.iter().filter(|answer| **answer == server(number));
        assert_eq!(of_server.count(), REQUESTS / 2, "{answers:?}");
    }

    let status = cluster.status();
    assert_eq!(status.drops, [], "{status:?}");
    assert_eq!(status.problems, [], "{status:?}");
    cluster.eventually("every connection is closed, and remembered", || {
        let service = cluster.service(80);
        let counts = service
            .servers
            .iter()
            .map(|server| (server.active, server.inactive));
        counts.eq([(0, 50), (0, 50)])
    });
    let listing = cluster.services().services.remove(0);
    assert_eq!(listing.totals.conns, 100, "{listing:?}");
    for server in &listing.servers {
        assert_eq!(server.totals.conns, 50, "{listing:?}");
    }
}
