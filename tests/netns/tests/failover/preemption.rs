//! The return of the higher priority.

use std::time::{Duration, Instant};

use evenkeel_api::Role;
use evenkeel_netns_tests::cluster::{DIRECTOR, PARTNER, VIP};

use crate::{FRONT, HIGH, LOW, Pair, Traffic, assert_roles, first_advert, front, with_services};

/// The director ends and comes back with these lines in its virtual router; when it came back.
fn return_with(pair: &mut Pair, traffic: &Traffic, more: &str) -> Instant {
    let told = pair.director.take().unwrap().terminate();
    assert!(told.success(), "{told}");
    let _router = pair.cluster.partner().becomes(FRONT, Role::Active);
    traffic.goes_on(&pair.cluster);
    let back = Instant::now();
    pair.start_director(&with_services(&front(HIGH, more)));
    let director = pair.cluster.director();
    pair.cluster.eventually("its checks are done", || {
        director
            .router(FRONT)
            .is_some_and(|router| router.may_take_over)
    });
    back
}

#[test]
fn the_higher_priority_comes_back_as_its_config_says() {
    let mut pair = Pair::boot("t-return", "");
    let traffic = Traffic::start(&pair.cluster);

    let back = return_with(&mut pair, &traffic, "preempt = false");
    traffic.watch.more_adverts(&pair.cluster, PARTNER, 15);
    let record = traffic.watch.record().since(back);
    assert!(record.adverts(DIRECTOR).is_empty());
    assert!(record.answers(pair.director_mac, VIP).is_empty());
    assert_roles(
        pair.cluster.director(),
        &["is backup, was initialize: started"],
    );
    // It is there when it is needed.
    let told = pair.partner.take().unwrap().terminate();
    assert!(told.success(), "{told}");
    let _router = pair.cluster.director().becomes(FRONT, Role::Active);
    pair.start_partner(&with_services(&front(LOW, "")));
    pair.settle();
    traffic.goes_on(&pair.cluster);

    let back = return_with(&mut pair, &traffic, "preempt-delay = \"2s\"");
    pair.settle();
    let waited = first_advert(&traffic.watch.record().since(back), DIRECTOR) - back;
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    assert_roles(
        pair.cluster.director(),
        &[
            "is backup, was initialize: started",
            "is active, was backup: preempted 198.18.14.9 (priority 100)",
        ],
    );
    traffic.goes_on(&pair.cluster);

    let back = return_with(&mut pair, &traffic, "preempt = true");
    pair.settle();
    let waited = first_advert(&traffic.watch.record().since(back), DIRECTOR) - back;
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    traffic.goes_on(&pair.cluster);
    let (_echoes, record) = traffic.end(&pair.macs());
    let both = record.both_answered(VIP, pair.director_mac, pair.partner_mac);
    assert!(
        both <= crate::master_down(HIGH),
        "both answered for {both:?}"
    );
}
