//! Datagrams in fragments through the director: each arrives whole at one real server.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::{CLIENT, VIP, config, server, service};
use evenkeel_netns_tests::texts::udp;
use evenkeel_testkit::packet::{Datagram, fragments};

const CHECK: &str = "check = { tcp = true, port = 80, every = \"200ms\", timeout = \"200ms\", fall = 10, rise = 1 }";
/// Port of the service whose fragments follow their first one.
const FOLLOW: u16 = 5000;
/// Port of the service whose fragments go by addresses.
const BY_ADDRESS: u16 = 5001;
const BYTES: usize = 4000;

/// A datagram that arrived: the server, the client's port, its length.
type Arrived = (u8, u16, usize);

/// Receives datagrams at the servers; the threads end with the test.
fn receive(cluster: &Cluster, servers: u8, port: u16) -> Receiver<Arrived> {
    let (arrived, receiver) = channel();
    for number in 1..=servers {
        let arrived = arrived.clone();
        let (bound, is_bound) = channel();
        let _thread = cluster.node(&server(number)).thread(move || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).expect("the port is free");
            bound.send(()).expect("the test waits");
            let mut buffer = [0; 65_536];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                if arrived.send((number, from.port(), len)).is_err() {
                    return;
                }
            }
        });
        is_bound.recv().expect("the socket is bound");
    }
    receiver
}

fn arrival(receiver: &Receiver<Arrived>) -> Arrived {
    let patience = Duration::from_secs(10);
    receiver.recv_timeout(patience).expect("a datagram arrives")
}

#[test]
fn datagrams_in_fragments_arrive_whole() {
    let cluster = Cluster::boot("t-frag", 3);
    let arrived = receive(&cluster, 3, FOLLOW);
    let by_address = receive(&cluster, 3, BY_ADDRESS);
    let follow = udp(&service("follow", FOLLOW, &[1, 2, 3], CHECK));
    let unordered = udp(&service("unordered", BY_ADDRESS, &[1, 2, 3], CHECK)).replace(
        "protocol = \"udp\"",
        "protocol = \"udp\"\nfragments = \"3-tuple\"",
    );
    let _daemon = cluster.start_daemon(&config(std::slice::from_ref(&follow)));
    cluster.wait_until_ready();

    // A client's own stack makes the fragments.
    let sent = cluster.node("client").thread(|| {
        (0..30_u16).for_each(|i| {
            let socket = UdpSocket::bind((CLIENT, 6000 + i)).expect("the port is free");
            let service = SocketAddr::from((VIP, FOLLOW));
            for _ in 0..3 {
                let sent = socket.send_to(&[0x5a; BYTES], service);
                assert_eq!(sent.expect("it is sent"), BYTES);
            }
        });
    });
    sent.expect("a thread").join().expect("all is sent");
    let datagrams: Vec<Arrived> = (0..90).map(|_| arrival(&arrived)).collect();
    assert!(datagrams.iter().all(|(_, _, len)| *len == BYTES));
    for number in 1..=3 {
        let of = datagrams.iter().filter(|(server, _, _)| *server == number);
        assert_eq!(of.count(), 30, "{number}: rr spreads the flows");
    }
    let director = cluster.director();
    assert_eq!(director.dropped("fragment-early"), 0);

    // In the wrong order the fragments before the first one are lost, unless addresses alone decide.
    let frame = |port, identification| {
        let datagram = Datagram {
            destination: cluster.link().mac.0,
            payload: BYTES,
            ..Datagram::new(
                SocketAddrV4::new(CLIENT, 7000),
                SocketAddrV4::new(VIP, port),
            )
        };
        let mut pieces = fragments(&datagram.frame(), identification, 1480);
        pieces.reverse();
        pieces
    };
    cluster.send_frames("client", frame(FOLLOW, 77));
    cluster.eventually("the early ones are counted", || {
        director.dropped("fragment-early") == 2
    });
    let _told = director.reload(&config(&[follow, unordered]));
    cluster.wait_until_ready();
    cluster.eventually("the second service has its servers", || {
        let servers = cluster.service(BY_ADDRESS).servers;
        servers.iter().all(|server| server.listed)
    });
    cluster.send_frames("client", frame(BY_ADDRESS, 78));
    let (_, port, len) = arrival(&by_address);
    assert_eq!((port, len), (7000, BYTES));
    assert_eq!(director.dropped("fragment-early"), 2);
}
