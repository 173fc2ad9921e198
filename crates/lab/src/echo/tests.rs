use std::net::SocketAddr;

use super::*;

#[test]
fn a_datagram_comes_back_from_the_address_it_was_sent_to() {
    let server = bind(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 77), 0)).unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || serve(&server));
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    for text in [&b"once"[..], b"", b"twice"] {
        client.send_to(text, address).unwrap();
        let mut buffer = [0; 64];
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (text, address));
    }
}

#[test]
fn an_address_that_is_not_there_yet_can_be_bound() {
    let absent = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 7), 0);
    let bound = bind(absent).unwrap().local_addr().unwrap();
    let SocketAddr::V4(bound) = bound else {
        panic!("{bound} is not IPv4");
    };
    assert_eq!(bound.ip(), absent.ip());
}
