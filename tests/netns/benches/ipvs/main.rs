//! `cargo xtask vm bench`: packets per second of known flows, beside the kernel's own IPVS.
//!
//! One generator sends the same frames over a veth pair to every director by turns, and one sink takes what they
//! send on, so that all pay the same for delivery; what that costs alone, the case `drop` tells. All on one
//! processor, because only ratios hold on another machine. What is measured is also checked: the directors'
//! own counters agree with the sink.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark tells its figures"
)]

mod evenkeel;
mod harness;
mod kernel;
mod lane;
mod namespace;
mod report;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use evenkeel_model::Scheduler;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::harness::Harness;
use crate::kernel::Task;
use crate::lane::Lane;
use crate::report::Report;

const USAGE: &str = "usage: ipvs [--rounds N] [--json FILE]";

struct Options {
    rounds: u32,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            rounds: 25,
            json: None,
        };
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
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| measure(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> anyhow::Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the benchmark loads programs and makes network namespaces: run it as root"
    );
    stay_on_one_processor().context("staying on one processor")?;
    namespace::enter_new().context("entering a network namespace")?;

    let mut harness = Harness::new().context("loading the generator and the sink")?;
    let lanes = lanes(&mut harness)?;
    for lane in &lanes {
        lane.open_flows(&harness).context(lane.name)?;
    }
    let mut report = Report::new(&lanes, options.rounds)?;
    for _ in 0..options.rounds {
        let runs: Result<Vec<_>, _> = lanes
            .iter()
            .map(|lane| lane.run(&harness).context(lane.name))
            .collect();
        report.add(&runs?);
    }
    print!("{report}");
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report.to_json())?;
        fs::write(path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// All cases. The first delivers alone; `stack_drop` makes a socket buffer of every frame for nothing, as IPVS must before
/// it begins.
fn lanes(harness: &mut Harness) -> anyhow::Result<[Lane; 7]> {
    use Scheduler::{Maglev, MaglevHash, RoundRobin};
    Ok([
        Lane::of_program("drop", "sink", harness)?,
        Lane::of_program("bare_tx", "send_back", harness)?,
        Lane::of_evenkeel("evenkeel_rr", RoundRobin, harness)?,
        Lane::of_evenkeel("evenkeel_maglev", Maglev, harness)?,
        Lane::of_kernel("stack_drop", Task::Discard, harness)?,
        Lane::of_kernel("ipvs_rr", Task::Balance(RoundRobin), harness)?,
        Lane::of_kernel("ipvs_mh", Task::Balance(MaglevHash), harness)?,
    ])
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
