//! The Active's daemon dies, and its data plane does not.

use std::time::Instant;

use evenkeel_api::{GateStatus, Role};
use evenkeel_netns_tests::cluster::{DIRECTOR, PARTNER, VIP};

use crate::{
    ADVERTS, FRONT, HIGH, LOW, Pair, SLACK, Traffic, assert_roles, first_advert, front, lost,
    master_down, with_services,
};

#[test]
fn a_partner_takes_over_from_a_dead_daemon_and_gives_back_to_its_successor() {
    let mut pair = Pair::boot("t-killed", "");
    let traffic = Traffic::start(&pair.cluster);
    let killed = pair.kill_director();
    let router = pair.cluster.partner().becomes(FRONT, Role::Active);
    assert!(
        router.reason.starts_with("no Active heard for"),
        "{router:?}"
    );
    traffic
        .watch
        .only_answers(&pair.cluster, pair.partner_mac, VIP);
    traffic.goes_on(&pair.cluster);
    // The data plane yields by itself: nobody is there to take the address away.
    assert!(pair.cluster.director().has_address(VIP));
    let record = traffic.watch.record();
    let takeover = first_advert(&record, PARTNER);
    let heard = record.adverts(DIRECTOR).last().unwrap().0;
    let waited = takeover - heard;
    let allowed = master_down(LOW)..master_down(LOW) + SLACK;
    assert!(allowed.contains(&waited), "{waited:?}");
    let both = record
        .since(killed)
        .both_answered(VIP, pair.director_mac, pair.partner_mac);
    assert!(both <= master_down(LOW), "both answered for {both:?}");

    let restarted = Instant::now();
    pair.restart_director();
    let director = pair.cluster.director();
    pair.cluster
        .eventually("it begins as Backup, without the address", || {
            let is_backup = || {
                director
                    .router(FRONT)
                    .is_some_and(|r| r.role == Role::Backup)
            };
            is_backup() && !director.has_address(VIP) && is_backup()
        });
    pair.settle();
    traffic
        .watch
        .only_answers(&pair.cluster, pair.director_mac, VIP);
    traffic.goes_on(&pair.cluster);
    pair.client_reaches(pair.director_mac);
    assert_roles(
        director,
        &[
            "is backup, was initialize: started",
            "is active, was backup: preempted 198.18.14.9 (priority 100)",
        ],
    );
    let (_echoes, record) = traffic.end(&pair.macs());
    let record = record.since(restarted);
    let both = record.both_answered(VIP, pair.director_mac, pair.partner_mac);
    assert!(both <= master_down(HIGH), "both answered for {both:?}");
}

/// The lease is a master-down interval: more than 3 s.
const SLOW: &str = "adverts = \"1s\"";

fn slow(priority: u8) -> String {
    let adverts = format!("adverts = \"{}ms\"", ADVERTS.as_millis());
    with_services(&front(priority, "").replace(&adverts, SLOW))
}

#[test]
fn a_lone_director_forwards_without_its_daemon_and_a_restart_costs_nothing() {
    let mut pair = Pair::dark("t-lone");
    pair.start_director(&slow(HIGH));
    let director = pair.cluster.director();
    let _router = director.becomes(FRONT, Role::Active);
    let traffic = Traffic::start(&pair.cluster);
    let begun = Instant::now();

    // Within the lease: as if nothing had been.
    let _killed = pair.kill_director();
    traffic.goes_on(&pair.cluster);
    pair.restart_director();
    let director = pair.cluster.director();
    let router = director.becomes(FRONT, Role::Active);
    assert_eq!(router.reason, "restarted within its lease");
    pair.cluster
        .eventually("it is ready", || director.is_ready());
    traffic.goes_on(&pair.cluster);
    assert_roles(
        director,
        &["is active, was initialize: restarted within its lease"],
    );
    let answers = traffic.watch.record().since(begun);
    let silence = answers.longest_silence(pair.director_mac, VIP);
    assert!(silence < SLACK, "nobody answered for {silence:?}");

    // The lease is over: it begins as Backup, and forwards meanwhile.
    let told = director.reload(&with_services(&front(HIGH, "")));
    assert!(told.contains("front"), "{told}");
    traffic.watch.more_adverts(&pair.cluster, DIRECTOR, 3);
    let killed = pair.kill_director();
    pair.cluster.eventually("the lease is over", || {
        let last = *traffic.watch.record().adverts(DIRECTOR).last().unwrap();
        last.0.elapsed() > master_down(HIGH) + SLACK && killed.elapsed() > master_down(HIGH)
    });
    traffic.goes_on(&pair.cluster);
    pair.restart_director();
    let director = pair.cluster.director();
    let router = director.becomes(FRONT, Role::Active);
    assert!(
        router.reason.starts_with("no Active heard for"),
        "{router:?}"
    );
    pair.cluster
        .eventually("it is ready", || director.is_ready());
    traffic.goes_on(&pair.cluster);
    assert_roles(
        director,
        &[
            "is backup, was initialize: started",
            "is active, was backup",
        ],
    );
    let (echoes, _record) = traffic.end(&pair.macs());
    assert_eq!(lost(&echoes, begun), 0, "packets were lost");
}

#[test]
fn a_daemon_that_is_back_within_its_lease_was_never_missed() {
    let mut pair = Pair::dark("t-lease");
    pair.start_director(&slow(HIGH));
    let _router = pair.cluster.director().becomes(FRONT, Role::Active);
    pair.start_partner(&slow(LOW));
    pair.settle();
    let traffic = Traffic::start(&pair.cluster);
    let begun = Instant::now();
    for _ in 0..2 {
        let _killed = pair.kill_director();
        pair.restart_director();
        let router = pair.cluster.director().becomes(FRONT, Role::Active);
        assert_eq!(router.reason, "restarted within its lease");
        // The next one shall not find the partner on the point of taking over.
        traffic.watch.more_adverts(&pair.cluster, DIRECTOR, 1);
    }
    traffic.goes_on(&pair.cluster);
    let partner = pair.cluster.partner();
    assert_roles(partner, &["is backup, was initialize: started"]);
    assert_eq!(partner.count(FRONT, "sent"), 0);
    let director = pair.cluster.director().status();
    let open = |s: &evenkeel_api::ServiceStatus| s.gate == GateStatus::Open;
    assert!(director.services.iter().all(open), "{director:?}");
    let (echoes, record) = traffic.end(&pair.macs());
    assert_eq!(lost(&echoes, begun), 0, "packets were lost");
    assert!(record.answers(pair.partner_mac, VIP).is_empty());
    assert!(record.adverts(PARTNER).is_empty());
}
