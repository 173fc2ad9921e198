//! Persistence, thresholds and timeouts of services, with real connections and ipvsadm's edits.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use evenkeel_api::ServerState;
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::cluster::{VIP, config, server, service};

const CHECK: &str = "check = { tcp = true, port = 80, every = \"200ms\", timeout = \"200ms\", fall = 10, rise = 1 }";
const PATIENCE: Duration = Duration::from_secs(10);
const PERSISTENT: u16 = 8001;
const LIMITED: u16 = 8002;
const EDITED: u16 = 8003;
const RESETTING: u16 = 8004;
const LOCAL: u16 = 8005;

/// Answers with the server's number and keeps the connection until the client ends it.
fn answer(cluster: &Cluster, number: u8) {
    for port in [PERSISTENT, LIMITED, EDITED, RESETTING, LOCAL] {
        let (bound, is_bound) = channel();
        let _thread = cluster.node(&server(number)).thread(move || {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("it is free");
            bound.send(()).expect("the test waits");
            let mut streams = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let _sent = stream.write_all(&[number]);
                streams.push(stream);
            }
        });
        is_bound.recv().expect("it listens");
    }
}

/// Opens connections that stay open: they, and the servers that answered.
fn connect(cluster: &Cluster, port: u16, count: usize) -> (Vec<TcpStream>, Vec<u8>) {
    let asked = cluster.node("client").thread(move || {
        let mut all = (Vec::new(), Vec::new());
        for _ in 0..count {
            let to = SocketAddr::from((VIP, port));
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            all.0.push(stream);
            all.1.push(byte[0]);
        }
        Ok::<_, std::io::Error>(all)
    });
    asked
        .expect("a thread")
        .join()
        .expect("no panic")
        .expect("all are served")
}

fn ipvsadm(cluster: &Cluster, arguments: &str) -> String {
    let mut words = vec!["evenkeel", "ipvsadm"];
    words.extend(arguments.split(' '));
    cluster.run("director", &words)
}

/// The same by ipvsadm's options.
fn edit_by_hand(cluster: &Cluster) {
    let of = format!("-t {VIP}:{EDITED}");
    let _told = ipvsadm(cluster, &format!("-E {of} -s rr -p 60 -M 255.255.255.0"));
    let (_held, servers) = connect(cluster, EDITED, 4);
    assert!(
        servers.iter().all(|server| *server == servers[0]),
        "{servers:?}"
    );
    let _told = ipvsadm(cluster, &format!("-E {of} -s sh -b sh-port"));
    let (_held, servers) = connect(cluster, EDITED, 40);
    let spread: BTreeMap<u8, usize> = servers.iter().fold(BTreeMap::new(), |mut all, server| {
        *all.entry(*server).or_default() += 1;
        all
    });
    assert_eq!(spread.len(), 3, "the port counts too: {spread:?}");
    let _told = ipvsadm(cluster, "--set 77 0 0");
    let (_held, _servers) = connect(cluster, EDITED, 1);
    let listed = ipvsadm(cluster, "-Lcn");
    assert!(listed.contains(" 01:1"), "{listed}");
}

/// A server has an address's connections until it has more than its weight and another one has none.
fn goes_by_locality(cluster: &Cluster) {
    let of = format!("-t {VIP}:{LOCAL}");
    let _told = ipvsadm(cluster, &format!("-A {of} -s lblc"));
    for number in 1..=3 {
        let _told = ipvsadm(cluster, &format!("-a {of} -r 198.18.14.1{}", number + 1));
    }
    cluster.eventually("all servers are listed", || {
        ipvsadm(cluster, &format!("-Ln {of}"))
            .matches("Route")
            .count()
            == 3
    });
    let listed = ipvsadm(cluster, &format!("-Ln {of}"));
    assert!(
        listed.contains(&format!("{VIP}:{LOCAL} lblc\n")),
        "{listed}"
    );
    let (_held, servers) = connect(cluster, LOCAL, 7);
    let [a, b, c] = [servers[0], servers[2], servers[4]];
    assert!(a != b && b != c && c != a, "{servers:?}");
    assert_eq!(servers, [a, a, b, b, c, c, c]);
    let _told = ipvsadm(cluster, &format!("-E {of} -s lblcr"));
    let (_held, servers) = connect(cluster, LOCAL, 2);
    assert_eq!(servers[0], servers[1], "nobody is idle");
}

#[test]
fn persistence_thresholds_and_timeouts_carry_real_connections() {
    let cluster = Cluster::boot("t-options", 3);
    (1..=3).for_each(|number| answer(&cluster, number));
    let persistent = service("persistent", PERSISTENT, &[1, 2, 3], CHECK).replace(
        "scheduler = \"rr\"",
        "scheduler = \"rr\"\npersistence = { timeout = \"5m\" }",
    );
    let limited = service("limited", LIMITED, &[1, 2], CHECK)
        .replace(
            "\"198.18.14.12\" }",
            "\"198.18.14.12\", upper-threshold = 2 }",
        )
        .replace(
            "scheduler = \"rr\"",
            "scheduler = \"rr\"\ntimeouts = { established = \"10m\" }",
        );
    let edited = service("edited", EDITED, &[1, 2, 3], CHECK);
    let _daemon = cluster.start_daemon(&config(&[persistent, limited, edited]));
    cluster.wait_until_ready();

    let (held, servers) = connect(&cluster, PERSISTENT, 6);
    assert!(
        servers.iter().all(|server| *server == servers[0]),
        "{servers:?}"
    );
    let listed = ipvsadm(&cluster, "-Lcn");
    let template = listed
        .lines()
        .find(|line| line.contains(" NONE "))
        .expect("it is listed");
    let words: Vec<&str> = template.split_whitespace().collect();
    let (client, at) = ("198.18.14.1:0", format!("{VIP}:{PERSISTENT}"));
    assert_eq!((words[3], words[4]), (client, at.as_str()), "{listed}");
    let counted = ipvsadm(&cluster, "-Ln --persistent-conn");
    let of = format!("  -> {}", words[5]);
    let line = counted
        .lines()
        .find(|line| line.starts_with(&of))
        .expect("it is listed");
    let counts: Vec<&str> = line.split_whitespace().skip(2).collect();
    assert_eq!(counts, ["1", "1", "6", "0"], "{counted}");
    drop(held);

    // The first server gets two connections and no third; the other one gets all that follow.
    let (held, servers) = connect(&cluster, LIMITED, 6);
    let count = |number| servers.iter().filter(|server| **server == number).count();
    assert_eq!((count(1), count(2)), (2, 4), "{servers:?}");
    let full = cluster.server_of(LIMITED, 1);
    assert_eq!(full.state, ServerState::Overloaded);
    assert!(full.reason.starts_with("reached 2 connections"), "{full:?}");
    let listed = ipvsadm(&cluster, "-Lcn");
    let of = format!("{VIP}:{LIMITED}");
    let lines: Vec<&str> = listed.lines().filter(|line| line.contains(&of)).collect();
    assert!(
        lines
            .iter()
            .all(|line| line.contains(" 09:5") || line.contains(" 10:00 ")),
        "{listed}"
    );
    drop(held);

    edit_by_hand(&cluster);
    goes_by_locality(&cluster);
}

#[test]
fn clients_of_a_server_that_is_taken_out_are_reset() {
    let cluster = Cluster::boot("t-reset", 3);
    (1..=3).for_each(|number| answer(&cluster, number));
    let with = |servers: &[u8]| {
        let service = service("resetting", RESETTING, servers, CHECK);
        let says = "scheduler = \"rr\"\non-removal = \"reset\"";
        config(&[service.replace("scheduler = \"rr\"", says)])
    };
    let _daemon = cluster.start_daemon(&with(&[1, 2]));
    cluster.wait_until_ready();
    let (mut streams, servers) = connect(&cluster, RESETTING, 4);
    let director = cluster.director();
    let _told = director.reload(&with(&[1]));
    cluster.eventually("the server is out", || {
        cluster.service(RESETTING).servers.len() == 1
    });
    for (stream, server) in streams.iter_mut().zip(servers) {
        // Sent from here, the packets leave by the socket's own namespace.
        stream.write_all(&[1]).expect("nobody has told it yet");
        if server == 1 {
            continue;
        }
        let read = stream.read(&mut [0]).expect_err("it is reset");
        assert_eq!(read.kind(), std::io::ErrorKind::ConnectionReset, "{read}");
    }
    assert!(director.dropped("server-gone-reset") >= 2);
    assert_eq!(director.dropped("server-gone"), 0);
}

#[test]
fn connections_of_a_server_that_is_taken_out_go_on_where_they_are_kept() {
    let cluster = Cluster::boot("t-keep", 3);
    (1..=3).for_each(|number| answer(&cluster, number));
    let with = |servers: &[u8]| {
        let service = service("keeping", RESETTING, servers, CHECK);
        let says = "scheduler = \"rr\"\non-removal = \"keep\"";
        config(&[service.replace("scheduler = \"rr\"", says)])
    };
    let _daemon = cluster.start_daemon(&with(&[1, 2]));
    cluster.wait_until_ready();
    let (mut streams, servers) = connect(&cluster, RESETTING, 4);
    assert!(servers.contains(&2), "{servers:?}");
    let director = cluster.director();
    let _told = director.reload(&with(&[1]));
    cluster.eventually("the server is out", || {
        cluster.service(RESETTING).servers.len() == 1
    });
    for stream in &mut streams {
        stream.write_all(&[1]).expect("it is open");
    }
    let unacknowledged = || {
        let words = ["ss", "-Htn", "state", "established", "dport", "8004"];
        let listed = cluster.run("client", &words);
        let queues = listed
            .lines()
            .map(|line| line.split_whitespace().nth(1).map(str::to_owned));
        queues
            .map(|queue| queue.expect("a queue"))
            .collect::<Vec<_>>()
    };
    cluster.eventually("all that was sent is acknowledged", || {
        unacknowledged() == ["0"; 4]
    });
    let (_more, servers) = connect(&cluster, RESETTING, 2);
    assert_eq!(servers, [1, 1]);
    assert_eq!(director.dropped("server-gone"), 0);
}
