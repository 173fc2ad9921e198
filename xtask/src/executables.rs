//! Test programs built by cargo, so that they can be run elsewhere than under cargo.

use crate::process;
use anyhow::Context as _;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;

/// One test program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    /// The package's folder: where cargo starts the program.
    pub(crate) folder: PathBuf,
    /// The name of the target, as in `cargo test --test NAME`.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Builds the tests that `args` select and lists their programs.
pub(crate) fn of_tests(args: &[&str]) -> anyhow::Result<Vec<Executable>> {
    built_by("test", args)
}

/// Builds the benchmarks that `args` select, optimised, and lists their programs.
pub(crate) fn of_benchmarks(args: &[&str]) -> anyhow::Result<Vec<Executable>> {
    built_by("bench", args)
}

fn built_by(command: &str, args: &[&str]) -> anyhow::Result<Vec<Executable>> {
    let mut cargo = process::cargo();
    cargo
        .args([
            command,
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .args(args)
        .stderr(Stdio::inherit());
    let messages = process::output_of(&mut cargo)?;
    parse(&messages)
}

fn parse(messages: &str) -> anyhow::Result<Vec<Executable>> {
    let mut found = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("a message of cargo's")?;
        if message["profile"]["test"] != true {
            continue;
        }
        let manifest = message["manifest_path"].as_str().map(PathBuf::from);
        if let (Some(path), Some(name), Some(manifest)) = (
            message["executable"].as_str(),
            message["target"]["name"].as_str(),
            manifest,
        ) {
            found.push(Executable {
                folder: manifest.parent().map(PathBuf::from).unwrap_or_default(),
                name: name.to_owned(),
                path: PathBuf::from(path),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
