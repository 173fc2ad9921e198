//! `cargo xtask bench failover`: what a change of director costs, of evenkeels and of keepalived.
//!
//! The contenders take turns on one lab, with the same time between advertisements and the same
//! priorities. keepalived has no data plane of its own and this bench needs no IPVS: behind its address each
//! director answers the probe itself, and so does evenkeel once more beside its forwarding.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark tells its figures"
)]
#![expect(clippy::unwrap_used, reason = "the lab of tests panics where it fails")]

mod contender;
mod report;
mod round;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use evenkeel_netns_tests::keepalived;

use crate::contender::Contender;
use crate::report::Report;
use crate::round::{Event, Stage};

const USAGE: &str = "usage: failover [--rounds N] [--adverts-ms MS] [--json FILE]";

/// How often a round is played at most until the machine stood still in none of its events.
const ATTEMPTS: u32 = 4;

struct Options {
    rounds: u32,
    adverts: Duration,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            rounds: 10,
            adverts: Duration::from_millis(100),
            json: None,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().context(USAGE);
            match arg.as_str() {
                "--rounds" => options.rounds = value()?.parse().context(USAGE)?,
                "--adverts-ms" => {
                    options.adverts = Duration::from_millis(value()?.parse().context(USAGE)?);
                }
                "--json" => options.json = Some(value()?.into()),
                // Cargo's word to whatever it runs as a benchmark.
                "--bench" => {}
                _ => bail!(USAGE),
            }
        }
        ensure!(options.rounds > 0, "no rounds, no figures");
        ensure!(
            options.adverts >= Duration::from_millis(10),
            "VRRP version 3 advertises every 10 ms at most"
        );
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
        "the benchmark makes network namespaces: run it as root"
    );
    ensure!(
        keepalived::is_there(),
        "it compares with keepalived, which is not installed"
    );
    let mut report = Report::new(options.adverts, options.rounds);
    let mut stage = Stage::new(options.adverts)?;
    for number in 0..options.rounds {
        let phase = options.adverts * number / options.rounds;
        for contender in Contender::ALL {
            let of = options.rounds;
            eprintln!("round {} of {of}: {}", number + 1, contender.name());
            play(&mut stage, &mut report, contender, phase)?;
        }
    }
    print!("{report}");
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report.to_json())?;
        fs::write(path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Plays a contender's round, and again what the machine itself stood still in.
fn play(
    stage: &mut Stage,
    report: &mut Report,
    contender: Contender,
    phase: Duration,
) -> anyhow::Result<()> {
    let mut missing = Event::ALL.to_vec();
    for _ in 0..ATTEMPTS {
        for (event, measured) in stage.round(contender, phase)? {
            if missing.contains(&event) && !measured.stalled {
                missing.retain(|other| *other != event);
                report.add(contender, event, &measured);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
    }
    for event in missing {
        report.leave_out(contender, event);
    }
    Ok(())
}
