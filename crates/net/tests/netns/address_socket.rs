use std::error::Error as _;
use std::net::{IpAddr, Ipv4Addr};

use evenkeel_net::{AddressError, AddressSocket, Netlink, OwnAddress};

use crate::guard::{NetNs, pair};

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 14, 146));

/// Runs `inside` in the namespace with the index of `eth0`.
fn with_link<T: Send>(namespace: &NetNs, inside: impl FnOnce(u32) -> T + Send) -> T {
    namespace.enter(|| inside(nix::net::if_::if_nametoindex("eth0").unwrap()))
}

fn holds_vip(namespace: &NetNs, link: &str) -> bool {
    namespace
        .ip(&format!("addr show dev {link}"))
        .contains("inet 198.18.14.146/32")
}

#[test]
fn an_address_is_added_and_removed_again_and_again() {
    let (director, _server) = pair();
    with_link(&director, |link| {
        let mut socket = AddressSocket::open().unwrap();
        for _ in 0..3 {
            socket.add(link, VIP).unwrap();
            socket.add(link, VIP).unwrap();
            assert!(holds_vip(&director, "eth0"));
            socket.remove(link, VIP).unwrap();
            socket.remove(link, VIP).unwrap();
            assert!(!holds_vip(&director, "eth0"));
        }
    });
}

#[test]
fn an_address_that_an_earlier_run_added_is_ours() {
    let (director, _server) = pair();
    with_link(&director, |link| {
        AddressSocket::open().unwrap().add(link, VIP).unwrap();
        let ours = director.block_on(|| async {
            let (netlink, _events) = Netlink::open().await.unwrap();
            netlink.our_addresses().await.unwrap()
        });
        let address = VIP;
        assert_eq!(ours, [OwnAddress { link, address }]);
        let mut later = AddressSocket::open().unwrap();
        later.add(link, VIP).unwrap();
        later.remove(link, VIP).unwrap();
        assert!(!holds_vip(&director, "eth0"));
    });
}

#[test]
fn the_same_address_on_lo_does_not_matter() {
    let (director, _server) = pair();
    director.ip("addr add 198.18.14.146/32 dev lo");
    with_link(&director, |link| {
        let mut socket = AddressSocket::open().unwrap();
        socket.remove(link, VIP).unwrap();
        assert!(holds_vip(&director, "lo"));
        socket.add(link, VIP).unwrap();
        assert!(holds_vip(&director, "eth0"));
        socket.remove(link, VIP).unwrap();
        assert!(!holds_vip(&director, "eth0"));
        assert!(holds_vip(&director, "lo"));
    });
}

#[test]
fn an_address_of_others_on_the_interface_is_left_alone() {
    let (director, _server) = pair();
    director.ip("addr add 198.18.14.146/32 dev eth0");
    with_link(&director, |link| {
        let mut socket = AddressSocket::open().unwrap();
        let taken = socket.add(link, VIP).unwrap_err();
        let AddressError::Taken { link: name, .. } = &taken else {
            panic!("{taken:?}");
        };
        assert_eq!(name, "eth0");
        let foreign = socket.remove(link, VIP).unwrap_err();
        assert!(
            matches!(foreign, AddressError::NotOurs { .. }),
            "{foreign:?}"
        );
        assert!(holds_vip(&director, "eth0"));
    });
}

#[test]
fn an_address_that_others_put_in_the_place_of_ours_is_left_alone() {
    let (director, _server) = pair();
    with_link(&director, |link| {
        let mut socket = AddressSocket::open().unwrap();
        socket.add(link, VIP).unwrap();
        director.ip("addr del 198.18.14.146/32 dev eth0");
        director.ip("addr add 198.18.14.146/32 dev eth0");
        let foreign = socket.remove(link, VIP).unwrap_err();
        assert!(
            matches!(foreign, AddressError::NotOurs { .. }),
            "{foreign:?}"
        );
        assert!(holds_vip(&director, "eth0"));
    });
}

#[test]
fn other_addresses_of_the_interface_stay() {
    let (director, _server) = pair();
    director.ip("addr add 10.0.0.146/24 dev eth0");
    let vip = IpAddr::from([10, 0, 0, 146]);
    with_link(&director, |link| {
        let mut socket = AddressSocket::open().unwrap();
        socket.add(link, vip).unwrap();
        for last in 1..=100 {
            socket.add(link, IpAddr::from([198, 18, 15, last])).unwrap();
        }
        socket.remove(link, vip).unwrap();
        let listed = director.ip("addr show dev eth0");
        assert!(listed.contains("inet 10.0.0.1/24"), "{listed}");
        assert!(listed.contains("inet 10.0.0.146/24"), "{listed}");
        assert!(!listed.contains("inet 10.0.0.146/32"), "{listed}");
        assert_eq!(listed.matches("inet 198.18.15.").count(), 100);
    });
}

#[test]
fn an_interface_that_is_gone_has_no_address_and_takes_none() {
    let (director, _server) = pair();
    director.enter(|| {
        let mut socket = AddressSocket::open().unwrap();
        socket.remove(4711, VIP).unwrap();
        let error = socket.add(4711, VIP).unwrap_err();
        assert_eq!(error.to_string(), "could not add address `198.18.14.146`");
        let cause = error.source().unwrap().source().unwrap().to_string();
        assert!(cause.starts_with("No such device"), "{cause}");
    });
}
