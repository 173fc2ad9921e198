//! Commands that failed, and what is given again.

use std::time::{Duration, Instant};

use evenkeel_model::GateState;

use super::Control;
use crate::command::Command;
use crate::report::Report;

/// Time until a command that failed is given again: short beside an operator's patience.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Control {
    pub(super) fn failed(&mut self, what: Command, reason: String, again: bool, now: Instant) {
        if let Command::Probe {
            target, attempt, ..
        } = what
        {
            self.health.handle_result(target, attempt, Err(reason), now);
            return;
        }
        if !again {
            self.report(Report::CommandFailed {
                what: what.action(),
                reason,
            });
        }
        if let Command::PutService(entry) = &what {
            if let Some(service) = self.services.get_mut(&entry.key) {
                service.put = None;
            }
            let at = now + RETRY_AFTER;
            self.puts_again.entry(entry.key).or_insert(at);
            return;
        }
        if let Command::ConfigureRouters(_) = &what {
            self.routers.failed();
        }
        if let Command::KeepEdits(_) = &what {
            let outdated =
                |(_, command): &(Instant, Command)| matches!(command, Command::KeepEdits(_));
            self.retries.retain(|retry| !outdated(retry));
        }
        if !self.retries.iter().any(|(_, command)| *command == what) {
            self.retries.push((now + RETRY_AFTER, what));
        }
    }

    /// Gives all failed commands again.
    pub(super) fn retry_all(&mut self, now: Instant) {
        for (at, _) in &mut self.retries {
            *at = now;
        }
        for at in self.puts_again.values_mut() {
            *at = now;
        }
        self.retry_due(now);
    }

    /// Gives the failed commands again whose time has come.
    pub(super) fn retry_due(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.retries)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.retries = later;
        for (_, command) in due {
            self.retry(command, now);
        }
        let services = &mut self.services;
        self.puts_again.retain(|key, at| {
            if *at > now {
                return true;
            }
            if let Some(service) = services.get_mut(key) {
                service.dirty = true;
            }
            false
        });
    }

    /// Gives a failed command again, unless the state that it was for is not wanted any more.
    fn retry(&mut self, command: Command, now: Instant) {
        let wanted = match &command {
            Command::ConfigureRouters(_) => {
                self.order_routers(self.director.virtual_routers.clone(), now);
                false
            }
            Command::MayTakeOver(router) => self.routers.may_take_over(*router),
            Command::KeepEdits(edits) => *edits == self.overlay,
            Command::RemoveService(key) => !self.services.contains_key(key),
            Command::SetGate { address, state } => {
                !self.routers.hold(*address)
                    && self.addresses.contains(address) == (*state == GateState::Open)
            }
            Command::AddAddress(address) | Command::Announce(address) => {
                !self.routers.hold(*address) && self.addresses.contains(address)
            }
            Command::RemoveAddress(address) => {
                !self.routers.hold(*address) && !self.addresses.contains(address)
            }
            Command::WatchNeighbour(address) => self.neighbours.is_watched(*address),
            Command::UnwatchNeighbour(address) => !self.neighbours.is_watched(*address),
            Command::PutService(_)
            | Command::Probe { .. }
            | Command::Report(_)
            | Command::Ready => false,
        };
        if wanted {
            self.outputs.push_back(command);
        }
    }
}
