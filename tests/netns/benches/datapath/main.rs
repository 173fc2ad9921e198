//! `cargo xtask bench datapath`: what a packet costs in the data plane.
//!
//! Two ways: nanoseconds of a program that the kernel repeats on one packet, whose client changes every
//! round; and frames that a generator sends over a veth pair to the program and that come back. All
//! cases take turns within one run on one processor, beside programs that do less, because only ratios
//! hold on another machine. What is measured is also checked: every packet was forwarded, and the
//! tables hold what they must.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark tells its figures")]

mod closed_loop;
mod control;
mod director;
mod repeated;
mod report;
mod swap;

use std::fs;
use std::process::ExitCode;

use anyhow::Context as _;
use evenkeel_netns_tests::bench::{self, Options, Processors};

use crate::closed_loop::Lane;
use crate::director::Family;
use crate::repeated::Repeated;
use crate::report::Report;

/// Half-open entries that there is room for: so many that a run of new flows fills no bucket.
const HALF_OPEN: u32 = 1 << 21;

fn main() -> ExitCode {
    bench::run(10, Processors::One, measure)
}

fn measure(options: &Options) -> anyhow::Result<()> {
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
    options.write(&report.to_json())
}
