//! What a Backup does and does not do.

use evenkeel_api::{Role, ServerState};
use evenkeel_netns_tests::cluster::{VIP, server, vip};
use evenkeel_netns_tests::streams::STREAMS;
use evenkeel_netns_tests::{Director, Tap, tap};

use crate::{FRONT, Pair, Traffic};

/// What `ipvsadm -Ln` says on standard output and on standard error.
fn listing(director: Director<'_>) -> (String, String) {
    let told = director.tell(&["ipvsadm", "-Ln"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    (told.out, told.err)
}

const NOTHING: &str = "IP Virtual Server version 1.2.1 (size=4096)\n\
                       Prot LocalAddress:Port Scheduler Flags\n  \
                       -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n";

#[test]
fn a_backup_checks_and_lists_nothing_until_it_takes_over() {
    let mut pair = Pair::boot("t-backup", "");
    let (director, partner) = (pair.cluster.director(), pair.cluster.partner());
    let (out, err) = listing(director);
    assert!(
        out.contains("198.18.14.146:81 maglev") && out.contains("198.18.14.12:81"),
        "{out}"
    );
    assert_eq!(err, "");
    let (out, err) = listing(partner);
    assert!(is_empty_listing(&out), "{out}");
    assert_eq!(
        err,
        "3 services held warm, not listed: this director is Backup of virtual router \"front\"\n"
    );

    // It finds out for itself what happens to a real server.
    let _nothing = pair
        .cluster
        .run("web1", &["ip", "link", "set", "eth0", "down"]);
    let is_down = |director: Director<'_>| {
        let services = director.status().services;
        let servers = services.iter().flat_map(|service| &service.servers);
        let first = servers.filter(|s| s.address.ip().to_string() == "198.18.14.12");
        first
            .into_iter()
            .all(|server| server.state == ServerState::Down && !server.listed)
    };
    pair.cluster
        .eventually("both have taken the server out", || {
            is_down(director) && is_down(partner)
        });
    let _killed = pair.kill_director();
    let partner = pair.cluster.partner();
    let _router = partner.becomes(FRONT, Role::Active);
    assert_eq!(pair.cluster.answers(80, 5), vec![server(2); 5]);
    let (out, err) = listing(partner);
    assert!(out.contains(&format!("{} maglev", vip(STREAMS))), "{out}");
    assert!(
        !out.contains("198.18.14.12") && out.contains("198.18.14.13:81"),
        "{out}"
    );
    assert_eq!(err, "");
    assert_events_tell(partner);
}

fn is_empty_listing(out: &str) -> bool {
    let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    out.starts_with("IP Virtual Server version") && lines(out) == lines(NOTHING)
}

/// `evenkeel events` has what happened, why, and in order.
fn assert_events_tell(partner: Director<'_>) {
    let told = partner.evenkeel(&["events"]).succeeded();
    let words = [
        "role-changed       virtual router",
        "is backup, was initialize: started",
        "198.18.14.12:81",
        "is active, was backup: no Active heard for",
    ];
    let mut rest = told.as_str();
    for word in words {
        let place = rest.find(word);
        let place = place.unwrap_or_else(|| panic!("no `{word}` in order in\n{told}"));
        rest = &rest[place..];
    }
    assert!(
        told.lines()
            .any(|line| line.contains("server-down") && line.contains("198.18.14.12"))
    );
}

#[test]
fn a_switch_that_floods_frames_to_both_makes_no_connection_twice() {
    let mut pair = Pair::boot("t-flood", "");
    for port in ["client", "director", "partner", "web1", "web2"] {
        let words = ["bridge", "link", "set", "dev", port, "learning", "off"];
        pair.cluster.at_switch(&words);
        let words = [
            "ip",
            "link",
            "set",
            "dev",
            port,
            "type",
            "bridge_slave",
            "fdb_flush",
        ];
        pair.cluster.at_switch(&words);
    }
    // Both directors see every frame: each packet is forwarded once.
    let seen = |pair: &Pair| pair.cluster.run("partner", &["cat", "/proc/net/dev"]);
    let received = |text: &str| -> u64 {
        let line = text.lines().find(|line| line.contains("eth0:")).unwrap();
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    let before = received(&seen(&pair));
    let taps = [1, 2].map(|number| Tap::start(&pair.cluster, &server(number)));
    let traffic = Traffic::start(&pair.cluster);
    traffic.goes_on(&pair.cluster);
    assert!(received(&seen(&pair)) > before + 200, "nothing is flooded");
    let partner = pair.cluster.partner().status();
    let conns = partner
        .services
        .iter()
        .flat_map(|s| &s.servers)
        .map(|s| s.conns);
    assert_eq!(conns.sum::<u64>(), 0, "{:#?}", partner.services);

    let _killed = pair.kill_director();
    let _router = pair.cluster.partner().becomes(FRONT, Role::Active);
    traffic.goes_on(&pair.cluster);
    let (_echoes, _record) = traffic.end(&pair.macs());
    tap::wait_until_quiet(&pair.cluster, &[&taps[0], &taps[1]]);
    let seen: Vec<_> = taps.into_iter().flat_map(Tap::stop).collect();
    let inward = tap::to(&seen, VIP);
    let mut once = std::collections::BTreeSet::new();
    let doubled: Vec<_> = inward
        .iter()
        .filter(|packet| !once.insert(**packet))
        .collect();
    assert!(
        doubled.is_empty(),
        "{} of {}: {doubled:#?}",
        doubled.len(),
        inward.len()
    );
}
