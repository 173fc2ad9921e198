//! Random faults on a real cluster: one round of one seed.

use std::time::Duration;

use evenkeel_lab::paper::chaos::{self, ChaosOptions};
use evenkeel_netns_tests::cluster::program;
use serde_json::Value;

#[test]
fn every_law_holds_after_a_round_of_faults() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("rounds.json");
    let options = ChaosOptions {
        seed: 1,
        length: Duration::ZERO,
        connections: 60,
        json: Some(json.clone()),
        name: Some(String::from("lc-seed")),
        program: Some(program()),
    };
    let mut said = Vec::new();
    let held = chaos::run(&options, &mut said).expect("it is played to its end");
    let said = String::from_utf8_lossy(&said);
    assert!(held, "{said}");
    let text = std::fs::read_to_string(json).expect("it was written");
    let report: Value = serde_json::from_str(&text).expect("it is JSON");
    let faults = report["rounds"][0]["faults"].as_array();
    let faults = faults.expect("there are faults");
    // Each was played, and said so.
    assert!(faults.len() >= 2, "{report:#}");
    assert_eq!(said.matches(" for ").count(), faults.len(), "{said}");
    assert_eq!(report["rounds"][0]["connections"], 60, "{report:#}");
}
