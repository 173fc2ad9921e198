use super::*;
use crate::paper::judge::tests::{millis, moment, record};
use crate::paper::roles::Roles;
use crate::probe::{Echo, Echoes};
use crate::stall::Stall;

/// One second of traffic: a datagram each millisecond, a connection each 5 ms, two streams. From 500 to
/// 800 ms nobody answers; then another director is Active, and one of the streams is reset.
pub(crate) fn handover() -> Handover {
    let from = moment();
    let at = |count| from + millis(count);
    let away = |when: u64| (500..800).contains(&when);
    let requests = (0..=1000).map(|number| {
        let lost = away(number);
        Echo {
            sent: at(number),
            answered: (!lost).then(|| at(number) + Duration::from_micros(300)),
            answers: u32::from(!lost) + u32::from(number == 30),
        }
    });
    let records = (0..200).map(|number| {
        let outcome = match away(u64::from(number) * 5) {
            true => Err("deadline passed"),
            false => Ok(["laico2", "laico3", "laico4"][usize::from(number) % 3]),
        };
        record(from, number, outcome)
    });
    let answers = |count: u64| (0..count).map(|number| at(number * 7)).collect();
    Handover {
        from,
        cause: at(500),
        to: at(1000),
        echoes: Echoes {
            requests: requests.collect(),
        },
        records: records.collect(),
        streams: vec![
            Stream {
                client_port: 10_000,
                // The last before is at 497 ms, the first after it at 910.
                answers: [answers(72), vec![at(910), at(990)]].concat(),
                broke: None,
            },
            Stream {
                client_port: 10_001,
                answers: answers(72),
                broke: Some((at(910), String::from("reset"))),
            },
        ],
        heir: Roles(vec![(from, Role::Backup), (at(795), Role::Active)]),
        stalls: Vec::new(),
    }
}

#[test]
fn silences_losses_and_breaks_are_counted_in_the_measured_time() {
    let mut seen = handover();
    let numbers = Numbers::of(&seen);
    let expected = Numbers {
        // From the answer to the datagram of 499 ms to that of 800.
        probe_gap_us: 301_000,
        probe_gap_began_us: -700,
        // From the connection of 495 ms to that of 800.
        load_gap_us: 305_000,
        takeover_us: Some(295_000),
        requests: 200,
        failed: 60,
        probes: 1001,
        probes_lost: 300,
        probes_duplicated: 1,
        streams: 2,
        streams_broken: 1,
        stream_stall_us: Some(413_000),
        machine_stalls: Vec::new(),
    };
    assert_eq!(numbers, expected);

    let stall = Stall {
        began: seen.from,
        length: millis(6),
    };
    seen.stalls = vec![stall];
    seen.from += millis(501);
    let later = Numbers::of(&seen);
    assert_eq!((later.requests, later.failed), (99, 59));
    assert_eq!((later.probes, later.probes_duplicated), (500, 0));
    let stall = MachineStall {
        began_us: -500_000,
        length_us: 6_000,
    };
    assert_eq!(later.machine_stalls, [stall]);
}

#[test]
fn a_stall_counts_unless_it_is_short_and_the_heir_has_not_started() {
    let mut seen = handover();
    assert!(!is_stalled(&seen));
    let mut stalled = |began, length| {
        seen.stalls = vec![Stall {
            began: seen.from + millis(began),
            length: millis(length),
        }];
        // It answers from 600 ms on.
        seen.heir.0 = vec![(seen.from + millis(600), Role::Backup)];
        is_stalled(&seen)
    };
    for (began, length, counts) in [
        (550, 20, false),
        (550, 21, true),
        (590, 10, false),
        (590, 11, true),
        (700, 6, true),
    ] {
        assert_eq!(stalled(began, length), counts, "{length} ms from {began}");
    }
    // It runs already when its partner is switched off.
    seen.heir.0 = vec![(seen.from - millis(5), Role::Backup)];
    assert!(is_stalled(&seen));
}

#[test]
fn who_is_never_active_has_no_time_of_takeover() {
    let mut seen = handover();
    seen.heir.0.truncate(1);
    assert_eq!(Numbers::of(&seen).takeover_us, None);
    seen.streams.remove(0);
    assert_eq!(Numbers::of(&seen).stream_stall_us, None, "all broke");
}

#[test]
fn a_load_that_is_never_answered_is_one_silence() {
    let mut seen = handover();
    for record in &mut seen.records {
        record.outcome = Err(String::from("deadline passed"));
    }
    for echo in &mut seen.echoes.requests {
        echo.answered = None;
    }
    let numbers = Numbers::of(&seen);
    assert_eq!(numbers.load_gap_us, 1_000_000);
    assert_eq!(numbers.probe_gap_us, 1_000_000);
    assert_eq!(numbers.probe_gap_began_us, -500_000);
}
