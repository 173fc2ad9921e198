use evenkeel_api::{API_VERSION, ErrorAnswer};

use super::*;

fn event(seq: u64, kind: &str, message: &str) -> EventRecord {
    EventRecord {
        seq,
        time_ms: 1_795_435_201_234,
        kind: kind.to_owned(),
        message: message.to_owned(),
        warning: true,
        virtual_router: None,
        service: Some("web".to_owned()),
        server: Some("198.18.14.12:80".parse().unwrap()),
    }
}

fn answer(daemon_started_ms: u64, next: u64) -> Events {
    Events {
        api_version: API_VERSION,
        daemon_started_ms,
        events: Vec::new(),
        next,
        lost: 0,
    }
}

#[test]
fn a_line_has_time_kind_and_message() {
    let events = [
        event(1, "server-down", "server 198.18.14.12:80 of `web` is down"),
        event(2, "neighbour-unknown", "nobody\nanswers"),
    ];
    let expected = "\
2026-11-23 12:00:01.234Z  server-down        server 198.18.14.12:80 of `web` is down
2026-11-23 12:00:01.234Z  neighbour-unknown  nobody answers
";
    assert_eq!(render(&events, false).unwrap(), expected);
}

#[test]
fn json_is_one_object_per_line() {
    let events = [event(1, "server-down", "two\nlines"), event(2, "b", "")];
    let text = render(&events, true).unwrap();
    let read: Vec<EventRecord> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read, events);
}

#[test]
fn a_restarted_daemons_events_are_asked_for_from_the_first() {
    let mut place = Place::new(&answer(1_000, 40));
    assert_eq!(place.after, 40);
    assert_eq!(
        place.take(answer(1_000, 41)),
        Next::Events(answer(1_000, 41))
    );
    assert_eq!(place.after, 41);
    // Asked with the old daemon's number, the new one's answer lacks its first events.
    let next = place.take(answer(2_000, 90));
    assert_eq!((place.after, &next), (0, &Next::Restarted));
    let expected =
        "a daemon answers that started at 1970-01-01 00:00:02.000Z; it numbers its events anew\n";
    assert_eq!(place.back(&next), expected);
    assert_eq!(
        place.take(answer(2_000, 90)),
        Next::Events(answer(2_000, 90))
    );
}

#[test]
fn a_daemon_of_another_release_is_not_waited_for() {
    let refused = |kind| {
        ClientError::Refused(ErrorAnswer {
            api_version: API_VERSION,
            kind,
            error: String::new(),
            hints: Vec::new(),
        })
    };
    assert!(may_come_back(&refused(ErrorKind::Failed)));
    assert!(!may_come_back(&refused(ErrorKind::NotFound)));
    assert!(!may_come_back(&ClientError::Version { found: 2 }));
}
