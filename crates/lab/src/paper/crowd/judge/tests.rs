use super::*;

fn later(begun: Instant, milliseconds: u64) -> Instant {
    begun + Duration::from_millis(milliseconds)
}

/// Six connections: two of the server that fails, and of the four others one that the hash moves. Faults
/// are 1 s and 11 s after `begun`.
fn evidence(begun: Instant, on_failure: OnFailure) -> Evidence {
    let answered = |sent, came| {
        Some(Answer::Came {
            sent: later(begun, sent),
            came: later(begun, came),
        })
    };
    let flow = |server: &str, replaced: &str| Flow {
        server: Some(String::from(server)),
        placed: String::from(server),
        replaced: String::from(replaced),
        after_server: answered(1_100, 1_110),
        after_director: answered(11_100, 11_500),
    };
    let mut flows = vec![
        flow("laico2", "laico3"),
        flow("laico2", "laico4"),
        flow("laico3", "laico3"),
        flow("laico3", "laico4"),
        flow("laico4", "laico4"),
        flow("laico4", "laico4"),
    ];
    for flow in &mut flows[..2] {
        flow.after_server = Some(Answer::Nothing);
        flow.after_director = None;
    }
    if on_failure == OnFailure::Remove {
        flows[3].after_director = Some(Answer::Reset);
    }
    Evidence {
        flows,
        on_failure,
        victim: String::from("laico2"),
        director: String::from("laicoz"),
        server_failed: later(begun, 1_000),
        director_failed: later(begun, 11_000),
        noticed: ["laicoz", "laicoy"]
            .map(|d| (String::from(d), true))
            .to_vec(),
    }
}

/// Which expectations held.
fn verdicts(evidence: &Evidence) -> [bool; 5] {
    let verdicts: Vec<bool> = judge(evidence, &Numbers::of(evidence))
        .iter()
        .map(|expectation| expectation.held)
        .collect();
    verdicts.try_into().unwrap()
}

#[test]
fn what_was_expected_holds() {
    let begun = Instant::now();
    for rule in [OnFailure::Remove, OnFailure::Quiesce] {
        assert_eq!(verdicts(&evidence(begun, rule)), [true; 5], "{rule:?}");
    }
}

#[test]
fn broken_connections_are_counted_by_cause_and_by_whose_they_were() {
    let mut evidence = evidence(Instant::now(), OnFailure::Remove);
    evidence.flows[1].after_server = Some(Answer::Reset);
    evidence.flows[4].after_director = Some(Answer::OtherServer);
    let numbers = Numbers::of(&evidence);
    assert_eq!(numbers.established, 6);
    assert_eq!(numbers.of_the_failed_server, 2);
    assert_eq!(numbers.moved, 1);
    assert!((numbers.moved_share - 0.25).abs() < 1e-9);
    let Fault { broken, asked, .. } = numbers.server_failure;
    assert_eq!(asked, 6);
    let expected = Broken {
        all: 2,
        reset: 1,
        unanswered: 1,
        of_the_failed_server: 2,
        ..Broken::default()
    };
    assert_eq!(broken, expected);
    let Fault {
        broken,
        asked,
        answered,
        ..
    } = numbers.director_failure;
    assert_eq!([asked, answered], [4, 2]);
    let expected = Broken {
        all: 2,
        reset: 1,
        answered_by_another: 1,
        of_survivors: 2,
        of_survivors_unmoved: 1,
        ..Broken::default()
    };
    assert_eq!(broken, expected);
}

#[test]
fn a_gap_is_the_longest_silence_from_the_fault_on() {
    let numbers = Numbers::of(&evidence(Instant::now(), OnFailure::Quiesce));
    assert_eq!(numbers.server_failure.gap_ms, 110);
    assert_eq!(numbers.server_failure.slowest_ms, 10);
    assert_eq!(numbers.director_failure.gap_ms, 500);
    assert_eq!(numbers.director_failure.slowest_ms, 400);
}

#[test]
fn a_connection_that_was_not_established_or_is_elsewhere_is_told() {
    let mut evidence = evidence(Instant::now(), OnFailure::Remove);
    evidence.flows[5].server = None;
    evidence.flows[5].after_server = None;
    evidence.flows[5].after_director = None;
    evidence.flows[4].placed = String::from("laico3");
    assert_eq!(verdicts(&evidence), [false, false, true, true, true]);
}

#[test]
fn a_server_that_breaks_others_or_keeps_its_own_is_told() {
    let begun = Instant::now();
    let mut others = evidence(begun, OnFailure::Remove);
    others.flows[4].after_server = Some(Answer::Reset);
    assert!(!verdicts(&others)[2]);
    let mut kept = evidence(begun, OnFailure::Remove);
    kept.flows[0].after_server = kept.flows[4].after_server;
    assert!(!verdicts(&kept)[2]);
}

#[test]
fn a_director_that_did_not_notice_is_told() {
    let mut evidence = evidence(Instant::now(), OnFailure::Quiesce);
    evidence.noticed[1].1 = false;
    assert_eq!(verdicts(&evidence), [true, true, true, false, true]);
}

#[test]
fn a_takeover_may_break_what_the_hash_moves_and_nothing_else() {
    let begun = Instant::now();
    let mut unmoved = evidence(begun, OnFailure::Remove);
    unmoved.flows[3].after_director = unmoved.flows[4].after_director;
    unmoved.flows[4].after_director = Some(Answer::Reset);
    assert!(!verdicts(&unmoved)[4]);
    let mut quiesced = evidence(begun, OnFailure::Quiesce);
    quiesced.flows[3].after_director = Some(Answer::Reset);
    assert!(!verdicts(&quiesced)[4]);
}
