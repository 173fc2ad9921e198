//! The same over IPv6: addresses, neighbours, announcements, questions, and VRRP's socket.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use evenkeel_model::MacAddress;
use evenkeel_net::vrrp::{Family, Received, VrrpSocket};
use evenkeel_net::{AddressSocket, Announcer, Netlink, holders, wait_readable};
use evenkeel_wire::vrrp::{self, Coverage, Outgoing, Version};

use crate::guard::{NetNs, PATIENCE, pair};

const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const SERVER: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x146);
const WAIT: Duration = Duration::from_millis(600);

/// A director with 2001:db8::1 and a real server with 2001:db8::2, whose addresses are in use at once.
fn pair6() -> (NetNs, NetNs) {
    let (director, server) = pair();
    for (namespace, host) in [(&director, 1), (&server, 2)] {
        namespace.ip(&format!("addr add 2001:db8::{host}/64 dev eth0 nodad"));
        let deadline = Instant::now() + PATIENCE;
        while namespace.ip("-6 addr show dev eth0").contains("tentative") {
            assert!(Instant::now() < deadline, "an address stays tentative");
        }
    }
    (director, server)
}

fn link_of(namespace: &NetNs) -> u32 {
    namespace.enter(|| nix::net::if_::if_nametoindex("eth0").unwrap())
}

#[test]
fn a_virtual_address_is_used_at_once_and_for_nothing_of_our_own() {
    let (director, _server) = pair6();
    let link = link_of(&director);
    let shown = || director.ip("-6 addr show dev eth0 to 2001:db8::146");
    director.enter(|| {
        let mut socket = AddressSocket::open().unwrap();
        for _ in 0..2 {
            socket.add(link, VIP.into()).unwrap();
            socket.add(link, VIP.into()).unwrap();
            let text = shown();
            assert!(text.contains("2001:db8::146/128"), "{text}");
            assert!(text.contains("deprecated"), "{text}");
            assert!(
                text.contains("nodad") && !text.contains("tentative"),
                "{text}"
            );
            let route = director.ip("-6 route get 2001:db8::2");
            assert!(route.contains("src 2001:db8::1 "), "{route}");
            socket.remove(link, VIP.into()).unwrap();
            socket.remove(link, VIP.into()).unwrap();
            assert_eq!(shown(), "");
        }
    });
}

#[test]
fn an_announcement_changes_what_a_neighbour_knows() {
    let (director, server) = pair6();
    let (link, there) = (link_of(&director), link_of(&server));
    server.ip("neigh replace 2001:db8::146 lladdr 02:00:00:00:00:99 dev eth0 nud reachable");
    director.enter(|| {
        let announcer = Announcer::open().unwrap();
        announcer.announce(link, OWN, VIP.into()).unwrap();
    });
    let deadline = Instant::now() + PATIENCE;
    let known = || server.ip("-6 neigh show 2001:db8::146 dev eth0");
    while !known().contains("02:00:00:00:00:01") {
        assert!(Instant::now() < deadline, "{} on {there}", known());
    }
}

#[test]
fn exactly_the_hosts_that_have_the_address_are_found() {
    let (director, _server) = pair6();
    let link = link_of(&director);
    let ask = |host: u16| {
        let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]);
        director
            .block_on(|| holders(link, OWN, address, WAIT))
            .unwrap()
    };
    assert_eq!(ask(2), [SERVER]);
    assert_eq!(ask(99), []);
    assert_eq!(ask(1), []);
}

#[test]
fn a_neighbour_is_found() {
    let (director, _server) = pair6();
    let link = link_of(&director);
    director.block_on(|| async {
        let (netlink, mut events) = Netlink::open().await.unwrap();
        let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]);
        netlink.watch_neighbour(link, address).await.unwrap();
        crate::guard::wait_for(&mut events, |event| {
            matches!(event, evenkeel_net::NetEvent::Neighbour { address: of, mac, .. }
                if *of == address && *mac == SERVER)
        })
        .await;
    });
}

fn link_local(namespace: &NetNs) -> Ipv6Addr {
    let text = namespace.ip("-6 addr show dev eth0 scope link");
    let address = text.split("inet6 ").nth(1).unwrap();
    address.split('/').next().unwrap().parse().unwrap()
}

#[test]
fn an_advertisement_reaches_the_other_end_with_its_hop_limit() {
    let (director, server) = pair6();
    let socket = |namespace: &NetNs| {
        let link = link_of(namespace);
        namespace.enter(|| VrrpSocket::open(Family::V6, link, "eth0").unwrap())
    };
    let (from, to) = (socket(&director), socket(&server));
    let source = IpAddr::V6(link_local(&director));
    for (destination, hop_limit) in [
        (Family::V6.group(), 255),
        (IpAddr::V6(link_local(&server)), 255),
        (Family::V6.group(), 254),
    ] {
        let advert = Outgoing {
            source,
            destination,
            version: Version::V3,
            virtual_router: 51,
            priority: 100,
            interval: Duration::from_secs(1),
            addresses: &[source, VIP.into()],
            coverage: Coverage::PseudoHeader,
        };
        let mut packet = [0; vrrp::PACKET_LEN_MAX];
        let length = vrrp::write(&advert, &mut packet).unwrap();
        packet[7] = hop_limit;
        from.send(&packet[..length]).unwrap();
        let mut buffer = [0; 2048];
        wait_readable(&[to.as_fd()], Some(PATIENCE)).unwrap();
        let received = to.receive(&mut buffer).unwrap().expect("a packet");
        let expected = Received {
            source,
            destination,
            ttl: hop_limit,
            payload: &packet[40..length],
        };
        assert_eq!(received, expected);
        let read = vrrp::parse(received.payload, source, destination).unwrap();
        let addresses: Vec<IpAddr> = read.addresses().collect();
        assert_eq!(addresses, [source, VIP.into()]);
        assert_eq!(from.receive(&mut [0; 64]).unwrap(), None);
    }
}
