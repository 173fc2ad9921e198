//! `cargo xtask test`: every check and every layer of tests, in the order of their cost.
//!
//! Everything is compiled by the user who types the command; only test programs that make
//! namespaces or load programs run as root.

use crate::executables::{self, Executable};
use crate::{process, tidy, tree};
use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

/// Packages whose tests need root, by folder. Their tests measure time, so they run one by one.
const NEED_ROOT: [&str; 5] = [
    "crates/net",
    "crates/bpf",
    "crates/lab",
    "crates/evenkeel",
    "tests/netns",
];

/// What `cargo fmt --all` does not see, with the modules of each.
const OUTSIDE_THE_WORKSPACE: [&str; 3] = [
    "fuzz/fuzz_targets/datapath.rs",
    "fuzz/fuzz_targets/vrrp.rs",
    "xdp/src/main.rs",
];

/// How a test says that it could not run here.
const SKIPPED: &str = "skipped:";

/// Which tests to run.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Extent {
    All,
    WithoutRoot,
}

/// Runs the checks, then the tests; succeeds only if all do.
pub(crate) fn run(extent: Extent) -> anyhow::Result<ExitCode> {
    process::require_c_compiler()?;
    step("formatting");
    process::must_succeed(process::cargo().args(["fmt", "--all", "--check"]))?;
    process::must_succeed(
        Command::new("rustfmt")
            .args(["--edition", "2024", "--check"])
            .args(OUTSIDE_THE_WORKSPACE)
            .current_dir(tree::root()),
    )?;
    step("lints");
    process::must_succeed(
        process::cargo()
            .args(["clippy", "--workspace", "--all-targets", "--quiet"])
            .args(["--", "--deny", "warnings"]),
    )?;
    step("tidy");
    if tidy::run()? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    step("building the tests");
    process::must_succeed(process::cargo().args(["build", "--package", "evenkeel"]))?;
    let tests = executables::of_tests(&["--workspace"])?;
    let report = run_all(&tests, extent)?;
    step("examples in the documentation");
    process::must_succeed(process::cargo().args(["test", "--workspace", "--doc", "--quiet"]))?;
    step("result");
    report.print();
    match report.holds(skipping_fails()) {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

/// Whether the line is a test's word that it could not run here.
pub(crate) fn tells_of_a_skip(line: &str) -> bool {
    line.trim_start().starts_with(SKIPPED)
}

/// Whether a test that could not run counts as failed.
pub(crate) fn skipping_fails() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

fn step(name: &str) {
    println!("== {name}");
}

/// What came of the test programs.
#[derive(Debug, Default)]
struct Report {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    fn print(&self) {
        println!("{} test programs passed", self.passed);
        for line in &self.skipped {
            println!("{line}");
        }
        for name in &self.failed {
            println!("failed: {name}");
        }
        if !self.skipped.is_empty() && skipping_fails() {
            println!("with CI=true no test may be skipped");
        }
    }

    fn holds(&self, skipping_fails: bool) -> bool {
        self.failed.is_empty() && (self.skipped.is_empty() || !skipping_fails)
    }
}

fn run_all(tests: &[Executable], extent: Extent) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let as_root = AsRoot::find(tests, extent)?;
    for test in tests {
        let privileged = needs_root(test);
        if privileged && extent == Extent::WithoutRoot {
            println!("left out, needs root: {}", name_of(test));
            continue;
        }
        step(&name_of(test));
        let mut command = match privileged {
            true => as_root.command(test),
            false => Command::new(&test.path),
        };
        command.arg("--show-output").current_dir(&test.folder);
        if stream(&mut command, &mut std::io::stdout(), &mut report.skipped)? {
            report.passed += 1;
        } else {
            report.failed.push(name_of(test));
        }
    }
    Ok(report)
}

fn needs_root(test: &Executable) -> bool {
    NEED_ROOT.iter().any(|folder| test.folder.ends_with(folder))
}

fn name_of(test: &Executable) -> String {
    let folder = test.folder.strip_prefix(tree::root());
    format!(
        "{}: {}",
        folder.unwrap_or(&test.folder).display(),
        test.name
    )
}

/// How to run a test program as root.
enum AsRoot {
    Already,
    Sudo,
}

impl AsRoot {
    fn find(tests: &[Executable], extent: Extent) -> anyhow::Result<Self> {
        if process::is_root()? {
            return Ok(Self::Already);
        }
        if extent == Extent::WithoutRoot || process::find("sudo").is_some() {
            return Ok(Self::Sudo);
        }
        let lines: Vec<String> = tests
            .iter()
            .filter(|test| needs_root(test))
            .map(|test| process::describe(&Self::Already.command(test)))
            .collect();
        bail!(
            "some tests need root, and `sudo` is not installed; `cargo xtask test --fast` leaves them out. They are built; run them with\n  su -c {}",
            process::quoted(&lines.join(" && "))
        )
    }

    fn command(&self, test: &Executable) -> Command {
        let mut command = match self {
            Self::Already => Command::new("env"),
            Self::Sudo => Command::new("sudo"),
        };
        if matches!(self, Self::Sudo) {
            command.arg("env");
        }
        for name in ["CI", "RUST_BACKTRACE"] {
            if let Ok(value) = std::env::var(name) {
                command.arg(format!("{name}={value}"));
            }
        }
        command
            .arg("EVENKEEL_REQUIRE_ROOT=1")
            .arg(&test.path)
            .arg("--test-threads=1");
        command
    }
}

/// Runs the command, passes its lines on as they come and keeps those that tell of a skipped test.
fn stream(
    command: &mut Command,
    out: &mut impl Write,
    skipped: &mut Vec<String>,
) -> anyhow::Result<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::describe(command)))?;
    let output = child.stdout.take().context("a child without an output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        let text = String::from_utf8_lossy(&line);
        if tells_of_a_skip(&text) {
            skipped.push(text.trim().to_owned());
        }
    }
    Ok(child.wait()?.success())
}

#[cfg(test)]
mod tests;
