use super::{Report, needs_root, stream};
use crate::executables::Executable;
use std::process::Command;

#[test]
fn a_skipped_test_fails_the_run_only_in_ci() {
    let mut report = Report::default();
    let mut shown = Vec::new();
    let mut command = Command::new("printf");
    command.arg("one\\nskipped: no nginx\\nnot skipped: x\\n");
    assert!(stream(&mut command, &mut shown, &mut report.skipped).unwrap());
    assert_eq!(shown, b"one\nskipped: no nginx\nnot skipped: x\n");
    assert_eq!(report.skipped, ["skipped: no nginx"]);
    assert!(report.holds(false));
    assert!(!report.holds(true));
}

#[test]
fn a_program_that_fails_is_seen() {
    let mut skipped = Vec::new();
    assert!(!stream(&mut Command::new("false"), &mut Vec::new(), &mut skipped).unwrap());
    let report = Report {
        failed: vec!["it".to_owned()],
        ..Report::default()
    };
    assert!(!report.holds(false));
}

#[test]
fn tests_of_pure_crates_never_run_as_root() {
    let test = |folder: &str| Executable {
        folder: folder.into(),
        name: String::new(),
        path: "/t".into(),
    };
    assert!(needs_root(&test("/home/me/evenkeel/crates/evenkeel")));
    assert!(!needs_root(&test("/home/me/evenkeel/crates/control")));
}
