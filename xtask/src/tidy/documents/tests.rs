use super::super::File;
use super::{PROMISES, check};

#[track_caller]
fn findings(files: &[File]) -> Vec<String> {
    check(files).iter().map(ToString::to_string).collect()
}

#[test]
fn a_decision_has_at_most_60_lines_and_the_map_300() {
    let lines = "x\n".repeat(301);
    assert_eq!(
        findings(&[
            File::new("docs/adr/0001-a.md", &lines[..122]),
            File::new("ARCHITECTURE.md", &lines),
            File::new("docs/glossary.md", &lines),
        ]),
        [
            "docs/adr/0001-a.md:61: 61 lines, at most 60",
            "ARCHITECTURE.md:301: 301 lines, at most 300"
        ]
    );
}

#[test]
fn the_map_names_every_crate_once_it_exists() {
    let manifest = || File::new("crates/net/Cargo.toml", "");
    assert!(findings(&[manifest()]).is_empty());
    assert!(findings(&[manifest(), File::new("ARCHITECTURE.md", "`crates/net`")]).is_empty());
    assert_eq!(
        findings(&[manifest(), File::new("ARCHITECTURE.md", "")]),
        ["ARCHITECTURE.md:1: `crates/net` is not named"]
    );
}

#[test]
fn promises_are_found() {
    let text = format!("a\n// {}: later\n", PROMISES[0]);
    assert_eq!(findings(&[File::new("a.rs", &text)]).len(), 1);
    assert!(findings(&[File::new("a.rs", "METHODOLOGY")]).is_empty());
}
