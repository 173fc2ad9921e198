//! The figures, for people and for programs.

use std::fmt;

use evenkeel_netns_tests::Samples;
use serde_json::{Value, json};

use crate::snapshot::{HELD, NEW_RATE, Part, Snapshot};
use crate::steady::{RATE, Steady, Synced};

/// What the benchmark gave.
pub(crate) struct Report {
    pub(crate) kernel: String,
    pub(crate) processors: usize,
    pub(crate) rounds: u32,
    /// By turns without connection sync and with it.
    pub(crate) steady: Vec<Steady>,
    pub(crate) snapshots: Vec<Snapshot>,
    /// How often this machine itself stood still, and for how long at the most, in ms.
    pub(crate) stalls: (usize, f64),
}

/// The median over some runs, with the extremes.
fn over<T>(runs: &[T], figure: impl Fn(&T) -> f64) -> Samples {
    let mut samples = Samples::default();
    for run in runs {
        samples.add(figure(run));
    }
    samples
}

/// One row: its name, its unit, and a figure of each run.
type Row<T> = (&'static str, fn(&T) -> f64);

fn synced(run: &Steady, figure: impl Fn(&Synced) -> f64) -> f64 {
    run.synced.as_ref().map_or(f64::NAN, figure)
}

/// In both kinds of run.
const COST: [Row<Steady>; 5] = [
    ("new connections a second", |r| r.conns / r.seconds),
    ("Active: processor, % of one", |r| {
        r.cpu[0] / r.seconds * 100.0
    }),
    ("Active: processor, us a connection", |r| {
        r.cpu[0] / r.conns * 1e6
    }),
    ("Backup: processor, % of one", |r| {
        r.cpu[1] / r.seconds * 100.0
    }),
    ("Backup: processor, us a connection", |r| {
        r.cpu[1] / r.conns * 1e6
    }),
];

/// Only with connection sync.
const SYNCED: [Row<Steady>; 14] = [
    ("records sent, a connection", |r| {
        synced(r, |s| s.records / r.conns)
    }),
    ("bytes of the session, a connection", |r| {
        synced(r, |s| s.session[0] / r.conns)
    }),
    ("bytes on the link, a connection", |r| {
        synced(r, |s| s.link[0] / r.conns)
    }),
    ("bytes that come back on it, a connection", |r| {
        synced(r, |s| s.link[1] / r.conns)
    }),
    ("lag by the Active, ms: median", |r| {
        synced(r, |s| s.lag[0].median())
    }),
    ("lag by the Active, ms: 99 of 100", |r| {
        synced(r, |s| s.lag[0].quantile(0.99))
    }),
    ("lag by the Active, ms: most", |r| {
        synced(r, |s| s.lag[0].max())
    }),
    ("lag by the Backup, ms: median", |r| {
        synced(r, |s| s.lag[1].median())
    }),
    ("lag by the Backup, ms: 99 of 100", |r| {
        synced(r, |s| s.lag[1].quantile(0.99))
    }),
    ("lag by the Backup, ms: most", |r| {
        synced(r, |s| s.lag[1].max())
    }),
    ("looks that found it not in sync", |r| {
        synced(r, |s| count(s.lagging))
    }),
    ("datagrams sent again", |r| synced(r, |s| whole(s.resent))),
    ("changes that found no room", |r| {
        synced(r, |s| whole(s.missed))
    }),
    ("ms until the Backup had all", |r| synced(r, |s| s.settled)),
];

const SNAPSHOT: [Row<Snapshot>; 14] = [
    ("s until in sync", |r| r.seconds),
    ("connections of the Active", |r| whole(r.held[0])),
    ("connections of the Backup then", |r| whole(r.held[1])),
    ("records sent", |r| whole(r.records)),
    ("MB sent", |r| whole(r.bytes) / 1e6),
    ("bytes a connection", |r| whole(r.bytes) / whole(r.held[0])),
    ("datagrams sent again", |r| whole(r.resent)),
    ("changes that found no room", |r| whole(r.missed)),
    ("Active: processor, s", |r| r.cpu[0]),
    ("Backup: processor, s", |r| r.cpu[1]),
    ("Active: MB of its own", |r| whole(r.memory[0].own) / 1e6),
    ("Backup: MB of its own", |r| whole(r.memory[1].own) / 1e6),
    ("Active: MB at most, tables mapped", |r| {
        whole(r.memory[0].peak) / 1e6
    }),
    ("Backup: MB at most, tables mapped", |r| {
        whole(r.memory[1].peak) / 1e6
    }),
];

const PART: [Row<Part>; 7] = [
    ("s", |p| p.seconds),
    ("new connections a second", |p| p.entered),
    ("probe: sent", |p| count(p.probed)),
    ("probe: lost", |p| count(p.lost)),
    ("probe: ms, median", |p| p.latency.median()),
    ("probe: ms, 99 of 100", |p| p.latency.quantile(0.99)),
    ("probe: ms, most", |p| p.latency.max()),
];

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
const fn whole(figure: u64) -> f64 {
    figure as f64
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
const fn count(figure: usize) -> f64 {
    figure as f64
}

/// Runs without connection sync, and with it.
fn of(runs: &[Steady], syncs: bool) -> Vec<&Steady> {
    let runs = runs.iter();
    runs.filter(|run| run.synced.is_some() == syncs).collect()
}

/// The parts of that number.
fn parts(snapshots: &[Snapshot], number: usize) -> Vec<&Part> {
    let parts = snapshots.iter();
    parts.filter_map(|run| run.parts.get(number)).collect()
}

impl Report {
    pub(crate) fn to_json(&self) -> Value {
        let in_sync = of(&self.steady, true);
        let in_sync = in_sync.iter().filter_map(|run| run.synced.as_ref());
        let parts = (0..3).map(|number| {
            let parts = parts(&self.snapshots, number);
            let name = parts.first().map_or("", |part| part.name);
            json!({ "part": name, "figures": figures(&parts, &PART) })
        });
        json!({
            "kernel": self.kernel,
            "processors": self.processors,
            "rounds": self.rounds,
            "stalls": { "count": self.stalls.0, "longest_ms": self.stalls.1 },
            "steady": {
                "rate": RATE,
                "without_sync": figures(&of(&self.steady, false), &COST),
                "with_sync": figures(&of(&self.steady, true), &COST),
                "sync": figures(&of(&self.steady, true), &SYNCED),
                "in_sync_at_end": in_sync.clone().filter(|run| run.in_sync_at_end).count(),
            },
            "snapshot": {
                "held": HELD,
                "new_rate": NEW_RATE,
                "figures": figures(&self.snapshots.iter().collect::<Vec<_>>(), &SNAPSHOT),
                "parts": parts.collect::<Vec<_>>(),
            },
        })
    }
}

fn figures<T>(runs: &[&T], rows: &[Row<T>]) -> Value {
    let rounded = |figure: f64| (figure * 1000.0).round() / 1000.0;
    let rows = rows.iter().map(|(name, figure)| {
        let samples = over(runs, |run| figure(run));
        let figures = json!({
            "min": rounded(samples.min()),
            "median": rounded(samples.median()),
            "max": rounded(samples.max()),
        });
        ((*name).to_owned(), figures)
    });
    Value::Object(rows.collect())
}

fn three(samples: &Samples) -> String {
    let figure = |figure: f64| match figure {
        _ if figure.is_nan() => "-".to_owned(),
        _ if figure.abs() < 100.0 && figure.fract() != 0.0 => format!("{figure:.2}"),
        _ => format!("{figure:.0}"),
    };
    let [min, median, max] = [samples.min(), samples.median(), samples.max()].map(figure);
    format!("{min} / {median} / {max}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "kernel {}, {} processors, {} rounds; min / median / max of the rounds\n\
             the machine itself stood still {} times, {:.0} ms at most\n\n\
             {RATE} new connections a second (UDP, rr, all of them told)\n",
            self.kernel, self.processors, self.rounds, self.stalls.0, self.stalls.1
        )?;
        let (without, with) = (of(&self.steady, false), of(&self.steady, true));
        writeln!(f, "{:<42}{:>28}{:>28}", "", "without sync", "with sync")?;
        for (name, figure) in COST {
            let [without, with] =
                [&without, &with].map(|runs| three(&over(runs, |run| figure(run))));
            writeln!(f, "{name:<42}{without:>28}{with:>28}")?;
        }
        for (name, figure) in SYNCED {
            let with = three(&over(&with, |run| figure(run)));
            writeln!(f, "{name:<42}{:>28}{with:>28}", "")?;
        }
        let synced = with.iter().filter_map(|run| run.synced.as_ref());
        let ended = synced.filter(|run| run.in_sync_at_end).count();
        writeln!(f, "in sync at the end: {ended} of {}\n", with.len())?;
        writeln!(
            f,
            "A snapshot of {HELD} connections, and {NEW_RATE} new ones a second\n"
        )?;
        for (name, figure) in SNAPSHOT {
            let samples = three(&over(&self.snapshots, figure));
            writeln!(f, "{name:<42}{samples:>28}")?;
        }
        for number in 0..3 {
            let parts = parts(&self.snapshots, number);
            writeln!(f, "\n{}", parts.first().map_or("", |part| part.name))?;
            for (name, figure) in PART {
                let samples = three(&over(&parts, |part| figure(part)));
                writeln!(f, "  {name:<40}{samples:>28}")?;
            }
        }
        Ok(())
    }
}
