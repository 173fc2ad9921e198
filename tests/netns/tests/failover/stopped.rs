//! SIGTERM.

use std::time::{Duration, Instant};

use evenkeel_api::Role;
use evenkeel_netns_tests::cluster::{CLIENT, DIRECTOR, PARTNER, VIP, server};
use evenkeel_netns_tests::tap;
use evenkeel_netns_tests::{Cluster, Tap};
use evenkeel_testkit::packet::{Segment, flags};
use std::net::SocketAddrV4;

use crate::{FRONT, HIGH, LOW, Pair, SLACK, Traffic, first_advert, master_down, skew};

#[test]
fn a_director_that_is_told_to_end_hands_over_first() {
    let mut pair = Pair::boot("t-term", "");
    let traffic = Traffic::start(&pair.cluster);
    let told = Instant::now();
    let status = pair.director.take().unwrap().terminate();
    let took = told.elapsed();
    assert!(status.success(), "{status}");
    assert!(took < 2 * master_down(HIGH) + SLACK, "{took:?}");
    let router = pair.cluster.partner().becomes(FRONT, Role::Active);
    assert_eq!(
        router.reason,
        "the Active, 198.18.14.10, stopped (priority 0)"
    );
    traffic
        .watch
        .only_answers(&pair.cluster, pair.partner_mac, VIP);
    traffic.goes_on(&pair.cluster);
    pair.client_reaches(pair.partner_mac);
    assert!(!pair.cluster.director().has_address(VIP));
    assert_forwards_nothing(&pair.cluster, pair.director_mac, pair.partner_mac);

    let (echoes, record) = traffic.end(&pair.macs());
    let adverts = record.adverts(DIRECTOR);
    let resigned = adverts.iter().find(|(_, priority)| *priority == 0);
    let resigned = resigned.unwrap().0;
    let waited = first_advert(&record, PARTNER) - resigned;
    let allowed = skew(LOW)..skew(LOW) + SLACK;
    assert!(allowed.contains(&waited), "taken over after {waited:?}");
    let both = record.both_answered(VIP, pair.director_mac, pair.partner_mac);
    assert!(both <= master_down(LOW), "both answered for {both:?}");
    let silence = echoes.longest_silence(told, Instant::now() - Duration::from_millis(300));
    assert!(silence.length < Duration::from_millis(150), "{silence:?}");
}

/// What still comes to a director that has stopped goes no further: its gate is closed. What comes to the
/// other one does.
fn assert_forwards_nothing(cluster: &Cluster, stopped: [u8; 6], active: [u8; 6]) {
    let taps = [1, 2].map(|number| Tap::start(cluster, &server(number)));
    let from = |port| SocketAddrV4::new(CLIENT, port);
    for (destination, port) in [(stopped, 1001), (active, 1002)] {
        let segment = Segment {
            destination,
            ..Segment::new(from(port), SocketAddrV4::new(VIP, 80), flags::SYN)
        };
        cluster.send_frames("client", vec![segment.frame()]);
    }
    tap::wait_until(cluster, &taps, |seen| seen.packet.from == from(1002));
    let seen = taps.into_iter().flat_map(Tap::stop);
    let astray: Vec<_> = seen.filter(|s| s.packet.from == from(1001)).collect();
    assert!(astray.is_empty(), "{astray:?}");
}

#[test]
fn a_lone_director_ends_without_waiting_for_long() {
    let mut pair = Pair::dark("t-termlone");
    pair.start_director(&crate::with_services(&crate::front(HIGH, "")));
    let _router = pair.cluster.director().becomes(FRONT, Role::Active);
    let told = Instant::now();
    let status = pair.director.take().unwrap().terminate();
    let took = told.elapsed();
    assert!(status.success(), "{status}");
    let allowed = 2 * master_down(HIGH)..2 * master_down(HIGH) + SLACK;
    assert!(allowed.contains(&took), "{took:?}");
    assert!(!pair.cluster.director().has_address(VIP));
}
