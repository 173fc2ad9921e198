//! One service of several addresses, ports and protocols, with real connections.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::channel;
use std::time::Duration;

use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::{VIP, config, server, service};
use evenkeel_netns_tests::texts::topology;

const OTHER: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 147);
const CHECK: &str = "number = 3\ncheck = { tcp = true, port = 80, every = \"200ms\", timeout = \"200ms\", fall = 10, rise = 1 }";
const SINGLE: &str = "check = { tcp = true, port = 80, every = \"200ms\", timeout = \"200ms\", fall = 10, rise = 1 }";
const PATIENCE: Duration = Duration::from_secs(10);
/// Ports that the real servers answer on, with their number; the last is a service of its own.
const PORTS: [u16; 5] = [8000, 8042, 8099, 21, 443];
const UDP_PORTS: [u16; 2] = [5300, 60_000];

/// Answers with the server's number, on all ports, until the test's process ends.
fn answer(cluster: &Cluster, number: u8) {
    for port in PORTS {
        let (bound, is_bound) = channel();
        let _thread = cluster.node(&server(number)).thread(move || {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("it is free");
            bound.send(()).expect("the test waits");
            for stream in listener.incoming() {
                let _closed = stream.and_then(|mut stream| stream.write_all(&[number]));
            }
        });
        is_bound.recv().expect("it listens");
    }
    for port in UDP_PORTS {
        let (bound, is_bound) = channel();
        let _thread = cluster.node(&server(number)).thread(move || {
            // By the virtual address, so that the answer comes from there.
            let socket = UdpSocket::bind((OTHER, port)).expect("it is free");
            bound.send(()).expect("the test waits");
            let mut buffer = [0; 16];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                let _sent = socket.send_to(&[number], from);
            }
        });
        is_bound.recv().expect("it is bound");
    }
}

/// The number of the server that answers a new connection.
fn by_tcp(cluster: &Cluster, to: (Ipv4Addr, u16)) -> u8 {
    let asked = cluster.node("client").thread(move || {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(to), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut byte = [0];
        stream.read_exact(&mut byte).map(|()| byte[0])
    });
    let answered = asked.expect("a thread").join().expect("no panic");
    answered.unwrap_or_else(|error| panic!("{to:?}: {error}"))
}

fn by_udp(cluster: &Cluster, to: (Ipv4Addr, u16)) -> u8 {
    let asked = cluster.node("client").thread(move || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(to)?;
        socket.send(&[0])?;
        let mut byte = [0];
        socket.recv(&mut byte).map(|_| byte[0])
    });
    let answered = asked.expect("a thread").join().expect("no panic");
    answered.unwrap_or_else(|error| panic!("{to:?}: {error}"))
}

/// All of the group's connections are one service's.
fn assert_listed(cluster: &Cluster) {
    let listed = cluster.run("director", &["evenkeel", "ipvsadm", "-Ln"]);
    let lines: Vec<&str> = listed.lines().map(str::trim_end).collect();
    assert!(lines.contains(&"FWM  3 rr"), "{listed}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("  -> 198.18.14.12:0 ")),
        "{listed}"
    );
    let stats = cluster.run("director", &["evenkeel", "ipvsadm", "-Ln", "--stats"]);
    let of_group = stats
        .lines()
        .find(|line| line.starts_with("FWM  3"))
        .expect("it is listed");
    assert_eq!(of_group.split_whitespace().nth(2), Some("8"), "{stats}");
    let connections = cluster.run("director", &["evenkeel", "ipvsadm", "-Lcn"]);
    assert!(
        connections.contains(&format!("{OTHER}:21 ")),
        "{connections}"
    );
}

#[test]
fn a_group_balances_addresses_ports_and_protocols_as_one_service() {
    let both = format!("virtual = [\"{VIP}\", \"{OTHER}\"]");
    let topology = topology("t-group", 3).replace(&format!("virtual = [\"{VIP}\"]"), &both);
    let cluster = Cluster::boot_from(&topology, 3);
    (1..=3).for_each(|number| answer(&cluster, number));
    let group = service("group", 80, &[1, 2], CHECK)
        .replace(
            &format!("listen = \"{VIP}:80\""),
            &format!("listen = [\"{VIP}:8000-8099\", \"{OTHER}:*\"]"),
        )
        .replace("protocol = \"tcp\"", "protocol = [\"tcp\", \"udp\"]");
    let single = service("single", 443, &[3], SINGLE).replace(&VIP.to_string(), &OTHER.to_string());
    let _daemon = cluster.start_daemon(&config(&[group, single]));
    cluster.wait_until_ready();

    let places = [
        (VIP, 8000),
        (VIP, 8042),
        (OTHER, 8042),
        (VIP, 8099),
        (OTHER, 21),
        (OTHER, 8000),
    ];
    let servers: Vec<u8> = places.map(|to| by_tcp(&cluster, to)).to_vec();
    assert!(
        servers == [1, 2, 1, 2, 1, 2] || servers == [2, 1, 2, 1, 2, 1],
        "{servers:?}"
    );
    let udp = UDP_PORTS.map(|port| by_udp(&cluster, (OTHER, port)));
    assert!(udp == [1, 2] || udp == [2, 1], "{udp:?}");
    assert_eq!(
        by_tcp(&cluster, (OTHER, 443)),
        3,
        "a port of another service"
    );

    assert_listed(&cluster);

    // ipvsadm reaches it by its number.
    let _told = cluster.run(
        "director",
        &[
            "evenkeel",
            "ipvsadm",
            "-a",
            "-f",
            "3",
            "-r",
            "198.18.14.14",
            "-g",
        ],
    );
    let servers: Vec<u8> = (0..3).map(|_| by_tcp(&cluster, (VIP, 8042))).collect();
    assert!(
        [1, 2, 3].iter().all(|number| servers.contains(number)),
        "{servers:?}"
    );
    let saved = cluster.run("director", &["evenkeel", "ipvsadm", "-Sn"]);
    assert!(saved.contains("-A -f 3 -s rr\n"), "{saved}");
    assert!(
        saved.contains("-a -f 3 -r 198.18.14.14:0 -g -w 1\n"),
        "{saved}"
    );
    let status = cluster.run("director", &["evenkeel", "status"]);
    assert!(status.contains("TCP 198.18.14.146:8000-8099"), "{status}");
    assert!(status.contains("UDP 198.18.14.147:*"), "{status}");
    let trace = ["evenkeel", "trace", "198.18.14.1:1234", "198.18.14.147:77"];
    let traced = cluster.run("director", &trace);
    assert!(traced.contains("group"), "{traced}");
}
