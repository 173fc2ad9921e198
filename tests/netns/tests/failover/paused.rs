//! SIGSTOP: a daemon that is not there, and does not know.

use std::time::{Duration, Instant};

use evenkeel_api::Role;
use evenkeel_netns_tests::cluster::{DIRECTOR, PARTNER, VIP};
use nix::sys::signal::Signal;

use crate::{
    FRONT, HIGH, LOW, Pair, Traffic, assert_roles, first_advert, front, lost, master_down,
    with_services,
};

/// Waits until the daemon has been away for that long.
fn away_for(pair: &Pair, since: Instant, long: Duration) {
    pair.cluster
        .eventually("time passes", || since.elapsed() >= long);
}

#[test]
fn a_director_that_was_paused_listens_before_it_claims() {
    let pair = Pair::boot("t-paused", "");
    let (director, partner) = (pair.cluster.director(), pair.cluster.partner());
    let traffic = Traffic::start(&pair.cluster);
    let daemon = pair.director.as_ref().unwrap();

    let stopped = daemon.signal(Signal::SIGSTOP);
    let _router = partner.becomes(FRONT, Role::Active);
    traffic
        .watch
        .only_answers(&pair.cluster, pair.partner_mac, VIP);
    traffic.goes_on(&pair.cluster);
    away_for(&pair, stopped, Duration::from_secs(5));
    assert!(director.has_address(VIP));
    let resumed = daemon.signal(Signal::SIGCONT);
    pair.settle();
    traffic
        .watch
        .only_answers(&pair.cluster, pair.director_mac, VIP);
    traffic.goes_on(&pair.cluster);
    let changes = director.role_changes();
    let [.., yielded, preempted] = changes.as_slice() else {
        panic!("{changes:#?}");
    };
    assert!(yielded.contains("is backup, was active"), "{yielded}");
    assert!(
        yielded.contains("since this director was away for"),
        "{yielded}"
    );
    assert!(
        preempted.contains("is active, was backup: preempted 198.18.14.9"),
        "{preempted}"
    );
    let record = traffic.watch.record();
    let claimed = first_advert(&record.since(resumed), DIRECTOR) - resumed;
    assert!(claimed >= master_down(HIGH), "it claimed after {claimed:?}");
    let announced = record.since(resumed).announcements(pair.director_mac, VIP)[0] - resumed;
    assert!(
        announced >= master_down(HIGH),
        "it announced after {announced:?}"
    );

    // The same where nobody is preempted: it stays Backup.
    for (director, priority) in [(director, HIGH), (partner, LOW)] {
        let told = director.reload(&with_services(&front(priority, "preempt = false")));
        assert!(told.contains(FRONT), "{told}");
    }
    daemon.signal(Signal::SIGSTOP);
    let _router = partner.becomes(FRONT, Role::Active);
    traffic
        .watch
        .only_answers(&pair.cluster, pair.partner_mac, VIP);
    let resumed = daemon.signal(Signal::SIGCONT);
    let _router = director.becomes(FRONT, Role::Backup);
    traffic.watch.more_adverts(&pair.cluster, PARTNER, 10);
    pair.stands_back(director);
    traffic.goes_on(&pair.cluster);
    let (_echoes, record) = traffic.end(&pair.macs());
    assert!(record.since(resumed).adverts(DIRECTOR).is_empty());
    assert!(
        record
            .since(resumed)
            .announcements(pair.director_mac, VIP)
            .is_empty()
    );
    let both = record.both_answered(VIP, pair.director_mac, pair.partner_mac);
    assert!(both <= master_down(LOW), "both answered for {both:?}");
}

#[test]
fn a_lone_director_that_was_paused_stays_active_and_announces_again() {
    let mut pair = Pair::dark("t-pauselone");
    // Nothing but the pause shall make it announce again.
    pair.start_director(&with_services(&front(HIGH, "announce-again = \"0s\"")));
    let director = pair.cluster.director();
    let _router = director.becomes(FRONT, Role::Active);
    pair.cluster
        .eventually("it is ready", || director.is_ready());
    let traffic = Traffic::start(&pair.cluster);
    let daemon = pair.director.as_ref().unwrap();
    let stopped = daemon.signal(Signal::SIGSTOP);
    traffic.goes_on(&pair.cluster);
    away_for(&pair, stopped, Duration::from_secs(3));
    let resumed = daemon.signal(Signal::SIGCONT);
    traffic.watch.more_adverts(&pair.cluster, DIRECTOR, 5);
    traffic.goes_on(&pair.cluster);
    assert_roles(
        director,
        &[
            "is backup, was initialize: started",
            "is active, was backup",
        ],
    );
    let troubles = director.router(FRONT).unwrap().troubles;
    assert!(
        troubles.iter().any(|t| t.contains("was away for")),
        "{troubles:?}"
    );
    let (echoes, record) = traffic.end(&pair.macs());
    assert_eq!(lost(&echoes, stopped), 0, "packets were lost");
    let silence = record
        .since(stopped)
        .longest_silence(pair.director_mac, VIP);
    assert!(silence < crate::SLACK, "nobody answered for {silence:?}");
    let announced = record.since(resumed).announcements(pair.director_mac, VIP);
    assert!(!announced.is_empty());
    // It listens for one interval first.
    let first = first_advert(&record.since(resumed), DIRECTOR) - resumed;
    assert!(first >= crate::ADVERTS, "it spoke after {first:?}");
}
