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
    /// By version of IP.
    pub(crate) repeated: Vec<Nanoseconds>,
    pub(crate) closed_loop: Vec<Figures>,
    pub(crate) control: Control,
}

impl Report {
    /// How a case of the closed loop compares with sending back alone.
    fn ratio_to_bare(&self, figures: &Figures) -> f64 {
        let bare = self.closed_loop.iter().find(|other| other.name == BARE);
        figures.mpps.median() / bare.map_or(f64::NAN, |bare| bare.mpps.median())
    }

    /// The figures as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let floors = self.repeated.iter().map(|taken| {
            let floor = json!(rounded(taken.floor.median()));
            (taken.family.name().to_owned(), floor)
        });
        let yardsticks = self.repeated.iter().map(|taken| {
            let of_flows = taken.yardsticks.iter().map(|(flows, samples)| {
                let net = rounded(taken.net(samples));
                (
                    flows.to_string(),
                    with_range(json!({ "net_ns": net }), samples),
                )
            });
            let of_flows = Value::Object(of_flows.collect());
            (taken.family.name().to_owned(), of_flows)
        });
        let cases = self.repeated.iter().flat_map(|taken| {
            taken.cases.iter().map(|case| {
                let figures = json!({
                    "name": case.name,
                    "net_ns": rounded(taken.net(&case.samples)),
                    "ratio_to_yardstick": rounded(taken.ratio(case)),
                });
                with_range(figures, &case.samples)
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
            "floor_ns": Value::Object(floors.collect()),
            "yardstick_ns": Value::Object(yardsticks.collect()),
            "cases": cases.collect::<Vec<_>>(),
            "closed_loop": lanes.collect::<Vec<_>>(),
            "control": self.control.to_json(),
        })
    }
}

/// The figures, with what the samples were.
fn with_range(mut figures: Value, samples: &Samples) -> Value {
    figures["min_ns"] = json!(rounded(samples.min()));
    figures["median_ns"] = json!(rounded(samples.median()));
    figures["max_ns"] = json!(rounded(samples.max()));
    figures
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
            "{:<28}{:>8}{:>8}{:>8}{:>8}{:>14}",
            "ns per packet", "min", "median", "max", "net", "x yardstick"
        )?;
        for taken in &self.repeated {
            let family = taken.family.name();
            write_row(f, &format!("{family}_floor"), &taken.floor)?;
            writeln!(f)?;
            for (flows, samples) in &taken.yardsticks {
                write_row(f, &format!("{family}_yardstick_{flows}"), samples)?;
                writeln!(f, "{:>8.0}", taken.net(samples))?;
            }
            for case in &taken.cases {
                write_row(f, &case.name, &case.samples)?;
                let (net, ratio) = (taken.net(&case.samples), taken.ratio(case));
                writeln!(f, "{net:>8.0}{ratio:>14.2}")?;
            }
        }
        writeln!(
            f,
            "\n{:<28}{:>8}{:>8}{:>8}{:>8}{:>14}",
            "closed loop, Mpps", "min", "median", "max", "loss", "x bare_tx"
        )?;
        for figures in &self.closed_loop {
            let Figures { name, mpps, loss } = figures;
            let (min, median, max) = (mpps.min(), mpps.median(), mpps.max());
            let loss = format!("{:.2}%", loss.median() * 100.0);
            let ratio = self.ratio_to_bare(figures);
            writeln!(
                f,
                "{name:<28}{min:>8.2}{median:>8.2}{max:>8.2}{loss:>8}{ratio:>14.2}"
            )?;
        }
        write!(f, "{}", self.control)
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, name: &str, samples: &Samples) -> fmt::Result {
    let (min, median, max) = (samples.min(), samples.median(), samples.max());
    write!(f, "{name:<28}{min:>8.0}{median:>8.0}{max:>8.0}")
}
