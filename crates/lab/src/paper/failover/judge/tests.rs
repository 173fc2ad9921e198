use super::*;

const LAG: Duration = Duration::from_millis(100);

/// How a connection went: when it was established and when and how it broke, in milliseconds from the fault
/// on.
#[derive(Clone, Copy, Debug)]
struct Story {
    asked_for: bool,
    established: Option<i64>,
    server: Option<&'static str>,
    broke: Option<(i64, Breakage)>,
}

const OLD: Story = Story {
    asked_for: true,
    established: Some(-5000),
    server: Some("laico2"),
    broke: None,
};

const NEW: Story = Story {
    asked_for: false,
    ..OLD
};

fn at(cause: Instant, ms: i64) -> Instant {
    let length = Duration::from_millis(ms.unsigned_abs());
    if ms < 0 {
        cause - length
    } else {
        cause + length
    }
}

fn evidence(stories: &[Story], dead: Option<&str>) -> Evidence {
    // Far from where instants begin.
    let cause = Instant::now() + Duration::from_secs(60);
    let flow = |story: &Story| Flow {
        asked_for: story.asked_for,
        established: story.established.map(|ms| at(cause, ms)),
        server: story.server.map(String::from),
        broke: story.broke.map(|(ms, how)| (at(cause, ms), how)),
    };
    Evidence {
        fault: Fault::PowerOff,
        from: at(cause, -2000),
        cause,
        to: at(cause, 2000),
        echoes: Echoes::default(),
        announced: None,
        held_twice: Duration::ZERO,
        settled: true,
        stalls: Vec::new(),
        traffic: Some(Traffic {
            lag: LAG,
            dead: dead.map(String::from),
            flows: stories.iter().map(flow).collect(),
            requests: Vec::new(),
            retransmitted: [4, 9],
        }),
    }
}

fn counts(stories: &[Story], dead: Option<&str>) -> Counts {
    Numbers::of(&evidence(stories, dead)).counts.unwrap()
}

const fn broke(story: Story, ms: i64, how: Breakage) -> Story {
    Story {
        broke: Some((ms, how)),
        ..story
    }
}

const fn since(ms: i64) -> Story {
    Story {
        established: Some(ms),
        ..NEW
    }
}

#[test]
fn a_connection_counts_by_how_long_it_stood_at_the_fault() {
    use Breakage::Reset;
    let never = |story| Story {
        established: None,
        server: None,
        ..story
    };
    let half_open = Story {
        server: None,
        ..since(-5)
    };
    // Established, besides, made after it, missing; broken, younger, after it; failed requests.
    let cases = [
        (OLD, [1, 0, 0, 0, 0, 0, 0, 0]),
        (since(-101), [0, 1, 0, 0, 0, 0, 0, 0]),
        (since(1), [0, 0, 1, 0, 0, 0, 0, 0]),
        (broke(OLD, 30_000, Reset), [1, 0, 0, 0, 1, 0, 0, 0]),
        (broke(since(-101), 300, Reset), [0, 1, 0, 0, 1, 0, 0, 0]),
        (broke(since(-100), 300, Reset), [0, 1, 0, 0, 0, 1, 0, 0]),
        (broke(since(0), 300, Reset), [0, 1, 0, 0, 0, 1, 0, 0]),
        (broke(since(1), 300, Reset), [0, 0, 1, 0, 0, 0, 1, 0]),
        // Before the fault: no connection that stood at it.
        (broke(OLD, -1, Reset), [0, 0, 0, 1, 0, 0, 0, 0]),
        (never(broke(OLD, -1, Reset)), [0, 0, 0, 1, 0, 0, 0, 1]),
        (never(broke(NEW, 900, Reset)), [0, 0, 0, 0, 0, 0, 0, 1]),
        // Its first request met the fault.
        (broke(half_open, 900, Reset), [0, 1, 0, 0, 0, 1, 0, 0]),
    ];
    for (story, expected) in cases {
        let counts = counts(&[story], None);
        let found = [
            counts.established,
            counts.established_besides,
            counts.made_after_fault,
            counts.missing,
            counts.broken,
            counts.broken_younger_than_lag,
            counts.broken_after_fault,
            counts.requests_failed,
        ];
        assert_eq!(found, expected, "{story:?}");
    }
}

#[test]
fn it_is_told_how_connections_broke() {
    let stories = [
        OLD,
        broke(OLD, 1, Breakage::Reset),
        broke(OLD, 1, Breakage::OtherServer),
        broke(since(-1), 1, Breakage::OtherServer),
        broke(since(1), 30_000, Breakage::Unanswered),
    ];
    let counts = counts(&stories, None);
    let found = [counts.reset, counts.answered_by_another, counts.unanswered];
    assert_eq!(found, [1, 2, 1]);
}

#[test]
fn a_dead_server_excuses_its_own_connections_and_no_others() {
    let broken = |server| Story {
        server: Some(server),
        broke: Some((30_000, Breakage::Unanswered)),
        ..OLD
    };
    let stories = [broken("laico2"), broken("laico3"), OLD];
    let with = counts(&stories, Some("laico2"));
    assert_eq!(
        (with.established, with.of_dead_server, with.broken),
        (3, 2, 1)
    );
    let without = counts(&stories, None);
    assert_eq!((without.of_dead_server, without.broken), (0, 2));
}

#[test]
fn requests_count_while_it_is_measured_and_segments_by_the_second() {
    let mut seen = evidence(&[], None);
    let cause = seen.cause;
    let record = |ms, outcome: Result<&str, &str>| Record {
        client_port: 10_000,
        started: at(cause, ms),
        finished: at(cause, ms + 1),
        outcome: outcome.map(String::from).map_err(String::from),
    };
    seen.traffic.as_mut().unwrap().requests = vec![
        record(-2001, Err("before")),
        record(-2000, Ok("laico2")),
        record(0, Err("deadline passed")),
        record(2001, Err("after")),
    ];
    let numbers = Numbers::of(&seen);
    let counts = numbers.counts.unwrap();
    assert_eq!((counts.requests, counts.requests_failed), (2, 1));
    assert_eq!(numbers.retransmitted_fault_free_per_s, Some(2.0));
    assert_eq!(numbers.retransmitted_per_s, Some(4.5));
}

#[test]
fn the_probe_tells_the_gap_and_what_was_lost_and_doubled() {
    let mut seen = evidence(&[], None);
    seen.traffic = None;
    seen.announced = Some(at(seen.cause, 321));
    seen.held_twice = Duration::from_micros(95_040);
    for ms in -2000..2000 {
        let lost = (0..300).contains(&ms);
        let sent = at(seen.cause, ms);
        seen.echoes.requests.push(Echo {
            sent,
            answered: (!lost).then_some(sent),
            answers: if lost { 0 } else { 1 + u32::from(ms == 1000) },
        });
    }
    let numbers = Numbers::of(&seen);
    assert_eq!(
        numbers,
        Numbers {
            stalled: false,
            settled: true,
            gap_ms: 301.0,
            gap_fault_free_ms: 1.0,
            takeover_ms: Some(321.0),
            held_twice_ms: 95.0,
            probes: 4000,
            probe_lost: 300,
            probe_duplicated: 1,
            ..Numbers::default()
        }
    );
}

#[test]
fn a_stall_is_forgiven_only_while_a_director_loads_its_program() {
    let cases = [
        (Fault::PowerOff, 6, true),
        (Fault::Pause, 6, true),
        (Fault::Return, 20, false),
        (Fault::KillRestart, 20, false),
        (Fault::Return, 21, true),
    ];
    for (fault, ms, stalled) in cases {
        let mut seen = evidence(&[], None);
        seen.fault = fault;
        seen.stalls = vec![Stall {
            began: seen.cause,
            length: Duration::from_millis(ms),
        }];
        assert_eq!(Numbers::of(&seen).stalled, stalled, "{fault:?}, {ms} ms");
    }
}
