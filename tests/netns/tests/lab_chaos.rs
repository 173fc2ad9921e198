//! Random faults on a real cluster: one round of one seed.

use std::time::Duration;

use evenkeel_lab::paper::chaos::{self, ChaosOptions};
use evenkeel_netns_tests::cluster::program;
use serde_json::Value;

/// A daemon is killed, there are handovers, a partition, and a real server loses its power; nothing excuses a
/// broken connection of another one.
const SEED: u64 = 2;

#[test]
fn every_law_holds_after_a_round_of_faults() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("rounds.json");
    let options = ChaosOptions {
        seed: SEED,
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
    let round = &report["rounds"][0];
    let faults = round["faults"].as_array().expect("there are faults");
    // Each was played, and said so.
    let told = said.lines().filter(|line| line.starts_with('['));
    assert_eq!(told.count(), faults.len(), "{said}");
    assert_eq!(round["connections"], 60, "{report:#}");
    assert_eq!(round["broken_excused"], 0, "{report:#}");
    // Without it, other faults are drawn.
    if said.contains("`tc` is not installed") {
        println!("skipped: `tc` is not installed (`apt-get install iproute2`)");
        return;
    }
    for fault in ["Kill", "HandOver", "ServerOff", "lose 100% of frames"] {
        assert!(said.contains(fault), "{said}");
    }
    assert!(round["broken_with_server"].as_u64() > Some(0), "{report:#}");
    assert!(round["frames_lost"].as_u64() > Some(0), "{report:#}");
}
