//! Where modules and their tests stand.

use super::code::{Source, folder_of_modules};
use super::{Finding, has_word};

pub(super) fn check(sources: &[Source<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let path = &source.file.path;
        if source.file.name() == "mod.rs" {
            findings.push(Finding::new(path, 1, "name the file after its module"));
        } else if is_module(path) && !is_declared(source, sources) {
            findings.push(Finding::new(path, 1, "no `mod` line compiles this file"));
        }
        for line in inline_tests(source) {
            let message = "tests stand in a file of their own: `#[cfg(test)] mod tests;`";
            findings.push(Finding::new(path, line, message));
        }
    }
    findings
}

/// Whether cargo does not find the file by itself.
fn is_module(path: &str) -> bool {
    let Some((_, inner)) = path.rsplit_once("src/") else {
        return false;
    };
    !["lib.rs", "main.rs"].contains(&inner) && !inner.starts_with("bin/")
}

fn is_declared(source: &Source<'_>, sources: &[Source<'_>]) -> bool {
    let path = &source.file.path;
    let stem = path.trim_end_matches(".rs");
    let Some((_, name)) = stem.rsplit_once('/') else {
        return false;
    };
    let folder = stem.strip_suffix(name).unwrap_or_default();
    let declares = |line: &str| {
        let words = line.trim().strip_suffix(';').unwrap_or_default();
        words == format!("mod {name}") || words.ends_with(&format!(" mod {name}"))
    };
    sources
        .iter()
        .filter(|parent| folder_of_modules(&parent.file.path) == folder)
        .any(|parent| parent.code.lines().any(declares))
}

/// Lines of `mod NAME {` under `#[cfg(test)]`.
fn inline_tests(source: &Source<'_>) -> Vec<usize> {
    let lines: Vec<(usize, &str)> = source.lines().collect();
    let pairs = lines.windows(2);
    pairs
        .filter(|pair| pair[0].1.trim() == "#[cfg(test)]")
        .filter(|pair| has_word(pair[1].1, "mod") && pair[1].1.trim_end().ends_with('{'))
        .map(|pair| pair[1].0)
        .collect()
}

#[cfg(test)]
mod tests;
