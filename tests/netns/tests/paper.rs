//! The paper's experiment, as the binary plays it.

use std::process::Command;

use evenkeel_netns_tests::cluster::program;

#[test]
fn the_paper_holds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("paper.json");
    let output = Command::new(program())
        .args(["lab", "paper", "--json"])
        .arg(&json)
        .output()
        .expect("the binary is built");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    let json = std::fs::read_to_string(json).expect("it was written");
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let figures = json["figures"].as_array().expect("there are figures");
    let numbers: Vec<_> = figures
        .iter()
        .map(|f| (f["figure"].as_u64(), f["held"].as_bool()))
        .collect();
    let held = [5, 6, 7, 8].map(|figure| (Some(figure), Some(true)));
    assert_eq!(numbers, held);
}
