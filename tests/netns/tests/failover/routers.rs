//! Several virtual routers, and the owner of one.

use std::net::Ipv4Addr;

use evenkeel_api::Role;
use evenkeel_lab::load::{self, Target};
use evenkeel_netns_tests::backend::{HEALTH, Health};
use evenkeel_netns_tests::cluster::{PARTNER, VIP, server_address};
use evenkeel_netns_tests::texts::{config, maglev, pair_topology, router, service, service_of};
use evenkeel_netns_tests::watch::assert_none_refused;
use evenkeel_netns_tests::{Cluster, Watch};

use crate::{FRONT, LOW, Pair, TCP, Traffic, front, services, with_services};

/// The address of a second virtual router.
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 147);

/// Both virtual routers, with these priorities, and services at both addresses.
fn both(front_priority: u8, back_priority: u8) -> String {
    let back = router("back", 52, &[OTHER], back_priority, "adverts = \"100ms\"");
    let servers = [1, 2].map(server_address);
    let other = maglev(&service_of("other", (OTHER, 80), &servers, TCP));
    config(&[front(front_priority, ""), back, services(), other])
}

fn answers_at_other(cluster: &Cluster) {
    let target = Target {
        address: (OTHER, 80).into(),
        ..cluster.target(80)
    };
    let records = load::sequential(cluster.node("client"), &target, &cluster.ports, 10);
    evenkeel_netns_tests::cluster::assert_all_succeeded(&records.unwrap());
}

#[test]
fn each_director_is_active_for_one_address_and_the_survivor_for_both() {
    let addresses = [VIP, OTHER];
    let mut pair = Pair::of(Cluster::boot_from(
        &pair_topology("t-two", 2, &addresses),
        2,
    ));
    pair.start_director(&both(200, 100));
    pair.start_partner(&both(100, 200));
    let roles = |director: evenkeel_netns_tests::Director<'_>| {
        ["front", "back"].map(|name| director.router(name).map(|router| router.role))
    };
    let (active, backup) = (Some(Role::Active), Some(Role::Backup));
    pair.cluster.eventually("each is Active once", || {
        roles(pair.cluster.director()) == [active, backup]
            && roles(pair.cluster.partner()) == [backup, active]
            && pair.cluster.director().is_ready()
            && pair.cluster.partner().is_ready()
    });
    let watch = Watch::start(&pair.cluster, &addresses);
    watch.only_answers(&pair.cluster, pair.director_mac, VIP);
    watch.only_answers(&pair.cluster, pair.partner_mac, OTHER);
    answers_at_other(&pair.cluster);
    let traffic = Traffic::start(&pair.cluster);

    pair.partner.take().unwrap().kill();
    pair.cluster.eventually("the survivor is Active twice", || {
        roles(pair.cluster.director()) == [active, active]
    });
    for address in addresses {
        watch.only_answers(&pair.cluster, pair.director_mac, address);
    }
    traffic.goes_on(&pair.cluster);
    answers_at_other(&pair.cluster);

    let partner = pair.cluster.partner();
    pair.partner = Some(partner.start_daemon_from("evenkeel".as_ref()));
    pair.cluster.eventually("each is Active once again", || {
        roles(pair.cluster.director()) == [active, backup]
            && roles(pair.cluster.partner()) == [backup, active]
    });
    watch.only_answers(&pair.cluster, pair.partner_mac, OTHER);
    answers_at_other(&pair.cluster);
    traffic.goes_on(&pair.cluster);
    let (echoes, _record) = traffic.end(&pair.macs());
    let lost = echoes
        .requests
        .iter()
        .filter(|e| e.answered.is_none())
        .count();
    assert_eq!(lost, 0, "the other address's moves cost this one packets");
    assert_none_refused(&watch.record(), &pair.macs());
}

#[test]
fn the_owner_of_the_address_waits_for_its_first_checks_too() {
    let mut pair = Pair::dark("t-owner");
    pair.start_partner(&with_services(&front(LOW, "")));
    let _router = pair.cluster.partner().becomes(FRONT, Role::Active);
    for backend in &pair._backends {
        backend.set_health(Health::Hung);
    }
    // No check has a result before its timeout, and none that fails is the last word on a server.
    let slow = format!(
        "check = {{ http = \"/\", status = 200, port = {HEALTH}, every = \"1s\", timeout = \"1s\", fall = 10, rise = 1 }}"
    );
    let text = config(&[front(255, ""), maglev(&service("web", 80, &[1, 2], &slow))]);
    let watch = Watch::start(&pair.cluster, &[VIP]);
    pair.start_director(&text);
    let director = pair.cluster.director();
    let router = director.becomes(FRONT, Role::Backup);
    assert!(!router.may_take_over, "{router:?}");
    watch.more_adverts(&pair.cluster, PARTNER, 5);
    assert!(watch.record().answers(pair.director_mac, VIP).is_empty());
    let router = director.becomes(FRONT, Role::Active);
    assert_eq!(router.reason, "owner of the addresses (priority 255)");
    let _router = pair.cluster.partner().becomes(FRONT, Role::Backup);
    watch.only_answers(&pair.cluster, pair.director_mac, VIP);
}

#[test]
fn an_address_that_stands_on_the_interface_already_is_refused() {
    let pair = Pair::dark("t-standing");
    let director = pair.cluster.director();
    let on = ["ip", "address", "add", "198.18.14.146/32", "dev", "eth0"];
    let _nothing = pair.cluster.run("director", &on);
    for (priority, words) in [
        (
            255,
            "priority 255 is only for an address that evenkeel adds itself",
        ),
        (
            100,
            "stands on interface `eth0` and was not added by evenkeel",
        ),
    ] {
        director.write_config(&with_services(&front(priority, "")));
        let told = director.evenkeel_with_config("run");
        told.assert_refused(
            78,
            &["198.18.14.146", "`front`", words, "Hint: ", "ip addr del"],
        );
        assert!(director.has_address(VIP), "it is not evenkeel's to remove");
    }
}
