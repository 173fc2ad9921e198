//! What faults of a director cost, as the lab measures it: whole rows, with few connections.

use std::path::{Path, PathBuf};

use evenkeel_lab::keepalived::Keepalived;
use evenkeel_lab::paper::PaperError;
use evenkeel_lab::paper::failover::{self, FailoverOptions, Fault, Scheduler};
use evenkeel_netns_tests::cluster::program;
use serde_json::Value;

const CONNECTIONS: u32 = 60;

fn options(name: &str, json: PathBuf) -> FailoverOptions {
    FailoverOptions {
        connections: CONNECTIONS,
        rounds: 1,
        // Times are for quiet machines; what breaks is to be right on any.
        repeats: 0,
        json: Some(json),
        name: Some(String::from(name)),
        program: Some(program()),
        ..FailoverOptions::default()
    }
}

/// Measures; what was said, and the rows in the file.
fn measure(options: &FailoverOptions) -> (String, Vec<Value>) {
    let mut said = Vec::new();
    failover::run(options, &mut said).expect("it is measured to its end");
    let json = options.json.as_ref().expect("there is a file");
    (String::from_utf8_lossy(&said).into_owned(), rows(json))
}

fn rows(json: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(json).expect("it was written");
    let report: Value = serde_json::from_str(&text).expect("it is JSON");
    report["rows"].as_array().expect("there are rows").clone()
}

fn names(rows: &[Value]) -> Vec<[&str; 3]> {
    rows.iter()
        .map(|row| ["fault", "directors", "scheduler"].map(|key| row[key].as_str().unwrap_or("")))
        .collect()
}

#[test]
fn a_power_off_breaks_no_connection_of_the_consistent_hash_and_rows_are_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut options = options("lf-power", folder.path().join("rows.json"));
    options.faults = vec![Fault::PowerOff];
    options.schedulers = vec![Scheduler::Maglev, Scheduler::Rr];
    let (said, rows) = measure(&options);
    let expected = [
        ["power-off", "evenkeel", "rr"],
        ["power-off", "evenkeel", "maglev"],
    ];
    assert_eq!(names(&rows), expected, "{said}");
    for row in &rows {
        assert_eq!(row["established"], CONNECTIONS, "{row:#}");
        assert_eq!(row["missing"], 0, "{row:#}");
        assert_eq!(row["unsettled"], 0, "{row:#}");
        assert!(row["established_besides"].as_u64() > Some(0), "{row:#}");
        let attempt = &row["attempts"][0];
        assert!(attempt["probe_lost"].as_u64() > Some(0), "{row:#}");
        assert!(attempt["takeover_ms"].as_f64() > Some(0.0), "{row:#}");
    }
    assert_eq!(rows[1]["broken"], 0, "{:#}", rows[1]);

    // Nothing is played again, or it would not be the same to a tenth of a millisecond.
    let (again, kept) = measure(&options);
    assert_eq!(kept, rows, "{again}");
    assert_eq!(again.matches("measured before").count(), 2, "{again}");

    options.rounds = 2;
    let refused = failover::run(&options, &mut Vec::new()).map(drop);
    assert!(
        matches!(refused, Err(PaperError::OtherRows { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_return_is_measured_with_both_kinds_of_directors() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut options = options("lf-return", folder.path().join("rows.json"));
    options.faults = vec![Fault::Return];
    options.schedulers = vec![Scheduler::None];
    let (said, rows) = measure(&options);
    let mut expected = vec![["return", "evenkeel", "none"]];
    if Keepalived::is_there() {
        expected.push(["return", "keepalived", "none"]);
    } else {
        println!("skipped: `keepalived` is not installed (`apt-get install keepalived`)");
        assert!(said.contains("keepalived is not installed"), "{said}");
    }
    assert_eq!(names(&rows), expected, "{said}");
    for row in &rows {
        assert_eq!(row["unsettled"], 0, "{row:#}");
        let takeover = &row["attempts"][0]["takeover_ms"];
        assert!(takeover.as_f64() > Some(0.0), "{row:#}");
        assert_eq!(row.get("established"), None, "no connections: {row:#}");
    }
}
