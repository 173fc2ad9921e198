//! Hosts and cables.

use std::thread;
use std::time::Instant;

use evenkeel_api::Role;
use evenkeel_netns_tests::cluster::{PARTNER, VIP};

use crate::{FRONT, HIGH, LOW, Pair, SLACK, Traffic, assert_roles, first_advert, master_down};

/// Traffic goes to the partner within the time that the protocol allows.
fn assert_taken_over(pair: &Pair, traffic: &Traffic, since: Instant) {
    let router = pair.cluster.partner().becomes(FRONT, Role::Active);
    assert!(
        router.reason.starts_with("no Active heard for"),
        "{router:?}"
    );
    traffic
        .watch
        .only_answers(&pair.cluster, pair.partner_mac, VIP);
    traffic.goes_on(&pair.cluster);
    let takeover = first_advert(&traffic.watch.record().since(since), PARTNER) - since;
    assert!(takeover < master_down(LOW) + SLACK, "{takeover:?}");
}

#[test]
fn a_powered_off_director_is_replaced_and_preempts_when_it_is_back() {
    let mut pair = Pair::boot("t-power", "");
    let traffic = Traffic::start(&pair.cluster);
    let daemon = pair.director.take().unwrap();
    // The node is off once its processes are waited for, and this one is ours.
    let ended = thread::spawn(move || daemon.wait());
    let off = pair.cluster.lab.power_off("director").unwrap();
    let _killed = ended.join().unwrap();
    assert_taken_over(&pair, &traffic, off);

    pair.cluster.lab.power_on("director").unwrap();
    let on = Instant::now();
    pair.restart_director();
    pair.settle();
    traffic
        .watch
        .only_answers(&pair.cluster, pair.director_mac, VIP);
    traffic.goes_on(&pair.cluster);
    pair.client_reaches(pair.director_mac);
    let (echoes, record) = traffic.end(&pair.macs());
    let both = record.both_answered(VIP, pair.director_mac, pair.partner_mac);
    assert!(both <= master_down(HIGH), "both answered for {both:?}");
    assert_eq!(
        crate::lost(&echoes, on),
        0,
        "packets were lost when it came back"
    );
}

#[test]
fn a_director_without_a_link_gives_the_address_up() {
    let pair = Pair::boot("t-link", "");
    let director = pair.cluster.director();
    let traffic = Traffic::start(&pair.cluster);
    let down = pair.cluster.lab.set_link("director", false).unwrap();
    let router = director.becomes(FRONT, Role::Initialize);
    assert_eq!(router.reason, "link down");
    pair.stands_back(director);
    assert_taken_over(&pair, &traffic, down);

    let up = pair.cluster.lab.set_link("director", true).unwrap();
    pair.settle();
    traffic
        .watch
        .only_answers(&pair.cluster, pair.director_mac, VIP);
    traffic.goes_on(&pair.cluster);
    pair.client_reaches(pair.director_mac);
    let changes = director.role_changes();
    let last = changes.get(changes.len() - 3..).unwrap();
    for (change, words) in last.iter().zip([
        "is initialize, was active: link down",
        "is backup, was initialize: link up",
        "is active, was backup: preempted 198.18.14.9",
    ]) {
        assert!(change.contains(words), "{changes:#?}");
    }
    assert_roles(
        pair.cluster.partner(),
        &[
            "is backup, was initialize: started",
            "is active, was backup: no Active heard for",
            "is backup, was active: 198.18.14.10 (priority 200) is Active",
        ],
    );
    let (_echoes, record) = traffic.end(&pair.macs());
    let record = record.since(up);
    let both = record.both_answered(VIP, pair.director_mac, pair.partner_mac);
    assert!(both <= master_down(HIGH), "both answered for {both:?}");
}
