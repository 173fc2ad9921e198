//! The core itself: targets, deadlines, outputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use evenkeel_model::Cadence;

use crate::target::{Phase, Start, Target, TargetId};

/// How long after a probe's timeout the core waits for the prober's own verdict.
///
/// The prober keeps the timeout itself; this only has to cover its scheduling delay.
const GRACE: Duration = Duration::from_millis(100);

/// An order to the shell, or news for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Check the target now, and report by `handle_result` with this attempt's number.
    Probe {
        /// The target.
        target: TargetId,
        /// Number of this check, never used twice by one core.
        attempt: u64,
        /// Total deadline of the check.
        timeout: Duration,
    },
    /// A check is complete, or was given up on; comes after the `Changed` that it causes.
    Checked {
        /// The target.
        target: TargetId,
        /// The result that was counted.
        outcome: Result<(), String>,
    },
    /// The target's verdict is new.
    Changed {
        /// The target.
        target: TargetId,
        /// Up, else down.
        up: bool,
        /// Why, for people.
        reason: String,
    },
}

/// Decides when targets are checked and whether they are up.
///
/// # How to drive it
/// After every call that takes `&mut self`, call [`poll_output`](Self::poll_output) until it returns
/// `None`, then arm one timer for [`poll_timeout`](Self::poll_timeout) and call
/// [`handle_timeout`](Self::handle_timeout) when it fires; early or late calls do no harm. `now` must
/// not run backwards. Every [`Output::Probe`] is to be run at once and beside all others, since a target
/// that hangs must not delay the rest, and is answered by one [`handle_result`](Self::handle_result).
///
/// A target has one probe in flight at most. A probe whose result is missing at its timeout and 100 ms
/// counts as failed, and its late result is ignored. Checks start `every` apart, start to start (or at
/// the end of the one before, where that is later), the first at once; the second comes earlier, by up
/// to half an interval, so that targets added together are spread and none is found out later than
/// `fall * every + timeout` after it died.
#[derive(Debug, Default)]
pub struct Health {
    targets: BTreeMap<TargetId, Target>,
    /// One deadline per target.
    deadlines: BTreeSet<(Instant, TargetId)>,
    outputs: VecDeque<Output>,
    /// Attempts so far, of all targets, so that no result is taken for a later target of the same id.
    attempts: u64,
}

impl Health {
    /// Makes a core without targets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a target and starts its first check; a target of the same id is replaced.
    pub fn add(&mut self, id: TargetId, cadence: Cadence, start: Start, now: Instant) {
        self.remove(id);
        let target = Target {
            cadence,
            up: match start {
                Start::Gated => None,
                Start::Adopted => Some(true),
                Start::AdoptedDown => Some(false),
            },
            against: 0,
            phase: Phase::Waiting,
            deadline: now,
            started: now,
            attempt: 0,
            checked: false,
        };
        self.targets.insert(id, target);
        self.deadlines.insert((now, id));
        self.handle_timeout(now);
    }

    /// Changes when a target is checked and how many results decide; the verdict and what was counted stay.
    ///
    /// A check in flight keeps its timeout; a lower `fall` or `rise` applies from the next result on.
    pub fn set_cadence(&mut self, id: TargetId, cadence: Cadence, now: Instant) {
        let Some(target) = self.targets.get_mut(&id) else {
            return;
        };
        target.cadence = cadence;
        if target.phase == Phase::Waiting {
            let next = (target.started + cadence.every).max(now);
            self.set_deadline(id, Phase::Waiting, next);
        }
        self.check_invariants();
    }

    /// Forgets a target; a result that is still to come is ignored.
    pub fn remove(&mut self, id: TargetId) {
        if let Some(target) = self.targets.remove(&id) {
            self.deadlines.remove(&(target.deadline, id));
        }
        self.check_invariants();
    }

    /// Takes the result of a probe; one that is not in flight any more is ignored.
    pub fn handle_result(
        &mut self,
        id: TargetId,
        attempt: u64,
        outcome: Result<(), String>,
        now: Instant,
    ) {
        let in_flight = self
            .targets
            .get(&id)
            .is_some_and(|t| t.phase == Phase::Probing && t.attempt == attempt);
        if in_flight {
            self.complete(id, outcome, now);
        }
        self.check_invariants();
    }

    /// Starts the checks that are due and gives up on those that hang.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Ends: a target that was due is then probing, with a deadline after `now`.
        while let Some(&(due, id)) = self.deadlines.first()
            && due <= now
        {
            let Some(target) = self.targets.get(&id) else {
                self.deadlines.pop_first();
                continue;
            };
            match target.phase {
                Phase::Waiting => self.probe(id, now),
                Phase::Probing => {
                    let timeout = target.cadence.timeout;
                    self.complete(id, Err(format!("no answer within {timeout:?}")), now);
                }
            }
        }
        self.check_invariants();
    }

    /// Returns the next output; to be called until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due; `None` without targets.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Tells whether a target is up; `None` while gated, and for unknown targets.
    #[must_use]
    pub fn is_up(&self, id: TargetId) -> Option<bool> {
        self.targets.get(&id).and_then(|target| target.up)
    }

    /// Tells whether a result of the target has come in since it was added.
    #[must_use]
    pub fn is_checked(&self, id: TargetId) -> bool {
        self.targets.get(&id).is_some_and(|target| target.checked)
    }

    /// Counts the targets of which no result has come in since they were added.
    #[must_use]
    pub fn unchecked(&self) -> usize {
        self.targets.values().filter(|t| !t.checked).count()
    }

    fn probe(&mut self, id: TargetId, now: Instant) {
        let Some(target) = self.targets.get_mut(&id) else {
            return;
        };
        self.attempts += 1;
        target.attempt = self.attempts;
        target.started = now;
        let timeout = target.cadence.timeout;
        self.outputs.push_back(Output::Probe {
            target: id,
            attempt: self.attempts,
            timeout,
        });
        self.set_deadline(id, Phase::Probing, now + timeout + GRACE);
    }

    fn complete(&mut self, id: TargetId, outcome: Result<(), String>, now: Instant) {
        let Some(target) = self.targets.get_mut(&id) else {
            return;
        };
        let interval = if target.checked {
            target.cadence.every
        } else {
            first_interval(id, target.cadence.every)
        };
        let next = (target.started + interval).max(now);
        let verdict = target.count(&outcome);
        if let Some((up, reason)) = verdict {
            self.outputs.push_back(Output::Changed {
                target: id,
                up,
                reason,
            });
        }
        self.outputs.push_back(Output::Checked {
            target: id,
            outcome,
        });
        self.set_deadline(id, Phase::Waiting, next);
    }

    fn set_deadline(&mut self, id: TargetId, phase: Phase, deadline: Instant) {
        if let Some(target) = self.targets.get_mut(&id) {
            self.deadlines.remove(&(target.deadline, id));
            self.deadlines.insert((deadline, id));
            target.phase = phase;
            target.deadline = deadline;
        }
    }

    /// Panics in debug builds where the deadlines are not exactly those of the targets.
    fn check_invariants(&self) {
        #[cfg(debug_assertions)]
        {
            assert_eq!(self.deadlines.len(), self.targets.len());
            for (id, target) in &self.targets {
                assert!(self.deadlines.contains(&(target.deadline, *id)));
                assert!(target.attempt <= self.attempts);
            }
        }
    }
}

/// Returns the time from the first check to the second: between a half and all of an interval.
fn first_interval(id: TargetId, every: Duration) -> Duration {
    // Knuth's multiplicative hash: neighbouring ids land far apart.
    let spread = id.0.wrapping_mul(2_654_435_769) >> 22;
    every / 2 + every / 2 * (spread + 1) / 1024
}
