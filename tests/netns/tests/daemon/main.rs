//! The daemon as people and packets meet it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod checks;
mod edits;
mod reload;
mod start;
mod trace;
mod traffic;

use evenkeel_lab::load::OpenLoad;
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::assert_all_succeeded;
use std::time::Duration;

/// A quick check by connection.
const TCP: &str =
    "check = { tcp = true, every = \"200ms\", timeout = \"200ms\", fall = 10, rise = 1 }";

/// A steady load of new connections on the web service.
fn load(cluster: &Cluster) -> OpenLoad {
    let every = Duration::from_millis(10);
    let load = OpenLoad::start(
        cluster.node("client"),
        &cluster.target(80),
        &cluster.ports,
        every,
    );
    load.unwrap()
}

/// Waits until the load has asked for fifty more connections.
fn goes_on(cluster: &Cluster, load: &OpenLoad) {
    let then = load.sent();
    cluster.eventually("fifty more connections", || load.sent() >= then + 50);
}

/// Ends the load; none of its connections failed.
fn assert_held(load: OpenLoad) {
    assert_all_succeeded(&load.stop().unwrap());
}

/// Addresses of the services' servers that are listed, with their weights, by the listing.
fn listed(cluster: &Cluster) -> Vec<(u16, String, u16)> {
    let services = cluster.services().services;
    let mut rows: Vec<_> = services
        .iter()
        .flat_map(|service| {
            let port = service
                .service
                .address()
                .map_or(0, |address| address.port());
            let servers = service.servers.iter();
            servers.map(move |server| (port, server.address.ip().to_string(), server.weight))
        })
        .collect();
    rows.sort();
    rows
}
