use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{evenkeel, path, program};

/// The commands that a help text lists, less `help` itself.
fn listed(words: &[&str]) -> Vec<String> {
    let told = evenkeel(&[words, &["--help"]].concat());
    assert_eq!(told.code, Some(0), "{words:?}: {told:?}");
    let lines = told.out.lines().skip_while(|line| *line != "Commands:");
    lines
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|command| !command.is_empty() && *command != "help")
        .map(ToOwned::to_owned)
        .collect()
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).expect("the directory can be read");
    let names = entries.map(|entry| entry.expect("so can its entries").file_name());
    names
        .map(|name| name.into_string().expect("names are text"))
        .collect()
}

#[test]
fn every_listed_command_has_a_man_page() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("man1");
    let told = evenkeel(&["generate", "man", path(&directory)]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let top = listed(&[])
        .into_iter()
        .map(|name| format!("evenkeel-{name}.1"));
    let lab = listed(&["lab"])
        .into_iter()
        .map(|name| format!("evenkeel-lab-{name}.1"));
    let expected: BTreeSet<String> = top.chain(lab).chain(["evenkeel.1".to_owned()]).collect();
    assert!(expected.contains("evenkeel-lab-up.1"), "{expected:?}");
    assert_eq!(names(&directory), expected);
    let page = std::fs::read_to_string(directory.join("evenkeel-check.1")).unwrap();
    assert!(page.contains(".TH evenkeel-check 1"), "{page}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let told = evenkeel(&["generate", "man", "/proc/no-such-directory"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.err.contains("`/proc/no-such-directory`"), "{told:?}");
}

#[test]
fn each_shell_gets_completions_of_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let told = evenkeel(&["generate", "completions", shell]);
        assert_eq!(told.code, Some(0), "{shell}: {told:?}");
        for command in listed(&[]) {
            assert!(told.out.contains(&command), "{shell}: {command}");
        }
        assert!(!told.out.contains("generate"), "{shell}");
    }
}

#[test]
fn bash_completes_a_command() {
    let mut generate = program("evenkeel");
    generate.args(["generate", "completions", "bash"]);
    let script = String::from_utf8(generate.output().unwrap().stdout).unwrap();
    let ask = "\nCOMP_WORDS=(evenkeel stat); COMP_CWORD=1\n\
               _evenkeel evenkeel stat evenkeel; echo \"${COMPREPLY[@]}\"\n";
    let output = Command::new("bash")
        .args(["--norc", "-c", &(script + ask)])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "status\n");
}
