//! `cargo xtask tidy`: the laws of the house, checked on manifests, sources and documents.
//!
//! What rustc and clippy check is left to them.

mod code;
mod documents;
mod levels;
mod mask;
mod modules;

use crate::{process, tree};
use anyhow::Context as _;
use serde_json::Value;
use std::fmt;
use std::fs;
use std::process::ExitCode;

/// Kinds of files that are read as text.
const TEXT: [&str; 7] = ["rs", "md", "toml", "sh", "service", "yml", "txt"];

/// A breach of a law.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A text file; `path` is relative to the project's folder.
struct File {
    path: String,
    text: String,
}

impl File {
    #[cfg(test)]
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Checks everything; prints what is wrong, a line each, and fails if anything is.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let files = read_files()?;
    let metadata =
        process::output_of(process::cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo's metadata")?;
    let mut findings = levels::check(&levels::packages(&metadata), &files);
    let sources: Vec<code::Source<'_>> = code::sources(&files);
    findings.extend(code::check(&sources));
    findings.extend(modules::check(&sources));
    findings.extend(documents::check(&files));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files keep the laws", files.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} findings", findings.len());
    Ok(ExitCode::FAILURE)
}

fn read_files() -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in tree::files(tree::root())? {
        let kind = path.extension().and_then(|kind| kind.to_str());
        if !kind.is_some_and(|kind| TEXT.contains(&kind)) {
            continue;
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let relative = path.strip_prefix(tree::root())?;
        files.push(File {
            path: relative.display().to_string(),
            text,
        });
    }
    Ok(files)
}

/// Whether `word` occurs in `line` with no part of a longer word around it.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}
