//! Thousands of connections at once, while a real server and then a director fail.

use std::time::Duration;

use evenkeel_lab::paper::crowd::{self, CrowdOptions};
use evenkeel_model::OnFailure;
use evenkeel_netns_tests::cluster::program;

/// Plays both faults with 2500 connections; the numbers.
fn play(on_failure: OnFailure, name: &str) -> serde_json::Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("crowd.json");
    let options = CrowdOptions {
        connections: 2_500,
        on_failure,
        // Some seconds more than a takeover and a repetition of what was lost in it.
        patience: Duration::from_secs(10),
        json: Some(json.clone()),
        name: Some(String::from(name)),
        program: Some(program()),
    };
    let mut said = Vec::new();
    let held = crowd::run(options, &mut said).expect("it is played to its end");
    assert!(held, "{}", String::from_utf8_lossy(&said));
    let json = std::fs::read_to_string(json).expect("it was written");
    serde_json::from_str(&json).expect("it is JSON")
}

fn number(report: &serde_json::Value, pointer: &str) -> u64 {
    let found = report.pointer(pointer).and_then(serde_json::Value::as_u64);
    found.unwrap_or_else(|| panic!("no `{pointer}` in {report:#}"))
}

#[test]
fn a_server_breaks_its_own_connections_and_a_takeover_those_that_the_hash_moves() {
    let report = play(OnFailure::Remove, "crowd-remove");
    let own = number(&report, "/numbers/of_the_failed_server");
    assert!((600..1_100).contains(&own), "{own}");
    let moved = number(&report, "/numbers/moved");
    // The ports are the same in every run, so this is too: the bound is not an empty one.
    assert!((1..100).contains(&moved), "{moved}");
    let broken = number(&report, "/numbers/director_failure/broken/all");
    assert_eq!(
        broken, moved,
        "each of them meets a server that knows nothing of it"
    );
    let asked = number(&report, "/numbers/director_failure/asked");
    assert_eq!(asked, 2_500 - own);
}

#[test]
fn a_takeover_breaks_no_connection_where_the_dead_server_is_quiesced() {
    let report = play(OnFailure::Quiesce, "crowd-quiesce");
    assert!(number(&report, "/numbers/moved") > 0);
    assert_eq!(number(&report, "/numbers/director_failure/broken/all"), 0);
    let asked = number(&report, "/numbers/director_failure/asked");
    let own = number(&report, "/numbers/of_the_failed_server");
    assert_eq!(asked, 2_500 - own);
}
