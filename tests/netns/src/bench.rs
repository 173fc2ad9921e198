//! What the benchmarks that measure in rounds have in common: command line, processor, and the file of figures.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::Value;

const USAGE: &str = "usage: [--rounds N] [--json FILE]";

/// What was asked for.
pub struct Options {
    /// Rounds to measure, 1 at least.
    pub rounds: u32,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(rounds: u32, mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self { rounds, json: None };
        while let Some(arg) = args.next() {
            let mut value = || args.next().context(USAGE);
            match arg.as_str() {
                "--rounds" => options.rounds = value()?.parse().context(USAGE)?,
                "--json" => options.json = Some(value()?.into()),
                // Cargo's word to whatever it runs as a benchmark.
                "--bench" => {}
                _ => bail!(USAGE),
            }
        }
        ensure!(options.rounds > 0, "no rounds, no figures");
        Ok(options)
    }

    /// Writes the figures to the file that was asked for, if one was.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write(&self, figures: &Value) -> anyhow::Result<()> {
        let Some(path) = &self.json else {
            return Ok(());
        };
        let json = serde_json::to_string_pretty(figures)?;
        fs::write(path, json + "\n").with_context(|| format!("writing {}", path.display()))
    }
}

/// Which processors a benchmark and what it starts may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processors {
    /// The last one.
    One,
    All,
}

/// Measures as the command line says, `rounds` unless it says how many, as root.
#[must_use]
#[expect(clippy::print_stderr, reason = "it stands for the benchmark's `main`")]
pub fn run(
    rounds: u32,
    processors: Processors,
    measure: fn(&Options) -> anyhow::Result<()>,
) -> ExitCode {
    let outcome = Options::parse(rounds, std::env::args().skip(1)).and_then(|options| {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "the benchmark loads programs and makes network namespaces: run it as root"
        );
        if processors == Processors::One {
            stay_on_one_processor().context("staying on one processor")?;
        }
        measure(&options)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Binds this process to the last processor that it may use.
fn stay_on_one_processor() -> anyhow::Result<()> {
    let myself = Pid::from_raw(0);
    let allowed = sched_getaffinity(myself)?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let mut only = CpuSet::new();
    only.set(last.context("no processor is allowed")?)?;
    Ok(sched_setaffinity(myself, &only)?)
}
