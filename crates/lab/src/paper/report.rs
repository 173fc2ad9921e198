//! The figures as they are told: a narrative for people, JSON for programs. It judges nothing.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::lab::WebServer;
use crate::paper::PaperError;

/// Figures that are played.
const FIGURES: u64 = 4;

/// Something that was expected of a figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Expectation {
    /// What was expected.
    pub(crate) expected: String,
    /// What was measured.
    pub(crate) measured: String,
    /// Whether that is what was expected.
    pub(crate) held: bool,
}

/// What only some figures measure. Milliseconds count from the fault or the power-on, rounded up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Measures {
    /// Largest share of the load less the smallest, in requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) share_difference: Option<u64>,
    /// What was allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bound_ms: Option<u64>,
    /// When the director was first seen to list the dead server no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) removed_ms: Option<u64>,
    /// Packets that left for the dead server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) misdirected_packets: Option<u64>,
    /// The last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_misdirected_ms: Option<u64>,
    /// When the director was first seen to list the server again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listed_ms: Option<u64>,
    /// When a client had its first whole answer from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) served_ms: Option<u64>,
}

/// A figure, played and judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Figure {
    figure: u8,
    title: String,
    /// What happened before the listing; for people.
    #[serde(skip)]
    story: &'static str,
    held: bool,
    listing: String,
    requests: u64,
    failed: u64,
    longest_gap_ms: u64,
    #[serde(flatten)]
    measures: Measures,
    expectations: Vec<Expectation>,
}

impl Figure {
    /// A figure that holds if every expectation does.
    pub(crate) fn new(
        figure: u8,
        title: &str,
        listing: &str,
        expectations: Vec<Expectation>,
    ) -> Self {
        Self {
            figure,
            title: title.to_owned(),
            story: "",
            held: expectations.iter().all(|expectation| expectation.held),
            listing: listing.to_owned(),
            requests: 0,
            failed: 0,
            longest_gap_ms: 0,
            measures: Measures::default(),
            expectations,
        }
    }

    /// What happened before the listing, in whole lines.
    pub(crate) const fn told(mut self, story: &'static str) -> Self {
        self.story = story;
        self
    }

    /// Requests sent and failed, and the longest time without an answer.
    pub(crate) fn with_load(mut self, requests: usize, failed: usize, gap: Duration) -> Self {
        self.requests = u64::try_from(requests).unwrap_or(u64::MAX);
        self.failed = u64::try_from(failed).unwrap_or(u64::MAX);
        self.longest_gap_ms = ms(gap);
        self
    }

    /// What else was measured.
    pub(crate) fn with(mut self, measures: Measures) -> Self {
        self.measures = measures;
        self
    }

    /// Whether every expectation held.
    #[cfg(test)]
    pub(crate) const fn held(&self) -> bool {
        self.held
    }

    /// The expectations, in their order.
    #[cfg(test)]
    pub(crate) fn expectations(&self) -> &[Expectation] {
        &self.expectations
    }

    fn narrative(&self) -> String {
        let mut text = format!(
            "\nFigure {}: {}\n\n{}\n    # ipvsadm -L\n",
            self.figure, self.title, self.story
        );
        for line in self.listing.lines() {
            text.push_str("    ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
        for expectation in &self.expectations {
            let word = if expectation.held { "held  " } else { "FAILED" };
            put(
                &mut text,
                format_args!(
                    "  {word}  expected: {}\n          measured: {}\n",
                    expectation.expected, expectation.measured
                ),
            );
        }
        put(
            &mut text,
            format_args!(
                "\n  {} requests sent, {} failed, none retried; longest time without an answer {} ms\n",
                self.requests, self.failed, self.longest_gap_ms
            ),
        );
        for (what, value) in [
            ("left the list after", self.measures.removed_ms),
            (
                "last misdirected packet after",
                self.measures.last_misdirected_ms,
            ),
            ("listed again after", self.measures.listed_ms),
            ("first answer after", self.measures.served_ms),
        ] {
            if let Some(value) = value {
                put(&mut text, format_args!("  {what} {value} ms\n"));
            }
        }
        text
    }
}

/// All figures together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// Why not every figure was played.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What was played so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    summary: Summary,
}

impl Report {
    /// A report of nothing yet.
    pub(crate) const fn new(web_server: WebServer) -> Self {
        Self {
            figures: Vec::new(),
            summary: Summary {
                held: false,
                figures_played: 0,
                figures_held: 0,
                requests: 0,
                failed: 0,
                longest_gap_ms: 0,
                duration_ms: 0,
                web_server: match web_server {
                    WebServer::BuiltIn => "built-in",
                    WebServer::Nginx => "nginx",
                },
                version: env!("CARGO_PKG_VERSION"),
                error: None,
            },
        }
    }

    /// Adds a figure, and tells it.
    pub(crate) fn add(&mut self, figure: Figure, out: &mut dyn Write) -> Result<(), PaperError> {
        let text = figure.narrative();
        self.figures.push(figure);
        super::say(out, &text)
    }

    /// Sums up; `error` is why not all figures were played.
    pub(crate) fn finish(&mut self, duration: Duration, error: Option<String>) {
        let count = |figures: usize| u64::try_from(figures).unwrap_or(u64::MAX);
        let sum = |of: fn(&Figure) -> u64| self.figures.iter().map(of).sum();
        let held = self.figures.iter().filter(|figure| figure.held).count();
        self.summary = Summary {
            held: error.is_none() && count(held) == FIGURES,
            figures_played: count(self.figures.len()),
            figures_held: count(held),
            requests: sum(|figure| figure.requests),
            failed: sum(|figure| figure.failed),
            longest_gap_ms: self
                .figures
                .iter()
                .map(|figure| figure.longest_gap_ms)
                .max()
                .unwrap_or_default(),
            duration_ms: ms(duration),
            error,
            ..self.summary.clone()
        };
    }

    /// Whether every figure was played and held.
    pub(crate) const fn held(&self) -> bool {
        self.summary.held
    }

    /// Tells the end.
    pub(crate) fn write_end(&self, out: &mut dyn Write) -> io::Result<()> {
        let Summary {
            figures_held,
            requests,
            failed,
            duration_ms,
            ..
        } = &self.summary;
        let verdict = if self.held() {
            "Every figure held"
        } else {
            "NOT every figure held: see the lines with FAILED"
        };
        write!(
            out,
            "\n{verdict} ({figures_held} of {FIGURES}): {requests} requests sent, {failed} failed, \
             in {} s.\n",
            duration_ms.div_ceil(1000)
        )?;
        out.flush()
    }
}

/// Milliseconds, rounded up.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(arguments);
    debug_assert!(written.is_ok(), "a string takes all that is written to it");
}

#[cfg(test)]
mod tests;
