use serde_json::{Value, json};

use super::*;
use crate::paper::figure::{Expectation, Measures, Name};
use crate::paper::numbers::Numbers;
use crate::paper::rounds::{Event, Measured};

const ADVERTS: Duration = Duration::from_millis(100);

/// Figures of a whole run, in their order.
fn names() -> Vec<Name> {
    (5..=13).map(Name::Figure).chain([Name::STOP]).collect()
}

fn figure(name: Name, held: bool) -> Figure {
    let expectation = Expectation {
        expected: String::from("laicoz lists laico2"),
        measured: String::from("see the listing"),
        held,
    };
    Figure::new(
        name,
        "a title",
        "IP Virtual Server\n  -> a\n",
        vec![expectation],
    )
    .told("Something happens:\n")
    .with_load(300, 2, Duration::from_micros(10_001))
    .with(Measures {
        last_misdirected_ms: Some(1010),
        ..Measures::default()
    })
}

fn round(number: u32, held: bool, stalled: bool) -> Round {
    let measured = |event| Measured {
        event,
        stalled,
        attempts: 1,
        numbers: Numbers {
            probe_gap_us: 100_000,
            ..Numbers::default()
        },
    };
    Round {
        round: number,
        held,
        stalled,
        events: Event::ALL.map(measured).to_vec(),
    }
}

/// A run in which one figure did not hold, or all did, and so many rounds stayed stalled.
fn played(odd: Option<usize>, rounds: u32, stalled: u32) -> (Report, String) {
    let mut report = Report::new(WebServer::Nginx, ADVERTS, rounds);
    let mut out = Vec::new();
    let mut figures: Vec<Figure> = names()
        .into_iter()
        .enumerate()
        .map(|(place, name)| figure(name, Some(place) != odd))
        .collect();
    let of_rounds = figures.split_off(4);
    for figure in figures {
        report.add(figure, &mut out).unwrap();
    }
    let held = of_rounds.iter().all(Figure::held);
    for number in 1..=rounds {
        let round = round(number, held, number <= stalled);
        report
            .add_round(round, of_rounds.clone(), &mut out)
            .unwrap();
    }
    report.finish(Duration::from_millis(12_345), None);
    report.write_end(&mut out).unwrap();
    (report, String::from_utf8(out).unwrap())
}

#[test]
fn json_has_every_figure_every_round_and_a_summary() {
    let (mut report, _) = played(None, 2, 1);
    report.stalls_are_watched(true);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        json["figures"][0],
        json!({
            "figure": 5,
            "title": "a title",
            "held": true,
            "listing": "IP Virtual Server\n  -> a\n",
            "requests": 300,
            "failed": 2,
            "longest_gap_ms": 11,
            "last_misdirected_ms": 1010,
            "expectations": [{
                "expected": "laicoz lists laico2",
                "measured": "see the listing",
                "held": true,
            }],
        })
    );
    let figures = json["figures"].as_array().unwrap();
    assert_eq!(figures.len(), 10);
    assert_eq!(
        (&figures[8]["figure"], &figures[9]["figure"]),
        (&13.into(), &"stop".into())
    );
    let rounds = json["rounds"].as_array().unwrap();
    assert_eq!(
        (&rounds[0]["stalled"], &rounds[1]["stalled"]),
        (&true.into(), &false.into())
    );
    assert_eq!(rounds[1]["events"][3]["event"], "restart");
    assert_eq!(rounds[1]["events"][3]["probe_gap_us"], 100_000);
    let mut summary = json["summary"].clone();
    let measures = summary["measures"].take();
    assert_eq!(measures[0]["event"], "power_off");
    assert_eq!(
        (&measures[0]["rounds"], &measures[0]["bar_met"]),
        (&1.into(), &true.into())
    );
    assert_eq!(
        summary,
        json!({
            "held": true,
            "figures_played": 10,
            "figures_held": 10,
            "requests": 3000,
            "failed": 20,
            "longest_gap_ms": 11,
            "duration_ms": 12_345,
            "web_server": "nginx",
            "version": env!("CARGO_PKG_VERSION"),
            "adverts_ms": 100,
            "rounds": 2,
            "rounds_held": 2,
            "rounds_stalled": 1,
            "too_noisy": false,
            "stalls_watched_in_real_time": true,
            "bars_met": true,
            "measures": null,
        })
    );
    assert!(!has_floats(&json));
}

fn has_floats(value: &Value) -> bool {
    match value {
        Value::Number(number) => !(number.is_u64() || number.is_i64()),
        Value::Array(values) => values.iter().any(has_floats),
        Value::Object(fields) => fields.values().any(has_floats),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

#[test]
fn one_figure_that_did_not_hold_is_enough_to_fail() {
    for odd in 0..10 {
        let (report, text) = played(Some(odd), 1, 0);
        assert_eq!(report.outcome(), Outcome::NotHeld);
        assert!(text.contains("FAILED  expected: laicoz lists laico2"));
        assert!(text.contains("NOT every figure held"));
    }
    let (report, text) = played(None, 1, 0);
    assert_eq!(report.outcome(), Outcome::Held);
    assert!(!text.contains("FAILED"), "{text}");
}

#[test]
fn a_figure_that_did_not_hold_in_a_later_round_is_told_and_is_enough_to_fail() {
    let (mut report, first) = played(None, 2, 0);
    let mut out = Vec::new();
    report.rounds.pop();
    let figures = vec![
        figure(Name::Figure(9), true),
        figure(Name::Figure(10), false),
    ];
    report
        .add_round(round(2, false, false), figures, &mut out)
        .unwrap();
    report.finish(Duration::ZERO, None);
    assert_eq!(report.outcome(), Outcome::NotHeld);
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("Figure 10: ") && !text.contains("Figure 9: "),
        "{text}"
    );
    assert_eq!(first.matches("Figure 10: ").count(), 1, "told once");
}

#[test]
fn a_machine_that_stood_still_in_three_rounds_is_too_noisy() {
    let (report, text) = played(None, 10, 2);
    assert_eq!(report.outcome(), Outcome::Held);
    assert!(!text.contains("too noisy"));
    let (report, text) = played(None, 10, 3);
    assert_eq!(report.outcome(), Outcome::TooNoisy);
    assert!(
        text.contains(
            "The machine is too noisy: it stood still for more than 5 ms in 3 of 10 rounds"
        )
    );
    let (report, _) = played(Some(2), 10, 3);
    assert_eq!(report.outcome(), Outcome::NotHeld, "noise excuses nothing");
}

#[test]
fn what_was_not_played_did_not_hold() {
    let mut report = Report::new(WebServer::BuiltIn, ADVERTS, 1);
    let mut out = Vec::new();
    for name in &names()[..9] {
        report.add(figure(*name, true), &mut out).unwrap();
    }
    report.finish(Duration::ZERO, None);
    assert_eq!(report.outcome(), Outcome::NotHeld);
    report.add(figure(Name::STOP, true), &mut out).unwrap();
    report.finish(Duration::ZERO, None);
    assert_eq!(report.outcome(), Outcome::NotHeld, "no round was played");
    report
        .add_round(round(1, true, false), Vec::new(), &mut out)
        .unwrap();
    report.finish(Duration::ZERO, None);
    assert_eq!(report.outcome(), Outcome::Held);
    report.finish(Duration::ZERO, Some(String::from("interrupted")));
    assert_eq!(report.outcome(), Outcome::NotHeld);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["summary"]["error"], "interrupted");
    assert_eq!(json["figures"].as_array().map(Vec::len), Some(10));
}

#[test]
fn the_narrative_has_listing_expectation_and_measure() {
    let (_, text) = played(None, 2, 0);
    let first = "
Figure 5: a title

Something happens:

    # ipvsadm -L
    IP Virtual Server
      -> a

  held    expected: laicoz lists laico2
          measured: see the listing

  300 requests sent, 2 failed, none retried; longest time without an answer 11 ms
  last misdirected packet after 1010 ms

Figure 6: a title
";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("\nRound 2, in ms:\n"), "{text}");
    assert!(
        text.ends_with(
            "\nEvery figure held (10 of 10, in 2 of 2 rounds): 3000 requests sent, 20 failed, in 13 s.\n"
        ),
        "{text}"
    );
}
