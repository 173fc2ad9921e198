//! What may stand in which source file.

use super::mask::code_of;
use super::{File, Finding, has_word};
use std::ops::{Range, RangeInclusive};

/// A file has at most this many lines; files of tests are not counted.
const FILE_LINES_MAX: usize = 500;

/// The same for functions of `xdp/`, which clippy does not see.
const FUNCTION_LINES_MAX: usize = 70;

/// Rooms where `unsafe` may stand.
const UNSAFE_ROOMS: [&str; 5] = [
    "xdp",
    "crates/bpf",
    "crates/net",
    "crates/lab",
    "crates/abi",
];

/// Rooms without input, output, clocks and random numbers.
const PURE_ROOMS: [&str; 9] = [
    "crates/wire",
    "crates/abi",
    "crates/datapath",
    "crates/model",
    "crates/health",
    "crates/sync",
    "crates/vrrp",
    "crates/config",
    "crates/control",
];

/// What those rooms may not name.
const IMPURE_NAMES: [&str; 12] = [
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixDatagram",
    "UnixListener",
    "UnixStream",
    "Instant::now",
    "SystemTime",
    "std::env",
    "std::process",
    "std::thread",
    "std::fs",
];

/// A Rust file and the code in it.
pub(super) struct Source<'a> {
    pub(super) file: &'a File,
    /// The text without comments and literals, line by line as in the file.
    pub(super) code: String,
    /// Compiled only for tests.
    pub(super) is_test: bool,
}

impl Source<'_> {
    fn is_in(&self, room: &str) -> bool {
        let rest = self.file.path.strip_prefix(room);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    fn is_root(&self) -> bool {
        self.file.path.ends_with("src/lib.rs") || self.file.path.ends_with("src/main.rs")
    }

    /// Code lines with their numbers.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

/// The Rust files of the project, with those that are compiled only for tests marked.
pub(super) fn sources(files: &[File]) -> Vec<Source<'_>> {
    let rust = files.iter().filter(|file| file.is_rust());
    let mut sources: Vec<Source<'_>> = rust
        .map(|file| Source {
            file,
            code: code_of(&file.text),
            is_test: is_in_tests(&file.path),
        })
        .collect();
    let test_modules: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let stem = source.file.path.trim_end_matches(".rs");
        source.is_test |= test_modules.iter().any(|module| {
            let rest = stem.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    }
    sources
}

fn is_in_tests(path: &str) -> bool {
    let mut parts = path.trim_end_matches(".rs").split('/');
    parts.any(|part| part == "tests" || part == "benches")
}

/// The folder, ending in `/`, in which the modules that a file declares are.
pub(super) fn folder_of_modules(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    let parent = stem.rsplit_once('/').map_or("", |(parent, _)| parent);
    match stem.rsplit('/').next() {
        Some("lib" | "main") => format!("{parent}/"),
        _ => format!("{stem}/"),
    }
}

/// Modules declared under `#[cfg(test)]`: their paths without `.rs`.
fn test_modules(source: &Source<'_>) -> Vec<String> {
    let folder = folder_of_modules(&source.file.path);
    let lines: Vec<&str> = source.code.lines().map(str::trim).collect();
    let after_attribute = lines.iter().enumerate().filter_map(|(index, line)| {
        line.starts_with("#[cfg(test)]").then_some(())?;
        let mut following = lines[index + 1..].iter();
        following.find(|line| !line.starts_with("#[") && !line.is_empty())
    });
    after_attribute
        .filter_map(|line| line.strip_suffix(';')?.rsplit_once("mod "))
        .map(|(_, name)| format!("{folder}{name}"))
        .collect()
}

pub(super) fn check(sources: &[Source<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        check_length(source, &mut findings);
        check_unsafe(source, &mut findings);
        check_purity(source, &mut findings);
        if source.is_in("xdp") {
            check_like_clippy(source, &mut findings);
        }
    }
    findings
}

fn check_length(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let lines = source.file.text.lines().count();
    if lines > FILE_LINES_MAX && !source.is_test {
        let message = format!("{lines} lines; a file has at most {FILE_LINES_MAX}");
        findings.push(Finding::new(&source.file.path, FILE_LINES_MAX + 1, message));
    }
}

fn check_unsafe(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let path = &source.file.path;
    if UNSAFE_ROOMS.iter().any(|room| source.is_in(room)) {
        return;
    }
    if source.is_root() && !source.code.contains("#![forbid(unsafe_code)]") {
        findings.push(Finding::new(
            path,
            1,
            "`#![forbid(unsafe_code)]` is missing",
        ));
    }
    for (line, _) in source.lines().filter(|(_, code)| has_word(code, "unsafe")) {
        findings.push(Finding::new(
            path,
            line,
            "`unsafe` may not stand in this room",
        ));
    }
}

fn check_purity(source: &Source<'_>, findings: &mut Vec<Finding>) {
    if source.is_test || !PURE_ROOMS.iter().any(|room| source.is_in(room)) {
        return;
    }
    let loader = match source.is_in("crates/config") {
        true => functions(&source.code)
            .into_iter()
            .find(|f| f.name == "load"),
        false => None,
    };
    let may_read = |line| loader.as_ref().is_some_and(|f| f.lines.contains(&line));
    for (line, code) in source.lines() {
        let named = IMPURE_NAMES.iter().filter(|name| has_word(code, name));
        let grouped = ["env", "process", "thread", "fs"]
            .iter()
            .filter(|name| code.contains("use std::{") && has_word(code, name));
        for name in named.chain(grouped) {
            if !(name.ends_with("fs") && may_read(line)) {
                let message = format!("`{name}` may not stand in a room without input and output");
                findings.push(Finding::new(&source.file.path, line, message));
            }
        }
    }
}

/// Laws that clippy checks elsewhere, for the workspace that it does not see.
fn check_like_clippy(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let path = &source.file.path;
    let text: Vec<&str> = source.file.text.lines().collect();
    for (line, code) in source.lines() {
        let begins = code.contains("unsafe {") || code.contains("unsafe impl");
        if begins && !has_safety_line(&text[..line]) {
            findings.push(Finding::new(path, line, "no `// SAFETY:` line above"));
        }
    }
    for function in functions(&source.code) {
        let body = source
            .lines()
            .filter(|(line, _)| function.body.contains(line));
        let filled = body.filter(|(_, code)| !code.trim().is_empty()).count();
        if filled > FUNCTION_LINES_MAX {
            let message = format!(
                "`{}` has {filled} lines; a function has at most {FUNCTION_LINES_MAX}",
                function.name
            );
            findings.push(Finding::new(path, *function.lines.start(), message));
        }
    }
}

/// Whether a comment with SAFETY stands at the last line or above its statement.
fn has_safety_line(text: &[&str]) -> bool {
    let above = text.iter().rev().map(|line| line.trim());
    above
        .enumerate()
        .take_while(|(back, line)| {
            let ends_a_statement = line.ends_with([';', '}', '{']) && !line.starts_with("//");
            *back == 0 || !ends_a_statement
        })
        .any(|(_, line)| line.contains("// SAFETY: "))
}

/// A function with a body; line numbers.
struct Function {
    name: String,
    lines: RangeInclusive<usize>,
    /// Between the lines of its braces.
    body: Range<usize>,
}

fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at..];
        let name = rest[3..]
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next();
        if let Some((open, close)) = braces(rest) {
            let line_of = |offset: usize| code[..at + offset].matches('\n').count() + 1;
            found.push(Function {
                name: name.unwrap_or_default().to_owned(),
                lines: line_of(0)..=line_of(close),
                body: line_of(open) + 1..line_of(close),
            });
        }
    }
    found
}

/// Where the braces of the function that begins `code` are; None without a body.
fn braces(code: &str) -> Option<(usize, usize)> {
    let mut open = None;
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if open.is_none() && brackets == 0 => return None,
            '{' => {
                depth += 1;
                open = open.or(Some(at));
            }
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some((open?, at));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
