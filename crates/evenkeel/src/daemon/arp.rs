//! The interface's ARP settings: seen to, and told of where they can't be as a director needs them.

use std::collections::BTreeMap;

use evenkeel_api::Problem;
use evenkeel_net::{ArpOutcome, ArpSetting, prepare_arp};

/// Settings that are not as they should be.
#[derive(Debug, Default)]
pub(crate) struct ArpProblems(BTreeMap<&'static str, Problem>);

impl ArpProblems {
    /// Sees to the settings, which others may have changed.
    pub(crate) fn look(&mut self, link: &str) {
        for setting in prepare_arp(link) {
            if let Some(problem) = self.take(link, &setting) {
                tracing::warn!(
                    event = "arp-setting",
                    "could not {}: {}",
                    problem.what,
                    problem.reason
                );
            }
        }
    }

    /// Takes in what became of a setting; the problem, where it is news.
    fn take(&mut self, link: &str, setting: &ArpSetting) -> Option<&Problem> {
        let ArpSetting {
            name,
            wanted,
            outcome,
        } = setting;
        let reason = match outcome {
            ArpOutcome::Already { .. } => None,
            ArpOutcome::Changed { from } => {
                tracing::info!(
                    event = "arp-setting",
                    "{name} of `{link}` set from {from} to {wanted}"
                );
                None
            }
            ArpOutcome::Overruled { by, hint } => Some(format!(
                "net/ipv4/conf/all/{name} is {by} and overrules it, so that {}; {hint}",
                cost(name, Some(*by))
            )),
            ArpOutcome::Failed { reason, hint } => Some(format!(
                "{reason}; while it has another value, {}; {hint}",
                cost(name, None)
            )),
        };
        let before = self.0.remove(name);
        let reason = reason?;
        let is_news = before.as_ref().is_none_or(|b| b.reason != reason);
        let problem = self.0.entry(name).or_insert_with(|| Problem {
            what: format!("set {name} of `{link}` to {wanted}"),
            reason,
            attempts: before.map_or(0, |b| b.attempts).saturating_add(1),
        });
        is_news.then_some(problem)
    }

    /// There are no virtual routers, which need the settings.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    pub(crate) fn list(&self) -> impl Iterator<Item = Problem> {
        self.0.values().cloned()
    }
}

/// What comes of a setting that is not as it should be.
fn cost(name: &str, value: Option<u32>) -> &'static str {
    match (name, value) {
        ("arp_ignore", Some(8)) => "this host answers for no address, and clients can't find it",
        ("arp_ignore", _) => "this host may answer for virtual addresses that it does not hold",
        _ => "hosts may learn virtual addresses from this host's requests while it gives them up",
    }
}

#[cfg(test)]
mod tests;
