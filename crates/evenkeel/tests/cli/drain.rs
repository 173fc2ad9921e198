use crate::daemon::Daemon;
use crate::{Told, evenkeel, path};

/// A status with one service, whose second server is like this.
pub(crate) fn status(second: &str) -> String {
    format!(
        r#"{{"api_version":1,"version":"0.1.0","director":"laicoz","pid":7,"started":0,"adopted":false,"ready":true,
        "interface":{{"name":"eth0","mac":"02:00:00:00:00:01","mode":"generic"}},
        "tables":{{"connections":0,"connections_max":1024,"half_open":0,"half_open_max":1024,"unassured":0,
            "flood_mode":false}},
        "services":[{{"name":"web","protocol":"tcp","address":"198.18.14.146:80","scheduler":"rr","gate":"open",
            "virtual_router":"paper","on_failure":"remove","servers":[{},{second}]}}],
        "drops":[],"events":[],"problems":[]}}"#,
        server("198.18.14.12:80", false, 3, 4)
    )
}

fn server(address: &str, drained: bool, active: u32, inactive: u32) -> String {
    let (weight, state) = if drained { (0, "drained") } else { (5, "up") };
    format!(
        r#"{{"address":"{address}","weight_configured":5,"weight":{weight},"drained":{drained},"state":"{state}",
        "listed":true,"reason":"","since_s":1,"mac":null,"active":{active},"inactive":{inactive},"conns":0,
        "packets":0,"bytes":0}}"#
    )
}

fn second(drained: bool, active: u32, inactive: u32) -> String {
    status(&server("198.18.14.13:80", drained, active, inactive))
}

const DONE: &str = r#"{"api_version":1,"refused":[null],"warnings":[]}"#;

fn run(daemon: &Daemon, words: &[&str]) -> Told {
    let socket = daemon.socket();
    evenkeel(&[words, &["--socket", path(&socket)]].concat())
}

fn edit(what: &str) -> String {
    format!(
        r#"/v1/edit {{"edits":[{{"edit":"{what}","service":{{"protocol":"tcp","address":"198.18.14.146:80"}},"server":"198.18.14.13"}}]}}"#
    )
}

#[test]
fn a_drain_tells_what_is_left() {
    let answers = vec![second(false, 2, 1), DONE.to_owned(), second(true, 2, 1)];
    let daemon = Daemon::start(answers);
    let told = run(&daemon, &["drain", "web/198.18.14.13"]);
    let expected =
        "198.18.14.13:80 of `web` is drained: 3 connections (2 active, 1 inactive) left\n";
    assert_eq!(
        (told.code, told.out.as_str(), told.err.as_str()),
        (Some(0), expected, "")
    );
    let asked = [daemon.request(), daemon.request()];
    assert_eq!(asked, ["/v1/status".to_owned(), edit("drain")]);
}

#[test]
fn a_wait_ends_with_the_last_connection() {
    let answers = vec![
        second(false, 2, 1),
        DONE.to_owned(),
        second(true, 2, 1),
        second(true, 1, 0),
        second(true, 0, 1),
        second(true, 0, 0),
    ];
    let daemon = Daemon::start(answers);
    let words = ["drain", "198.18.14.146:80/198.18.14.13:80", "--wait"];
    let told = run(&daemon, &words);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
    let beginning = "198.18.14.13:80 of `web` is drained: no connection left after ";
    let seconds = told.out.strip_prefix(beginning).unwrap();
    let seconds: f64 = seconds.trim_end().trim_end_matches(" s").parse().unwrap();
    assert!(seconds >= 0.4, "three looks: {told:?}");
}

#[test]
fn a_wait_that_is_over_tells_what_is_left_and_fails() {
    for json in [false, true] {
        let answers = vec![
            second(true, 2, 1),
            DONE.to_owned(),
            second(true, 2, 1),
            second(true, 1, 1),
        ];
        let daemon = Daemon::start(answers);
        let mut words = vec!["drain", "web/198.18.14.13", "--wait", "--timeout", "0s"];
        words.extend(json.then_some("--json"));
        let told = run(&daemon, &words);
        assert_eq!(told.code, Some(1), "{told:?}");
        let beginning =
            "Error: 2 connections (1 active, 1 inactive) of 198.18.14.13:80 left after 0.";
        assert!(told.err.starts_with(beginning), "{told:?}");
        for hint in [
            "`evenkeel connections --service web --server 198.18.14.13`",
            "`evenkeel ready web/198.18.14.13`",
        ] {
            assert!(told.err.contains(hint), "{told:?}");
        }
        if json {
            let outcome: serde_json::Value = serde_json::from_str(&told.out).unwrap();
            let fields = [
                "service", "server", "drained", "changed", "active", "inactive",
            ];
            let fields = fields.map(|name| outcome[name].to_string());
            let expected = ["\"web\"", "\"198.18.14.13:80\"", "true", "false", "1", "1"];
            assert_eq!(fields, expected, "{outcome}");
            assert!(outcome["waited_ms"].is_u64(), "{outcome}");
        } else {
            assert_eq!(told.out, "");
        }
    }
}

#[test]
fn a_wait_ends_when_somebody_takes_the_server_back() {
    let answers = vec![
        second(false, 2, 1),
        DONE.to_owned(),
        second(true, 2, 1),
        second(false, 2, 1),
    ];
    let daemon = Daemon::start(answers);
    let told = run(&daemon, &["drain", "web/198.18.14.13", "--wait"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.err.contains("is not drained any more"), "{told:?}");
}

#[test]
fn a_server_that_has_left_the_list_is_waited_for_by_what_the_tables_remember() {
    let unlisted = second(true, 0, 0)
        .replace(r#""state":"drained""#, r#""state":"down""#)
        .replacen(r#""listed":true"#, r#""listed":false"#, 2);
    let count = |matched| format!(r#"{{"api_version":1,"matched":{matched},"connections":[]}}"#);
    let answers = vec![
        unlisted.clone(),
        DONE.to_owned(),
        unlisted.clone(),
        count(5),
        count(2),
    ];
    let daemon = Daemon::start(answers);
    let told = run(&daemon, &["drain", "web/198.18.14.13"]);
    let expected = "198.18.14.13:80 of `web` is already drained: 3 connections (the server has left the list) left\n";
    assert_eq!(told.out, expected, "{told:?}");
    for _ in 0..3 {
        let _known = daemon.request();
    }
    let query = "/v1/connections?protocol=tcp&virtual_address=198.18.14.146:80&server=198.18.14.13";
    assert_eq!(daemon.request(), format!("{query}&limit=0"));
    assert_eq!(daemon.request(), format!("{query}&state=NONE&limit=0"));
}

#[test]
fn ready_takes_it_back() {
    let daemon = Daemon::start(vec![second(true, 0, 0), DONE.to_owned()]);
    let told = run(&daemon, &["ready", "web/198.18.14.13"]);
    let expected =
        "198.18.14.13:80 of `web` gets new connections again, once its checks are good\n";
    assert_eq!((told.code, told.out.as_str()), (Some(0), expected));
    let asked = [daemon.request(), daemon.request()];
    assert_eq!(asked, ["/v1/status".to_owned(), edit("ready")]);
    let daemon = Daemon::start(vec![second(false, 0, 0), DONE.to_owned()]);
    let told = run(&daemon, &["ready", "web/198.18.14.13"]);
    assert_eq!(told.out, "198.18.14.13:80 of `web` was not drained\n");
    // One that has left the config is known by its drain alone.
    let edits = r#""edits":{"services":[{"protocol":"tcp","address":"198.18.14.146:80","edit":null,"servers":[],
        "drained":["198.18.14.99:80"]}],"timeouts":{}},"drops""#;
    let gone = second(false, 0, 0).replace(r#""drops""#, edits);
    let daemon = Daemon::start(vec![gone, DONE.to_owned()]);
    let told = run(&daemon, &["ready", "web/198.18.14.99"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.out.starts_with("198.18.14.99:80 of `web` gets"),
        "{told:?}"
    );
}

#[test]
fn unknown_names_get_a_hint_and_change_nothing() {
    for (target, message) in [
        (
            "wbe/198.18.14.13",
            "Error: there is no service `wbe`\nHint: Did you mean `web`?\n",
        ),
        (
            "web/198.18.14.130",
            "Error: service `web` has no server `198.18.14.130`\nHint: Did you mean `198.18.14.13`?\n",
        ),
    ] {
        for command in ["drain", "ready"] {
            let daemon = Daemon::start(vec![second(false, 0, 0)]);
            let told = run(&daemon, &[command, target]);
            assert_eq!((told.code, told.err.as_str()), (Some(1), message));
        }
    }
    for words in [
        &["drain", "web"][..],
        &["drain", "web/web1"],
        &["ready", "web/"],
        &["drain", "web/198.18.14.13", "--timeout", "5s"],
        &["drain", "web/198.18.14.13", "--wait", "--timeout", "5"],
        &["drain"],
    ] {
        let told = evenkeel(words);
        assert_eq!(told.code, Some(2), "{words:?}: {told:?}");
    }
}

#[test]
fn a_backup_says_where_the_connections_are() {
    let backup = second(false, 0, 0).replace(r#""gate":"open""#, r#""gate":"closed""#);
    let daemon = Daemon::start(vec![backup.clone(), DONE.to_owned(), backup]);
    let told = run(&daemon, &["drain", "web/198.18.14.13"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let note = "its connections are on the Active of virtual router paper\n";
    assert!(told.err.ends_with(note), "{told:?}");
}
