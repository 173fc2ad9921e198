//! The figures, for people and for programs.

use std::fmt;
use std::fs;

use serde_json::{Value, json};

use crate::harness::FLOWS;
use crate::lane::{FRAMES, Lane, Outcome};
use evenkeel_netns_tests::Samples;

/// What a case gave, in nanoseconds per packet.
struct Case {
    name: &'static str,
    all: Samples,
    /// Without what the first case took in the same round.
    net: Samples,
    loss: Samples,
}

/// What the benchmark gave.
pub(crate) struct Report {
    kernel: String,
    rounds: u32,
    cases: Vec<Case>,
}

impl Report {
    pub(crate) fn new(lanes: &[Lane], rounds: u32) -> anyhow::Result<Self> {
        let case = |lane: &Lane| Case {
            name: lane.name,
            all: Samples::default(),
            net: Samples::default(),
            loss: Samples::default(),
        };
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        Ok(Self {
            kernel: release.trim().to_owned(),
            rounds,
            cases: lanes.iter().map(case).collect(),
        })
    }

    /// Adds a round: a run of every case.
    pub(crate) fn add(&mut self, runs: &[Outcome]) {
        let delivery = runs.first().map_or(f64::NAN, |run| run.ns);
        for (case, run) in self.cases.iter_mut().zip(runs) {
            case.all.add(run.ns);
            case.net.add(run.ns - delivery);
            case.loss.add(run.loss);
        }
    }

    /// The figures as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let cases = self.cases.iter().map(|case| {
            json!({
                "name": case.name,
                "mpps": rounded(mpps(case)),
                "ns_per_packet": rounded(case.all.median()),
                "min_ns": rounded(case.all.min()),
                "max_ns": rounded(case.all.max()),
                "net_ns": rounded(case.net.median()),
                "min_net_ns": rounded(case.net.min()),
                "max_net_ns": rounded(case.net.max()),
                "loss": rounded(case.loss.median()),
            })
        });
        json!({
            "kernel": self.kernel,
            "rounds": self.rounds,
            "flows": FLOWS,
            "frames": FRAMES,
            "cases": cases.collect::<Vec<_>>(),
        })
    }
}

fn mpps(case: &Case) -> f64 {
    1e3 / case.all.median()
}

fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, rounds, .. } = self;
        writeln!(
            f,
            "kernel {kernel}, {FLOWS} known flows, {rounds} rounds of {FRAMES} frames, one processor\n"
        )?;
        writeln!(
            f,
            "{:<18}{:>8}{:>8}{:>8}{:>12}{:>8}{:>8}{:>8}{:>8}",
            "ns per packet", "min", "median", "max", "net: min", "median", "max", "Mpps", "loss"
        )?;
        for case in &self.cases {
            let Case {
                name,
                all,
                net,
                loss,
            } = case;
            let (min, median, max) = (all.min(), all.median(), all.max());
            write!(f, "{name:<18}{min:>8.0}{median:>8.0}{max:>8.0}")?;
            let (min, median, max) = (net.min(), net.median(), net.max());
            write!(f, "{min:>12.0}{median:>8.0}{max:>8.0}")?;
            let loss = format!("{:.2}%", loss.median() * 100.0);
            writeln!(f, "{:>8.3}{loss:>8}", mpps(case))?;
        }
        Ok(())
    }
}
