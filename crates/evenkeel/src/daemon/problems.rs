//! What the daemon could not do and is still trying, for `status`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use evenkeel_api::Problem;
use evenkeel_control::Command;
use evenkeel_model::{ServiceKey, VirtualRouterId};

/// What a problem is about: doing and undoing are about the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Service(ServiceKey),
    Gate(IpAddr),
    Address(IpAddr),
    Announcement(IpAddr),
    Edits,
    Neighbour(IpAddr),
    Routers,
    Router(VirtualRouterId),
}

impl Subject {
    /// `None`: it can't fail, or its failure is an answer (a probe's).
    const fn of(command: &Command) -> Option<Self> {
        Some(match command {
            Command::KeepEdits(_) => Self::Edits,
            Command::PutService(entry) => Self::Service(entry.key),
            Command::RemoveService(key) => Self::Service(*key),
            Command::SetGate { address, .. } => Self::Gate(*address),
            Command::AddAddress(address) | Command::RemoveAddress(address) => {
                Self::Address(*address)
            }
            Command::Announce(address) => Self::Announcement(*address),
            Command::WatchNeighbour(address) | Command::UnwatchNeighbour(address) => {
                Self::Neighbour(*address)
            }
            Command::ConfigureRouters(_) => Self::Routers,
            Command::MayTakeOver(router) => Self::Router(*router),
            Command::Probe { .. } | Command::Report(_) | Command::Ready => return None,
        })
    }
}

/// Failed commands, by what they are about.
#[derive(Debug, Default)]
pub(crate) struct Problems(BTreeMap<Subject, Problem>);

impl Problems {
    /// The command failed; returns whether it failed before for the same reason.
    pub(crate) fn failed(&mut self, command: &Command, reason: &str) -> bool {
        let Some(subject) = Subject::of(command) else {
            return false;
        };
        let before = self.0.get(&subject);
        let attempts = before.map_or(0, |problem| problem.attempts);
        let problem = Problem {
            what: command.action(),
            reason: reason.to_owned(),
            attempts: attempts.saturating_add(1),
        };
        let again = before.is_some_and(|b| b.what == problem.what && b.reason == problem.reason);
        self.0.insert(subject, problem);
        again
    }

    /// The command was executed.
    pub(crate) fn executed(&mut self, command: &Command) {
        if let Some(subject) = Subject::of(command) {
            self.0.remove(&subject);
        }
        if let Command::RemoveAddress(address) = command {
            self.0.remove(&Subject::Announcement(*address));
        }
    }

    /// Why the edits by hand can't be kept.
    pub(crate) fn of_edits(&self) -> Option<&Problem> {
        self.0.get(&Subject::Edits)
    }

    /// Why a service can't be put.
    pub(crate) fn of_service(&self, key: ServiceKey) -> Option<&Problem> {
        self.0.get(&Subject::Service(key))
    }

    /// All of them.
    pub(crate) fn list(&self) -> impl Iterator<Item = Problem> {
        self.0.values().cloned()
    }
}

#[cfg(test)]
mod tests;
