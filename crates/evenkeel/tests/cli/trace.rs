use crate::daemon::Daemon;
use crate::{Told, evenkeel, path};

/// A SYN that begins a flow.
const ANSWER: &str = r#"{"api_version":1,
    "packet":{"protocol":"tcp","client":"198.18.14.1:4000","virtual_address":"198.18.14.146:80","flags":2},
    "verdict":"forward","drop_reason":null,"gate":"open",
    "virtual_router":{"name":"paper","role":"active"},
    "service":{"name":"web","scheduler":"wlc"},"entry":null,
    "entry_after":{"half_open":true,"state":"SYN_RECV","expires_s":60,"assured":false,"server":"198.18.14.12:80"},
    "chosen_by":"scheduler",
    "server":{"address":"198.18.14.12:80","forwarding":"direct","mac":"02:00:00:00:01:0c"},
    "events":[],"why":"it begins a flow","hints":[],"of_a_later_version":1}"#;

fn trace(daemon: &Daemon, words: &[&str]) -> Told {
    let ends = ["trace", "198.18.14.1:4000", "198.18.14.146:80"];
    let socket = daemon.socket();
    evenkeel(&[&ends, words, &["--socket", path(&socket)]].concat())
}

#[test]
fn a_trace_is_printed_in_rows() {
    let daemon = Daemon::start(vec![ANSWER.to_owned()]);
    let told = trace(&daemon, &[]);
    let expected = "\
TCP SYN from 198.18.14.1:4000 to 198.18.14.146:80
  verdict  forward to 198.18.14.12:80 (02:00:00:00:01:0c)
  why      it begins a flow
  service  web, scheduler wlc
  gate     open, active in virtual router paper
  chosen   by the scheduler
  entry    none; it gets half-open, SYN_RECV, 198.18.14.12:80, 60 s
";
    assert_eq!(
        (told.code, told.out.as_str(), told.err.as_str()),
        (Some(0), expected, "")
    );
}

#[test]
fn json_is_what_the_daemon_said() {
    let daemon = Daemon::start(vec![ANSWER.to_owned()]);
    let told = trace(&daemon, &["--json"]);
    let answer: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(answer["verdict"], "forward");
    assert_eq!(answer["chosen_by"], "scheduler");
    assert_eq!(answer["entry_after"]["state"], "SYN_RECV");
    assert_eq!(answer["server"]["address"], "198.18.14.12:80");
}

#[test]
fn options_say_what_packet_is_asked_for() {
    let cases: [(&[&str], &str); 5] = [
        (&[], "tcp 2"),
        (&["--tcp", "--ack"], "tcp 16"),
        (&["--syn", "--ack"], "tcp 18"),
        (&["--fin", "--rst"], "tcp 5"),
        (&["--udp"], "udp 2"),
    ];
    for (words, expected) in cases {
        let daemon = Daemon::start(vec![ANSWER.to_owned()]);
        assert_eq!(trace(&daemon, words).code, Some(0), "{words:?}");
        let (protocol, flags) = expected.split_once(' ').unwrap();
        let expected = format!(
            "/v1/trace?protocol={protocol}&client=198.18.14.1:4000&virtual_address=198.18.14.146:80&flags={flags}"
        );
        assert_eq!(daemon.request(), expected, "{words:?}");
    }
}

#[test]
fn what_is_no_packet_is_a_usage_error() {
    let client = "198.18.14.1:4000";
    let cases: [(&[&str], &str); 6] = [
        (
            &[client, "[2001:db8::1]:80"],
            "no packet goes from `198.18.14.1:4000` to `[2001:db8::1]:80`",
        ),
        (
            &[client, "198.18.14.146"],
            "not an address and a port, such as",
        ),
        (
            &["web", "198.18.14.146:80"],
            "not an address and a port, such as",
        ),
        (&[client], "<VIP:PORT>"),
        (
            &[client, "198.18.14.146:80", "--udp", "--tcp"],
            "cannot be used with",
        ),
        (
            &[client, "198.18.14.146:80", "--udp", "--ack"],
            "cannot be used with",
        ),
    ];
    for (words, expected) in cases {
        let told = evenkeel(&[&["trace"], words].concat());
        assert_eq!(told.code, Some(2), "{words:?}: {told:?}");
        assert!(told.err.contains(expected), "{words:?}: {told:?}");
    }
}
