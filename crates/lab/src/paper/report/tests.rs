use serde_json::{Value, json};

use super::*;

fn figure(number: u8, held: bool) -> Figure {
    let expectation = Expectation {
        expected: String::from("laicoz lists laico2"),
        measured: String::from("see the listing"),
        held,
    };
    Figure::new(
        number,
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

fn played(held: [bool; 4]) -> (Report, String) {
    let mut report = Report::new(WebServer::Nginx);
    let mut out = Vec::new();
    for (number, held) in (5..).zip(held) {
        report.add(figure(number, held), &mut out).unwrap();
    }
    report.finish(Duration::from_millis(12_345), None);
    report.write_end(&mut out).unwrap();
    (report, String::from_utf8(out).unwrap())
}

#[test]
fn json_has_every_figure_and_a_summary() {
    let (report, _) = played([true; 4]);
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
    assert_eq!(
        json["summary"],
        json!({
            "held": true,
            "figures_played": 4,
            "figures_held": 4,
            "requests": 1200,
            "failed": 8,
            "longest_gap_ms": 11,
            "duration_ms": 12_345,
            "web_server": "nginx",
            "version": env!("CARGO_PKG_VERSION"),
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
    for odd in 0..4 {
        let mut held = [true; 4];
        held[odd] = false;
        let (report, text) = played(held);
        assert!(!report.held());
        assert!(text.contains("FAILED  expected: laicoz lists laico2"));
        assert!(text.contains("NOT every figure held"));
    }
    let (report, text) = played([true; 4]);
    assert!(report.held());
    assert!(!text.contains("FAILED"), "{text}");
}

#[test]
fn figures_that_were_not_played_did_not_hold() {
    let mut report = Report::new(WebServer::BuiltIn);
    let mut out = Vec::new();
    for number in 5..8 {
        report.add(figure(number, true), &mut out).unwrap();
    }
    report.finish(Duration::ZERO, None);
    assert!(!report.held());
    report.add(figure(8, true), &mut out).unwrap();
    report.finish(Duration::ZERO, Some(String::from("interrupted")));
    assert!(!report.held());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["summary"]["error"], "interrupted");
    assert_eq!(json["figures"].as_array().map(Vec::len), Some(4));
}

#[test]
fn the_narrative_has_listing_expectation_and_measure() {
    let (_, text) = played([true; 4]);
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
    assert!(
        text.ends_with("\nEvery figure held (4 of 4): 1200 requests sent, 8 failed, in 13 s.\n"),
        "{text}"
    );
}
