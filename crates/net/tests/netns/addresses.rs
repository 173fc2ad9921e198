use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use evenkeel_model::CheckKind;
use evenkeel_net::{AddressError, NetEvent, Netlink, OwnAddress, probe};

use crate::guard::{pair, wait_for};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_added_address_is_known_as_ours_and_goes_again() {
    let (director, _server) = pair();
    let vip = ip("198.18.14.146");
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        assert_eq!(netlink.address_holder(vip).await.unwrap(), None);
        netlink.add_address(link, vip).await.unwrap();
        netlink.add_address(link, vip).await.unwrap();
        assert_eq!(netlink.address_holder(vip).await.unwrap(), Some(link));
        let listed = director.ip("addr show dev eth0");
        assert!(listed.contains("inet 198.18.14.146/32"), "{listed}");

        // A later run knows it, too.
        let (later, _events) = Netlink::open().await.unwrap();
        let own = OwnAddress { link, address: vip };
        assert_eq!(later.our_addresses().await.unwrap(), [own]);
        later.remove_address(vip).await.unwrap();
        later.remove_address(vip).await.unwrap();
        assert_eq!(netlink.address_holder(vip).await.unwrap(), None);
        assert_eq!(netlink.our_addresses().await.unwrap(), []);
    });
}

#[test]
fn an_address_of_others_is_left_alone() {
    let (director, _server) = pair();
    let vip = ip("198.18.14.146");
    director.ip("addr add 198.18.14.146/32 dev eth0");
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        let taken = netlink.add_address(link, vip).await.unwrap_err();
        assert!(matches!(taken, AddressError::Taken { .. }), "{taken:?}");
        let foreign = netlink.remove_address(vip).await.unwrap_err();
        assert_eq!(
            foreign.to_string(),
            "address `198.18.14.146` on interface `eth0` was not added by evenkeel and is left \
             alone; remove it with `ip addr del` if it is not wanted"
        );
        assert_eq!(netlink.address_holder(vip).await.unwrap(), Some(link));
        assert_eq!(netlink.our_addresses().await.unwrap(), []);
    });
}

#[test]
fn only_our_copy_of_an_address_is_removed() {
    let (director, _server) = pair();
    let vip = ip("198.18.14.146");
    director.ip("addr add 198.18.14.146/32 dev lo");
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        netlink.add_address(link, vip).await.unwrap();
        netlink.remove_address(vip).await.unwrap();
    });
    assert!(director.ip("addr show dev lo").contains("198.18.14.146"));
    assert!(!director.ip("addr show dev eth0").contains("198.18.14.146"));
}

#[test]
fn own_addresses_are_those_of_all_interfaces_without_ours_and_loopbacks() {
    let (director, _server) = pair();
    director.ip("addr add 198.18.14.150/32 dev lo");
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        netlink
            .add_address(link, ip("198.18.14.146"))
            .await
            .unwrap();
        let mut own = netlink.own_addresses().await.unwrap();
        // IPv6's link-local one comes when the link is up.
        own.retain(|address| address.is_ipv4());
        assert_eq!(
            own.into_iter().collect::<Vec<IpAddr>>(),
            [ip("10.0.0.1"), ip("198.18.14.150")]
        );
    });
}

#[test]
fn addresses_that_come_and_go_are_reported() {
    let (director, _server) = pair();
    let vip = ip("198.18.14.146");
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        let added = NetEvent::AddressAdded { link, address: vip };
        let removed = NetEvent::AddressRemoved { link, address: vip };
        netlink.add_address(link, vip).await.unwrap();
        wait_for(&mut events, |event| *event == added).await;
        director.ip("addr del 198.18.14.146/32 dev eth0");
        wait_for(&mut events, |event| *event == removed).await;
        director.ip("addr add 198.18.14.146/32 dev eth0");
        wait_for(&mut events, |event| *event == added).await;
        director.ip("link del eth0");
        wait_for(&mut events, |event| *event == removed).await;
    });
}

#[test]
fn the_kernels_refusal_is_the_cause() {
    let (director, _server) = pair();
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let error = netlink.add_address(4711, ip("10.0.0.9")).await.unwrap_err();
        assert_eq!(error.to_string(), "could not add address `10.0.0.9`");
        let cause = error.source().unwrap().source().unwrap().to_string();
        assert!(cause.starts_with("No such device"), "{cause}");
    });
}

#[test]
fn a_server_elsewhere_is_named_with_the_links_prefixes() {
    let (director, _server) = pair();
    director.ip("addr add 192.0.2.129/25 dev eth0");
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap();
        // Our own host prefix makes nothing reachable.
        netlink
            .add_address(link.index, ip("203.0.113.5"))
            .await
            .unwrap();
        for (address, expected) in [
            ("10.0.0.200", true),
            ("10.0.1.2", false),
            ("192.0.2.254", true),
            ("192.0.2.2", false),
            ("203.0.113.5", false),
            ("2001:db8::1", false),
        ] {
            let address = ip(address);
            let found = netlink.is_on_link(link.index, address).await.unwrap();
            assert_eq!(found, expected, "{address}");
            let required = netlink.require_on_link(&link, address).await;
            assert_eq!(required.is_ok(), expected, "{address}");
        }
        let error = netlink
            .require_on_link(&link, ip("10.0.1.2"))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "real server `10.0.1.2` is not on the link of `eth0`, which has `10.0.0.1/24`, \
             `192.0.2.129/25`; direct routing needs it there: correct its address or the interface"
        );
    });
}

#[test]
fn a_probe_of_a_silent_address_ends_at_its_deadline() {
    let (director, _server) = pair();
    let address: SocketAddr = "10.0.0.99:80".parse().unwrap();
    let timeout = Duration::from_millis(100);
    let result =
        director.block_on(|| async { probe::run(&CheckKind::Tcp, address, timeout).await });
    assert_eq!(result.unwrap_err(), "no connection within 100ms");
}
