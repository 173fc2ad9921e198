//! What the config file says is what the director gets, and what it leaves out has the documented default.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::error::Error as _;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_config::{LoadError, default_text, load, parse};
use evenkeel_model::{
    BodyMatch, Cadence, Check, CheckKind, Director, Forwarding, OnFailure, Protocol, RealServer,
    Scheduler, ServiceKey, TableSizes, VirtualService, Weight, XdpPreference,
};

fn sample(text: &str) -> Director {
    match parse("sample.toml", text, "host") {
        Ok(director) => director,
        Err(diagnostics) => panic!("{}", diagnostics.render(false)),
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn server(text: &str, weight: i64) -> RealServer {
    RealServer {
        address: address(text),
        weight: Weight::try_from(weight).unwrap(),
        forwarding: Forwarding::DirectRouting,
    }
}

#[test]
fn the_papers_cluster_is_read_as_written() {
    let director = sample(include_str!("../samples/valid/paper.toml"));
    let expected = Director {
        name: "laicoz".to_owned(),
        interface: "eth0".to_owned(),
        xdp: XdpPreference::Auto,
        tables: TableSizes::default(),
        startup_wait: Duration::from_secs(10),
        services: vec![VirtualService {
            name: "web".to_owned(),
            key: ServiceKey {
                protocol: Protocol::Tcp,
                address: address("198.18.14.146:80"),
            },
            scheduler: Scheduler::RoundRobin,
            on_failure: OnFailure::Remove,
            check: Some(Check {
                kind: CheckKind::Http {
                    path: "/".to_owned(),
                    host: None,
                    status: Some(200),
                    body: None,
                },
                port: None,
                cadence: Cadence {
                    every: Duration::from_millis(500),
                    timeout: Duration::from_millis(250),
                    fall: 2,
                    rise: 2,
                },
            }),
            servers: vec![
                server("198.18.14.12:80", 1),
                server("198.18.14.13:80", 1),
                server("198.18.14.14:80", 1),
            ],
        }],
    };
    assert_eq!(director, expected);
}

#[test]
fn every_key_reaches_the_director() {
    let director = sample(include_str!("../samples/valid/every-key.toml"));
    assert_eq!(director.name, "north");
    assert_eq!(director.interface, "enp1s0f0");
    assert_eq!(director.xdp, XdpPreference::Native);
    assert_eq!(director.startup_wait, Duration::from_secs(60));
    assert_eq!(director.tables.connections, 1 << 21);
    assert_eq!(director.tables.half_open, 1 << 17, "rounded up");
    let [web, tls, unchecked] = director.services.as_slice() else {
        panic!("{:?}", director.services);
    };
    assert_eq!(web.on_failure, OnFailure::Quiesce);
    let expected = Check {
        kind: CheckKind::Http {
            path: "/healthz?deep=1".to_owned(),
            host: Some("www.example.org".to_owned()),
            status: Some(204),
            body: Some(BodyMatch("läuft".to_owned())),
        },
        port: Some(8080),
        cadence: Cadence {
            every: Duration::from_millis(500),
            timeout: Duration::from_millis(500),
            fall: 3,
            rise: 1,
        },
    };
    assert_eq!(web.check, Some(expected));
    let servers = [server("192.0.2.11:80", 65_535), server("192.0.2.12:80", 0)];
    assert_eq!(web.servers, servers);
    assert_eq!(tls.servers, [server("192.0.2.11:443", 1)]);
    assert_eq!(unchecked.check, None);
    assert_eq!(unchecked.servers, []);
}

#[test]
fn a_service_without_a_check_gets_a_tcp_check_every_two_seconds() {
    let director = sample(include_str!("../samples/valid/defaults-only.toml"));
    assert_eq!(director.name, "host", "the caller's default");
    let check = director.services[0].check.clone().unwrap();
    assert_eq!(check.kind, CheckKind::Tcp);
    let cadence = Cadence {
        every: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        fall: 2,
        rise: 2,
    };
    assert_eq!(check.cadence, cadence);
}

#[test]
fn the_default_timeout_is_never_longer_than_every() {
    let director = sample(include_str!("../samples/valid/defaults-only.toml"));
    let check = director.services[1].check.clone().unwrap();
    assert_eq!(check.cadence.timeout, Duration::from_millis(100));
}

#[test]
fn the_default_text_is_valid_and_so_are_the_keys_it_comments_out() {
    let shown = sample(default_text());
    let uncommented: String = default_text()
        .lines()
        .map(|line| {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            let is_toml = bare == "[tables]" || bare.contains(" = ");
            let is_prose = bare.trim_start().starts_with("http = \"/\"  ");
            if is_toml && !is_prose { bare } else { line }
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let mut all = sample(&uncommented);
    assert_eq!(all.name, "director1");
    all.name.clone_from(&shown.name);
    assert_eq!(all, shown, "the commented values are the defaults");
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let error = load(&folder.path().join("none.toml"), "host").unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }));
    assert!(error.to_string().contains("none.toml`"));
    assert!(error.source().is_some());
}

#[test]
fn bytes_that_are_not_utf8_are_shown_where_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.toml");
    fs::write(&path, b"[director]\nname = \"K\xf6ln\"\n").unwrap();
    let LoadError::Invalid(diagnostics) = load(&path, "host").unwrap_err() else {
        panic!("it was read");
    };
    let [diagnostic] = diagnostics.as_slice() else {
        panic!("{diagnostics:?}");
    };
    assert_eq!((diagnostic.line, diagnostic.column), (2, 10));
    assert!(diagnostics.render(false).contains("latin1.toml:2:10"));
}

#[test]
fn a_file_is_loaded_like_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    fs::write(&path, default_text()).unwrap();
    assert_eq!(load(&path, "host").unwrap(), sample(default_text()));
}

#[test]
fn mistakes_are_plain_data_for_machines_too() {
    let text = "[director]\ninterface = \"eth0\"\nxdp = \"fast\"\n";
    let diagnostics = parse("a.toml", text, "host").unwrap_err();
    let json = serde_json::to_value(diagnostics.as_slice()).unwrap();
    let expected = serde_json::json!([{
        "file": "a.toml",
        "line": 3,
        "column": 7,
        "length": 6,
        "span": { "start": 36, "end": 42 },
        "message": "unknown XDP mode `fast`",
        "expected": "one of `auto`, `native`, `generic`",
        "hint": "write `xdp = \"auto\"`; supported: `auto`, `native`, `generic`",
    }]);
    assert_eq!(json, expected);
    assert_eq!(
        diagnostics.to_string(),
        "the config file `a.toml` has a mistake"
    );
}
