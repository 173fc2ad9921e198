//! One target: its verdict, and how results in a row change it.

use std::time::Instant;

use evenkeel_model::Cadence;

/// Names a target; chosen by the owner of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u32);

/// What is known of a target before its first check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing: neither up nor down, and the first result decides at once.
    Gated,
    /// It was up: it stays so until `fall` checks in a row have failed.
    Adopted,
    /// It was down: it stays so until `rise` checks in a row have passed.
    AdoptedDown,
}

/// Where a target is between two checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The next check starts at the target's deadline.
    Waiting,
    /// A check runs; at the target's deadline it counts as failed.
    Probing,
}

#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) cadence: Cadence,
    /// Up or down; `None` while gated.
    pub(crate) up: Option<bool>,
    /// Results in a row that speak against the verdict.
    pub(crate) against: u32,
    pub(crate) phase: Phase,
    /// When the phase ends by itself.
    pub(crate) deadline: Instant,
    /// Start of the latest check.
    pub(crate) started: Instant,
    /// Number of the latest check.
    pub(crate) attempt: u64,
    /// Whether a result has come in since it was added.
    pub(crate) checked: bool,
}

impl Target {
    /// Counts a result, and returns the new verdict with its reason where it decides.
    pub(crate) fn count(&mut self, outcome: &Result<(), String>) -> Option<(bool, String)> {
        self.checked = true;
        let passed = outcome.is_ok();
        if self.up == Some(passed) {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = match self.up {
            None => 1,
            Some(true) => self.cadence.fall,
            Some(false) => self.cadence.rise,
        };
        if self.against < needed {
            return None;
        }
        let reason = reason(self.up.is_none(), self.against, outcome);
        self.up = Some(passed);
        self.against = 0;
        Some((passed, reason))
    }
}

fn reason(first: bool, in_a_row: u32, outcome: &Result<(), String>) -> String {
    match outcome {
        Ok(()) if first => "first check passed".to_owned(),
        Ok(()) if in_a_row == 1 => "check passed".to_owned(),
        Ok(()) => format!("{in_a_row} checks passed in a row"),
        Err(failure) if first => format!("first check failed: {failure}"),
        Err(failure) if in_a_row <= 1 => format!("check failed: {failure}"),
        Err(failure) => format!("{in_a_row} checks failed in a row, the last: {failure}"),
    }
}
