use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::daemon::Daemon;
use crate::{evenkeel, path, program};

/// Events of a daemon that started at `started`, numbered on after `first`.
fn events(started: u64, first: u64, kinds: &[&str]) -> String {
    let events: Vec<String> = (first..)
        .zip(kinds)
        .map(|(seq, kind)| {
            format!(
                r#"{{"seq":{seq},"time_ms":1795435201234,"kind":"{kind}","message":"why","warning":false,
                "virtual_router":"paper","service":null,"server":null}}"#
            )
        })
        .collect();
    let next = first - 1 + u64::try_from(kinds.len()).expect("a few");
    format!(
        r#"{{"api_version":1,"daemon_started_ms":{started},"events":[{}],"next":{next},"lost":0}}"#,
        events.join(",")
    )
}

#[test]
fn events_are_printed_as_lines() {
    let daemon = Daemon::start(vec![events(1, 1, &["role-changed", "server-up"])]);
    let told = evenkeel(&["events", "--socket", path(&daemon.socket())]);
    let expected = "\
2026-11-23 12:00:01.234Z  role-changed       why
2026-11-23 12:00:01.234Z  server-up          why
";
    assert_eq!(
        (told.code, told.out.as_str(), told.err.as_str()),
        (Some(0), expected, "")
    );
    assert_eq!(daemon.request(), "/v1/events?after=0&wait_ms=0");
}

#[test]
fn json_has_every_event_on_a_line_of_its_own() {
    let answer = events(1, 8, &["role-changed", "server-up"]);
    let answer = answer.replace(r#""lost":0"#, r#""lost":3"#);
    let daemon = Daemon::start(vec![answer]);
    let socket = daemon.socket();
    let words = [
        "events",
        "--json",
        "--since",
        "4",
        "--socket",
        path(&socket),
    ];
    let told = evenkeel(&words);
    assert_eq!(told.code, Some(0), "{told:?}");
    let lines: Vec<serde_json::Value> = told
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{told:?}");
    assert_eq!(lines[1]["seq"], 9);
    assert_eq!(lines[1]["kind"], "server-up");
    assert!(told.err.contains("does not remember 3 events"), "{told:?}");
    assert_eq!(daemon.request(), "/v1/events?after=4&wait_ms=0");
}

/// Ends its process, whatever becomes of the test.
struct Follower(Child);

impl Follower {
    fn start(daemon: &Daemon) -> Self {
        let mut command = program("evenkeel");
        command
            .args(["events", "--follow", "--socket", path(&daemon.socket())])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().expect("the program starts"))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn following_goes_on_with_the_daemon_that_comes_after() {
    let mut daemon = Daemon::start(vec![
        events(1_000, 1, &["a"]),
        events(1_000, 2, &["b", "c"]),
    ]);
    let mut follower = Follower::start(&daemon);
    let mut lines = BufReader::new(follower.0.stdout.take().unwrap()).lines();
    let mut notes = BufReader::new(follower.0.stderr.take().unwrap()).lines();
    let mut kind = || {
        let line = lines.next().unwrap().unwrap();
        line.split_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!([kind(), kind(), kind()], ["a", "b", "c"]);
    let note = notes.next().unwrap().unwrap();
    assert!(note.contains("the daemon is not running"), "{note}");
    assert!(note.ends_with("; waiting for it"), "{note}");
    assert_eq!(daemon.request(), "/v1/events?after=0&wait_ms=0");
    assert_eq!(daemon.request(), "/v1/events?after=1&wait_ms=30000");

    daemon.restart(vec![
        // Asked with the number of the one before, it leaves its first events out.
        events(2_000, 4, &["f"]),
        events(2_000, 1, &["d", "e", "x", "f"]),
        events(2_000, 5, &["g"]),
    ]);
    let kinds: Vec<String> = std::iter::repeat_with(kind).take(5).collect();
    assert_eq!(kinds, ["d", "e", "x", "f", "g"]);
    let note = notes.next().unwrap().unwrap();
    let expected =
        "a daemon answers that started at 1970-01-01 00:00:02.000Z; it numbers its events anew";
    assert_eq!(note, expected);
    let asked = [daemon.request(), daemon.request(), daemon.request()];
    let expected = ["3", "0", "4"].map(|after| format!("/v1/events?after={after}&wait_ms=30000"));
    assert_eq!(asked, expected);
}

#[test]
fn following_ends_quietly_when_its_reader_goes_away() {
    let daemon = Daemon::start(vec![events(1, 1, &["a"])]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = program("evenkeel");
    command
        .args(["events", "--follow", "--socket", path(&daemon.socket())])
        .stdout(writer)
        .stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
