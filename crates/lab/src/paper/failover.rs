//! `lab failover`: what faults of a director cost the connections through it, measured row by row; and beside
//! it, what they cost a pair of keepalived.
//!
//! Every round is played on a cluster of its own, so that it begins with empty tables, all servers up, and
//! both directors ready. Which connections broke is judged in [`judge`], which knows no lab.

mod act;
mod judge;
mod report;
mod rows;
mod stage;
mod table;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

pub use self::rows::{Fault, Scheduler};
pub(in crate::paper) use self::stage::{has_role, is_in_sync, synced};

use crate::error::LabError;
use crate::keepalived::Keepalived;
use crate::keeper::Signals;
use crate::lab::{Options, require_root};
use crate::paper::failover::judge::Numbers;
use crate::paper::failover::report::{Attempt, Kept, Measured, Settings};
use crate::paper::failover::rows::{Row, rows};
use crate::paper::failover::stage::Stage;
use crate::paper::{PaperError, rounds, say};

/// Most connections: more are [`crowd`](crate::paper::crowd)'s, and here each of them does something.
pub const CONNECTIONS_MAX: u32 = 50_000;

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct FailoverOptions {
    /// Connections that stand at the fault, 1 to [`CONNECTIONS_MAX`].
    pub connections: u32,
    /// How often each fault is played, 1 at least.
    pub rounds: u32,
    /// How often a round is played again where the machine stood still in it.
    pub repeats: u32,
    /// Which faults.
    pub faults: Vec<Fault>,
    /// With which schedulers.
    pub schedulers: Vec<Scheduler>,
    /// A request without an answer for so long breaks its connection.
    pub patience: Duration,
    /// Where each finished row is written as JSON; rows that are there already are not measured again.
    pub json: Option<PathBuf>,
    /// The lab's name; `None`: `failover`, with a suffix where that is taken.
    pub name: Option<String>,
    /// As in [`Options::program`](crate::Options::program).
    pub program: Option<PathBuf>,
}

impl Default for FailoverOptions {
    fn default() -> Self {
        Self {
            connections: 10_000,
            rounds: 10,
            repeats: 3,
            faults: Fault::ALL.to_vec(),
            schedulers: Scheduler::ALL.to_vec(),
            patience: Duration::from_secs(30),
            json: None,
            name: None,
            program: None,
        }
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every row is measured.
    Measured,
    /// So it is, but the machine stood still in so many rounds of one that its times prove nothing.
    TooNoisy,
}

/// Measures the rows, and tells `out` what came of them.
///
/// To be called where no runtime runs. Every lab is gone when this returns; SIGINT, SIGTERM and SIGHUP end it
/// early, and the rows that are finished are in the JSON file.
///
/// # Errors
/// A lab or a process of it did not start or ended, or the JSON file holds something else or can't be
/// written.
pub fn run(options: &FailoverOptions, out: &mut dyn Write) -> Result<Verdict, PaperError> {
    if !(1..=CONNECTIONS_MAX).contains(&options.connections) || options.rounds == 0 {
        return Err(PaperError::Setup(format!(
            "{} connections are not 1 to {CONNECTIONS_MAX}, or {} rounds are none",
            options.connections, options.rounds
        )));
    }
    require_root()?;
    let settings = Settings {
        connections: options.connections,
        rounds: options.rounds,
        version: String::from(env!("CARGO_PKG_VERSION")),
    };
    let keepalived = Keepalived::is_there();
    let mut kept = Kept::open(options.json.clone(), settings, keepalived)?;
    let rows = rows(&options.faults, &options.schedulers, keepalived);
    say(out, &introduction(options, &rows, keepalived))?;
    let mut run = Run::new(options)?;
    for row in &rows {
        if kept.report.row(*row).is_some() {
            say(out, &format!("{}: measured before\n", row.name()))?;
            continue;
        }
        let measured = run.measure(*row, out)?;
        kept.add(measured)?;
    }
    say(out, &table::of_report(&kept.report))?;
    let mut measured = rows.iter().filter_map(|row| kept.report.row(*row));
    Ok(match measured.any(Measured::is_too_noisy) {
        true => Verdict::TooNoisy,
        false => Verdict::Measured,
    })
}

fn introduction(options: &FailoverOptions, rows: &[Row], keepalived: bool) -> String {
    let mut text = format!(
        "{} rows, each fault {} times, every time on a cluster of its own: {} connections through the Active (a\n\
         third idle, a third streaming, a third asking), new ones all the time, and a datagram every\n\
         millisecond. After the fault every connection sends a request.\n",
        rows.len(),
        options.rounds,
        options.connections,
    );
    if options.schedulers.contains(&Scheduler::None) && !keepalived {
        text.push_str("keepalived is not installed: its rows are left out.\n");
    }
    text
}

/// A run under way.
struct Run<'a> {
    options: &'a FailoverOptions,
    /// What comes while a lab is being taken down is not lost.
    runtime: tokio::runtime::Runtime,
    signals: Signals,
}

impl<'a> Run<'a> {
    fn new(options: &'a FailoverOptions) -> Result<Self, PaperError> {
        let started = Signals::with_runtime();
        let (runtime, signals) = started.map_err(|source| LabError::Start {
            what: "a runtime",
            source,
        })?;
        Ok(Self {
            options,
            runtime,
            signals,
        })
    }

    /// Plays all rounds of a row.
    fn measure(&mut self, row: Row, out: &mut dyn Write) -> Result<Measured, PaperError> {
        let FailoverOptions {
            rounds, repeats, ..
        } = *self.options;
        let mut attempts = Vec::new();
        for round in 1..=rounds {
            for attempt in 1.. {
                let numbers = self.play(row, round)?;
                let line = format!(
                    "{}, round {round} of {rounds}: {}",
                    row.name(),
                    table::of_attempt(&numbers)
                );
                say(out, &line)?;
                let stalled = numbers.stalled;
                attempts.push(Attempt {
                    round,
                    attempt,
                    numbers,
                });
                // What broke counts in every attempt, so there is nothing that another one could hide.
                if !rounds::is_played_again(stalled, true, attempt, repeats) {
                    break;
                }
            }
        }
        Ok(Measured::of(row, attempts))
    }

    /// Plays a fault once.
    fn play(&mut self, row: Row, round: u32) -> Result<Numbers, PaperError> {
        self.go_on()?;
        let options = self.options;
        let lab = Options {
            name: options.name.clone(),
            program: options.program.clone(),
            ..Options::default()
        };
        let mut stage = Stage::start(row, options.connections, lab)?;
        let interval = stage.cluster.setup.router.advert_interval;
        let phase = interval * (round - 1) / options.rounds;
        let seen = act::play(&mut stage, phase, options.patience)?;
        Ok(Numbers::of(&seen))
    }

    /// Whether no signal came since this run began.
    fn go_on(&mut self) -> Result<(), PaperError> {
        let signals = &mut self.signals;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = signals.any() => Err(PaperError::Interrupted),
                () = std::future::ready(()) => Ok(()),
            }
        })
    }
}
