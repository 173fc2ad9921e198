use std::fmt::Write as _;
use std::net::IpAddr;

use evenkeel_model::MacAddress;
use evenkeel_net::{Announcer, NetEvent, Netlink};

use crate::guard::{NetNs, pair, wait_for};

const SERVER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const OTHER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 3]);

fn server_address() -> IpAddr {
    "10.0.0.2".parse().unwrap()
}

fn resolved(link: u32, mac: MacAddress) -> NetEvent {
    NetEvent::Neighbour {
        link,
        address: server_address(),
        mac,
    }
}

/// The server gets another hardware address and says so.
fn change_mac(server: &NetNs) {
    server.ip("link set eth0 address 02:00:00:00:00:03");
    server.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap();
        Announcer::open()
            .unwrap()
            .announce(link.index, link.mac, server_address())
            .unwrap();
    });
}

#[test]
fn a_watched_neighbour_is_resolved_without_traffic() {
    let (director, _server) = pair();
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        netlink
            .watch_neighbour(link, server_address())
            .await
            .unwrap();
        wait_for(&mut events, |event| *event == resolved(link, SERVER_MAC)).await;
        let listed = director.ip("neigh show 10.0.0.2");
        assert!(listed.contains("managed"), "{listed}");

        // Watched again, it is reported again, at once.
        netlink
            .watch_neighbour(link, server_address())
            .await
            .unwrap();
        wait_for(&mut events, |event| *event == resolved(link, SERVER_MAC)).await;

        netlink
            .unwatch_neighbour(link, server_address())
            .await
            .unwrap();
        let listed = director.ip("neigh show 10.0.0.2");
        assert!(!listed.contains("managed"), "{listed}");
        assert!(listed.contains("02:00:00:00:00:02"), "{listed}");
    });
}

#[test]
fn a_changed_hardware_address_is_seen() {
    let (director, server) = pair();
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        netlink
            .watch_neighbour(link, server_address())
            .await
            .unwrap();
        wait_for(&mut events, |event| *event == resolved(link, SERVER_MAC)).await;
        change_mac(&server);
        wait_for(&mut events, |event| *event == resolved(link, OTHER_MAC)).await;
    });
}

#[test]
fn a_neighbour_returns_with_its_link() {
    let (director, _server) = pair();
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        netlink
            .watch_neighbour(link, server_address())
            .await
            .unwrap();
        wait_for(&mut events, |event| *event == resolved(link, SERVER_MAC)).await;
        director.ip("link set eth0 down");
        let lost = NetEvent::NeighbourLost {
            link,
            address: server_address(),
        };
        wait_for(&mut events, |event| *event == lost).await;
        director.ip("link set eth0 up");
        wait_for(&mut events, |event| *event == resolved(link, SERVER_MAC)).await;
        let listed = director.ip("neigh show 10.0.0.2");
        assert!(listed.contains("managed"), "{listed}");
    });
}

#[test]
fn a_flushed_entry_is_made_again() {
    let (director, _server) = pair();
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        netlink
            .watch_neighbour(link, server_address())
            .await
            .unwrap();
        wait_for(&mut events, |event| *event == resolved(link, SERVER_MAC)).await;
        director.ip("neigh del 10.0.0.2 dev eth0");
        wait_for(&mut events, |event| *event == resolved(link, SERVER_MAC)).await;
    });
}

#[test]
fn a_neighbour_that_comes_late_is_resolved_then() {
    let (director, server) = pair();
    server.ip("link set eth0 down");
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        netlink
            .watch_neighbour(link, server_address())
            .await
            .unwrap();
        server.ip("link set eth0 up");
        wait_for(&mut events, |event| *event == resolved(link, SERVER_MAC)).await;
    });
}

#[test]
fn a_permanent_entry_is_reported_and_left_permanent() {
    let (director, _server) = pair();
    director.ip("neigh add 10.0.0.2 lladdr 02:00:00:00:00:03 nud permanent dev eth0");
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        netlink
            .watch_neighbour(link, server_address())
            .await
            .unwrap();
        wait_for(&mut events, |event| *event == resolved(link, OTHER_MAC)).await;
        netlink
            .unwatch_neighbour(link, server_address())
            .await
            .unwrap();
    });
    let listed = director.ip("neigh show 10.0.0.2");
    assert!(
        listed.contains("02:00:00:00:00:03") && listed.contains("PERMANENT"),
        "{listed}"
    );
}

#[test]
fn events_that_the_kernel_dropped_are_made_up_for() {
    const CHANGES: usize = 2000;
    let (director, server) = pair();
    director.ip("link add x0 type veth peer name x1");
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        let x0 = netlink.link("x0").await.unwrap().index;
        netlink
            .watch_neighbour(link, server_address())
            .await
            .unwrap();
        wait_for(&mut events, |event| *event == resolved(link, SERVER_MAC)).await;

        // This thread, which also reads the events, stands still meanwhile.
        let mut changes = String::new();
        for number in 0..CHANGES {
            let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
            writeln!(
                changes,
                "link set x0 address 02:00:00:01:{high:02x}:{low:02x}"
            )
            .unwrap();
        }
        director.ip_batch(&changes);
        change_mac(&server);
        director.ip("link del x0");

        let mut reported = 0;
        loop {
            let event = wait_for(&mut events, |_| true).await;
            if matches!(event, NetEvent::Link { index, .. } if index == x0) {
                reported += 1;
            }
            if event == (NetEvent::LinkRemoved { index: x0 }) {
                break;
            }
        }
        assert!(
            reported < CHANGES,
            "nothing was dropped, so nothing is shown"
        );
        wait_for(&mut events, |event| *event == resolved(link, OTHER_MAC)).await;
    });
}
