use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use evenkeel_model::MacAddress;
use evenkeel_net::{AnnounceError, Announcer, Netlink};
use socket2::{Domain, Protocol, Socket, Type};

use crate::guard::{NetNs, pair};

/// A packet socket that hears every ARP frame in the namespace.
fn arp_listener(namespace: &NetNs) -> Socket {
    namespace.enter(|| {
        let arp = u16::try_from(libc::ETH_P_ARP).unwrap().to_be();
        let socket = Socket::new(
            Domain::PACKET,
            Type::RAW,
            Some(Protocol::from(i32::from(arp))),
        )
        .unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket
    })
}

fn next_frame_about(mut socket: &Socket, address: [u8; 4]) -> Vec<u8> {
    loop {
        let mut buffer = vec![0; 256];
        let length = socket.read(&mut buffer).unwrap();
        buffer.truncate(length);
        if buffer.get(28..32) == Some(&address) {
            return buffer;
        }
    }
}

#[test]
fn the_link_hears_an_arp_request_and_an_arp_reply() {
    let (director, server) = pair();
    let listener = arp_listener(&server);
    let mac = MacAddress([2, 0, 0, 0, 0, 1]);
    let vip: IpAddr = "198.18.14.146".parse().unwrap();
    director.block_on(|| async {
        let (netlink, _events) = Netlink::open().await.unwrap();
        let link = netlink.link("eth0").await.unwrap();
        Announcer::open()
            .unwrap()
            .announce(link.index, link.mac, vip)
            .unwrap();
    });
    for (operation, target) in [(1, [0; 6]), (2, mac.0)] {
        let mut expected = Vec::new();
        expected.extend([0xff; 6]);
        expected.extend(mac.0);
        expected.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation]);
        expected.extend(mac.0);
        expected.extend([198, 18, 14, 146]);
        expected.extend(target);
        expected.extend([198, 18, 14, 146]);
        assert_eq!(next_frame_about(&listener, [198, 18, 14, 146]), expected);
    }
}

#[test]
fn what_cannot_be_announced_is_an_error() {
    let (director, _server) = pair();
    let mac = MacAddress([2, 0, 0, 0, 0, 1]);
    director.enter(|| {
        let announcer = Announcer::open().unwrap();
        for address in ["10.0.0.9", "2001:db8::9"] {
            let error = announcer
                .announce(4711, mac, address.parse().unwrap())
                .unwrap_err();
            assert!(matches!(error, AnnounceError::Send { .. }), "{error:?}");
        }
    });
}
