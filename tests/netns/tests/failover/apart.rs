//! Two directors that do not hear each other, and then do.

use std::time::Instant;

use evenkeel_api::Role;
use evenkeel_netns_tests::cluster::{DIRECTOR, PARTNER, VIP};

use crate::{ADVERTS, FRONT, LOW, Pair, SLACK, Traffic, front, master_down, with_services};

/// After the directors hear each other, one is Active within a master-down interval and has the last word.
fn assert_settled_by_the_director(pair: &Pair, traffic: &Traffic, healed: Instant) {
    let cluster = &pair.cluster;
    let router = cluster.partner().becomes(FRONT, Role::Backup);
    assert!(router.reason.contains("is Active"), "{router:?}");
    traffic.watch.only_answers(cluster, pair.director_mac, VIP);
    traffic.goes_on(cluster);
    pair.client_reaches(pair.director_mac);
    pair.stands_back(cluster.partner());
    let record = traffic.watch.record().since(healed);
    let both = record.both_answered(VIP, pair.director_mac, pair.partner_mac);
    assert!(both <= master_down(LOW), "both answered for {both:?}");
    // One that yields is silent at once.
    let last = record.adverts(PARTNER).last().map(|(at, _)| *at - healed);
    assert!(last.is_none_or(|last| last <= ADVERTS + SLACK), "{last:?}");
    let answered = record.answers(pair.partner_mac, VIP).last().copied();
    let announced = record.announcements(pair.director_mac, VIP);
    assert!(
        announced
            .iter()
            .any(|at| answered.is_none_or(|answered| *at >= answered)),
        "the winner did not announce again"
    );
}

#[test]
fn directors_that_were_apart_settle_within_a_master_down_interval() {
    let pair = Pair::boot("t-apart", "announce-again = \"0s\"");
    let cluster = &pair.cluster;
    let traffic = Traffic::start(cluster);
    // Which one hears the other first is chance.
    for _ in 0..4 {
        let _when = cluster.part_directors(true);
        let _router = cluster.partner().becomes(FRONT, Role::Active);
        let _router = cluster.director().becomes(FRONT, Role::Active);
        // The last announcement was the partner's.
        pair.client_reaches(pair.partner_mac);
        let healed = cluster.part_directors(false);
        assert_settled_by_the_director(&pair, &traffic, healed);
    }
    let (_echoes, _record) = traffic.end(&pair.macs());
}

#[test]
fn directors_of_which_one_is_deaf_settle_once_it_hears() {
    let pair = Pair::boot("t-deaf", "announce-again = \"0s\"");
    let cluster = &pair.cluster;
    let traffic = Traffic::start(cluster);
    let flood = |word| {
        let words = [
            "bridge",
            "link",
            "set",
            "dev",
            "partner",
            "mcast_flood",
            word,
        ];
        cluster.at_switch(&words);
        Instant::now()
    };
    let _when = flood("off");
    let _router = cluster.partner().becomes(FRONT, Role::Active);
    // The director hears it, and stays.
    traffic.watch.more_adverts(cluster, PARTNER, 10);
    let _router = cluster.director().becomes(FRONT, Role::Active);
    let healed = flood("on");
    assert_settled_by_the_director(&pair, &traffic, healed);
    let (_echoes, _record) = traffic.end(&pair.macs());
}

#[test]
fn of_equal_ones_the_first_stays_and_apart_the_higher_address_wins() {
    let mut pair = Pair::dark("t-equal");
    pair.start_partner(&with_services(&front(LOW, "")));
    let (director, partner) = ("director", "partner");
    let _router = pair
        .cluster
        .director_at(partner)
        .becomes(FRONT, Role::Active);
    pair.start_director(&with_services(&front(LOW, "")));
    let cluster = &pair.cluster;
    let _router = cluster.director_at(director).becomes(FRONT, Role::Backup);
    cluster.eventually("the second may take over", || {
        let router = cluster.director_at(director).router(FRONT);
        router.is_some_and(|router| router.may_take_over)
    });
    let traffic = Traffic::start(cluster);
    traffic.watch.more_adverts(cluster, PARTNER, 15);
    assert!(traffic.watch.record().adverts(DIRECTOR).is_empty());

    let _when = cluster.part_directors(true);
    let _router = cluster.director_at(director).becomes(FRONT, Role::Active);
    let healed = cluster.part_directors(false);
    assert_settled_by_the_director(&pair, &traffic, healed);
    traffic.watch.more_adverts(cluster, DIRECTOR, 15);
    let settled = cluster.director_at(director).role_changes();
    assert_eq!(settled.len(), 2, "{settled:#?}");
    let settled = cluster.director_at(partner).role_changes();
    assert_eq!(settled.len(), 3, "{settled:#?}");
    let (_echoes, _record) = traffic.end(&pair.macs());
}
