//! `cargo xtask vm bench`: the data plane beside that kernel's IPVS, and whether it is fast enough.

use super::boot;
use crate::{executables, process};
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::process::ExitCode;

/// Precedes the figures in the machine's output.
pub(super) const FIGURES_MARK: &str = "evenkeel-vm-figures=";

/// Where the machine keeps them until then.
const FIGURES: &str = "/run/evenkeel-figures.json";

/// Lets the kernel's threads that empty the rings go before the generator, always: so no ring overflows.
const PREFER_RINGS: &str = "\
echo -1 > /proc/sys/kernel/sched_rt_runtime_us
for thread in $(grep -ls '^ksoftirqd/' /proc/[0-9]*/comm | cut -d/ -f3); do
    chrt --fifo --pid 1 $thread || exit
done
";

/// So many times as fast as IPVS the data plane has to be,
const TO_IPVS: f64 = 3.0;

/// or so fast beside a program that sends every frame back,
const TO_BARE_TX: f64 = 0.65;

/// where that one is not so many times as fast as IPVS.
const BARE_TX_TO_IPVS: f64 = 4.0;

/// Boots the kernel and runs `tests/netns/benches/ipvs`; fails unless the data plane is fast enough.
pub(crate) fn run(args: &[&str]) -> anyhow::Result<ExitCode> {
    let options = Options::parse(args)?;
    process::require_c_compiler()?;
    if process::find("ipvsadm").is_none() {
        bail!("ipvsadm is not installed: `apt-get install ipvsadm`");
    }
    let built =
        executables::of_benchmarks(&["--package", "evenkeel-netns-tests", "--bench", "ipvs"])?;
    let program = &built.first().context("cargo built no benchmark")?.path;
    let program = process::quoted(&program.display().to_string());
    let rounds = options.rounds.map_or_else(String::new, |rounds| {
        format!("--rounds {}", process::quoted(rounds))
    });
    let outcome = boot(&format!(
        "{PREFER_RINGS}{program} --json {FIGURES} {rounds} && echo \"{FIGURES_MARK}$(tr -d '\\n' < {FIGURES})\""
    ))?;
    if outcome.status != 0 {
        return Ok(ExitCode::from(outcome.status));
    }
    let figures = outcome.figures.context("the machine told no figures")?;
    let mut figures: Value = serde_json::from_str(&figures).context("the machine's figures")?;
    let ratios = Ratios::of(&figures)?;
    println!("{ratios}");
    if let Some(path) = options.json {
        ratios.add_to(&mut figures);
        let json = serde_json::to_string_pretty(&figures)?;
        fs::write(path, json + "\n").with_context(|| format!("writing {path}"))?;
    }
    Ok(if ratios.are_enough() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options<'a> {
    json: Option<&'a str>,
    rounds: Option<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(args: &[&'a str]) -> anyhow::Result<Self> {
        let mut options = Self::default();
        for pair in args.chunks(2) {
            match *pair {
                ["--json", file] => options.json = Some(file),
                ["--rounds", rounds] => options.rounds = Some(rounds),
                _ => bail!("usage: cargo xtask vm bench [--json FILE] [--rounds N]"),
            }
        }
        Ok(options)
    }
}

/// How many times as fast one is as another, by the time per packet without delivery. Of evenkeel's cases the
/// slowest counts, of IPVS's the fastest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratios {
    evenkeel_to_ipvs: f64,
    bare_tx_to_ipvs: f64,
    evenkeel_to_bare_tx: f64,
    /// The same as the first if socket buffers cost nothing: IPVS without `stack_drop`.
    evenkeel_to_ipvs_past_stack: f64,
}

impl Ratios {
    fn of(figures: &Value) -> anyhow::Result<Self> {
        let cases = figures["cases"].as_array().context("there are no cases")?;
        let net = |name: &str| {
            let case = cases.iter().find(|case| case["name"] == name);
            let net = case.and_then(|case| case["net_ns"].as_f64());
            let net = net.with_context(|| format!("there is no case `{name}`"))?;
            ensure!(
                net > 0.0,
                "`{name}` took no longer than `drop`: the machine was too busy to measure"
            );
            anyhow::Ok(net)
        };
        let evenkeel = net("evenkeel_rr")?.max(net("evenkeel_maglev")?);
        let ipvs = net("ipvs_rr")?.min(net("ipvs_mh")?);
        let bare_tx = net("bare_tx")?;
        Ok(Self {
            evenkeel_to_ipvs: ipvs / evenkeel,
            bare_tx_to_ipvs: ipvs / bare_tx,
            evenkeel_to_bare_tx: bare_tx / evenkeel,
            evenkeel_to_ipvs_past_stack: (ipvs - net("stack_drop")?) / evenkeel,
        })
    }

    fn are_enough(&self) -> bool {
        let beside_ipvs = self.evenkeel_to_ipvs >= TO_IPVS;
        let no_room = self.bare_tx_to_ipvs < BARE_TX_TO_IPVS;
        beside_ipvs || (no_room && self.evenkeel_to_bare_tx >= TO_BARE_TX)
    }

    fn named(&self) -> [(&'static str, f64); 4] {
        [
            ("evenkeel_to_ipvs", self.evenkeel_to_ipvs),
            ("bare_tx_to_ipvs", self.bare_tx_to_ipvs),
            ("evenkeel_to_bare_tx", self.evenkeel_to_bare_tx),
            (
                "evenkeel_to_ipvs_past_stack",
                self.evenkeel_to_ipvs_past_stack,
            ),
        ]
    }

    fn add_to(&self, figures: &mut Value) {
        for (name, ratio) in self.named() {
            figures[name] = json!((ratio * 1000.0).round() / 1000.0);
        }
        figures["fast_enough"] = json!(self.are_enough());
    }
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "times as fast, by the net medians")?;
        for (name, ratio) in self.named() {
            writeln!(f, "{name:<30}{ratio:>8.2}")?;
        }
        let verdict = if self.are_enough() {
            "fast enough"
        } else {
            "too slow"
        };
        write!(
            f,
            "{verdict}: it has to be {TO_IPVS} times as fast as IPVS; or, where bare_tx is not {BARE_TX_TO_IPVS} times, {TO_BARE_TX} of bare_tx"
        )
    }
}

#[cfg(test)]
mod tests;
