use crate::daemon::Daemon;
use crate::drain::status;
use crate::{Told, evenkeel, path};

const SECOND: &str = r#"{"address":"198.18.14.13:80","weight_configured":5,"weight":5,"state":"up","listed":true,
    "reason":"","since_s":1,"mac":null,"active":0,"inactive":0,"conns":0,"packets":0,"bytes":0}"#;

const ANSWER: &str = r#"{"api_version":1,"matched":7,"connections":[
    {"protocol":"tcp","template":false,"state":"ESTABLISHED","client":"198.18.14.1:4000",
     "virtual_address":"198.18.14.146:80","destination":"198.18.14.12:80","expires_s":893,
     "service":{"protocol":"tcp","address":"198.18.14.146:80"},"half_open":false,"assured":true},
    {"protocol":null,"template":true,"state":"NONE","client":"[2001:db8::]:0",
     "virtual_address":"[0:7::]:0","destination":"[2001:db8::12]:0","expires_s":60,
     "service":{"group":7},"half_open":false,"assured":true}]}"#;

fn run(answer: &str, words: &[&str]) -> (Told, String) {
    let daemon = Daemon::start(vec![status(SECOND), answer.to_owned()]);
    let socket = daemon.socket();
    let told = evenkeel(&[&["connections", "--socket", path(&socket)], words].concat());
    assert_eq!(daemon.request(), "/v1/status");
    (told, daemon.request())
}

#[test]
fn connections_are_listed_with_their_services_and_a_cut_is_told() {
    let (told, asked) = run(ANSWER, &[]);
    let expected = "  \
  proto  expires  state        client            virtual           server            service
  TCP    14:53    ESTABLISHED  198.18.14.1:4000  198.18.14.146:80  198.18.14.12:80   web
  IP     01:00    NONE         [2001:db8::]:0    [0:7::]:0         [2001:db8::12]:0  FWM 7
";
    assert_eq!((told.code, told.out.as_str()), (Some(0), expected));
    let note = "listed 2 of 7: `--limit` lists more, `--service`, `--server`, `--client` and `--state` list fewer\n";
    assert_eq!(told.err, note);
    assert_eq!(asked, "/v1/connections?limit=1000");
    let whole = ANSWER.replace(r#""matched":7"#, r#""matched":2"#);
    assert_eq!(run(&whole, &[]).0.err, "");
}

#[test]
fn conditions_go_to_the_daemon() {
    let all = "/v1/connections?protocol=tcp&virtual_address=198.18.14.146:80&server=198.18.14.12\
               &client=198.18.0.0&prefix=16&state=FIN_WAIT&limit=20";
    let words = [
        "--service",
        "web",
        "--server",
        "198.18.14.12:80",
        "--client",
        "198.18.0.0/16",
        "--state",
        "fin_wait",
        "--limit",
        "20",
    ];
    let (told, asked) = run(ANSWER, &words);
    assert_eq!((told.code, asked.as_str()), (Some(0), all), "{told:?}");
    for (words, query) in [
        (
            &["--client", "2001:db8::/32"][..],
            "client=2001:db8::&prefix=32&limit=1000",
        ),
        (
            &["--client", "198.18.14.1"],
            "client=198.18.14.1&limit=1000",
        ),
        (&["--state", "C-ECHOED"], "state=COOKIE_ECHOED&limit=1000"),
        (
            &["--server", "2001:db8::12", "--count"],
            "server=2001:db8::12&limit=0",
        ),
    ] {
        let (told, asked) = run(ANSWER, words);
        let expected = format!("/v1/connections?{query}");
        assert_eq!((told.code, asked), (Some(0), expected), "{told:?}");
    }
}

#[test]
fn a_count_is_a_number_alone() {
    let (told, _asked) = run(ANSWER, &["--count"]);
    assert_eq!((told.out.as_str(), told.err.as_str()), ("7\n", ""));
    let (told, _asked) = run(ANSWER, &["--count", "--json"]);
    let count: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(count, serde_json::json!({ "matched": 7 }));
}

#[test]
fn json_is_what_the_daemon_said() {
    let (told, _asked) = run(ANSWER, &["--json"]);
    let answer: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(answer["matched"], 7);
    assert_eq!(answer["connections"][1]["service"]["group"], 7);
    assert_eq!(answer["connections"][0]["state"], "ESTABLISHED");
}

#[test]
fn a_daemon_that_knows_no_conditions_is_not_taken_for_one_that_found_all() {
    let old = ANSWER.replace(r#""matched":7,"#, "");
    let (told, _asked) = run(&old, &["--count"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.err.contains("older release"), "{told:?}");
}

#[test]
fn what_is_no_condition_is_a_usage_error_with_a_hint() {
    for (words, expected) in [
        (&["--state", "ESTABLISHD"][..], "'ESTABLISHED'"),
        (
            &["--client", "198.18.14.1/33"],
            "`33` is not a number of bits from 0 to 32",
        ),
        (&["--client", "client"], "not an address, such as"),
        (&["--server", "web1"], "not an address, such as"),
        (&["--limit", "0"], "1..=100000"),
        (&["--limit", "100001"], "1..=100000"),
        (&["--count", "--limit", "5"], "cannot be used with"),
    ] {
        let told = evenkeel(&[&["connections"], words].concat());
        assert_eq!(told.code, Some(2), "{words:?}: {told:?}");
        assert!(told.err.contains(expected), "{words:?}: {told:?}");
    }
    let daemon = Daemon::start(vec![status(SECOND)]);
    let socket = daemon.socket();
    let words = ["connections", "--service", "wep", "--socket", path(&socket)];
    let told = evenkeel(&words);
    let expected = "Error: there is no service `wep`\nHint: Did you mean `web`?\n";
    assert_eq!((told.code, told.err.as_str()), (Some(1), expected));
}
