//! What an operator does to a running director, with real connections: drained servers, a sorry server, and
//! connections by conditions.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use evenkeel_api::ServerState;
use evenkeel_netns_tests::Cluster;
use evenkeel_netns_tests::backend::{Backend, HEALTH, Health};
use evenkeel_netns_tests::cluster::{Told, VIP, config, server, service};
use evenkeel_netns_tests::texts::maglev;

/// Entries of connections that have ended are gone after this.
const FIN_WAIT: &str = "timeouts = { established = \"10m\", fin-wait = \"2s\" }";
const CHECK: &str = "check = { tcp = true, port = 80, every = \"200ms\", timeout = \"200ms\", fall = 10, rise = 1 }";
const PATIENCE: Duration = Duration::from_secs(30);
const HELD: u16 = 8001;
const HASHED: u16 = 8002;

/// Answers with the server's number, then with what it gets, until the client ends the connection.
fn answer(cluster: &Cluster, number: u8) {
    for port in [HELD, HASHED] {
        let (bound, is_bound) = channel();
        let _thread = cluster.node(&server(number)).thread(move || {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("it is free");
            bound.send(()).expect("the test waits");
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut byte = [number];
                    while stream.write_all(&byte).is_ok() && stream.read_exact(&mut byte).is_ok() {}
                });
            }
        });
        is_bound.recv().expect("it listens");
    }
}

/// A connection that stays open, and the server that has it.
struct Held {
    stream: TcpStream,
    server: u8,
}

impl Held {
    /// Whether the server still answers.
    fn goes_on(&mut self) -> bool {
        let mut byte = [0];
        let sent = self.stream.write_all(&[7]);
        sent.and_then(|()| self.stream.read_exact(&mut byte))
            .is_ok()
            && byte == [7]
    }
}

/// Opens connections.
fn connect(cluster: &Cluster, port: u16, count: usize) -> Vec<Held> {
    let asked = cluster.node("client").thread(move || {
        let mut all = Vec::new();
        for _ in 0..count {
            let to = SocketAddr::from((VIP, port));
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            all.push(Held {
                stream,
                server: byte[0],
            });
        }
        Ok::<_, std::io::Error>(all)
    });
    let all = asked.expect("a thread").join().expect("no panic");
    all.expect("all are served")
}

/// Who serves so many new connections, which end at once.
fn serving(cluster: &Cluster, port: u16) -> BTreeSet<u8> {
    let all = connect(cluster, port, 8).into_iter();
    all.map(|held| held.server).collect()
}

/// One of the connections on that server, opened and found.
fn on(cluster: &Cluster, port: u16, number: u8) -> Held {
    let mut all = connect(cluster, port, 16).into_iter();
    all.find(|held| held.server == number)
        .expect("a share of sixteen")
}

fn evenkeel(cluster: &Cluster, line: &str) -> Told {
    let words: Vec<&str> = line.split_whitespace().collect();
    cluster.evenkeel(&words)
}

/// The rows of `ipvsadm -Ln` for a service: servers and weights.
fn listed(cluster: &Cluster, port: u16) -> Vec<(String, u16)> {
    let services = cluster.services().services.into_iter();
    let mut found = services.filter(|s| s.service.address() == Some((VIP, port).into()));
    let servers = found.next().expect("it is listed").servers.into_iter();
    let mut rows: Vec<_> = servers
        .map(|server| (server.address.ip().to_string(), server.weight))
        .collect();
    rows.sort();
    rows
}

fn rows(expected: &[(&str, u16)]) -> Vec<(String, u16)> {
    let rows = expected.iter();
    rows.map(|(server, weight)| (String::from(*server), *weight))
        .collect()
}

fn boot(name: &str, servers: u8) -> Cluster {
    let cluster = Cluster::boot(name, servers);
    (1..=servers).for_each(|number| answer(&cluster, number));
    cluster
}

/// The first server of both services gets no new connection, and all listings say so.
fn is_drained(cluster: &Cluster, when: &str) {
    for port in [HELD, HASHED] {
        assert_eq!(serving(cluster, port), BTreeSet::from([2]), "{when}");
        let server = cluster.server_of(port, 1);
        let shown = (server.state, server.drained);
        assert_eq!(shown, (ServerState::Drained, true), "{when}");
        let expected = rows(&[("198.18.14.12", 0), ("198.18.14.13", 1)]);
        assert_eq!(listed(cluster, port), expected, "{when}");
    }
}

fn is_shown_as_drained(cluster: &Cluster) {
    let listing = cluster.run("director", &["ipvsadm", "-Ln", "-t", "198.18.14.146:8001"]);
    assert!(
        listing.contains("-> 198.18.14.12:8001            Route   0 "),
        "{listing}"
    );
    let status = evenkeel(cluster, "status").succeeded();
    for words in [
        "0 of 1",
        "drained by hand",
        "TCP 198.18.14.146:8001 -> 198.18.14.12:8001  drained",
    ] {
        assert!(status.contains(words), "no `{words}` in {status}");
    }
    let events = evenkeel(cluster, "events").succeeded();
    assert!(
        events
            .contains("service `held` (TCP 198.18.14.146:8001): server 198.18.14.12:8001 drained"),
        "{events}"
    );
}

#[test]
fn a_drained_server_gets_no_new_connection_while_a_running_one_goes_on() {
    let cluster = boot("t-drain", 2);
    let more = format!("{CHECK}\n{FIN_WAIT}");
    let text = config(&[
        service("held", HELD, &[1, 2], &more),
        maglev(&service("hashed", HASHED, &[1, 2], &more)),
    ]);
    let daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    let mut running = on(&cluster, HELD, 1);
    let mut hashed = on(&cluster, HASHED, 1);
    assert_eq!(serving(&cluster, HELD), BTreeSet::from([1, 2]));
    let told = evenkeel(&cluster, "drain held/198.18.14.12").succeeded();
    let beginning = "198.18.14.12:8001 of `held` is drained: ";
    assert!(
        told.starts_with(beginning) && told.ends_with(" left\n"),
        "{told}"
    );
    let told = evenkeel(&cluster, "drain 198.18.14.146:8002/198.18.14.12:8002").succeeded();
    assert!(
        told.starts_with("198.18.14.12:8002 of `hashed` is drained"),
        "{told}"
    );

    is_drained(&cluster, "at once");
    is_shown_as_drained(&cluster);

    let told = evenkeel(&cluster, "reload").succeeded();
    assert!(
        told.contains("server 198.18.14.12:8001 is drained by hand"),
        "{told}"
    );
    is_drained(&cluster, "reloaded");
    assert!(running.goes_on() && hashed.goes_on());
    daemon.kill();
    let _daemon = cluster.start_daemon(&text);
    cluster.eventually("the daemon is ready", || cluster.director().is_ready());
    is_drained(&cluster, "restarted");
    assert!(running.goes_on() && hashed.goes_on());

    let told = evenkeel(&cluster, "ready held/198.18.14.12").succeeded();
    assert!(told.contains("gets new connections again"), "{told}");
    assert_eq!(serving(&cluster, HELD), BTreeSet::from([1, 2]));
    assert_eq!(serving(&cluster, HASHED), BTreeSet::from([2]));
    assert!(running.goes_on() && hashed.goes_on());
}

#[test]
fn a_wait_returns_when_the_last_connection_has_ended() {
    let cluster = boot("t-drainwait", 2);
    let more = format!("{CHECK}\n{FIN_WAIT}");
    let _daemon = cluster.start_daemon(&config(&[service("held", HELD, &[1, 2], &more)]));
    cluster.wait_until_ready();
    let mut running = on(&cluster, HELD, 1);
    let told = evenkeel(&cluster, "drain held/198.18.14.12 --wait --timeout 500ms");
    told.assert_refused(
        1,
        &[
            "of 198.18.14.12:8001 left after ",
            "evenkeel connections --service held",
        ],
    );
    assert!(running.goes_on());

    let mut command = Command::new("evenkeel");
    command
        .args([
            "drain",
            "held/198.18.14.12",
            "--wait",
            "--timeout",
            "5m",
            "--json",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut waiting = cluster.node("director").spawn(command).expect("it starts");
    cluster.eventually("the ones that have ended are forgotten", || {
        let server = cluster.server_of(HELD, 1);
        (server.active, server.inactive) == (1, 0)
    });
    assert!(
        waiting.try_wait().expect("our child").is_none(),
        "one is left"
    );
    assert!(running.goes_on());
    drop(running);
    cluster.eventually("the wait is over", || {
        waiting.try_wait().expect("our child").is_some()
    });
    let output = waiting.wait_with_output().expect("our child");
    assert!(output.status.success(), "{output:?}");
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(outcome["active"], 0, "{outcome}");
    assert_eq!(outcome["inactive"], 0, "{outcome}");
    assert!(outcome["waited_ms"].as_u64() > Some(0), "{outcome}");
    let server = cluster.server_of(HELD, 1);
    assert_eq!((server.active, server.inactive), (0, 0));
}

/// All servers down: the sorry server answers, and no longer when one recovers.
#[test]
fn the_sorry_server_answers_while_no_other_can() {
    let cluster = boot("t-sorry", 3);
    let backends: Vec<Backend> = (1..=2)
        .map(|number| Backend::start(&cluster, &server(number)))
        .collect();
    let more = format!(
        "check = {{ http = \"/\", status = 200, port = {HEALTH}, every = \"400ms\", timeout = \"400ms\", fall = 3, rise = 1 }}\n\
         sorry-server = \"198.18.14.14\"\non-removal = \"reset\"\n{FIN_WAIT}"
    );
    let text = config(&[service("held", HELD, &[1, 2], &more)]);
    let _daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    let sorry = || {
        cluster
            .service(HELD)
            .sorry_server
            .expect("it is configured")
    };
    assert_eq!((sorry().state, sorry().listed), (ServerState::Spare, false));
    assert_eq!(serving(&cluster, HELD), BTreeSet::from([1, 2]));

    backends
        .iter()
        .for_each(|backend| backend.set_health(Health::Bad));
    cluster.eventually("it is in the list", || sorry().listed);
    assert_eq!(serving(&cluster, HELD), BTreeSet::from([3]));
    assert_eq!(listed(&cluster, HELD), rows(&[("198.18.14.14", 1)]));
    let mut apologized = on(&cluster, HELD, 3);
    assert!(apologized.goes_on());

    backends[0].set_health(Health::Good);
    cluster.eventually("it has left", || !sorry().listed);
    assert_eq!(serving(&cluster, HELD), BTreeSet::from([1]));
    assert_eq!(listed(&cluster, HELD), rows(&[("198.18.14.12", 1)]));
    // Its connections end as those of any server that leaves: here by a reset.
    let mut byte = [0];
    let sent = apologized.stream.write_all(&[7]);
    let read = sent.and_then(|()| apologized.stream.read_exact(&mut byte));
    assert_eq!(read.map_err(|e| e.kind()), Err(ErrorKind::ConnectionReset));

    // A drained server can't take new connections either, but its own go on.
    let mut running = on(&cluster, HELD, 1);
    let _told = evenkeel(&cluster, "drain held/198.18.14.12").succeeded();
    assert_eq!(serving(&cluster, HELD), BTreeSet::from([3]));
    let expected = rows(&[("198.18.14.12", 0), ("198.18.14.14", 1)]);
    assert_eq!(listed(&cluster, HELD), expected);
    assert!(running.goes_on());
    let kinds: Vec<String> = cluster
        .director()
        .events()
        .into_iter()
        .filter(|event| event.kind.starts_with("sorry-server"))
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        kinds,
        ["sorry-server-in", "sorry-server-out", "sorry-server-in"]
    );
    let told = evenkeel(&cluster, "drain held/198.18.14.14");
    told.assert_refused(1, &["198.18.14.14 is the sorry server of `held`"]);
}

#[test]
fn conditions_select_the_connections_that_they_name() {
    let cluster = boot("t-connections", 2);
    let more = format!("{CHECK}\n{FIN_WAIT}");
    let text = config(&[
        service("held", HELD, &[1, 2], &more),
        service("hashed", HASHED, &[1, 2], &more),
    ]);
    let _daemon = cluster.start_daemon(&text);
    cluster.wait_until_ready();
    let held = connect(&cluster, HELD, 6);
    let _hashed = connect(&cluster, HASHED, 2);
    let count = |words: &str| {
        let told = evenkeel(&cluster, &format!("connections {words} --count")).succeeded();
        told.trim_end().parse::<usize>().expect("a number")
    };
    // rr: each in turn.
    for (words, expected) in [
        ("", 8),
        ("--service held", 6),
        ("--service 198.18.14.146:8002", 2),
        ("--service held --server 198.18.14.12", 3),
        ("--server 198.18.14.13", 4),
        ("--server 198.18.14.99", 0),
        ("--client 198.18.14.1", 8),
        ("--client 198.18.0.0/16 --service hashed", 2),
        ("--client 198.18.14.2", 0),
        ("--client 2001:db8::/32", 0),
        ("--state established", 8),
        ("--state fin_wait", 0),
    ] {
        assert_eq!(count(words), expected, "{words}");
    }
    let told = evenkeel(&cluster, "connections --service held --limit 4");
    assert!(told.err.starts_with("listed 4 of 6: "), "{told:?}");
    let listed = told.succeeded();
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert!(
        listed
            .lines()
            .skip(1)
            .all(|line| line.contains("ESTABLISHED  198.18.14.1:")),
        "{listed}"
    );
    assert!(
        listed.lines().skip(1).all(|line| line.ends_with("  held")),
        "{listed}"
    );
    drop(held);
    cluster.eventually("the ended ones are forgotten", || {
        count("--service held") == 0
    });
    assert_eq!(count(""), 2);
}
