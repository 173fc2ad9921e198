//! The run as it is told: a narrative for people, JSON for programs. It judges nothing.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::lab::WebServer;
use crate::paper::figure::{Figure, ms};
use crate::paper::rounds::{self, Round};
use crate::paper::{Outcome, PaperError, table};

/// Figures that are played: 5 to 13, and the director whose daemon is stopped.
const FIGURES: u64 = 10;

/// All figures and rounds together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    held: bool,
    figures_played: u64,
    figures_held: u64,
    requests: u64,
    failed: u64,
    longest_gap_ms: u64,
    duration_ms: u64,
    web_server: &'static str,
    version: &'static str,
    /// Time between advertisements.
    adverts_ms: u64,
    /// Rounds that were asked for.
    rounds: u64,
    /// Rounds in which every figure held.
    rounds_held: u64,
    /// Rounds in which the machine stood still, which do not count in `measures`.
    rounds_stalled: u64,
    /// Whether so many did that the others prove nothing.
    too_noisy: bool,
    /// Whether the watch over the machine had real-time priority; without, busy programs look like a
    /// machine that stands still.
    stalls_watched_in_real_time: bool,
    /// Whether every bar was met; `None`: no round counts.
    bars_met: Option<bool>,
    /// Every quantity of every event, over all rounds that count.
    measures: Vec<rounds::Summary>,
    /// Why not every figure was played.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What was played so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    rounds: Vec<Round>,
    summary: Summary,
    #[serde(skip)]
    adverts: Duration,
}

impl Report {
    /// A report of nothing yet, for that many rounds.
    pub(crate) fn new(web_server: WebServer, adverts: Duration, rounds: u32) -> Self {
        Self {
            figures: Vec::new(),
            rounds: Vec::new(),
            summary: Summary {
                web_server: match web_server {
                    WebServer::BuiltIn => "built-in",
                    WebServer::Nginx => "nginx",
                },
                version: env!("CARGO_PKG_VERSION"),
                adverts_ms: ms(adverts),
                rounds: u64::from(rounds),
                ..Summary::default()
            },
            adverts,
        }
    }

    /// Notes whether the watch over the machine had real-time priority.
    pub(crate) const fn stalls_are_watched(&mut self, in_real_time: bool) {
        self.summary.stalls_watched_in_real_time = in_real_time;
    }

    /// Adds a figure, and tells it.
    pub(crate) fn add(&mut self, figure: Figure, out: &mut dyn Write) -> Result<(), PaperError> {
        let text = figure.narrative();
        self.figures.push(figure);
        super::say(out, &text)
    }

    /// Adds a round, and tells it; figures of later rounds are told only where they did not hold.
    pub(crate) fn add_round(
        &mut self,
        round: Round,
        figures: Vec<Figure>,
        out: &mut dyn Write,
    ) -> Result<(), PaperError> {
        for figure in figures {
            if round.round == 1 {
                self.add(figure, out)?;
            } else if !figure.held() {
                super::say(out, &figure.narrative())?;
            }
        }
        super::say(out, &table::of_round(&round))?;
        self.rounds.push(round);
        Ok(())
    }

    /// Sums up; `error` is why not all was played.
    pub(crate) fn finish(&mut self, duration: Duration, error: Option<String>) {
        let sum = |of: fn(&Figure) -> u64| self.figures.iter().map(of).sum();
        let held = count(self.figures.iter().filter(|figure| figure.held()));
        let rounds_held = count(self.rounds.iter().filter(|round| round.held));
        let measures = rounds::summaries(&self.rounds, self.adverts);
        self.summary = Summary {
            held: error.is_none() && held == FIGURES && rounds_held == self.summary.rounds,
            figures_played: count(&self.figures),
            figures_held: held,
            requests: sum(|figure| figure.requests),
            failed: sum(|figure| figure.failed),
            longest_gap_ms: self
                .figures
                .iter()
                .map(|figure| figure.longest_gap_ms)
                .max()
                .unwrap_or_default(),
            duration_ms: ms(duration),
            rounds_held,
            rounds_stalled: count(self.rounds.iter().filter(|round| round.stalled)),
            too_noisy: rounds::is_too_noisy(&self.rounds),
            bars_met: rounds::bars_met(&measures),
            measures,
            error,
            ..self.summary.clone()
        };
    }

    /// What it came to.
    pub(crate) const fn outcome(&self) -> Outcome {
        if !self.summary.held {
            Outcome::NotHeld
        } else if self.summary.too_noisy {
            Outcome::TooNoisy
        } else {
            Outcome::Held
        }
    }

    /// Tells the end.
    pub(crate) fn write_end(&self, out: &mut dyn Write) -> io::Result<()> {
        let Summary {
            figures_held,
            requests,
            failed,
            duration_ms,
            adverts_ms,
            rounds,
            rounds_held,
            rounds_stalled,
            measures,
            ..
        } = &self.summary;
        out.write_all(table::of_rounds(measures, *adverts_ms).as_bytes())?;
        if self.summary.too_noisy {
            writeln!(
                out,
                "\nThe machine is too noisy: it stood still for more than 5 ms in {rounds_stalled} of \
                 {rounds} rounds, each time it was tried. These numbers prove nothing."
            )?;
        }
        let verdict = if self.summary.held {
            "Every figure held"
        } else {
            "NOT every figure held: see the lines with FAILED"
        };
        writeln!(
            out,
            "\n{verdict} ({figures_held} of {FIGURES}, in {rounds_held} of {rounds} rounds): {requests} \
             requests sent, {failed} failed, in {} s.",
            duration_ms.div_ceil(1000)
        )?;
        out.flush()
    }
}

fn count(things: impl IntoIterator) -> u64 {
    u64::try_from(things.into_iter().count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
