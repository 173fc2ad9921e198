//! What is measured of a handover: silences, losses and times.
//!
//! Pure: knows no lab, no clock and no file.

use std::time::{Duration, Instant};

use evenkeel_api::Role;
use serde::Serialize;

use crate::paper::evidence::Handover;
use crate::silence::{Silence, longest_silence};
use crate::streams::Stream;

/// Stalls up to this are forgiven while a director starts: the kernel loads its program, and lets go of
/// the processor only after some milliseconds. A machine of its own would hold up nobody else.
pub(crate) const LOADING_MAX: Duration = Duration::from_millis(20);

/// Whether the machine stood still while a handover was measured, so that it does not count.
pub(crate) fn is_stalled(handover: &Handover) -> bool {
    let started = handover.heir.0.first().map(|(when, _role)| *when);
    handover.stalls.iter().any(|stall| {
        let loading = started.is_none_or(|started| stall.began + stall.length <= started);
        !loading || stall.length > LOADING_MAX
    })
}

/// One handover in numbers; times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Numbers {
    /// Longest time between two answers to the probe.
    pub(crate) probe_gap_us: u64,
    /// When that began, from the cause on; negative: before it.
    pub(crate) probe_gap_began_us: i64,
    /// Longest time between two new connections that were answered.
    pub(crate) load_gap_us: u64,
    /// From the cause until the heir was Active by its own word; `None`: never.
    pub(crate) takeover_us: Option<u64>,
    /// New connections.
    pub(crate) requests: u64,
    /// Those that failed, none of them tried again.
    pub(crate) failed: u64,
    /// Datagrams of the probe.
    pub(crate) probes: u64,
    /// Those that were never answered.
    pub(crate) probes_lost: u64,
    /// Those that were answered more than once.
    pub(crate) probes_duplicated: u64,
    /// Long-lived connections that ran.
    pub(crate) streams: u64,
    /// Those that broke.
    pub(crate) streams_broken: u64,
    /// Longest time without an answer on one that did not; `None`: all broke.
    pub(crate) stream_stall_us: Option<u64>,
    /// When this machine stood still for more than 5 ms.
    pub(crate) machine_stalls: Vec<MachineStall>,
}

/// This machine stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MachineStall {
    /// Since when, from the cause on; negative: before it.
    pub(crate) began_us: i64,
    /// How long.
    pub(crate) length_us: u64,
}

impl Numbers {
    /// Counts and measures.
    pub(crate) fn of(handover: &Handover) -> Self {
        let Handover {
            from, cause, to, ..
        } = *handover;
        let probes = || handover.echoes.sent(from, to);
        let requests = || {
            let records = handover.records.iter();
            records.filter(|record| (from..=to).contains(&record.started))
        };
        let running: Vec<&Stream> = handover
            .streams
            .iter()
            .filter(|stream| {
                let broke = stream.broke.as_ref().map(|(when, _why)| *when);
                broke.is_none_or(|when| when > to)
            })
            .collect();
        let active = handover.heir.became(Role::Active, cause);
        let silence = handover.echoes.longest_silence(from, to);
        Self {
            probe_gap_us: micros(silence.length),
            probe_gap_began_us: micros_between(cause, silence.began),
            load_gap_us: micros(Self::load_silence(handover, from).length),
            takeover_us: active.map(|when| micros(when.saturating_duration_since(cause))),
            requests: count(requests()),
            failed: count(requests().filter(|record| record.outcome.is_err())),
            probes: count(probes()),
            probes_lost: count(probes().filter(|echo| echo.answers == 0)),
            probes_duplicated: count(probes().filter(|echo| echo.answers > 1)),
            streams: count(&handover.streams),
            streams_broken: count(&handover.streams) - count(&running),
            stream_stall_us: running
                .iter()
                .map(|stream| micros(stream.longest_stall(from, to).length))
                .max(),
            machine_stalls: handover
                .stalls
                .iter()
                .map(|stall| MachineStall {
                    began_us: micros_between(cause, stall.began),
                    length_us: micros(stall.length),
                })
                .collect(),
        }
    }

    /// What a figure tells of them, in whole lines.
    pub(crate) fn in_words(&self) -> String {
        format!(
            "  {} datagrams of the probe sent, {} lost, {} answered twice; longest time without an answer \
             {} ms\n  {} of {} long-lived connections broke; the others stalled for at most {} ms\n",
            self.probes,
            self.probes_lost,
            self.probes_duplicated,
            self.probe_gap_us.div_ceil(1000),
            self.streams_broken,
            self.streams,
            self.stream_stall_us.unwrap_or_default().div_ceil(1000),
        )
    }

    /// The longest time without a new connection that was answered, from some moment of the measured
    /// time on.
    pub(crate) fn load_silence(handover: &Handover, from: Instant) -> Silence {
        let ends = handover
            .records
            .iter()
            .filter(|record| record.outcome.is_ok())
            .map(|record| record.finished);
        longest_silence(ends, from, handover.to)
    }
}

fn count(things: impl IntoIterator) -> u64 {
    u64::try_from(things.into_iter().count()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// From the first to the second; negative where the second is earlier.
fn micros_between(first: Instant, second: Instant) -> i64 {
    let signed = |duration| i64::try_from(micros(duration)).unwrap_or(i64::MAX);
    match second.checked_duration_since(first) {
        Some(later) => signed(later),
        None => -signed(first.saturating_duration_since(second)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
