//! `cargo xtask vm bench`: packets per second of known flows, beside the kernel's own IPVS.
//!
//! One generator sends the same frames over a veth pair to every director by turns, and one sink takes what they
//! send on, so that all pay the same for delivery; what that costs alone, the case `drop` tells. All on one
//! processor, because only ratios hold on another machine. What is measured is also checked: the directors'
//! own counters agree with the sink.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark tells its figures")]

mod evenkeel;
mod harness;
mod kernel;
mod lane;
mod namespace;
mod report;

use std::process::ExitCode;

use anyhow::Context as _;
use evenkeel_model::Scheduler;
use evenkeel_netns_tests::bench::{self, Options, Processors};

use crate::harness::Harness;
use crate::kernel::Task;
use crate::lane::Lane;
use crate::report::Report;

fn main() -> ExitCode {
    bench::run(25, Processors::One, measure)
}

fn measure(options: &Options) -> anyhow::Result<()> {
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
    options.write(&report.to_json())
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
