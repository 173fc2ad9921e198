//! `cargo xtask bench datapath`: what a packet costs in the data plane.
//!
//! Two ways: nanoseconds of a program that the kernel repeats on one packet, whose client changes every
//! round; and frames that a generator sends over a veth pair to the program and that come back. All
//! cases take turns within one run on one processor, beside programs that do less, because only ratios
//! hold on another machine. What is measured is also checked: every packet was forwarded, and the
//! tables hold what they must.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark tells its figures"
)]

mod closed_loop;
mod control;
mod director;
mod repeated;
mod report;
mod swap;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::closed_loop::Lane;
use crate::director::Family;
use crate::repeated::Repeated;
use crate::report::Report;

const USAGE: &str = "usage: datapath [--rounds N] [--json FILE]";

/// Half-open entries that there is room for: so many that a run of new flows fills no bucket.
const HALF_OPEN: u32 = 1 << 21;

struct Options {
    rounds: u32,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            rounds: 10,
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
        "the benchmark loads programs and makes a network namespace: run it as root"
    );
    stay_on_one_processor().context("staying on one processor")?;
    closed_loop::enter_namespace().context("entering a network namespace")?;

    let mut families = Vec::new();
    for family in Family::ALL {
        let repeated = Repeated::new(family);
        families.push(repeated.with_context(|| format!("setting up {}", family.name()))?);
    }
    let mut lanes = Vec::new();
    if let Some(of_v4) = families.first_mut() {
        lanes = closed_loop::lanes(&mut of_v4.directors).context("setting up the closed loop")?;
    }
    for _ in 0..options.rounds {
        for repeated in &mut families {
            repeated.round()?;
        }
        if let Some(of_v4) = families.first() {
            closed_loop::round(&mut lanes, &of_v4.directors)?;
        }
    }
    let report = Report {
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned(),
        rounds: options.rounds,
        repeated: families.into_iter().map(Repeated::into_samples).collect(),
        closed_loop: lanes.into_iter().map(Lane::into_figures).collect(),
        control: control::measure().context("measuring user space")?,
    };
    print!("{report}");
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report.to_json())?;
        fs::write(path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
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
