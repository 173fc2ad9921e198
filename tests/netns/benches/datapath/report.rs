//! The figures, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use crate::closed_loop::Figures;
use crate::control::Control;
use crate::repeated::Nanoseconds;
use evenkeel_netns_tests::Samples;

/// The case of the closed loop that the others are compared with.
const BARE: &str = "bare_tx";

/// What the benchmark gave.
pub(crate) struct Report {
    pub(crate) kernel: String,
    pub(crate) rounds: u32,
    pub(crate) repeated: Nanoseconds,
    pub(crate) closed_loop: Vec<Figures>,
    pub(crate) control: Control,
}

/// A case of the repeated runs.
struct Case<'a> {
    name: &'static str,
    samples: &'a Samples,
    yardstick: &'a Samples,
}

impl Report {
    /// A median without what writing the headers takes.
    fn net(&self, samples: &Samples) -> f64 {
        samples.median() - self.repeated.floor.median()
    }

    fn yardsticks(&self) -> [(&'static str, &Samples); 2] {
        [
            ("1", &self.repeated.yardstick_one),
            ("1000000", &self.repeated.yardstick_many),
        ]
    }

    /// The data plane's cases, each with the yardstick of as many flows.
    fn cases(&self) -> [Case<'_>; 3] {
        let Nanoseconds {
            floor: _,
            yardstick_one,
            yardstick_many,
            known_one,
            known_many,
            new,
        } = &self.repeated;
        [
            ("known_1", known_one, yardstick_one),
            ("known_1000000", known_many, yardstick_many),
            ("new", new, yardstick_many),
        ]
        .map(|(name, samples, yardstick)| Case {
            name,
            samples,
            yardstick,
        })
    }

    fn ratio(&self, case: &Case<'_>) -> f64 {
        self.net(case.samples) / self.net(case.yardstick)
    }

    /// How a case of the closed loop compares with sending back alone.
    fn ratio_to_bare(&self, figures: &Figures) -> f64 {
        let bare = self.closed_loop.iter().find(|other| other.name == BARE);
        figures.mpps.median() / bare.map_or(f64::NAN, |bare| bare.mpps.median())
    }

    /// The figures as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let yardsticks = self.yardsticks().map(|(flows, samples)| {
            let figures = json!({
                "net_ns": rounded(self.net(samples)),
                "min_ns": rounded(samples.min()),
                "median_ns": rounded(samples.median()),
                "max_ns": rounded(samples.max()),
            });
            (flows.to_owned(), figures)
        });
        let cases = self.cases().map(|case| {
            json!({
                "name": case.name,
                "net_ns": rounded(self.net(case.samples)),
                "ratio_to_yardstick": rounded(self.ratio(&case)),
                "min_ns": rounded(case.samples.min()),
                "median_ns": rounded(case.samples.median()),
                "max_ns": rounded(case.samples.max()),
            })
        });
        let lanes = self.closed_loop.iter().map(|figures| {
            json!({
                "name": figures.name,
                "mpps": rounded(figures.mpps.median()),
                "min_mpps": rounded(figures.mpps.min()),
                "max_mpps": rounded(figures.mpps.max()),
                "loss": rounded(figures.loss.median()),
                "ratio_to_bare_tx": rounded(self.ratio_to_bare(figures)),
            })
        });
        json!({
            "kernel": self.kernel,
            "rounds": self.rounds,
            "floor_ns": rounded(self.repeated.floor.median()),
            "yardstick_ns": Value::Object(yardsticks.into_iter().collect()),
            "cases": cases,
            "closed_loop": lanes.collect::<Vec<_>>(),
            "control": self.control.to_json(),
        })
    }
}

fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, rounds, .. } = self;
        writeln!(f, "kernel {kernel}, {rounds} rounds, one processor\n")?;
        writeln!(
            f,
            "{:<24}{:>8}{:>8}{:>8}{:>8}{:>14}",
            "ns per packet", "min", "median", "max", "net", "x yardstick"
        )?;
        let floor = &self.repeated.floor;
        write_row(f, "floor", floor)?;
        writeln!(f)?;
        for (flows, samples) in self.yardsticks() {
            write_row(f, &format!("yardstick_{flows}"), samples)?;
            writeln!(f, "{:>8.0}", self.net(samples))?;
        }
        for case in self.cases() {
            write_row(f, case.name, case.samples)?;
            let (net, ratio) = (self.net(case.samples), self.ratio(&case));
            writeln!(f, "{net:>8.0}{ratio:>14.2}")?;
        }
        writeln!(
            f,
            "\n{:<24}{:>8}{:>8}{:>8}{:>8}{:>14}",
            "closed loop, Mpps", "min", "median", "max", "loss", "x bare_tx"
        )?;
        for figures in &self.closed_loop {
            let Figures { name, mpps, loss } = figures;
            let (min, median, max) = (mpps.min(), mpps.median(), mpps.max());
            let loss = format!("{:.2}%", loss.median() * 100.0);
            let ratio = self.ratio_to_bare(figures);
            writeln!(
                f,
                "{name:<24}{min:>8.2}{median:>8.2}{max:>8.2}{loss:>8}{ratio:>14.2}"
            )?;
        }
        write!(f, "{}", self.control)
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, name: &str, samples: &Samples) -> fmt::Result {
    let (min, median, max) = (samples.min(), samples.median(), samples.max());
    write!(f, "{name:<24}{min:>8.0}{median:>8.0}{max:>8.0}")
}
