use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use evenkeel_api::Role;
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::{VIP as VIP4, config, pair_topology};
use evenkeel_netns_tests::keepalived::{self, Instance, Keepalived};
use evenkeel_netns_tests::texts::maglev;

use crate::world::{Open, VIP, add_addresses, answer, by_tcp, service};

const FRONT: &str = "front";
const ID: u8 = 51;
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 0x51);

/// Two directors and two real servers that answer on port 80.
fn boot(name: &str) -> Cluster {
    let topology = pair_topology(name, 2, &[VIP4]);
    let topology = topology.replace("echo = 7", "http = 0");
    let cluster = Cluster::boot_from(&topology, 2);
    add_addresses(&cluster, &[("director", 0xa), ("partner", 0x9)], 2);
    for number in [1, 2] {
        answer(&cluster, number, &[80], &[]);
    }
    cluster
}

fn with_priority(priority: u8) -> String {
    let router = format!(
        "\n[[virtual-router]]\nname = \"{FRONT}\"\nid = {ID}\npriority = {priority}\nadverts = \"100ms\"\n\
         addresses = [\"{LINK_LOCAL}\", \"{VIP}\"]\n"
    );
    config(&[
        router,
        maglev(&service("web", "80", &[1, 2], "scheduler = \"rr\"")),
    ])
}

/// Whether the virtual addresses stand on a director's interface.
fn holds(cluster: &Cluster, director: &str) -> bool {
    let shown = cluster.run(director, &["ip", "-6", "address", "show", "dev", "eth0"]);
    [LINK_LOCAL, VIP]
        .iter()
        .all(|address| shown.contains(&format!("inet6 {address}/")))
}

/// Connections of a maglev service go on across a takeover, as over IPv4.
#[test]
fn a_partner_takes_over_and_hands_back_and_connections_go_on() {
    let cluster = boot("t-six-pair");
    let director = cluster.director();
    let first = director.start_daemon(&with_priority(200));
    let _active = director.becomes(FRONT, Role::Active);
    let partner = cluster.partner();
    let _second = partner.start_daemon(&with_priority(100));
    let _backup = partner.becomes(FRONT, Role::Backup);
    cluster.wait_until_ready();
    assert!(holds(&cluster, "director") && !holds(&cluster, "partner"));

    let mut open: Vec<Open> = (0..8).map(|_| Open::to(&cluster, 80)).collect();
    let on: Vec<u8> = open.iter_mut().map(Open::asks).collect();
    assert_eq!(on.iter().collect::<BTreeSet<_>>().len(), 2, "both servers");
    first.kill();
    let _active = partner.becomes(FRONT, Role::Active);
    let after: Vec<u8> = open.iter_mut().map(Open::asks).collect();
    assert_eq!(after, on, "every connection stays with its server");

    let _first = director.start_daemon_from("evenkeel".as_ref());
    let _active = director.becomes(FRONT, Role::Active);
    let _backup = partner.becomes(FRONT, Role::Backup);
    cluster.eventually("the addresses are back", || {
        holds(&cluster, "director") && !holds(&cluster, "partner")
    });
    let after: Vec<u8> = open.iter_mut().map(Open::asks).collect();
    assert_eq!(after, on, "and stays there");
}

#[test]
fn evenkeel_and_keepalived_hand_addresses_of_ipv6_to_each_other() {
    if !keepalived::is_there() {
        return;
    }
    let cluster = boot("t-six-keep");
    let (director, partner) = (cluster.director(), cluster.partner());
    let instance = Instance {
        version: 3,
        id: ID,
        priority: 100,
        adverts: std::time::Duration::from_millis(100),
        address: VIP.into(),
        unicast: None,
    };
    let keepalived = Keepalived::start(partner, &instance);
    cluster.eventually("keepalived is Active alone", || {
        keepalived.is_active() == Some(true) && holds(&cluster, "partner")
    });
    let daemon = director.start_daemon(&with_priority(200));
    let status = director.becomes(FRONT, Role::Active);
    let heard = status
        .partner
        .map(|partner| (partner.priority, partner.address.is_ipv6()));
    assert_eq!(heard, Some((100, true)));
    cluster.eventually("keepalived gives the addresses up", || {
        keepalived.is_active() == Some(false) && !holds(&cluster, "partner")
    });
    cluster.wait_until_ready();
    let answered: BTreeSet<u8> = (0..16).map(|_| by_tcp(&cluster, 80)).collect();
    assert_eq!(answered, BTreeSet::from([1, 2]));
    assert!(daemon.terminate().success());
    cluster.eventually("keepalived has them at once", || holds(&cluster, "partner"));
    assert!(!holds(&cluster, "director"));

    // Killed, it is missed after three intervals; with higher priority it keeps evenkeel away.
    let _daemon = director.start_daemon_from("evenkeel".as_ref());
    let _active = director.becomes(FRONT, Role::Active);
    let higher = Instance {
        priority: 250,
        ..instance
    };
    let _low = keepalived.terminate();
    let keepalived = Keepalived::start(partner, &higher);
    let _backup = director.becomes(FRONT, Role::Backup);
    cluster.eventually("evenkeel gives the addresses up", || {
        !holds(&cluster, "director") && holds(&cluster, "partner")
    });
    let _killed = keepalived.kill();
    let _active = director.becomes(FRONT, Role::Active);
    cluster.eventually("evenkeel has them", || holds(&cluster, "director"));
}
