use super::super::File;
use super::{check, sources};

#[track_caller]
fn findings(path: &str, text: &str) -> Vec<String> {
    let files = [File::new(path, text)];
    check(&sources(&files))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_file_has_at_most_500_lines() {
    let text = "\n".repeat(501);
    assert!(findings("crates/net/src/a.rs", &text[..500]).is_empty());
    assert_eq!(
        findings("crates/net/src/a.rs", &text),
        ["crates/net/src/a.rs:501: 501 lines; a file has at most 500"]
    );
    assert!(findings("crates/net/src/a/tests.rs", &text).is_empty());
}

#[test]
fn the_root_of_a_crate_forbids_unsafe_code() {
    assert!(findings("crates/model/src/lib.rs", "#![forbid(unsafe_code)]").is_empty());
    assert_eq!(
        findings("crates/model/src/lib.rs", "// #![forbid(unsafe_code)]"),
        ["crates/model/src/lib.rs:1: `#![forbid(unsafe_code)]` is missing"]
    );
    assert!(findings("crates/bpf/src/lib.rs", "").is_empty());
}

#[test]
fn unsafe_stands_only_in_its_rooms() {
    let text = "// unsafe\nfn f() { unsafe { g() } }";
    assert_eq!(
        findings("crates/api/src/a.rs", text),
        ["crates/api/src/a.rs:2: `unsafe` may not stand in this room"]
    );
    assert!(findings("crates/net/src/a.rs", text).is_empty());
}

#[test]
fn the_lower_rooms_ask_no_clock_and_open_no_file() {
    assert_eq!(
        findings("crates/health/src/a.rs", "let now = Instant::now();"),
        [
            "crates/health/src/a.rs:1: `Instant::now` may not stand in a room without input and output"
        ]
    );
    assert_eq!(
        findings("crates/model/src/a.rs", "use std::{fmt, thread};").len(),
        1
    );
    assert!(findings("crates/net/src/a.rs", "let now = Instant::now();").is_empty());
    assert!(findings("crates/health/src/a/tests.rs", "Instant::now();").is_empty());
}

#[test]
fn a_module_under_cfg_test_is_test_code_whatever_its_name() {
    let files = [
        File::new("crates/health/src/a.rs", "#[cfg(test)]\nmod laws;"),
        File::new("crates/health/src/a/laws.rs", "Instant::now();"),
        File::new("crates/health/src/a/laws/more.rs", "Instant::now();"),
    ];
    assert!(check(&sources(&files)).is_empty());
}

#[test]
fn config_reads_its_file_in_load_and_nowhere_else() {
    let text =
        "pub fn load(p: &Path) {\n    std::fs::read(p);\n}\nfn other() {\n    std::fs::read(p);\n}";
    assert_eq!(
        findings(
            "crates/config/src/lib.rs",
            &format!("{text}\n#![forbid(unsafe_code)]")
        ),
        ["crates/config/src/lib.rs:5: `std::fs` may not stand in a room without input and output"]
    );
}

#[test]
fn xdp_says_why_each_unsafe_block_is_sound() {
    let text = "fn f() {\n    // SAFETY: checked above.\n    let a =\n        unsafe { g() };\n    unsafe { g() }\n}";
    assert_eq!(
        findings("xdp/src/main.rs", text),
        ["xdp/src/main.rs:5: no `// SAFETY:` line above"]
    );
}

#[test]
fn a_function_of_xdp_has_at_most_70_lines() {
    let lines = "    g();\n\n    // what g does\n";
    let function = |count| format!("fn f(a: [u8; 2])\n{{\n{}}}\nfn g();\n", lines.repeat(count));
    assert!(findings("xdp/src/a.rs", &function(70)).is_empty());
    assert_eq!(
        findings("xdp/src/a.rs", &function(71)),
        ["xdp/src/a.rs:1: `f` has 71 lines; a function has at most 70"]
    );
}
