use evenkeel_api::{
    API_VERSION, DropCount, EditKind, EditedServer, EditedService, Edits, EventCount,
    InterfaceStatus, Persistence, Problem, Protocol, ServerSettings, ServerState, ServerStatus,
    ServiceId, ServiceOptions, ServiceSettings, TableStatus, Thresholds, TimeoutSettings,
};

use super::*;

fn server(address: &str, state: ServerState, reason: &str) -> ServerStatus {
    ServerStatus {
        address: address.parse().unwrap(),
        forwarding: Forwarding::Direct,
        weight_configured: 1,
        weight: u16::from(state == ServerState::Up),
        drained: false,
        state,
        listed: state == ServerState::Up,
        reason: reason.to_owned(),
        since_s: 61,
        mac: None,
        interface: None,
        vlan: None,
        active: 0,
        inactive: 5,
        conns: 5,
        packets: 30,
        bytes: 2_000,
    }
}

/// A director without anything to tell of.
fn idle() -> Status {
    Status {
        api_version: API_VERSION,
        version: "0.1.0".to_owned(),
        director: "laicoz".to_owned(),
        pid: 7,
        started: 0,
        adopted: true,
        ready: true,
        maintenance: false,
        interface: InterfaceStatus {
            name: "eth0".to_owned(),
            mac: "02:00:00:00:00:01".to_owned(),
            mode: XdpMode::Generic,
        },
        more_interfaces: Vec::new(),
        tables: TableStatus {
            connections: 10,
            connections_max: 1_024,
            half_open: 0,
            half_open_max: 1_024,
            unassured: 2,
            flood_mode: false,
        },
        virtual_routers: Vec::new(),
        vrrp_thread: None,
        sync: None,
        services: Vec::new(),
        edits: Edits::default(),
        drops: Vec::new(),
        events: Vec::new(),
        problems: Vec::new(),
    }
}

#[test]
fn a_server_that_is_down_is_shown_with_its_reason() {
    let status = Status {
        services: vec![ServiceStatus {
            name: "web".to_owned(),

            service: ServiceId::Single {
                protocol: Protocol::Tcp,
                address: "198.18.14.146:80".parse().unwrap(),
            },
            listens: Vec::new(),
            scheduler: "rr".to_owned(),
            gate: GateStatus::Open,
            virtual_router: Some("paper".to_owned()),
            on_failure: OnFailure::Remove,
            servers: vec![
                server(
                    "198.18.14.12:80",
                    ServerState::Down,
                    "no answer within 250 ms",
                ),
                ServerStatus {
                    forwarding: Forwarding::Local,
                    ..server("198.18.14.13:80", ServerState::Up, "")
                },
            ],
            sorry_server: Some(server(
                "198.18.14.20:80",
                ServerState::Spare,
                "sorry server, not needed",
            )),
        }],
        drops: vec![DropCount {
            reason: "no-server".to_owned(),
            packets: 3,
        }],
        events: vec![EventCount {
            event: "unknown-flow".to_owned(),
            count: 1,
        }],
        problems: vec![Problem {
            what: "add address 198.18.14.146".to_owned(),
            reason: "operation not permitted".to_owned(),
            attempts: 2,
        }],
        ..idle()
    };
    let expected = "\
director laicoz: ready, took over pinned state (evenkeel 0.1.0, pid 7)
interface eth0, 02:00:00:00:00:01, generic XDP
connections 10 of 1024 (2 unassured), half-open 0 of 1024

service web: TCP 198.18.14.146:80 rr, gate open by virtual router paper, a failed check removes the server
  server           forward  state  weight  active  inactive  conns  since  reason
  198.18.14.12:80  direct   down   0 of 1  0       5         5      1m1s   no answer within 250 ms
  198.18.14.13:80  local    up     1       0       5         5      1m1s
  198.18.14.20:80  direct   spare  0 of 1  0       5         5      1m1s   sorry server, not needed

takeovers
  connections do not survive one under web (rr): there is no connection sync yet, and the new Active
  counts their packets as event unknown-flow; its UDP flows are placed anew. Under scheduler
  maglev both survive, but for those of a server whose weight was 0 at either time

dropped packets
          3  no-server

events
          1  unknown-flow

problems
  add address 198.18.14.146: operation not permitted (tried 2 times)
";
    assert_eq!(render(&status), expected);
}

#[test]
fn times_are_shown_in_their_two_largest_units() {
    let cases = [
        (0, "0s"),
        (59, "59s"),
        (60, "1m0s"),
        (3_700, "1h1m"),
        (90_000, "1d1h"),
    ];
    for (seconds, expected) in cases {
        assert_eq!(span(seconds), expected);
    }
}

#[test]
fn edits_by_hand_are_shown() {
    let service = |port: u16, edit, settings, servers| EditedService {
        service: ServiceId::Single {
            protocol: Protocol::Tcp,
            address: ([198, 18, 14, 146], port).into(),
        },
        edit,
        settings,
        servers,
        drained: if port == 81 {
            vec!["198.18.14.14:81".parse().unwrap()]
        } else {
            Vec::new()
        },
    };
    let made = ServiceSettings {
        scheduler: "wlc".to_owned(),
        options: ServiceOptions {
            persistence: Some(Persistence {
                timeout_s: 360,
                prefix: 32,
            }),
            ..ServiceOptions::default()
        },
    };
    let server = |last: u8, edit, settings| EditedServer {
        address: ([198, 18, 14, last], 81).into(),
        edit,
        settings,
    };
    let heavy = ServerSettings {
        weight: 5,
        thresholds: Thresholds {
            upper: 100,
            lower: 80,
        },
    };
    let status = Status {
        edits: Edits {
            services: vec![
                service(80, Some(EditKind::Added), Some(made), Vec::new()),
                service(
                    81,
                    None,
                    None,
                    vec![
                        server(12, EditKind::Changed, Some(heavy)),
                        server(13, EditKind::Removed, None),
                    ],
                ),
                service(82, Some(EditKind::Removed), None, Vec::new()),
            ],
            timeouts: TimeoutSettings {
                udp_s: Some(30),
                ..TimeoutSettings::default()
            },
        },
        ..idle()
    };
    let expected = "
edits by hand (`evenkeel reload --forget-edits` forgets them)
  TCP 198.18.14.146:80                     added    wlc, persistent 360 s, not checked
  TCP 198.18.14.146:81 -> 198.18.14.12:81  changed  weight 5, thresholds 100 and 80
  TCP 198.18.14.146:81 -> 198.18.14.13:81  removed
  TCP 198.18.14.146:81 -> 198.18.14.14:81  drained
  TCP 198.18.14.146:82                     removed
  timeout udp 30 s
";
    let text = render(&status);
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn maintenance_stands_out() {
    let status = Status {
        maintenance: true,
        ..idle()
    };
    let text = render(&status);
    let second = text.lines().nth(1).unwrap();
    assert!(second.starts_with("MAINTENANCE: "), "{text}");
    assert!(second.contains("`evenkeel maintenance off`"), "{text}");
    assert!(!render(&idle()).contains("MAINTENANCE"));
}
