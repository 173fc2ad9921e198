//! One figure as it is told: what was expected and what was measured. It judges nothing.

use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use crate::paper::numbers::Numbers;

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

impl Expectation {
    /// As it is told, in whole lines.
    pub(crate) fn in_words(&self) -> String {
        let word = if self.held { "held  " } else { "FAILED" };
        format!(
            "  {word}  expected: {}\n          measured: {}\n",
            self.expected, self.measured
        )
    }
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
    /// What a handover of the virtual address came to.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) numbers: Option<Numbers>,
}

/// What a figure is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Name {
    /// One of the paper's, by its number.
    Figure(u8),
    /// What the paper has no figure of.
    Other(&'static str),
}

impl Name {
    /// The director's daemon is told to end, and is started again.
    pub(crate) const STOP: Self = Self::Other("stop");
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Figure(number) => write!(f, "Figure {number}"),
            Self::Other(name) => write!(f, "Not in the paper, \"{name}\""),
        }
    }
}

/// A figure, played and judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Figure {
    figure: Name,
    title: String,
    /// What happened before the listing; for people.
    #[serde(skip)]
    story: &'static str,
    held: bool,
    listing: String,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) longest_gap_ms: u64,
    #[serde(flatten)]
    measures: Measures,
    expectations: Vec<Expectation>,
}

impl Figure {
    /// A figure that holds if every expectation does.
    pub(crate) fn new(
        figure: Name,
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
    pub(crate) const fn held(&self) -> bool {
        self.held
    }

    /// The expectations, in their order.
    #[cfg(test)]
    pub(crate) fn expectations(&self) -> &[Expectation] {
        &self.expectations
    }

    /// The figure as a story.
    pub(crate) fn narrative(&self) -> String {
        let mut text = format!(
            "\n{}: {}\n\n{}\n    # ipvsadm -L\n",
            self.figure, self.title, self.story
        );
        for line in self.listing.lines() {
            text.push_str("    ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
        for expectation in &self.expectations {
            text.push_str(&expectation.in_words());
        }
        if self.requests > 0 {
            text.push_str(&self.in_numbers());
        }
        text
    }

    fn in_numbers(&self) -> String {
        let mut text = String::new();
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
        if let Some(numbers) = &self.measures.numbers {
            put(&mut text, format_args!("{}", numbers.in_words()));
        }
        text
    }
}

/// Milliseconds, rounded up.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// Writes to a string.
pub(crate) fn put(text: &mut String, arguments: fmt::Arguments<'_>) {
    let written = text.write_fmt(arguments);
    debug_assert!(written.is_ok(), "a string takes all that is written to it");
}
