use evenkeel_model::MacAddress;
use evenkeel_net::{LinkError, NetEvent, Netlink};

use crate::guard::{NetNs, pair, wait_for};

#[test]
fn a_link_is_described() {
    let (director, _server) = pair();
    director.ip("link set eth0 mtu 1400");
    let link = director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap();
        if !link.up {
            wait_for(&mut events, |event| {
                matches!(event, NetEvent::Link { up: true, .. })
            })
            .await;
        }
        netlink.link("eth0").await.unwrap()
    });
    assert_eq!(link.name, "eth0");
    assert_eq!(link.mac, MacAddress([2, 0, 0, 0, 0, 1]));
    assert_eq!(link.mtu, 1400);
    assert!(link.up);
    assert_eq!(link.kind.as_deref(), Some("veth"));
    assert_eq!(link.xdp_program, None);
    assert!(
        director
            .ip("link show dev eth0")
            .starts_with(&format!("{}: ", link.index))
    );
}

#[test]
fn a_missing_link_is_named_with_those_there_are() {
    let (director, _server) = pair();
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        for name in ["eth7", "a-name-longer-than-fifteen"] {
            let error = netlink.link(name).await.unwrap_err();
            assert!(matches!(error, LinkError::Missing { .. }), "{error:?}");
            let text = error.to_string();
            assert!(
                text.contains(name) && text.contains("`lo`, `eth0`"),
                "{text}"
            );
        }
        let error = netlink.link("lo").await.unwrap_err();
        assert!(matches!(error, LinkError::NotEthernet { .. }), "{error:?}");
    });
}

#[test]
fn changes_of_links_are_reported() {
    let (director, _server) = pair();
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let eth0 = netlink.link("eth0").await.unwrap().index;
        director.ip("link set eth0 down");
        wait_for(
            &mut events,
            |event| matches!(event, NetEvent::Link { index, up: false, .. } if *index == eth0),
        )
        .await;
        director.ip("link set eth0 address 02:00:00:00:00:77 up");
        let mac = MacAddress([2, 0, 0, 0, 0, 0x77]);
        wait_for(&mut events, |event| {
            *event
                == NetEvent::Link {
                    index: eth0,
                    up: true,
                    mac,
                }
        })
        .await;
        director.ip("link del eth0");
        wait_for(&mut events, |event| {
            *event == NetEvent::LinkRemoved { index: eth0 }
        })
        .await;
    });
}

#[test]
fn a_lost_carrier_is_a_link_that_went_down() {
    let (director, server) = pair();
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let eth0 = netlink.link("eth0").await.unwrap();
        if !eth0.up {
            wait_for(&mut events, |event| {
                matches!(event, NetEvent::Link { up: true, .. })
            })
            .await;
        }
        for (order, expected) in [("down", false), ("up", true)] {
            server.ip(&format!("link set eth0 {order}"));
            wait_for(&mut events, |event| {
                matches!(event, NetEvent::Link { index, up, .. }
                    if *index == eth0.index && *up == expected)
            })
            .await;
            assert_eq!(netlink.link("eth0").await.unwrap().up, expected);
            // Nobody switched it off here.
            assert!(director.ip("link show dev eth0").contains(",UP"));
        }
    });
}

#[test]
fn a_port_that_leaves_its_bridge_is_not_taken_for_gone() {
    let (director, _server) = pair();
    director.ip("link add br0 type bridge");
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let eth0 = netlink.link("eth0").await.unwrap().index;
        director.ip("link set eth0 master br0");
        director.ip("link set eth0 nomaster");
        director.ip("link set eth0 address 02:00:00:00:00:77");
        let mac = MacAddress([2, 0, 0, 0, 0, 0x77]);
        let event = wait_for(&mut events, |event| {
            matches!(event, NetEvent::Link { index, mac: new, .. } if *index == eth0 && *new == mac)
                || matches!(event, NetEvent::LinkRemoved { .. })
        })
        .await;
        assert!(matches!(event, NetEvent::Link { .. }), "{event:?}");
    });
}

#[test]
fn a_handle_stays_in_the_namespace_that_opened_it() {
    let (director, _server) = pair();
    let elsewhere = NetNs::new();
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let handle = tokio::runtime::Handle::current();
        let found = tokio::task::spawn_blocking({
            let netlink = netlink.clone();
            move || elsewhere.enter(|| handle.block_on(netlink.link("eth0")))
        });
        assert!(found.await.unwrap().is_ok());
    });
}
