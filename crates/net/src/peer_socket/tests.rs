use super::*;

/// A socket on a port that nobody has, of this family alone where that is IPv4.
fn open() -> (PeerSocket, u16) {
    let socket = PeerSocket::open(0).unwrap();
    let port = socket.socket.local_addr().unwrap().port();
    (socket, port)
}

#[tokio::test]
async fn datagrams_of_both_families_come_with_plain_addresses() {
    let ((here, port), (there, from)) = (open(), open());
    let mut buffer = [0; 64];
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        there.socket.writable().await.unwrap();
        there.send(b"news", SocketAddr::new(address, port)).unwrap();
        let (len, sender) = here.receive(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..len], b"news");
        assert_eq!(sender, SocketAddr::new(address, from));
    }
    let none = here.try_receive(&mut buffer).unwrap_err();
    assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let (_here, port) = open();
    let error = PeerSocket::open(port).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on UDP port {port}")
    );
}
