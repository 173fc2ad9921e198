//! What is ignored, counted, told once and shown.

use super::*;

/// Hears the advertisement, changed; returns the trouble that it is.
fn trouble(bench: &mut Bench, change: impl Fn(&mut Outgoing<'_>, &mut u8)) -> Option<Trouble> {
    let config = bench.config();
    let mut advert = outgoing(&config, ABOVE, 150);
    let mut ttl = 255;
    change(&mut advert, &mut ttl);
    let before = bench.machine.view().counters;
    bench.hear_message(&advert, ttl);
    counted(bench, &before)
}

fn counted(bench: &Bench, before: &Counters) -> Option<Trouble> {
    let after = bench.machine.view().counters;
    let mut grown = Trouble::ALL
        .into_iter()
        .filter(|kind| after.of(*kind) > before.of(*kind));
    let kind = grown.next();
    assert_eq!(grown.next(), None, "one kind at a time");
    kind
}

fn hear_bytes(bench: &mut Bench, payload: &[u8]) -> Option<Trouble> {
    let before = bench.machine.view().counters;
    let packet = Packet {
        source: ABOVE,
        destination: GROUP,
        ttl: 255,
        payload,
    };
    bench.machine.handle_packet(&packet, bench.now);
    counted(bench, &before)
}

fn message(config: &VirtualRouter) -> Vec<u8> {
    let mut buffer = [0; vrrp::PACKET_LEN_MAX];
    let len = vrrp::write(&outgoing(config, ABOVE, 150), &mut buffer).unwrap();
    buffer[ipv4::MIN_LEN..len].to_vec()
}

/// An Active yields to what counts.
fn is_followed(bench: &Bench) -> bool {
    bench.role() == Role::Backup
}

#[test]
fn what_must_be_ignored_is_counted_by_kind_and_changes_nothing() {
    type Change = fn(&mut Outgoing<'_>, &mut u8);
    let cases: [(Trouble, Change); 4] = [
        (Trouble::Ttl, |_, ttl| *ttl = 254),
        (Trouble::Version, |advert, _| {
            advert.version = Version::V2;
            advert.interval = ms(1_000);
        }),
        (Trouble::OwnAddress, |advert, _| advert.source = OURS),
        (Trouble::Unicast, |advert, _| advert.destination = OURS),
    ];
    for (kind, change) in cases {
        let mut bench = Bench::active(v3());
        assert_eq!(trouble(&mut bench, change), Some(kind));
        assert!(!is_followed(&bench), "{kind:?}");
        assert_eq!(bench.words(), format!("notice {}", kind.name()));
        assert_ne!(
            bench.machine.view().partner.map(|p| p.last_heard),
            Some(bench.now)
        );
    }
}

#[test]
fn malformed_messages_are_counted_by_kind() {
    let good = message(&v3());
    let changed = |at: usize, byte: u8| {
        let mut message = good.clone();
        message[at] = byte;
        message
    };
    let cases = [
        (Trouble::Length, Vec::new()),
        (Trouble::Length, good[..good.len() - 1].to_vec()),
        (Trouble::Checksum, changed(vrrp::PRIORITY, 151)),
        (Trouble::Type, changed(0, 0x32)),
        (Trouble::Version, changed(0, 0x41)),
    ];
    for (kind, message) in cases {
        let mut bench = Bench::active(v3());
        assert_eq!(hear_bytes(&mut bench, &message), Some(kind));
        assert!(!is_followed(&bench), "{kind:?}");
        assert_eq!(bench.words(), format!("notice {}", kind.name()));
    }
    let mut bench = Bench::active(v3());
    assert_eq!(hear_bytes(&mut bench, &good), None);
    assert!(is_followed(&bench));
}

#[test]
fn another_virtual_routers_advertisements_are_nobodys_trouble() {
    let mut bench = Bench::active(v3());
    assert_eq!(
        trouble(&mut bench, |advert, _| advert.virtual_router = 52),
        None
    );
    assert_eq!(bench.words(), "");
    assert_eq!(bench.machine.view().counters.other_router, 1);
}

#[test]
fn authentication_is_refused() {
    let mut bench = Bench::active(config(VrrpVersion::V2));
    let mut message = message(&bench.config());
    // Simple text, with the checksum made good.
    message[vrrp::AUTHENTICATION] = 1;
    message[vrrp::CHECKSUM] -= 1;
    assert_eq!(
        hear_bytes(&mut bench, &message),
        Some(Trouble::Authentication)
    );
    assert!(!is_followed(&bench));
}

#[test]
fn another_interval_is_ignored_in_version_2_and_followed_in_version_3() {
    for (version, followed) in [(VrrpVersion::V2, false), (VrrpVersion::V3, true)] {
        let mut bench = Bench::active(config(version));
        let kind = trouble(&mut bench, |advert, _| advert.interval = ms(2_000));
        assert_eq!(kind, Some(Trouble::Interval));
        assert_eq!(is_followed(&bench), followed, "{version:?}");
    }
}

#[test]
fn other_addresses_are_told_and_followed() {
    let fewer = &SERVED[..1];
    let more = [SERVED[0], SERVED[1], ABOVE];
    let others = [SERVED[0], ABOVE];
    for addresses in [fewer, &more, &others] {
        let mut bench = Bench::active(v3());
        let config = v3();
        let advert = Outgoing {
            addresses,
            ..outgoing(&config, ABOVE, 150)
        };
        bench.hear_message(&advert, 255);
        assert_eq!(
            bench.words(),
            "notice addresses, advert 100, drain, release, backup"
        );
    }
    let mut bench = Bench::active(v3());
    let mut turned = v3();
    turned.addresses.reverse();
    bench.hear_message(&outgoing(&turned, ABOVE, 150), 255);
    assert_eq!(
        bench.words(),
        "advert 100, drain, release, backup",
        "order is of no meaning"
    );
}

#[test]
fn with_peers_only_their_unicast_counts() {
    let config = VirtualRouter {
        peers: vec![ABOVE],
        ..v3()
    };
    type Change = fn(&mut Outgoing<'_>, &mut u8);
    let cases: [(Option<Trouble>, Change); 3] = [
        (Some(Trouble::Multicast), |_, _| {}),
        (Some(Trouble::NotAPeer), |advert, _| {
            (advert.source, advert.destination) = (BELOW, OURS);
        }),
        (None, |advert, _| advert.destination = OURS),
    ];
    for (kind, change) in cases {
        let mut bench = Bench::new(config.clone(), Start::Active);
        assert_eq!(trouble(&mut bench, change), kind);
        assert_eq!(is_followed(&bench), kind.is_none());
    }
}

#[test]
fn a_checksum_without_pseudo_header_is_good() {
    let mut bench = Bench::active(v3());
    let kind = trouble(&mut bench, |advert, _| advert.coverage = Coverage::Message);
    assert_eq!(kind, None);
    assert!(is_followed(&bench));
}

#[test]
fn a_trouble_is_told_once_while_it_lasts_and_again_after_a_quiet_minute() {
    let mut bench = Bench::active(v3());
    let wrong = |_: &mut Outgoing<'_>, ttl: &mut u8| *ttl = 1;
    let told = |bench: &mut Bench| bench.words().matches("notice ttl").count();
    for _ in 0..20 {
        trouble(&mut bench, wrong);
        bench.pass(ms(10_000));
    }
    assert_eq!(told(&mut bench), 1);
    let shown = bench.machine.view().troubles;
    let notice = Notice::WrongTtl {
        source: ABOVE,
        ttl: 1,
    };
    assert_eq!(shown, [notice]);
    bench.pass(ms(49_999));
    assert_eq!(bench.machine.view().troubles, [notice]);
    bench.pass(ms(1));
    assert_eq!(bench.machine.view().troubles, []);
    trouble(&mut bench, wrong);
    assert_eq!(told(&mut bench), 1);
    assert_eq!(bench.machine.view().counters.of(Trouble::Ttl), 21);
}

#[test]
fn what_counts_is_counted_and_names_the_partner() {
    let mut bench = Bench::backup(v3());
    bench.hear(BELOW, 0);
    let view = bench.machine.view();
    assert_eq!(view.counters.received, 7);
    assert_eq!(view.counters.resignations_received, 1);
    let partner = Partner {
        address: BELOW,
        priority: 0,
        last_heard: bench.now,
        interval: ms(100),
    };
    assert_eq!(view.partner, Some(partner));
    bench.fire();
    bench.shut_down();
    let counters = bench.machine.view().counters;
    assert_eq!(
        (
            counters.became_active,
            counters.sent,
            counters.resignations_sent
        ),
        (1, 2, 1)
    );
}

#[test]
fn notices_name_the_culprit_and_what_to_do() {
    let source = ABOVE;
    let id = VirtualRouterId::try_from(51).unwrap();
    let malformed = |what| Notice::Malformed { source, what };
    let longer = vrrp::Malformed::Length {
        got: 40,
        expected: 16,
    };
    let cases = [
        (Notice::WrongTtl { source, ttl: 64 }, "TTL 64, not 255"),
        (malformed(longer), "length 40, expected 16; turn extensions"),
        (
            malformed(vrrp::Malformed::Checksum),
            "wrong checksum; look for",
        ),
        (
            malformed(vrrp::Malformed::Version(4)),
            "version 4, expected 3, over IPv4 also 2",
        ),
        (
            Notice::OtherVersion {
                source,
                theirs: VrrpVersion::V2,
            },
            "speaks VRRP version 2: configure the same",
        ),
        (
            Notice::Authenticated { source, kind: 1 },
            "turn authentication off",
        ),
        (
            Notice::OtherInterval {
                source,
                theirs: ms(1_500),
                ours: ms(250),
                version: VrrpVersion::V3,
            },
            "advertises every 1.5 s and this director every 250 ms: a Backup goes by the Active's; \
             configure the same interval",
        ),
        (
            Notice::OtherAddresses { source, id },
            "virtual router 51 is used by",
        ),
        (
            Notice::OwnAddress { source },
            "another host has that address",
        ),
        (
            Notice::NotAPeer { source },
            "is not one of the peers: add it",
        ),
        (Notice::Multicast { source }, "configure peers on both"),
        (Notice::Unicast { source }, "configure peers on both"),
    ];
    for (notice, words) in cases {
        let text = notice.to_string();
        assert!(text.contains("192.0.2.200"), "{text}");
        assert!(text.contains(words), "{text}");
    }
    let away = Notice::Away { late: ms(5_000) };
    assert!(away.to_string().contains("away for 5.0 s"));
}
