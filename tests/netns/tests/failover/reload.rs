//! Virtual routers that come, change and go with the config of a running daemon.

use evenkeel_api::{GateStatus, Role};
use evenkeel_netns_tests::cluster::{DIRECTOR, VIP};

use crate::{FRONT, HIGH, LOW, Pair, Traffic, front, lost, with_services};

#[test]
fn an_address_moves_into_a_virtual_router_and_out_of_it() {
    let mut pair = Pair::dark("t-moves");
    let alone = with_services("");
    pair.start_director(&alone);
    let director = pair.cluster.director();
    pair.cluster
        .eventually("it is ready", || director.is_ready());
    let traffic = Traffic::start(&pair.cluster);
    let begun = std::time::Instant::now();
    assert!(traffic.watch.record().adverts(DIRECTOR).is_empty());

    let told = director.reload(&with_services(&front(HIGH, "")));
    assert!(told.contains(FRONT), "{told}");
    let _router = director.becomes(FRONT, Role::Active);
    assert!(director.has_address(VIP));
    traffic.watch.more_adverts(&pair.cluster, DIRECTOR, 3);
    traffic.goes_on(&pair.cluster);
    assert!(
        director
            .status()
            .services
            .iter()
            .all(|s| s.virtual_router.is_some())
    );

    let told = director.reload(&alone);
    assert!(told.contains(FRONT), "{told}");
    pair.cluster.eventually("the address stands alone", || {
        let status = director.status();
        let open = status.services.iter().all(|s| s.gate == GateStatus::Open);
        open && status.virtual_routers.is_empty() && director.has_address(VIP)
    });
    traffic.goes_on(&pair.cluster);
    let left = std::time::Instant::now();
    let record = traffic.watch.record();
    let last = *record.adverts(DIRECTOR).last().unwrap();
    assert_eq!(last.1, 0, "it said that it leaves");
    let (echoes, record) = traffic.end(&pair.macs());
    assert_eq!(record.since(left).adverts(DIRECTOR), []);
    // Moves are made for maintenance, and still they may not cost a client that knows the way much.
    let lost = lost(&echoes, begun);
    assert!(lost < 1_000, "{lost} of {}", echoes.requests.len());
}

#[test]
fn priority_changes_live_and_a_removed_virtual_router_leaves_nothing() {
    let pair = Pair::boot("t-priority", "");
    let (director, partner) = (pair.cluster.director(), pair.cluster.partner());
    let traffic = Traffic::start(&pair.cluster);
    let told = partner.reload(&with_services(&front(250, "")));
    assert!(told.contains("250"), "{told}");
    let router = partner.becomes(FRONT, Role::Active);
    assert_eq!(router.reason, "preempted 198.18.14.10 (priority 200)");
    let _router = director.becomes(FRONT, Role::Backup);
    traffic.goes_on(&pair.cluster);
    let _told = partner.reload(&with_services(&front(LOW, "")));
    pair.settle();
    traffic.goes_on(&pair.cluster);

    // The director leaves the virtual router, and has no service of its address either.
    let none = evenkeel_netns_tests::texts::config(&[]);
    let told = director.reload(&none);
    assert!(told.contains(FRONT), "{told}");
    assert!(!director.has_address(VIP));
    let _router = partner.becomes(FRONT, Role::Active);
    traffic
        .watch
        .only_answers(&pair.cluster, pair.partner_mac, VIP);
    traffic.goes_on(&pair.cluster);
    let status = director.status();
    assert!(
        status.virtual_routers.is_empty() && status.problems.is_empty(),
        "{status:#?}"
    );
    let (_echoes, record) = traffic.end(&pair.macs());
    let both = record.both_answered(VIP, pair.director_mac, pair.partner_mac);
    assert!(
        both <= crate::master_down(LOW),
        "both answered for {both:?}"
    );
}
