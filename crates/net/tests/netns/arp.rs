use std::net::IpAddr;
use std::time::Duration;

use evenkeel_model::MacAddress;
use evenkeel_net::{
    Announcer, ArpOutcome, ArpProbeError, ArpSetting, Netlink, holders, prepare_arp,
};

use crate::guard::{NetNs, pair};

const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const SERVER: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 3]);

const WAIT: Duration = Duration::from_millis(300);

/// Asks from the director's `eth0` who has the address.
fn ask(director: &NetNs, address: [u8; 4], wait: Duration) -> Vec<MacAddress> {
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        holders(link, OWN, IpAddr::from(address), wait)
            .await
            .unwrap()
    })
}

#[test]
fn exactly_the_hosts_that_have_the_address_are_found() {
    let (director, server) = pair();
    assert_eq!(ask(&director, [10, 0, 0, 2], WAIT), [SERVER]);
    assert_eq!(ask(&director, [10, 0, 0, 99], WAIT), []);
    // Its own address is nobody else's.
    assert_eq!(ask(&director, [10, 0, 0, 1], WAIT), []);

    server.ip("link add other link eth0 address 02:00:00:00:00:03 type macvlan mode bridge");
    server.ip("link set other up");
    assert_eq!(ask(&director, [10, 0, 0, 2], WAIT), [SERVER, OTHER]);
}

#[test]
fn an_answer_leaves_nothing_in_the_other_hosts_caches() {
    let (director, server) = pair();
    assert_eq!(ask(&director, [10, 0, 0, 2], WAIT), [SERVER]);
    assert_eq!(server.ip("-4 neigh show"), "");
}

#[test]
fn a_host_that_announces_the_address_meanwhile_is_found() {
    let (director, server) = pair();
    let silent = IpAddr::from([10, 0, 0, 50]);
    let server_link = server.enter(|| nix::net::if_::if_nametoindex("eth0").unwrap());
    let announcer = server.enter(|| Announcer::open().unwrap());
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        let mut asking = std::pin::pin!(holders(link, OWN, silent, Duration::from_secs(2)));
        // The first poll opens the socket, so that what follows is heard.
        let early = tokio::time::timeout(Duration::ZERO, &mut asking).await;
        assert!(early.is_err());
        announcer.announce(server_link, OTHER, silent).unwrap();
        assert_eq!(asking.await.unwrap(), [OTHER]);
    });
}

#[test]
fn a_host_that_only_probes_for_the_address_is_no_holder() {
    let (director, server) = pair();
    let free = IpAddr::from([10, 0, 0, 50]);
    let server_link = server.enter(|| nix::net::if_::if_nametoindex("eth0").unwrap());
    let (here, there) = director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        // Each asks on a thread in its own namespace, for the same time.
        let other = tokio::task::spawn_blocking(move || {
            server.block_on(|| async { holders(server_link, SERVER, free, WAIT * 3).await })
        });
        let here = holders(link, OWN, free, WAIT * 3).await;
        (here.unwrap(), other.await.unwrap().unwrap())
    });
    assert_eq!((here, there), (vec![], vec![]));
}

#[test]
fn an_interface_that_is_down_can_not_be_asked() {
    let (director, _server) = pair();
    director.ip("link set eth0 down");
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        for link in [link, 4711] {
            let address = IpAddr::from([10, 0, 0, 2]);
            let error = holders(link, OWN, address, WAIT).await.unwrap_err();
            assert!(matches!(error, ArpProbeError::Probe { .. }), "{error:?}");
        }
    });
}

/// What became of the settings, in short.
fn outcomes(settings: &[ArpSetting]) -> Vec<String> {
    settings
        .iter()
        .map(|setting| {
            let outcome = match &setting.outcome {
                ArpOutcome::Already { value } => format!("already {value}"),
                ArpOutcome::Changed { from } => format!("changed from {from}"),
                ArpOutcome::Overruled { by, hint } => format!("overruled by {by}: {hint}"),
                ArpOutcome::Failed { reason, hint } => format!("{reason}: {hint}"),
            };
            format!("{} {}: {outcome}", setting.name, setting.wanted)
        })
        .collect()
}

fn setting(path: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{path}")).unwrap()
}

fn set(path: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/ipv4/conf/{path}"), value).unwrap();
}

/// Sets `arp_ignore` or `arp_announce` of the interface and of all.
fn set_both(name: &str, own: u32, all: u32) {
    set(&format!("eth0/{name}"), &own.to_string());
    set(&format!("all/{name}"), &all.to_string());
}

#[test]
fn arp_settings_are_set_where_those_in_force_do_not_do() {
    let (director, _server) = pair();
    director.enter(|| {
        set_both("arp_ignore", 0, 0);
        set_both("arp_announce", 1, 0);
        assert_eq!(
            outcomes(&prepare_arp("eth0")),
            [
                "arp_ignore 1: changed from 0",
                "arp_announce 2: changed from 1"
            ]
        );
        assert_eq!(setting("eth0/arp_ignore"), "1\n");
        assert_eq!(setting("eth0/arp_announce"), "2\n");
        assert_eq!(setting("all/arp_ignore"), "0\n");
        assert_eq!(setting("lo/arp_ignore"), "0\n");
        assert_eq!(
            outcomes(&prepare_arp("eth0")),
            ["arp_ignore 1: already 1", "arp_announce 2: already 2"]
        );
    });
}

#[test]
fn what_holds_for_all_interfaces_holds_for_this_one_too() {
    let (director, _server) = pair();
    director.enter(|| {
        set_both("arp_announce", 0, 2);
        for (own, all, outcome, after) in [
            (0, 1, "already 1", 0),
            (0, 2, "already 2", 0),
            (2, 1, "already 2", 2),
            (1, 2, "already 2", 1),
            // Too high is as wrong as too low: 3 answers on any interface, 8 not at all.
            (3, 0, "changed from 3", 1),
            (8, 2, "changed from 8", 1),
            (4, 1, "changed from 4", 1),
        ] {
            set_both("arp_ignore", own, all);
            assert_eq!(
                outcomes(&prepare_arp("eth0")),
                [
                    format!("arp_ignore 1: {outcome}"),
                    "arp_announce 2: already 2".to_owned()
                ],
                "{own} {all}"
            );
            assert_eq!(setting("eth0/arp_ignore"), format!("{after}\n"));
            assert_eq!(setting("all/arp_ignore"), format!("{all}\n"));
        }
    });
}

#[test]
fn a_value_for_all_interfaces_that_does_not_do_is_told_with_what_to_type() {
    let (director, _server) = pair();
    director.enter(|| {
        for all in [3, 8] {
            set_both("arp_ignore", 1, all);
            set_both("arp_announce", 0, all);
            let outcomes = outcomes(&prepare_arp("eth0"));
            for (outcome, (name, wanted)) in outcomes
                .iter()
                .zip([("arp_ignore", 1), ("arp_announce", 2)])
            {
                let start = format!("{name} {wanted}: overruled by {all}: ");
                let command = format!("`sysctl -w net/ipv4/conf/all/{name}={wanted}`");
                assert!(outcome.starts_with(&start), "{outcome}");
                assert!(outcome.contains(&command), "{outcome}");
            }
            assert_eq!(setting("eth0/arp_ignore"), "1\n");
            assert_eq!(setting("all/arp_ignore"), format!("{all}\n"));
        }
    });
}

#[test]
fn arp_settings_that_can_not_be_set_come_with_a_hint() {
    let (director, _server) = pair();
    let outcomes = director.enter(|| outcomes(&prepare_arp("eth7")));
    assert!(
        outcomes[0].starts_with("arp_ignore 1: No such file"),
        "{outcomes:?}"
    );
    assert!(
        outcomes[1].contains("sysctl -w net/ipv4/conf/eth7/arp_announce=2"),
        "{outcomes:?}"
    );
}
