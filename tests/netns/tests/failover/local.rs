//! A Backup that is a real server itself.

use std::collections::BTreeSet;

use evenkeel_api::{Forwarding, Role};
use evenkeel_netns_tests::cluster::{DIRECTOR, PARTNER, VIP, node, server_address};
use evenkeel_netns_tests::streams::STREAMS;
use evenkeel_netns_tests::texts::{ECHO, config, held, maglev, service_of, topology, udp};
use evenkeel_netns_tests::{Backend, Cluster};

use crate::{FRONT, HIGH, LOW, Pair, TCP, Traffic, front};

/// The partner and one host are the real servers.
fn text(priority: u8) -> String {
    let servers = [PARTNER, server_address(1)];
    let web = service_of("web", (VIP, 80), &servers, TCP);
    let streams = service_of("streams", (VIP, STREAMS), &servers, TCP);
    let echo = udp(&service_of("echo", (VIP, ECHO), &servers, TCP));
    config(&[
        front(priority, ""),
        maglev(&web),
        maglev(&streams),
        maglev(&echo),
    ])
}

fn forwarding(pair: &Pair, director: &str) -> Vec<Forwarding> {
    let services = pair.cluster.director_at(director).status().services;
    let servers = services.iter().flat_map(|service| &service.servers);
    servers.map(|server| server.forwarding).collect()
}

#[test]
fn a_backup_that_is_a_real_server_serves_in_both_roles() {
    let virtual_address = format!("virtual = [\"{VIP}\"]\n");
    let echoing = held(&[VIP]);
    let text_of_lab = topology("t-local", 1).replace(&virtual_address, &echoing);
    let more = format!("{echoing}http = 80\n");
    let lab = text_of_lab + &node("partner", "director", PARTNER, &more);
    let cluster = Cluster::boot_from(&lab, 1);
    let backends = vec![
        Backend::start(&cluster, "web1"),
        Backend::start(&cluster, "partner"),
    ];
    let mut pair = Pair {
        director: None,
        partner: None,
        director_mac: cluster.director().mac(),
        partner_mac: cluster.partner().mac(),
        _backends: backends,
        cluster,
    };
    pair.start_director(&text(HIGH));
    pair.start_partner(&text(LOW));
    pair.settle();
    assert_eq!(forwarding(&pair, "director"), [Forwarding::Direct; 6]);
    let of_partner = [Forwarding::Local, Forwarding::Direct];
    assert_eq!(forwarding(&pair, "partner"), of_partner.repeat(3));
    let both = BTreeSet::from(["partner".to_owned(), "web1".to_owned()]);
    let answerers =
        |pair: &Pair| -> BTreeSet<String> { pair.cluster.answers(80, 20).into_iter().collect() };
    assert_eq!(answerers(&pair), both);

    let traffic = Traffic::start(&pair.cluster);
    let on_partner = |pair: &Pair| pair._backends[1].running();
    assert!(!on_partner(&pair).is_empty() && on_partner(&pair).len() < 8);
    let _killed = pair.kill_director();
    let _router = pair.cluster.partner().becomes(FRONT, Role::Active);
    traffic
        .watch
        .only_answers(&pair.cluster, pair.partner_mac, VIP);
    traffic.goes_on(&pair.cluster);
    assert_eq!(answerers(&pair), both);
    let listing = pair.cluster.run("partner", &["ipvsadm", "-Ln"]);
    let rows: Vec<&str> = listing
        .lines()
        .filter(|line| line.contains("198.18.14.9:80"))
        .collect();
    assert!(rows.len() == 1 && rows[0].contains(" Local "), "{listing}");

    pair.restart_director();
    pair.settle();
    traffic.goes_on(&pair.cluster);
    pair.client_reaches(pair.director_mac);
    assert_eq!(answerers(&pair), both);
    assert_eq!(
        pair._backends[1].ended().len(),
        0,
        "a stream ended on the partner"
    );
    let (_echoes, record) = traffic.end(&pair.macs());
    assert!(!record.adverts(DIRECTOR).is_empty());
}
