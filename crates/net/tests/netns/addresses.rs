use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use evenkeel_model::CheckKind;
use evenkeel_net::{AddressError, NetEvent, Netlink, OwnAddress, Route, probe};

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
fn an_interface_without_ipv6_is_told_with_what_to_type() {
    let (director, _server) = pair();
    let setting = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6";
    director.enter(|| std::fs::write(setting, "1").unwrap());
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap().index;
        let error = netlink.add_address(link, ip("2001:db8::146")).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "could not add address `2001:db8::146`: IPv6 is off on interface `eth0`; switch it on by \
             `sysctl -w net.ipv6.conf.eth0.disable_ipv6=0`"
        );
        std::fs::write(setting, "0").unwrap();
        netlink.add_address(link, ip("2001:db8::146")).await.unwrap();
    });
}

#[test]
fn routes_name_the_interface_and_the_router() {
    let (director, _server) = pair();
    for line in [
        "link add eth1 type veth peer name far1",
        "link set eth1 up",
        "link set far1 up",
        "addr add 192.0.2.129/25 dev eth1",
        "route add 198.51.100.0/24 via 10.0.0.9",
        "route add blackhole 198.51.100.77/32",
        "-6 addr add 2001:db8::1/64 dev eth1 nodad",
        "-6 route add 2001:db8:1::/48 via fe80::9 dev eth1",
        "-6 route add unreachable 2001:db8:2::/48",
    ] {
        director.ip(line);
    }
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let [eth0, eth1] = [netlink.link("eth0").await, netlink.link("eth1").await]
            .map(|link| link.unwrap().index);
        let direct = |link| {
            Some(Route {
                link,
                gateway: None,
            })
        };
        let through = |link, router| {
            Some(Route {
                link,
                gateway: Some(ip(router)),
            })
        };
        for (address, expected) in [
            ("10.0.0.200", direct(eth0)),
            ("192.0.2.254", direct(eth1)),
            ("198.51.100.1", through(eth0, "10.0.0.9")),
            ("198.51.100.77", None),
            ("10.0.1.2", None),
            ("10.0.0.1", None),
            ("2001:db8::2", direct(eth1)),
            ("2001:db8:1::2", through(eth1, "fe80::9")),
            ("2001:db8:2::2", None),
            ("2001:db8::1", None),
            ("2001:db9::1", None),
        ] {
            assert_eq!(
                netlink.route(ip(address)).await.unwrap(),
                expected,
                "{address}"
            );
        }
    });
}

#[test]
fn changes_of_routes_are_told() {
    let (director, _server) = pair();
    director.block_on(|| async {
        let (_netlink, mut events) = Netlink::open().await.unwrap();
        for line in [
            "route add 198.51.100.0/24 via 10.0.0.9",
            "route del 198.51.100.0/24",
        ] {
            director.ip(line);
            wait_for(&mut events, |event| *event == NetEvent::Routes).await;
        }
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
