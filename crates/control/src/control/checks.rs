//! What is checked, and what results mean for the servers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use evenkeel_health::Output;

use super::Control;
use crate::command::Command;
use crate::targets::{Spec, User};
use crate::verdict::{judge, server_of, start};

impl Control {
    /// Makes the targets of the health core those that the services want.
    pub(super) fn retarget(&mut self, now: Instant) {
        let mut wanted: BTreeMap<Spec, BTreeSet<User>> = BTreeMap::new();
        for service in self.services.values() {
            for server in &service.config.servers {
                if let Some(check) = &service.config.check {
                    let users = wanted.entry(Spec::of(check, server)).or_default();
                    users.insert((service.config.key, server.address));
                }
            }
        }
        let changes = self.targets.set(wanted);
        for id in changes.removed {
            self.health.remove(id);
        }
        for id in changes.recadenced {
            if let Some(target) = self.targets.get(id) {
                self.health.set_cadence(id, target.spec.cadence, now);
            }
        }
        for id in changes.added {
            if let Some(target) = self.targets.get(id) {
                let start = start(&self.services, &target.users);
                self.health.add(id, target.spec.cadence, start, now);
            }
        }
        for (id, target) in self.targets.iter() {
            let verdict = self.health.is_up(id).filter(|_| self.health.is_checked(id));
            for user in &target.users {
                let Some(server) = server_of(&mut self.services, user) else {
                    continue;
                };
                if server.target.replace(id) == Some(id) {
                    continue;
                }
                if let Some(up) = verdict {
                    let reason = "as its check found earlier";
                    let report = judge(&mut self.services, user, up, reason, now);
                    self.outputs.extend(report.map(Command::Report));
                }
            }
        }
    }

    pub(super) fn take(&mut self, output: Output, now: Instant) {
        let (Output::Probe { target: id, .. }
        | Output::Changed { target: id, .. }
        | Output::Checked { target: id, .. }) = output;
        let Some(target) = self.targets.get(id) else {
            return;
        };
        match output {
            Output::Probe {
                attempt, timeout, ..
            } => self.outputs.push_back(Command::Probe {
                target: id,
                attempt,
                kind: target.spec.kind.clone(),
                address: target.spec.address,
                timeout,
            }),
            Output::Changed { up, reason, .. } => {
                for user in &target.users {
                    let report = judge(&mut self.services, user, up, &reason, now);
                    self.outputs.extend(report.map(Command::Report));
                }
            }
            Output::Checked { outcome, .. } => {
                // Servers that share a target may have begun differently (adopted up, adopted down,
                // gated): a result that agrees with the target's verdict holds for all of them.
                let up = outcome.is_ok();
                let agrees = self.health.is_up(id) == Some(up);
                let reason = match &outcome {
                    Ok(()) => "check passed".to_owned(),
                    Err(failure) => format!("check failed: {failure}"),
                };
                for user in &target.users {
                    let Some(server) = server_of(&mut self.services, user) else {
                        continue;
                    };
                    if let Err(failure) = &outcome {
                        server.last_failure = Some(failure.clone());
                    }
                    if agrees {
                        let report = judge(&mut self.services, user, up, &reason, now);
                        self.outputs.extend(report.map(Command::Report));
                    }
                }
            }
        }
    }
}
