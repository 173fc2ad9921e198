//! New configs, good and bad, under traffic.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use evenkeel_lab::load::{self, Target};
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::backend::Backend;
use evenkeel_netns_tests::cluster::{VIP, config, server, server_address, service};
use evenkeel_netns_tests::streams::{STREAMS, Streams};
use nix::sys::signal::Signal;

use crate::{TCP, assert_held, goes_on, listed, load};

/// A second virtual address.
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 147);

fn reload(cluster: &Cluster, text: &str) -> String {
    cluster.write_config(text);
    cluster.evenkeel(&["reload"]).succeeded()
}

fn addresses(cluster: &Cluster) -> String {
    cluster.run("director", &["ip", "-4", "address", "show", "dev", "eth0"])
}

/// A service with an address of its own comes beside the others.
fn add_a_second_address(cluster: &Cluster, services: &[String]) {
    for number in 1..=3 {
        let _nothing = cluster.run(
            &server(number),
            &["ip", "address", "add", "198.18.14.147/32", "dev", "lo"],
        );
    }
    let other = service("other", 80, &[3], TCP).replace(&VIP.to_string(), &OTHER.to_string());
    let _told = reload(cluster, &config(&[services, &[other]].concat()));
    cluster.wait_until_ready();
    assert!(addresses(cluster).contains("198.18.14.147/32"));
    let target = Target {
        address: (OTHER, 80).into(),
        ..cluster.target(80)
    };
    let records = load::sequential(cluster.node("client"), &target, &cluster.ports, 2).unwrap();
    assert!(
        records.iter().all(|r| r.outcome == Ok(server(3))),
        "{records:?}"
    );
}

#[test]
fn reload_adds_and_removes_servers_and_services_beside_running_flows() {
    let cluster = Cluster::boot("t-reload", 3);
    cluster.retransmit_only_losses();
    let backends: Vec<Backend> = (1..=3)
        .map(|n| Backend::start(&cluster, &server(n)))
        .collect();
    let less = config(&[service("streams", STREAMS, &[1, 2], TCP)]);
    let _daemon = cluster.start_daemon(&less);
    cluster.wait_until_ready();
    let streams = Streams::start(&cluster, 6);
    streams.all_get_on(&cluster);
    let retransmitted = cluster.retransmitted();

    let more = [
        service("streams", STREAMS, &[1, 2, 3], TCP),
        service("web", 80, &[1, 2, 3], TCP),
    ];
    let told = reload(&cluster, &config(&more));
    for word in ["web", "198.18.14.14"] {
        assert!(told.contains(word), "{told}");
    }
    cluster.wait_until_ready();
    let answers: BTreeSet<String> = cluster.answers(80, 6).into_iter().collect();
    assert_eq!(answers, (1..=3).map(server).collect());
    streams.all_get_on(&cluster);

    add_a_second_address(&cluster, &more);
    streams.all_get_on(&cluster);

    let told = reload(&cluster, &less);
    assert!(told.contains("web"), "{told}");
    cluster.eventually("only the first servers are listed", || {
        let streams = |number| (STREAMS, server_address(number).to_string(), 1);
        listed(&cluster) == [streams(1), streams(2)]
    });
    let left = addresses(&cluster);
    assert!(
        left.contains("198.18.14.146/32") && !left.contains("198.18.14.147/32"),
        "{left}"
    );
    // Nothing serves the port any more, and the address is still the director's.
    let outcome = cluster.requests(80, 1).remove(0).outcome.unwrap_err();
    assert!(outcome.contains("refused"), "{outcome}");
    let told = reload(&cluster, &less);
    assert!(told.ends_with("nothing changed\n"), "{told}");

    streams.all_get_on(&cluster);
    for end in streams.stop() {
        end.unwrap();
    }
    assert_eq!(
        cluster.retransmitted() - retransmitted,
        0,
        "segments were sent again"
    );
    assert!(
        backends
            .iter()
            .flat_map(Backend::ended)
            .all(|(_, end)| end.is_ok())
    );
}

#[test]
fn a_broken_config_leaves_the_old_one_in_force() {
    let cluster = Cluster::boot("t-broken", 2);
    let good = config(&[service("web", 80, &[1, 2], TCP)]);
    let daemon = cluster.start_daemon(&good);
    cluster.wait_until_ready();
    let load = load(&cluster);
    goes_on(&cluster, &load);
    let before = listed(&cluster);

    let broken = good
        .replace("\"rr\"", "\"rrr\"")
        .replace("interface", "interfase");
    cluster.write_config(&broken);
    let told = cluster.evenkeel(&["reload"]);
    let line = 1 + broken
        .lines()
        .position(|line| line.contains("rrr"))
        .unwrap();
    told.assert_refused(
        78,
        &[
            &format!("evenkeel.toml:{line}:13"),
            "evenkeel.toml:3:1",
            "^^^",
            "The config before stays in force.",
        ],
    );
    assert!(told.out.is_empty(), "{told:?}");
    daemon.signal(Signal::SIGHUP);
    cluster.eventually("the log tells of the refusals", || {
        cluster.log().matches("event=\"reload-refused\"").count() == 2
    });
    std::fs::remove_file(cluster.config_path()).unwrap();
    cluster
        .evenkeel(&["reload"])
        .assert_refused(78, &["evenkeel.toml"]);
    goes_on(&cluster, &load);
    assert_eq!(listed(&cluster), before);
    assert_held(load);

    cluster.write_config(&config(&[service("web", 80, &[1], TCP)]));
    daemon.signal(Signal::SIGHUP);
    cluster.eventually("a good config is taken up", || listed(&cluster).len() == 1);
    assert_eq!(cluster.answers(80, 3), vec![server(1); 3]);
    let status = cluster.status();
    assert_eq!(status.problems, [], "{status:?}");
}
