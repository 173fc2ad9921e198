//! The rounds of a run: which of them are played again, which count, and what they come to.
//!
//! Pure: knows no lab, no clock and no file.

use std::time::Duration;

use serde::Serialize;

use crate::paper::numbers::Numbers;

/// Rounds that may stay stalled before nothing is proved any more.
pub(crate) const STALLED_MAX: usize = 2;

/// What is measured in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// The director loses its power.
    PowerOff,
    /// It is powered on.
    Return,
    /// Its daemon is told to end.
    Stop,
    /// Its daemon is started again.
    Restart,
}

impl Event {
    /// In the order in which they are played.
    pub(crate) const ALL: [Self; 4] = [Self::PowerOff, Self::Return, Self::Stop, Self::Restart];

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PowerOff => "power off",
            Self::Return => "return",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// A number that rounds are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quantity {
    /// Longest time between two answers to the probe.
    ProbeGap,
    /// Longest time between two new connections that were answered.
    LoadGap,
    /// From the cause until the heir is Active.
    Takeover,
    /// Longest time without an answer on a connection that did not break.
    StreamStall,
}

impl Quantity {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [
        Self::ProbeGap,
        Self::LoadGap,
        Self::Takeover,
        Self::StreamStall,
    ];

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ProbeGap => "gap of the probe",
            Self::LoadGap => "gap of new connections",
            Self::Takeover => "takeover",
            Self::StreamStall => "stall of streams",
        }
    }

    const fn of(self, numbers: &Numbers) -> Option<u64> {
        match self {
            Self::ProbeGap => Some(numbers.probe_gap_us),
            Self::LoadGap => Some(numbers.load_gap_us),
            Self::Takeover => numbers.takeover_us,
            Self::StreamStall => numbers.stream_stall_us,
        }
    }
}

/// One event of one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Measured {
    /// What.
    pub(crate) event: Event,
    /// Whether the machine stood still meanwhile, in the last attempt too; then it does not count.
    pub(crate) stalled: bool,
    /// How often it was played.
    pub(crate) attempts: u32,
    /// What came of the last attempt.
    #[serde(flatten)]
    pub(crate) numbers: Numbers,
}

/// One round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Round {
    /// Its number, from 1.
    pub(crate) round: u32,
    /// Whether every figure held.
    pub(crate) held: bool,
    /// Whether any of its events is stalled.
    pub(crate) stalled: bool,
    /// Its events, in the order in which they were played.
    pub(crate) events: Vec<Measured>,
}

/// Whether an act is played again: the machine stalled in it, and nothing else speaks against it.
///
/// A figure that does not hold stays: no stall of a few milliseconds explains that.
pub(crate) const fn is_played_again(
    stalled: bool,
    held: bool,
    attempts: u32,
    repeats_max: u32,
) -> bool {
    stalled && held && attempts <= repeats_max
}

/// Whether so many rounds stay stalled that the others prove nothing.
pub(crate) fn is_too_noisy(rounds: &[Round]) -> bool {
    rounds.iter().filter(|round| round.stalled).count() > STALLED_MAX
}

/// One quantity of one event over all rounds that count; times in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    /// What happened.
    pub(crate) event: Event,
    /// What was measured.
    pub(crate) quantity: Quantity,
    /// Rounds that count.
    pub(crate) rounds: u64,
    /// Smallest.
    pub(crate) min_us: u64,
    /// Middle; the mean of the two in the middle where there is none.
    pub(crate) median_us: u64,
    /// Greatest.
    pub(crate) worst_us: u64,
    /// What is aimed at; `None`: nothing in particular.
    #[serde(flatten)]
    pub(crate) bar: Option<Bar>,
}

/// What is aimed at. A figure holds also where it is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Bar {
    /// For the median.
    #[serde(rename = "bar_median_us", skip_serializing_if = "Option::is_none")]
    pub(crate) median_us: Option<u64>,
    /// For the worst round.
    #[serde(rename = "bar_worst_us")]
    pub(crate) worst_us: u64,
    /// Whether both are kept.
    #[serde(rename = "bar_met")]
    pub(crate) met: bool,
}

/// Sums up every quantity of every event, for advertisements that often.
pub(crate) fn summaries(rounds: &[Round], adverts: Duration) -> Vec<Summary> {
    let each = |event| Quantity::ALL.into_iter().map(move |what| (event, what));
    Event::ALL
        .into_iter()
        .flat_map(each)
        .filter_map(|(event, quantity)| summary(rounds, adverts, event, quantity))
        .collect()
}

fn summary(
    rounds: &[Round],
    adverts: Duration,
    event: Event,
    quantity: Quantity,
) -> Option<Summary> {
    let events = rounds.iter().flat_map(|round| &round.events);
    let mut values: Vec<u64> = events
        .filter(|measured| measured.event == event && !measured.stalled)
        .filter_map(|measured| quantity.of(&measured.numbers))
        .collect();
    values.sort_unstable();
    let (min_us, worst_us) = (*values.first()?, *values.last()?);
    let median_us = median(&values);
    let bar = bar(event, quantity, adverts).map(|(median, worst)| Bar {
        median_us: median,
        worst_us: worst,
        met: worst_us <= worst && median.is_none_or(|bar| median_us <= bar),
    });
    Some(Summary {
        event,
        quantity,
        rounds: u64::try_from(values.len()).unwrap_or(u64::MAX),
        min_us,
        median_us,
        worst_us,
        bar,
    })
}

/// Of sorted values; 0 of none.
fn median(values: &[u64]) -> u64 {
    let upper = values.get(values.len() / 2).copied().unwrap_or_default();
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = values.len().checked_sub(2).map(|count| count / 2);
    let lower = lower.and_then(|place| values.get(place)).copied();
    u64::midpoint(lower.unwrap_or_default(), upper)
}

/// What is aimed at for the median and the worst, in microseconds.
fn bar(event: Event, quantity: Quantity, adverts: Duration) -> Option<(Option<u64>, u64)> {
    const HANDED_OVER: u64 = 150_000;

    if !matches!(quantity, Quantity::ProbeGap | Quantity::LoadGap) {
        return None;
    }
    match (event, adverts.as_millis()) {
        (Event::PowerOff, 100) => Some((Some(420_000), 500_000)),
        (Event::PowerOff, 10) => Some((Some(50_000), 100_000)),
        (Event::PowerOff, _) => None,
        // Nobody has to notice anything first.
        (Event::Return | Event::Stop | Event::Restart, _) => Some((None, HANDED_OVER)),
    }
}

/// Whether every bar is met; `None`: there are none.
pub(crate) fn bars_met(summaries: &[Summary]) -> Option<bool> {
    let mut bars = summaries
        .iter()
        .filter_map(|summary| summary.bar)
        .peekable();
    bars.peek()?;
    Some(bars.all(|bar| bar.met))
}

#[cfg(test)]
mod tests;
