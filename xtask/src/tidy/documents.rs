//! How long documents are, what the map names, and words that promise work instead of doing it.

use super::{File, Finding, has_word};

const MAP: &str = "ARCHITECTURE.md";
const MAP_LINES_MAX: usize = 300;
const DECISION_LINES_MAX: usize = 60;

/// Spelt in two halves, or this file would be found.
const PROMISES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        check_length(file, &mut findings);
        for (index, line) in file.text.lines().enumerate() {
            for promise in PROMISES.iter().filter(|word| has_word(line, word)) {
                let message = format!("`{promise}`: do it, or open an issue");
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    if let Some(map) = files.iter().find(|file| file.path == MAP) {
        for folder in crates(files).filter(|folder| !map.text.contains(folder)) {
            let message = format!("`{folder}` is not named");
            findings.push(Finding::new(MAP, 1, message));
        }
    }
    findings
}

fn check_length(file: &File, findings: &mut Vec<Finding>) {
    let limit = match file.path.as_str() {
        MAP => MAP_LINES_MAX,
        path if path.starts_with("docs/adr/") => DECISION_LINES_MAX,
        _ => return,
    };
    let lines = file.text.lines().count();
    if lines > limit {
        let message = format!("{lines} lines, at most {limit}");
        findings.push(Finding::new(&file.path, limit + 1, message));
    }
}

/// The folders of the crates.
fn crates(files: &[File]) -> impl Iterator<Item = &str> {
    files
        .iter()
        .filter_map(|file| file.path.strip_suffix("/Cargo.toml"))
}

#[cfg(test)]
mod tests;
