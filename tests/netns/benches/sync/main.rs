//! `cargo xtask bench sync`: what connection sync costs two directors, and how a snapshot goes.
//!
//! Two directors in namespaces, with a link of their own, and clients whose frames go through the real program. Runs
//! with connection sync and without take turns, for only what stands side by side holds on another machine. What is
//! measured is also checked: every flow was entered, and the partner has as many in the end.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark tells its figures"
)]

mod clients;
mod report;
mod snapshot;
mod stage;
mod steady;

use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use evenkeel_lab::stall::StallMonitor;
use evenkeel_netns_tests::bench::{self, Options, Processors};

use crate::report::Report;

fn main() -> ExitCode {
    bench::run(3, Processors::All, measure)
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let (monitor, from) = (StallMonitor::start()?, Instant::now());
    let (mut steady, mut snapshots) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        for syncs in [false, true] {
            let with = if syncs { "with" } else { "without" };
            eprintln!("round {round} of {}: {with} sync", options.rounds);
            steady.push(steady::measure(syncs)?);
        }
        eprintln!("round {round} of {}: the snapshot", options.rounds);
        snapshots.push(snapshot::measure()?);
    }
    let stalls = monitor.stalls(from, Instant::now());
    let longest = stalls.iter().map(|stall| stall.length).max();
    let report = Report {
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned(),
        processors: thread::available_parallelism()?.get(),
        rounds: options.rounds,
        steady,
        snapshots,
        stalls: (
            stalls.len(),
            longest.unwrap_or_default().as_secs_f64() * 1000.0,
        ),
    };
    print!("{report}");
    options.write(&report.to_json())
}
