//! `evenkeel failover`, `standby` and `maintenance`.

use std::time::{Duration, Instant};

use evenkeel_api::{HandoverAnswer, HandoverOutcome, Role, Stance};
use evenkeel_netns_tests::Director;
use evenkeel_netns_tests::cluster::{DIRECTOR, PARTNER, VIP};

use crate::{
    FRONT, HIGH, LOW, Pair, Traffic, assert_roles, front, lost, master_down, with_services,
};

/// Waits until a director has heard nobody for so long that another would have taken over several times.
fn hears_nobody(pair: &Pair, director: Director<'_>) {
    let long = 5 * master_down(LOW).as_millis();
    pair.cluster.eventually("nobody is heard any more", || {
        let partner = director.router(FRONT).and_then(|router| router.partner);
        partner.is_some_and(|partner| u128::from(partner.last_heard_ms) > long)
    });
}

/// A daemon that starts while many others do may take long.
const PATIENCE: Duration = Duration::from_secs(120);

fn stance(director: Director<'_>) -> Stance {
    director.router(FRONT).unwrap().stance
}

#[test]
fn a_handover_loses_nothing_and_stays_until_it_is_handed_back() {
    let pair = Pair::boot("t-handover", "");
    let (director, partner) = (pair.cluster.director(), pair.cluster.partner());
    let traffic = Traffic::start(&pair.cluster);
    let begun = Instant::now();
    let told = director.evenkeel(&["failover"]).succeeded();
    let expected = "virtual router front: 198.18.14.9 (priority 100) took over in ";
    assert!(told.starts_with(expected), "{told}");
    let router = director.becomes(FRONT, Role::Backup);
    assert_eq!(router.stance, Stance::HandedOver);
    assert_eq!(
        router.reason,
        "handed over to 198.18.14.9 (priority 100) by command"
    );
    let _router = partner.becomes(FRONT, Role::Active);
    // It does not preempt, though its priority is higher.
    traffic.watch.more_adverts(&pair.cluster, PARTNER, 15);
    traffic
        .watch
        .only_answers(&pair.cluster, pair.partner_mac, VIP);
    pair.client_reaches(pair.partner_mac);
    traffic.goes_on(&pair.cluster);
    pair.stands_back(director);
    let status = director.evenkeel(&["status"]).succeeded();
    assert!(status.contains("handed over by command"), "{status}");
    director.evenkeel(&["failover"]).assert_refused(
        1,
        &[
            "not Active for virtual router `front`",
            "`evenkeel failover` there",
        ],
    );
    partner
        .evenkeel(&["failover", "--to", "198.18.14.77"])
        .assert_refused(1, &["198.18.14.77 is no partner", "that is 198.18.14.10"]);
    partner
        .evenkeel(&["failover", "back"])
        .assert_refused(1, &["no virtual router `back`", "There are: front."]);

    let words = ["failover", FRONT, "--to", "198.18.14.10", "--json"];
    let told = partner.evenkeel(&words).succeeded();
    let answer: HandoverAnswer = serde_json::from_str(&told).unwrap();
    let [back] = answer.routers.as_slice() else {
        panic!("{answer:?}");
    };
    assert_eq!(back.outcome, HandoverOutcome::HandedOver);
    assert_eq!(back.successor, Some(DIRECTOR.into()));
    pair.settle();
    assert_eq!(stance(director), Stance::Ordinary);
    traffic.goes_on(&pair.cluster);
    pair.client_reaches(pair.director_mac);
    let ordered = director.events().into_iter().any(|event| {
        event.kind == "virtual-router-ordered" && event.message.contains("took over in")
    });
    assert!(ordered, "{:#?}", director.events());
    assert_roles(
        director,
        &[
            "is backup, was initialize: started",
            "is active, was backup: no Active heard",
            "is backup, was active: handed over to 198.18.14.9 (priority 100) by command",
            "is active, was backup: the Active, 198.18.14.9, stopped (priority 0)",
        ],
    );

    let (echoes, record) = traffic.end(&pair.macs());
    assert_eq!(lost(&echoes, begun), 0, "probes were lost");
    let both = record.both_answered(VIP, pair.director_mac, pair.partner_mac);
    assert!(both <= master_down(LOW), "both answered for {both:?}");
}

#[test]
fn alone_a_director_that_is_told_to_hand_over_stays_active() {
    let mut pair = Pair::dark("t-handlone");
    pair.start_director(&with_services(&front(HIGH, "")));
    let director = pair.cluster.director();
    let _router = director.becomes(FRONT, Role::Active);
    let traffic = Traffic::start(&pair.cluster);
    director.evenkeel(&["failover"]).assert_refused(
        1,
        &[
            "virtual router front: nobody took over in",
            "still Active",
            "No partner was ever heard here",
        ],
    );
    director.evenkeel(&["maintenance", "on"]).assert_refused(
        1,
        &[
            "nobody took over",
            "not in maintenance",
            "maintenance on --force",
        ],
    );
    let router = director.router(FRONT).unwrap();
    assert_eq!(
        (router.role, router.stance),
        (Role::Active, Stance::Ordinary)
    );
    assert!(!director.status().maintenance);
    traffic.goes_on(&pair.cluster);
    let (_echoes, record) = traffic.end(&pair.macs());
    let silence = record.longest_silence(pair.director_mac, VIP);
    assert!(silence < Duration::from_millis(500), "{silence:?}");
    assert_roles(director, &["is backup, was init", "is active, was backup"]);

    let told = director.evenkeel(&["maintenance", "on", "--force"]);
    assert!(told.succeeded().contains("given up all the same"));
    pair.stands_back(director);
    let told = director.evenkeel(&["maintenance", "off"]).succeeded();
    assert!(told.contains("takes over again"), "{told}");
    let _router = director.becomes(FRONT, Role::Active);
}

#[test]
fn who_stands_by_serves_while_nobody_else_does_and_after_a_restart_too() {
    let mut pair = Pair::boot("t-standby", "");
    pair.cluster.be_patient(PATIENCE);
    let traffic = Traffic::start(&pair.cluster);
    let told = pair.cluster.director().evenkeel(&["standby"]).succeeded();
    assert!(told.contains("took over in"), "{told}");
    assert!(told.contains("until `evenkeel standby --off`"), "{told}");
    let _router = pair.cluster.partner().becomes(FRONT, Role::Active);
    traffic.goes_on(&pair.cluster);

    pair.partner.take().unwrap().kill();
    let router = pair.cluster.director().becomes(FRONT, Role::Active);
    assert_eq!(router.stance, Stance::Standby);
    assert_eq!(router.priority_in_force, Some(1));
    traffic.goes_on(&pair.cluster);
    // A partner that comes back takes over, though its configured priority is lower.
    pair.start_partner(&with_services(&front(LOW, "")));
    let _router = pair.cluster.partner().becomes(FRONT, Role::Active);
    let _router = pair.cluster.director().becomes(FRONT, Role::Backup);
    traffic.goes_on(&pair.cluster);

    let ended = pair.director.take().unwrap().terminate();
    assert!(ended.success(), "{ended}");
    pair.restart_director();
    let director = pair.cluster.director();
    pair.cluster.eventually("its checks are done", || {
        director.router(FRONT).is_some_and(|r| r.may_take_over)
    });
    traffic.watch.more_adverts(&pair.cluster, PARTNER, 15);
    assert_eq!(stance(director), Stance::Standby);
    assert_eq!(director.router(FRONT).unwrap().role, Role::Backup);
    let _told = director.evenkeel(&["standby", "--off"]).succeeded();
    pair.settle();
    assert_eq!(stance(director), Stance::Ordinary);
    traffic.goes_on(&pair.cluster);
    let _record = traffic.end(&pair.macs());
}

#[test]
fn maintenance_outlives_the_daemon_and_nothing_is_taken_over_in_it() {
    let mut pair = Pair::boot("t-maint", "");
    pair.cluster.be_patient(PATIENCE);
    let traffic = Traffic::start(&pair.cluster);
    let begun = Instant::now();
    let director = pair.cluster.director();
    let told = director.evenkeel(&["maintenance", "on"]).succeeded();
    assert!(told.contains("took over in"), "{told}");
    assert!(told.contains("until `evenkeel maintenance off`"), "{told}");
    let status = director.evenkeel(&["status"]).succeeded();
    assert!(status.contains("\nMAINTENANCE: "), "{status}");
    let events = director.events();
    assert!(
        events.iter().any(|e| e.kind == "maintenance" && e.warning),
        "{events:#?}"
    );
    traffic.goes_on(&pair.cluster);

    let ended = pair.director.take().unwrap().terminate();
    assert!(ended.success(), "{ended}");
    pair.restart_director();
    let director = pair.cluster.director();
    pair.cluster.eventually("its checks are done", || {
        director.router(FRONT).is_some_and(|r| r.may_take_over)
    });
    assert!(director.status().maintenance);
    traffic.watch.more_adverts(&pair.cluster, PARTNER, 15);
    traffic.goes_on(&pair.cluster);
    let (echoes, _record) = traffic.end(&pair.macs());
    assert_eq!(lost(&echoes, begun), 0, "probes were lost");

    pair.partner.take().unwrap().kill();
    hears_nobody(&pair, director);
    assert_eq!(director.router(FRONT).unwrap().role, Role::Backup);
    assert!(!director.has_address(VIP));
    let _told = director.evenkeel(&["maintenance", "off"]).succeeded();
    let router = director.becomes(FRONT, Role::Active);
    assert!(router.reason.starts_with("no Active heard"), "{router:?}");
    assert!(!director.status().maintenance);
}
