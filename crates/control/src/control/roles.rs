//! The core's part in virtual routers; their roles, gates and addresses are the VRRP thread's.

use std::collections::BTreeMap;
use std::time::Instant;

use evenkeel_model::{Director, Role, Scheduler, VirtualRouter, VirtualRouterId, diff};

use super::Control;
use crate::command::Command;
use crate::report::Report;

impl Control {
    /// Orders the new configuration's virtual routers, where they are others.
    pub(super) fn apply_routers(&mut self, new: &Director, now: Instant) {
        let plan = diff::routers(&self.director.virtual_routers, &new.virtual_routers);
        if plan.is_empty() {
            return;
        }
        if self.routers.given().is_some() {
            self.routers_configured();
        }
        let old = &self.director.virtual_routers;
        self.routers.configure(old, &new.virtual_routers);
        for router in plan.removed {
            self.report(Report::RouterRemoved(router));
        }
        for router in plan.added {
            self.report(Report::RouterAdded(router));
        }
        for changed in plan.changed {
            for change in changed.changes {
                let router = changed.router.clone();
                self.report(Report::RouterChanged { router, change });
            }
        }
        let routers = &self.routers;
        self.retries.retain(|(_, command)| {
            let outdated = matches!(command, Command::ConfigureRouters(_));
            let anew = matches!(command, Command::MayTakeOver(id) if !routers.may_take_over(*id));
            !outdated && !anew
        });
        self.order_routers(new.virtual_routers.clone(), now);
    }

    /// Takes the order for executed: what was stand-alone and is now under a router was given up, since the
    /// thread begins as Backup. (Had it failed, it would still be ours.)
    pub(super) fn routers_configured(&mut self) {
        self.routers.done();
        let routers = &self.routers;
        self.addresses
            .retain(|address| routers.of(*address).is_none());
    }

    pub(super) fn order_routers(&mut self, routers: Vec<VirtualRouter>, now: Instant) {
        self.routers.ordered(now);
        self.outputs.push_back(Command::ConfigureRouters(routers));
    }

    /// Tells routers that they may take over, once all their services can serve.
    pub(super) fn allow_takeovers(&mut self, now: Instant) {
        let mut able = self.routers.waiting();
        if self.ready_by.is_some() || able.is_empty() {
            return;
        }
        for service in self.services.values() {
            if service.may_open(&self.neighbours, now) {
                continue;
            }
            for address in service.config.addresses() {
                if let Some(router) = self.routers.of(address) {
                    able.remove(&router);
                }
            }
        }
        for router in able {
            self.routers.tell(router);
            self.outputs.push_back(Command::MayTakeOver(router));
        }
    }

    /// When a router may take over at the latest.
    pub(super) fn takeover_timeout(&self) -> Option<Instant> {
        let waiting = self.routers.waiting().into_iter();
        let mut latest: BTreeMap<VirtualRouterId, Option<Instant>> =
            waiting.map(|id| (id, self.ready_by)).collect();
        if latest.is_empty() {
            return None;
        }
        for service in self.services.values() {
            for address in service.config.addresses() {
                let router = self.routers.of(address);
                if let Some(latest) = router.and_then(|id| latest.get_mut(&id)) {
                    *latest = (*latest).max(Some(service.opens_by));
                }
            }
        }
        latest.into_values().flatten().min()
    }

    pub(super) fn role_changed(
        &mut self,
        router: VirtualRouterId,
        from: Role,
        to: Role,
        reason: String,
    ) {
        let Some(name) = self.routers.name(router).cloned() else {
            return;
        };
        self.report(Report::RoleChanged {
            router: name.clone(),
            from,
            to,
            reason,
        });
        self.routers.role(router, to);
        let services = self.stateful_services(router);
        let is_unknown = !self.synced.contains(&router) && !services.is_empty();
        if (from, to) == (Role::Backup, Role::Active) && is_unknown {
            self.report(Report::FlowsUnknown {
                router: name,
                services: services.join(", "),
            });
        }
    }

    /// A router's services whose flows another director would place elsewhere.
    fn stateful_services(&self, router: VirtualRouterId) -> Vec<String> {
        let services = self.director.services.iter().filter(|service| {
            service.scheduler != Scheduler::Maglev
                && service
                    .addresses()
                    .any(|address| self.routers.of(address) == Some(router))
        });
        services
            .map(|service| format!("`{}` ({})", service.name, service.scheduler.name()))
            .collect()
    }

    pub(super) fn router_troubled(&mut self, router: VirtualRouterId, what: String) {
        if let Some(router) = self.routers.name(router).cloned() {
            self.report(Report::RouterTrouble { router, what });
        }
    }

    pub(super) fn router_ordered(&mut self, router: VirtualRouterId, what: String, done: bool) {
        if let Some(router) = self.routers.name(router).cloned() {
            self.report(Report::RouterOrdered { router, what, done });
        }
    }
}
