//! What goes wrong around a director: told, counted, and no reason to change a role.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::{Duration, Instant};

use evenkeel_api::{GateStatus, Role};
use evenkeel_netns_tests::cluster::{DIRECTOR, VIP, server_address};
use evenkeel_netns_tests::texts::{config, router};
use evenkeel_netns_tests::{Director, Watch};
use evenkeel_wire::checksum;
use evenkeel_wire::vrrp::{self, Coverage, Outgoing, Version};

use crate::{FRONT, HIGH, ID, LOW, Pair, Traffic, front, master_down, with_services};

#[test]
fn a_host_outside_that_holds_the_address_is_shown_and_stops_no_takeover() {
    let mut pair = Pair::dark("t-stranger");
    let add = "ip address add 198.18.14.146/32 dev eth0";
    let _nothing = pair.cluster.run("web2", &["sh", "-c", add]);
    pair.start_director(&with_services(&front(HIGH, "")));
    let _router = pair.cluster.director().becomes(FRONT, Role::Active);
    pair.start_partner(&with_services(&front(LOW, "")));
    let partner = pair.cluster.partner();
    let mut holders = Vec::new();
    pair.cluster.eventually("the partner sees a stranger", || {
        holders = partner
            .router(FRONT)
            .map_or_else(Vec::new, |r| r.address_held_by);
        !holders.is_empty()
    });
    let [holder] = holders.as_slice() else {
        panic!("{holders:?}");
    };
    let [a, b, c, d] = server_address(2).octets();
    assert_eq!(holder.mac, format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}"));
    assert_eq!(holder.address, VIP);
    assert!(partner.count(FRONT, "address-held") > 0);
    assert!(
        partner
            .log()
            .contains("is held by a host outside this virtual router")
    );
    let shown = partner.evenkeel(&["status"]).succeeded();
    assert!(shown.contains(&holder.mac), "{shown}");
    let _killed = pair.kill_director();
    let _router = pair.cluster.partner().becomes(FRONT, Role::Active);
}

#[test]
fn an_address_that_somebody_else_put_there_keeps_the_gate_from_closing() {
    let mut pair = Pair::boot("t-kept", "");
    let add = ["ip", "address", "add", "198.18.14.146/32", "dev", "eth0"];
    let _nothing = pair.cluster.run("partner", &add);
    let _killed = pair.kill_director();
    let _router = pair.cluster.partner().becomes(FRONT, Role::Active);
    let traffic = Traffic::start(&pair.cluster);
    pair.restart_director();
    let (director, partner) = (pair.cluster.director(), pair.cluster.partner());
    let _router = director.becomes(FRONT, Role::Active);
    let _router = partner.becomes(FRONT, Role::Backup);
    let lost = Instant::now();
    pair.cluster.eventually("the gate would be closed", || {
        lost.elapsed() > 4 * master_down(HIGH)
    });
    // It can't be removed, so it must not be answered for either.
    assert!(partner.has_address(VIP));
    traffic
        .watch
        .only_answers(&pair.cluster, pair.director_mac, VIP);
    traffic.goes_on(&pair.cluster);
    let gates = partner.status().services;
    assert!(
        gates.iter().all(|s| s.gate == GateStatus::Draining),
        "{gates:#?}"
    );
    assert!(partner.log().contains("trying again"), "{}", partner.log());

    let delete = ["ip", "address", "del", "198.18.14.146/32", "dev", "eth0"];
    let _nothing = pair.cluster.run("partner", &delete);
    pair.stands_back(partner);
    traffic.goes_on(&pair.cluster);
    let (_echoes, _record) = traffic.end(&pair.macs());
}

/// An advertisement as somebody at the real server sends it.
fn advert(change: impl FnOnce(&mut Outgoing<'_>), spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let addresses = [IpAddr::V4(VIP)];
    let mut outgoing = Outgoing {
        source: server_address(1).into(),
        destination: IpAddr::from(vrrp::GROUP),
        version: Version::V3,
        virtual_router: ID,
        priority: 255,
        interval: Duration::from_millis(100),
        addresses: &addresses,
        coverage: Coverage::PseudoHeader,
    };
    change(&mut outgoing);
    let mut packet = vec![0; vrrp::PACKET_LEN_MAX];
    let length = vrrp::write(&outgoing, &mut packet).unwrap();
    packet.truncate(length);
    spoil(&mut packet);
    // A header that is wrong itself would not pass the kernel.
    packet[10..12].fill(0);
    let words = packet[..20]
        .chunks(2)
        .map(|w| u16::from_be_bytes([w[0], w[1]]));
    let sum = checksum::finish(words.fold(0, checksum::add));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let [a, b, c, d] = server_address(1).octets();
    let source = [0x02, 0x00, a, b, c, d];
    [&vrrp::GROUP_MAC[..], &source, &[8, 0], &packet].concat()
}

fn as_is(_packet: &mut Vec<u8>) {}

fn nothing(_advert: &mut Outgoing<'_>) {}

/// Kinds of trouble, and what causes them; each would take the role away if it were followed.
fn bad_adverts() -> Vec<(&'static str, Vec<u8>)> {
    let odd = |packet: &mut Vec<u8>| {
        packet.extend([0; 4]);
        let length = u16::try_from(packet.len()).unwrap();
        packet[2..4].copy_from_slice(&length.to_be_bytes());
    };
    vec![
        ("ttl", advert(nothing, |packet| packet[8] = 254)),
        ("checksum", advert(nothing, |packet| packet[26] ^= 1)),
        ("length", advert(nothing, odd)),
        (
            "version",
            advert(
                |advert| {
                    advert.version = Version::V2;
                    advert.interval = Duration::from_secs(1);
                },
                as_is,
            ),
        ),
        ("type", advert(nothing, |packet| packet[20] = 0x32)),
    ]
}

/// The address of a virtual router of version 2.
const OLD: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 147);

#[test]
fn bad_advertisements_are_counted_by_kind_told_once_and_change_nothing() {
    let mut pair = Pair::dark("t-bad");
    let old = router("old", 52, &[OLD], LOW, "version = 2\nadverts = \"1s\"");
    pair.start_director(&with_services(&format!("{}{old}", front(LOW, ""))));
    let director = pair.cluster.director();
    for name in [FRONT, "old"] {
        let _router = director.becomes(name, Role::Active);
    }
    let watch = Watch::start(&pair.cluster, &[VIP, OLD]);
    for (kind, frame) in bad_adverts() {
        pair.cluster.send_frames("web1", vec![frame; 3]);
        counted(director, FRONT, kind, 3);
    }
    // Another interval is ignored in version 2 only.
    let slower = advert(
        |advert| {
            advert.version = Version::V2;
            advert.virtual_router = 52;
            advert.interval = Duration::from_secs(2);
            advert.addresses = &[IpAddr::V4(OLD)];
        },
        as_is,
    );
    pair.cluster.send_frames("web1", vec![slower; 3]);
    counted(director, "old", "interval", 3);
    // Somebody else uses the number for another address: of lower priority, so it may not win anyway.
    let others = advert(
        |advert| {
            advert.priority = 1;
            advert.addresses = &[IpAddr::V4(OLD)];
        },
        as_is,
    );
    pair.cluster.send_frames("web1", vec![others; 3]);
    counted(director, FRONT, "addresses", 3);
    for name in [FRONT, "old"] {
        let router = director.router(name).unwrap();
        assert_eq!(router.role, Role::Active, "{router:#?}");
        assert!(!router.troubles.is_empty(), "{router:#?}");
    }
    assert_told_once(director);
    assert_eq!(
        director.role_changes().len(),
        4,
        "{:#?}",
        director.role_changes()
    );
    let record = watch.record();
    for address in [VIP, OLD] {
        assert!(record.longest_silence(pair.director_mac, address) < crate::SLACK);
    }
}

fn counted(director: Director<'_>, router: &str, kind: &str, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while director.count(router, kind) < count {
        let found = director.router(router).unwrap().counters;
        assert!(Instant::now() < deadline, "{kind}: {found:#?}");
    }
    assert_eq!(director.count(router, kind), count, "{kind}");
}

/// Every trouble of the virtual routers is in the log, and none twice.
fn assert_told_once(director: Director<'_>) {
    let log = director.log();
    let troubles: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("event=\"virtual-router-trouble\""))
        .collect();
    let words = [
        "has TTL 254",
        "wrong checksum",
        "length 16, expected 12",
        "speaks VRRP version 2",
        "type 2",
        "advertises every 2.0 s",
        "with other addresses",
    ];
    for word in words {
        let told = troubles.iter().filter(|line| line.contains(word)).count();
        assert_eq!(told, 1, "{word}: {troubles:#?}");
    }
    assert_eq!(troubles.len(), words.len(), "{troubles:#?}");
}

#[test]
fn without_real_time_priority_a_director_says_what_it_costs_and_goes_on() {
    let mut pair = Pair::dark("t-slow");
    let director = pair.cluster.director();
    director.write_config(&config(&[front(HIGH, "")]));
    let mut command = Command::new("setpriv");
    let limits = ["--bounding-set", "-sys_nice,-ipc_lock,-sys_resource"];
    command
        .args(limits)
        .args(["--", "prlimit", "--rtprio=0", "--memlock=0", "evenkeel"]);
    pair.director = Some(director.start_daemon_by(command));
    let _router = director.becomes(FRONT, Role::Active);
    let thread = director.status().vrrp_thread.unwrap();
    assert!(
        !thread.real_time && thread.real_time_reason.is_some(),
        "{thread:?}"
    );
    assert!(
        !thread.memory_locked && thread.memory_locked_reason.is_some(),
        "{thread:?}"
    );
    let log = director.log();
    for words in [
        "no real-time priority for the VRRP thread",
        "partners may take over without need",
        "the VRRP thread's memory is not locked",
    ] {
        assert_eq!(log.matches(words).count(), 1, "{words}: {log}");
    }
    let watch = Watch::start(&pair.cluster, &[VIP]);
    watch.more_adverts(&pair.cluster, DIRECTOR, 5);
}
