//! Which crate may know which: imports go to a strictly lower level.

use super::{File, Finding};
use serde_json::Value;

/// The rooms by level; a new crate has to be entered here.
const LEVELS: [(&str, u8); 15] = [
    ("evenkeel-wire", 0),
    ("evenkeel-abi", 0),
    ("evenkeel-chaos", 0),
    ("evenkeel-datapath", 1),
    ("evenkeel-model", 1),
    ("evenkeel-health", 2),
    ("evenkeel-sync", 2),
    ("evenkeel-vrrp", 2),
    ("evenkeel-config", 3),
    ("evenkeel-control", 3),
    ("evenkeel-net", 4),
    ("evenkeel-bpf", 4),
    ("evenkeel-api", 4),
    ("evenkeel-lab", 5),
    ("evenkeel", 6),
];

/// Only other crates' tests may use it.
const TESTKIT: &str = "evenkeel-testkit";

/// Programs for development, which stand above all levels.
const TOOLS: [&str; 3] = ["evenkeel-netns-tests", "evenkeel-sim-tests", "xtask"];

/// The highest level that is free of input and output.
const PURE: u8 = 3;

/// The highest level that knows no serialisation.
const WITHOUT_SERDE: u8 = 2;

/// Crates of other people that mean sockets, files, threads, clocks or random numbers.
const IMPURE: [&str; 9] = [
    "async-io",
    "getrandom",
    "libc",
    "mio",
    "nix",
    "rand",
    "smol",
    "socket2",
    "tokio",
];

/// A package of the workspace with its ordinary dependencies.
#[derive(Debug)]
pub(super) struct Package {
    name: String,
    manifest: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    optional: bool,
    development: bool,
}

/// What `cargo metadata --no-deps` says of the workspace.
pub(super) fn packages(metadata: &Value) -> Vec<Package> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let root = format!("{}/", text(&metadata["workspace_root"]));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            manifest: text(&package["manifest_path"]).replacen(&root, "", 1),
            dependencies: list(&package["dependencies"])
                .iter()
                .map(|dependency| Dependency {
                    name: text(&dependency["name"]),
                    optional: dependency["optional"] == true,
                    development: dependency["kind"] == "dev",
                })
                .collect(),
        })
        .collect()
}

pub(super) fn check(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let manifest = files.iter().find(|file| file.path == package.manifest);
        let mut report = |name: &str, message: String| {
            let line = manifest.map_or(1, |file| line_of(&file.text, name));
            findings.push(Finding::new(&package.manifest, line, message));
        };
        let is_tool = TOOLS.contains(&package.name.as_str()) || package.name == TESTKIT;
        let level = level_of(&package.name);
        if level.is_none() && !is_tool {
            report(
                "name",
                format!("`{}` has no level in xtask's table", package.name),
            );
            continue;
        }
        let ordinary = |name: &str| {
            let mut all = package.dependencies.iter();
            all.any(|dependency| dependency.name == name && !dependency.development)
        };
        for dependency in package.dependencies.iter().filter(|d| !d.development) {
            if let Some(message) = breach(package, level, dependency) {
                report(&dependency.name, message);
            }
        }
        let knows_both = ordinary("evenkeel-net") && ordinary("evenkeel-bpf");
        if knows_both && !is_tool && !["evenkeel", "evenkeel-lab"].contains(&package.name.as_str())
        {
            let message = "only the binary and the lab know both net and bpf";
            report("evenkeel-net", message.to_owned());
        }
    }
    findings
}

/// What is wrong with the dependency, if anything.
fn breach(package: &Package, level: Option<u8>, dependency: &Dependency) -> Option<String> {
    let user = package.name.as_str();
    let used = dependency.name.as_str();
    if let Some(message) = owned_by_others(user, dependency) {
        return Some(message);
    }
    let level = level?;
    if let Some(below) = level_of(used)
        && below >= level
    {
        return Some(format!(
            "`{user}` (level {level}) may not import `{used}` (level {below})"
        ));
    }
    if used == TESTKIT {
        return Some(format!("`{TESTKIT}` is for dev-dependencies only"));
    }
    if level <= PURE && IMPURE.contains(&used) {
        return Some(format!(
            "level {level} does no input or output: no `{used}`"
        ));
    }
    let is_serde = used == "serde" || used.starts_with("serde_");
    (level <= WITHOUT_SERDE && is_serde).then(|| format!("level {level} knows no `{used}`"))
}

/// A crate of other people's that belongs to other rooms than the user's.
fn owned_by_others(user: &str, dependency: &Dependency) -> Option<String> {
    let used = dependency.name.as_str();
    let netlink = used == "rtnetlink" || used.starts_with("netlink-");
    if netlink && !["evenkeel-net", "evenkeel-lab"].contains(&user) {
        return Some(format!("`{used}` belongs to net and lab"));
    }
    if (used == "clap" || used.starts_with("clap_")) && user != "evenkeel" {
        return Some(format!("`{used}` belongs to the binary"));
    }
    let aya = used == "aya" || used.starts_with("aya-");
    let behind_a_feature = user == "evenkeel-abi" && dependency.optional;
    (aya && user != "evenkeel-bpf" && !behind_a_feature)
        .then(|| format!("`{used}` belongs to bpf (and to abi behind a feature)"))
}

fn level_of(name: &str) -> Option<u8> {
    let entry = LEVELS.iter().find(|(known, _)| *known == name)?;
    Some(entry.1)
}

/// The line of the manifest that begins with `name`, else the first.
fn line_of(manifest: &str, name: &str) -> usize {
    let begins = |line: &str| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with([' ', '.', '=']).then_some(())
    };
    manifest
        .lines()
        .position(|line| begins(line).is_some())
        .map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests;
