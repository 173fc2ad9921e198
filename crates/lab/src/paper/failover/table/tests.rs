use super::*;
use crate::paper::failover::report::tests::{ROW, attempt, settings};
use crate::paper::failover::rows::{Kind, Row, Scheduler};

fn report(rows: Vec<Measured>, keepalived: bool) -> Report {
    Report {
        settings: settings(),
        keepalived,
        rows,
    }
}

#[test]
fn a_fault_is_named_once_and_its_rows_stand_side_by_side() {
    let echo = |directors| {
        let mut attempt = attempt(1, 1, false);
        attempt.numbers.counts = None;
        let row = Row {
            directors,
            scheduler: Scheduler::None,
            ..ROW
        };
        Measured::of(row, vec![attempt])
    };
    let rows = vec![
        Measured::of(ROW, vec![attempt(1, 1, false), attempt(2, 1, false)]),
        echo(Kind::Evenkeel),
        echo(Kind::Keepalived),
    ];
    let text = of_report(&report(rows, true));
    let table: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("fault"))
        .collect();
    let words = |line: &str| {
        line.split_whitespace()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let expected = [
        "power-off evenkeel rr 120 + 0 2 0 0 0 302 0 101.0 / 151.0 / 201.0 100.0 / 150.0 / 200.0 0",
        "evenkeel own echo - - - - - 101 0 101.0 / 101.0 / 101.0 100.0 / 100.0 / 100.0 0",
        "keepalived own echo - - - - - 101 0 101.0 / 101.0 / 101.0 100.0 / 100.0 / 100.0 0",
    ];
    let rows: Vec<_> = table.iter().skip(1).map(|line| words(line)).collect();
    assert_eq!(rows, expected.map(words));
    let widths: Vec<usize> = table.iter().map(|line| line.len()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
}

#[test]
fn what_does_not_count_and_what_is_missing_is_said() {
    let mut attempts: Vec<_> = (1..=3).map(|round| attempt(round, 1, true)).collect();
    attempts[0].numbers.settled = false;
    attempts[0].numbers.counts = Some(Counts {
        missing: 5,
        ..Counts::default()
    });
    let text = of_report(&report(vec![Measured::of(ROW, attempts)], false));
    for said in [
        "keepalived is not installed",
        "power-off, evenkeel rr: 5 connections did not stand when the fault came",
        "power-off, evenkeel rr: 1 times the directors did NOT get the roles",
        "power-off, evenkeel rr: 3 of 3 rounds are left out",
        "too noisy",
    ] {
        assert!(text.contains(said), "no `{said}` in {text}");
    }
}

#[test]
fn an_attempt_is_a_line() {
    let mut numbers = attempt(1, 1, false).numbers;
    let line = of_attempt(&numbers);
    assert_eq!(line.lines().count(), 1);
    assert!(
        line.starts_with("60 and 0 new ones established, 1 broken"),
        "{line}"
    );
    numbers.counts = None;
    numbers.takeover_ms = None;
    numbers.settled = false;
    let line = of_attempt(&numbers);
    assert!(
        line.starts_with("gap 101.0 ms, 101 of 4000 datagrams lost"),
        "{line}"
    );
    assert!(line.contains("takeover unseen"), "{line}");
    assert!(line.contains("did NOT settle"), "{line}");
}
