//! Single packets, and what the listings say of them.

use std::io::{Read as _, Write as _};
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use evenkeel_netns_tests::backend::Backend;
use evenkeel_netns_tests::cluster::{CLIENT, VIP, config, server, service};
use evenkeel_netns_tests::streams::{FIRST_PORT, STREAMS, Streams};
use evenkeel_netns_tests::tap::{self, RST, wait_until_quiet};
use evenkeel_netns_tests::{Cluster, Tap};
use evenkeel_testkit::packet::{Segment, flags};
use evenkeel_wire::checksum;
use nix::sys::socket::{MsgFlags, bind, send};
use socket2::{Domain, Protocol, Socket, Type};

use crate::TCP;

/// Sends a frame out of the client.
fn send_frame(cluster: &Cluster, frame: Vec<u8>) {
    cluster.send_frames("client", vec![frame]);
}

fn segment(cluster: &Cluster, from: SocketAddrV4, port: u16, flags: u8) -> Segment {
    Segment {
        destination: cluster.link().mac.0,
        ..Segment::new(from, SocketAddrV4::new(VIP, port), flags)
    }
}

fn dropped(cluster: &Cluster, reason: &str) -> u64 {
    let drops = cluster.status().drops.into_iter();
    drops
        .filter(|drop| drop.reason == reason)
        .map(|drop| drop.packets)
        .sum()
}

#[test]
fn the_directors_own_stack_answers_for_no_service() {
    let cluster = Cluster::boot("t-reset", 2);
    // Nothing listens there, so the third service has no usable server.
    let none = "check = { tcp = true, port = 9999, every = \"200ms\", timeout = \"200ms\", fall = 1, rise = 1 }";
    let text = config(&[
        service("web", 80, &[1, 2], TCP),
        service("none", 83, &[1], none),
    ]);
    let _daemon = cluster.start_daemon(&text);
    cluster.eventually("the first service is served", || {
        cluster.try_status().is_some_and(|status| status.ready)
            && cluster.service(80).servers.iter().all(|s| s.listed)
    });
    let director = cluster.link().mac.0;
    let client = |port| SocketAddrV4::new(CLIENT, port);
    let tap = Tap::start(&cluster, "client");

    // A packet of no known flow: one of the servers resets it.
    send_frame(
        &cluster,
        segment(&cluster, client(1001), 80, flags::ACK).frame(),
    );
    // A fragment whose first one did not come can't be told to be the service's, and could be.
    let mut fragment = segment(&cluster, client(1002), 80, flags::ACK).frame();
    let sum = u16::from_be_bytes([fragment[24], fragment[25]]);
    let fields = u16::from_be_bytes([fragment[20], fragment[21]]);
    fragment[20..22].copy_from_slice(&0x0001_u16.to_be_bytes());
    fragment[24..26].copy_from_slice(&checksum::update(sum, fields, 0x0001).to_be_bytes());
    send_frame(&cluster, fragment);
    // A SYN for the service without a server, and something for it in mid-stream.
    send_frame(
        &cluster,
        segment(&cluster, client(1003), 83, flags::ACK).frame(),
    );
    let refused = cluster.requests(83, 1).remove(0);
    let reason = refused.outcome.unwrap_err();
    assert!(reason.contains("refused"), "{reason}");
    // What is for no service is the stack's, which resets it: the record would show the other ones too.
    send_frame(
        &cluster,
        segment(&cluster, client(1004), 9, flags::SYN).frame(),
    );
    cluster.eventually("drops are counted", || {
        dropped(&cluster, "fragment-early") == 1 && dropped(&cluster, "no-server") >= 2
    });
    wait_until_quiet(&cluster, &[&tap]);

    let seen = tap.stop();
    let resets = seen
        .iter()
        .filter(|seen| seen.packet.flags & RST != 0 && *seen.packet.from.ip() == VIP);
    let of_director = |seen: &&tap::Seen| seen.source == director;
    let (by_director, by_servers): (Vec<_>, Vec<_>) = resets.partition(of_director);
    let ports = |seen: &[&tap::Seen]| -> Vec<u16> {
        seen.iter().map(|seen| seen.packet.to.port()).collect()
    };
    assert_eq!(ports(&by_director), [1004], "{seen:?}");
    assert_eq!(ports(&by_servers), [1001], "{seen:?}");
}

/// A director is a router to the packets that it forwards.
#[test]
fn a_packet_that_may_go_no_further_is_answered_with_time_exceeded() {
    let cluster = Cluster::boot("t-ttl", 1);
    let _daemon = cluster.start_daemon(&config(&[service("web", 80, &[1], TCP)]));
    cluster.wait_until_ready();
    let spent = Segment {
        ttl: 1,
        ..segment(&cluster, SocketAddrV4::new(CLIENT, 1001), 80, flags::SYN)
    };
    let mut frame = spent.frame();
    let answer = cluster.node("client").thread(move || {
        let icmp = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
        icmp.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let link = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
        let own = tap::interface().unwrap();
        bind(link.as_raw_fd(), &own).unwrap();
        // The answer goes to the frame's sender.
        frame[6..12].copy_from_slice(&own.addr().unwrap());
        send(link.as_raw_fd(), &frame, MsgFlags::empty()).unwrap();
        let mut answer = [0; 128];
        let length = (&icmp).read(&mut answer).unwrap();
        (answer[..length].to_vec(), frame)
    });
    let (answer, frame) = answer.unwrap().join().unwrap();
    let director = cluster.node("director").address();
    assert_eq!(
        answer[12..16],
        director.octets(),
        "from the director itself"
    );
    assert_eq!(answer[20..22], [11, 0], "time exceeded in transit");
    assert_eq!(
        answer[28..],
        frame[14..42],
        "it quotes the header and 8 bytes"
    );
    assert_eq!(dropped(&cluster, "ttl-exceeded"), 1);
}

#[test]
fn a_client_that_uses_its_port_again_is_scheduled_anew() {
    let cluster = Cluster::boot("t-port", 2);
    let _daemon = cluster.start_daemon(&config(&[service("web", 80, &[1, 2], TCP)]));
    cluster.wait_until_ready();
    let answers = cluster
        .node("client")
        .thread(|| [(); 4].map(|()| answer_to_port(4000)));
    let answers = answers.unwrap().join().unwrap();
    for pair in answers.windows(2) {
        assert_ne!(pair[0], pair[1], "not in turn: {answers:?}");
    }
    let held = cluster.connections().connections;
    let of_port = held.iter().filter(|held| held.client.port() == 4000);
    assert_eq!(of_port.count(), 1, "one entry, used again: {held:?}");
}

/// Asks from this port of the client, and returns the answer's body: the server's name.
fn answer_to_port(port: u16) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
        .bind(&SocketAddrV4::new(CLIENT, port).into())
        .unwrap();
    socket.connect(&SocketAddrV4::new(VIP, 80).into()).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {VIP}\r\nConnection: close\r\n\r\n");
    (&socket).write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    (&socket).read_to_string(&mut answer).unwrap();
    let (_head, body) = answer.split_once("\r\n\r\n").unwrap();
    body.to_owned()
}

#[test]
fn ipvsadm_lists_connections_with_their_states() {
    let cluster = Cluster::boot("t-conns", 2);
    let backends: Vec<Backend> = (1..=2)
        .map(|n| Backend::start(&cluster, &server(n)))
        .collect();
    let text = config(&[
        service("streams", STREAMS, &[1, 2], TCP),
        service("web", 80, &[1, 2], TCP),
    ]);
    let _daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    let streams = Streams::start(&cluster, 2);
    streams.all_get_on(&cluster);
    let closed = cluster.requests(80, 1).remove(0);
    assert!(closed.outcome.is_ok(), "{closed:?}");
    // No server has a way back to this client, so its connection stays half open.
    let nobody = SocketAddrV4::new([10, 64, 0, 1].into(), 4000);
    send_frame(&cluster, segment(&cluster, nobody, 80, flags::SYN).frame());

    let mut rows = Vec::new();
    cluster.eventually("the closed one is seen closing", || {
        let listing = cluster.run("director", &["ipvsadm", "-Lcn"]);
        assert!(listing.starts_with("IPVS connection entries\npro expire state       source             virtual            destination\n"), "{listing}");
        rows = listing.lines().skip(2).map(columns).collect();
        rows.len() == 4 && rows.iter().filter(|row| row.state == "ESTABLISHED").count() == 2
    });
    for (number, row) in (0..2).map(|n| (n, row_of(&rows, &format!("{CLIENT}:{}", FIRST_PORT + n))))
    {
        assert_eq!(
            (row.state.as_str(), row.service.as_str()),
            ("ESTABLISHED", "198.18.14.146:81")
        );
        assert!((890..=900).contains(&row.expires), "{row:?}");
        let holder = backends
            .iter()
            .position(|b| b.running().contains(&number.into()))
            .unwrap();
        assert_eq!(
            row.server,
            format!("198.18.14.{}:81", 12 + holder),
            "{row:?}"
        );
    }
    let row = row_of(&rows, &format!("{CLIENT}:{}", closed.client_port));
    assert!(
        ["FIN_WAIT", "TIME_WAIT", "CLOSE"].contains(&row.state.as_str()),
        "{row:?}"
    );
    assert!(row.expires <= 120, "{row:?}");
    let row = row_of(&rows, "10.64.0.1:4000");
    assert_eq!(row.state, "SYN_RECV");
    assert!((50..=60).contains(&row.expires), "{row:?}");
    for end in streams.stop() {
        end.unwrap();
    }
}

/// A row of `ipvsadm -Lcn`.
#[derive(Debug)]
struct Row {
    /// In seconds.
    expires: u64,
    state: String,
    client: String,
    service: String,
    server: String,
}

fn columns(line: &str) -> Row {
    let columns: Vec<&str> = line.split_whitespace().collect();
    assert_eq!((columns.len(), columns[0]), (6, "TCP"), "{line}");
    let (minutes, seconds) = columns[1].split_once(':').unwrap();
    let number = |text: &str| text.parse::<u64>().unwrap();
    Row {
        expires: number(minutes) * 60 + number(seconds),
        state: columns[2].to_owned(),
        client: columns[3].to_owned(),
        service: columns[4].to_owned(),
        server: columns[5].to_owned(),
    }
}

fn row_of<'r>(rows: &'r [Row], client: &str) -> &'r Row {
    rows.iter()
        .find(|row| row.client == client)
        .unwrap_or_else(|| panic!("{client}: {rows:?}"))
}
