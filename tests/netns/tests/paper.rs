//! The paper's experiment, as the binary plays it.

use std::process::Command;

use evenkeel_netns_tests::cluster::program;

#[test]
fn the_paper_holds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("paper.json");
    let output = Command::new(program())
        // Numbers are for quiet machines; figures hold on any.
        .args(["lab", "paper", "--rounds", "1", "--repeats", "0", "--json"])
        .arg(&json)
        .output()
        .expect("the binary is built");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    let json = std::fs::read_to_string(json).expect("it was written");
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let figures = json["figures"].as_array().expect("there are figures");
    let played: Vec<_> = figures
        .iter()
        .map(|figure| (figure["figure"].to_string(), figure["held"].as_bool()))
        .collect();
    let mut names: Vec<String> = (5..=13).map(|number: u8| number.to_string()).collect();
    names.push(String::from("\"stop\""));
    let held: Vec<_> = names.into_iter().map(|name| (name, Some(true))).collect();
    assert_eq!(played, held);
    let rounds = json["rounds"].as_array().expect("there are rounds");
    let events: Vec<_> = rounds
        .iter()
        .flat_map(|round| round["events"].as_array())
        .flatten()
        .map(|event| event["event"].as_str())
        .collect();
    let expected = ["power_off", "return", "stop", "restart"].map(Some);
    assert_eq!(events, expected);
}
