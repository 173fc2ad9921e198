//! What came of one fault, in numbers. Of a connection it tells whether it broke, and when it was made.
//!
//! Pure: knows no lab, no clock and no file.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::load::Record;
use crate::paper::failover::rows::Fault;
use crate::paper::numbers::LOADING_MAX;
use crate::probe::{Echo, Echoes};
use crate::stall::{STALL_MIN, Stall};

/// A connection, as it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Whether it is one of those that were asked for, and none of the stream of new ones.
    pub(crate) asked_for: bool,
    /// When its handshake was complete; `None`: it never was.
    pub(crate) established: Option<Instant>,
    /// Its real server; `None`: it never had an answer.
    pub(crate) server: Option<String>,
    /// When and how it broke; `None`: its server answered in the end.
    pub(crate) broke: Option<(Instant, Breakage)>,
}

/// How a connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breakage {
    /// It was reset or closed.
    Reset,
    /// Something else answered than its own server.
    OtherServer,
    /// Nothing answered in time.
    Unanswered,
}

/// All that was seen of one fault.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) fault: Fault,
    /// Where the measured time begins, in steady traffic.
    pub(crate) from: Instant,
    /// The fault.
    pub(crate) cause: Instant,
    /// Where the measured time ends, before the connections were asked.
    pub(crate) to: Instant,
    /// The probe.
    pub(crate) echoes: Echoes,
    /// When the heir first announced the address; `None`: never.
    pub(crate) announced: Option<Instant>,
    /// Longest time for which both directors answered ARP for the address.
    pub(crate) held_twice: Duration,
    /// Whether the directors got the roles that they should have in the end.
    pub(crate) settled: bool,
    /// When this machine stood still in the measured time.
    pub(crate) stalls: Vec<Stall>,
    /// `None` where directors balance nothing.
    pub(crate) traffic: Option<Traffic>,
}

/// Connections through the directors.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    /// How far the successor may be behind, as was last reported before the fault.
    pub(crate) lag: Duration,
    /// The real server that died with the director.
    pub(crate) dead: Option<String>,
    pub(crate) flows: Vec<Flow>,
    /// Short connections, one after the other.
    pub(crate) requests: Vec<Record>,
    /// Segments that were sent again before the fault, and from then on, in the measured time.
    pub(crate) retransmitted: [u64; 2],
}

/// One fault in numbers; times in milliseconds, with one decimal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    /// Whether this machine stood still, so that the times and the probe do not count.
    pub(crate) stalled: bool,
    /// Whether the directors got the roles that they should have in the end.
    pub(crate) settled: bool,
    /// Longest time between two answers to the probe.
    pub(crate) gap_ms: f64,
    /// The same before the fault.
    pub(crate) gap_fault_free_ms: f64,
    /// From the fault until the heir announced the address; `None`: it did not.
    pub(crate) takeover_ms: Option<f64>,
    /// Longest time for which both directors answered ARP for the address.
    pub(crate) held_twice_ms: f64,
    /// Datagrams of the probe.
    pub(crate) probes: u64,
    /// Those that were never answered.
    pub(crate) probe_lost: u64,
    /// Those that were answered more than once.
    pub(crate) probe_duplicated: u64,
    /// The lag by which connections count as younger than it; these three are `None` where directors
    /// balance nothing.
    pub(crate) lag_ms: Option<f64>,
    /// TCP segments sent again in the measured time, per second, before the fault.
    pub(crate) retransmitted_fault_free_per_s: Option<f64>,
    /// The same from the fault on.
    pub(crate) retransmitted_per_s: Option<f64>,
    /// `None` where directors balance nothing.
    #[serde(flatten)]
    pub(crate) counts: Option<Counts>,
}

/// Connections and requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Connections that were asked for and stood at the fault.
    pub(crate) established: u64,
    /// Those that were asked for and never stood, and all that had broken before the fault.
    pub(crate) missing: u64,
    /// Connections of the stream of new ones that stood at the fault.
    pub(crate) established_besides: u64,
    /// Those of it that were made after the fault.
    pub(crate) made_after_fault: u64,
    /// Connections of a real server that died with the director; they are not broken.
    pub(crate) of_dead_server: u64,
    /// Broken, and at the fault established for longer than the lag.
    pub(crate) broken: u64,
    /// Broken, and at the fault established for no longer than the lag.
    pub(crate) broken_younger_than_lag: u64,
    /// Broken, and established after the fault.
    pub(crate) broken_after_fault: u64,
    /// Of all that are broken: reset or closed.
    pub(crate) reset: u64,
    /// Answered by another server.
    pub(crate) answered_by_another: u64,
    /// Not answered.
    pub(crate) unanswered: u64,
    /// Requests on connections of their own, and connections that never came to be.
    pub(crate) requests: u64,
    /// Those that failed; none was tried again.
    pub(crate) requests_failed: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Self {
            established,
            missing,
            established_besides,
            made_after_fault,
            of_dead_server,
            broken,
            broken_younger_than_lag,
            broken_after_fault,
            reset,
            answered_by_another,
            unanswered,
            requests,
            requests_failed,
        } = other;
        self.established += established;
        self.missing += missing;
        self.established_besides += established_besides;
        self.made_after_fault += made_after_fault;
        self.of_dead_server += of_dead_server;
        self.broken += broken;
        self.broken_younger_than_lag += broken_younger_than_lag;
        self.broken_after_fault += broken_after_fault;
        self.reset += reset;
        self.answered_by_another += answered_by_another;
        self.unanswered += unanswered;
        self.requests += requests;
        self.requests_failed += requests_failed;
    }
}

impl Numbers {
    /// Counts and measures.
    pub(crate) fn of(seen: &Evidence) -> Self {
        let Evidence {
            from, cause, to, ..
        } = *seen;
        let probes = |wanted: fn(&Echo) -> bool| {
            let sent = seen.echoes.sent(from, to);
            count(sent.filter(|echo| wanted(echo)))
        };
        let traffic = seen.traffic.as_ref();
        let forgiven = match seen.fault.starts_a_program() {
            true => LOADING_MAX,
            false => STALL_MIN,
        };
        Self {
            stalled: seen.stalls.iter().any(|stall| stall.length > forgiven),
            settled: seen.settled,
            gap_ms: millis(seen.echoes.longest_silence(from, to).length),
            gap_fault_free_ms: millis(seen.echoes.longest_silence(from, cause).length),
            takeover_ms: seen
                .announced
                .map(|when| millis(when.saturating_duration_since(cause))),
            held_twice_ms: millis(seen.held_twice),
            probes: probes(|_echo| true),
            probe_lost: probes(|echo| echo.answers == 0),
            probe_duplicated: probes(|echo| echo.answers > 1),
            lag_ms: traffic.map(|traffic| millis(traffic.lag)),
            retransmitted_fault_free_per_s: traffic.map(|traffic| {
                let [before, _after] = traffic.retransmitted;
                per_second(before, from, cause)
            }),
            retransmitted_per_s: traffic.map(|traffic| {
                let [_before, after] = traffic.retransmitted;
                per_second(after, cause, to)
            }),
            counts: traffic.map(|traffic| traffic.counts(seen)),
        }
    }
}

/// When a connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Older,
    YoungerThanLag,
    AfterFault,
}

impl Traffic {
    fn counts(&self, seen: &Evidence) -> Counts {
        let measured = self.requests.iter().filter(|record| {
            let Evidence { from, to, .. } = seen;
            (*from..=*to).contains(&record.started)
        });
        let mut counts = Counts {
            requests: count(measured.clone()),
            requests_failed: count(measured.filter(|record| record.outcome.is_err())),
            ..Counts::default()
        };
        for flow in &self.flows {
            self.add(flow, seen.cause, &mut counts);
        }
        counts
    }

    fn add(&self, flow: &Flow, cause: Instant, counts: &mut Counts) {
        let Some(established) = flow.established else {
            counts.requests += 1;
            counts.requests_failed += 1;
            counts.missing += u64::from(flow.asked_for);
            return;
        };
        if flow.broke.is_some_and(|(when, _how)| when < cause) {
            counts.missing += 1;
            return;
        }
        let age = age(established, cause, self.lag);
        *match (flow.asked_for, age) {
            (true, _) => &mut counts.established,
            (false, Age::Older | Age::YoungerThanLag) => &mut counts.established_besides,
            (false, Age::AfterFault) => &mut counts.made_after_fault,
        } += 1;
        if self.dead.is_some() && flow.server == self.dead {
            counts.of_dead_server += 1;
            return;
        }
        let Some((_when, how)) = flow.broke else {
            return;
        };
        *match age {
            Age::Older => &mut counts.broken,
            Age::YoungerThanLag => &mut counts.broken_younger_than_lag,
            Age::AfterFault => &mut counts.broken_after_fault,
        } += 1;
        *match how {
            Breakage::Reset => &mut counts.reset,
            Breakage::OtherServer => &mut counts.answered_by_another,
            Breakage::Unanswered => &mut counts.unanswered,
        } += 1;
    }
}

fn age(established: Instant, cause: Instant, lag: Duration) -> Age {
    match cause.checked_duration_since(established) {
        None => Age::AfterFault,
        Some(age) if age > lag => Age::Older,
        Some(_) => Age::YoungerThanLag,
    }
}

fn per_second(count: u64, from: Instant, to: Instant) -> f64 {
    let seconds = to.saturating_duration_since(from).as_secs_f64();
    // Far below where a float is not exact any more.
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    rounded(if seconds > 0.0 { count / seconds } else { 0.0 })
}

fn count(things: impl IntoIterator) -> u64 {
    u64::try_from(things.into_iter().count()).unwrap_or(u64::MAX)
}

/// Milliseconds with one decimal.
pub(crate) fn millis(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1000.0)
}

fn rounded(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests;
