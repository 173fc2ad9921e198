use super::super::File;
use super::super::code::sources;
use super::check;

#[track_caller]
fn findings(files: &[File]) -> Vec<String> {
    check(&sources(files))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_file_that_nobody_declares_is_found() {
    let files = [
        File::new(
            "crates/net/src/lib.rs",
            "pub(crate) mod a;\n// mod b;\nmod ab;",
        ),
        File::new("crates/net/src/a.rs", "#[cfg(test)]\nmod tests;"),
        File::new("crates/net/src/a/tests.rs", ""),
        File::new("crates/net/src/b.rs", ""),
        File::new("crates/net/src/ab.rs", ""),
        File::new("crates/net/src/ab/tests.rs", ""),
        File::new("crates/net/tests/story.rs", ""),
    ];
    assert_eq!(
        findings(&files),
        [
            "crates/net/src/b.rs:1: no `mod` line compiles this file",
            "crates/net/src/ab/tests.rs:1: no `mod` line compiles this file"
        ]
    );
}

#[test]
fn mod_rs_is_not_used() {
    let files = [File::new("crates/net/src/a/mod.rs", "")];
    assert_eq!(
        findings(&files),
        ["crates/net/src/a/mod.rs:1: name the file after its module"]
    );
}

#[test]
fn tests_stand_in_a_file_of_their_own() {
    let files = [File::new(
        "crates/net/src/lib.rs",
        "fn f() {}\n\n#[cfg(test)]\nmod tests {\n}\n",
    )];
    assert_eq!(
        findings(&files),
        ["crates/net/src/lib.rs:4: tests stand in a file of their own: `#[cfg(test)] mod tests;`"]
    );
}
