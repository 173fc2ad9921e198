//! The core: events in, desired state, commands out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_health::{Health, Output};
use evenkeel_model::{
    Director, GateState, MacAddress, ServiceEntry, ServiceKey, ServiceName, diff,
};

use crate::command::{Command, Event};
use crate::neighbours::Neighbours;
use crate::report::Report;
use crate::service::Service;
use crate::targets::{Spec, Targets, User};
use crate::verdict::{judge, server_of, start};
use crate::view::View;

/// Time until a command that failed is given again: short beside an operator's patience, long enough
/// that a lasting failure does not fill the log.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long a new neighbour may be unknown before people are told; the kernel sends three requests,
/// one second apart.
const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(4);

/// The director's desired state, and the orders that make it actual.
///
/// # How to drive it
/// After [`new`](Self::new) and after every call that takes `&mut self`, call
/// [`poll_output`](Self::poll_output) until it returns `None` and execute the commands in their order
/// (probes beside everything else), then arm one timer for [`poll_timeout`](Self::poll_timeout) and call
/// [`handle_timeout`](Self::handle_timeout) when it fires. `now` must not run backwards. One event at a
/// time: nothing is fed in between an event and the end of its commands.
///
/// # What it orders
/// A service is put; once it lists a server, or has none to wait for, its address's gate is opened, the
/// address added and announced; when it goes, the address first, then the gate, then the service. A server is listed once its first check has passed
/// and its hardware address is known; then it stands where it was added, the one added last first, as in
/// IPVS. A failed server leaves the list and comes back at its head, or (`quiesce`) keeps its place with
/// weight 0. What the data plane was found to hold is adopted: listed servers stay listed until their
/// checks fail.
///
/// # Virtual routers
/// Every virtual address belongs to this director alone, so gates open as soon as services are put.
/// Addresses under a virtual router will follow its role instead: the role is one more event, and
/// `publish` is where a gate is opened or left alone.
#[derive(Debug)]
pub struct Control {
    director: Director,
    services: BTreeMap<ServiceKey, Service>,
    health: Health,
    targets: Targets,
    neighbours: Neighbours,
    /// Virtual addresses whose gate was opened.
    addresses: BTreeSet<IpAddr>,
    outputs: VecDeque<Command>,
    /// When to be ready at the latest; `None`: ready.
    ready_by: Option<Instant>,
    /// When to report neighbours that are still unknown.
    neighbours_due: Option<Instant>,
    /// Commands that failed, and when to give them again.
    retries: Vec<(Instant, Command)>,
}

impl Control {
    /// Takes over a director: its configuration, and what an earlier run left in the data plane.
    #[must_use]
    pub fn new(director: Director, adopted: Vec<ServiceEntry>, now: Instant) -> Self {
        let mut control = Self {
            director: Director {
                services: Vec::new(),
                ..director.clone()
            },
            services: BTreeMap::new(),
            health: Health::new(),
            targets: Targets::default(),
            neighbours: Neighbours::default(),
            addresses: BTreeSet::new(),
            outputs: VecDeque::new(),
            ready_by: Some(now + director.startup_wait),
            neighbours_due: None,
            retries: Vec::new(),
        };
        let adopted = adopted.into_iter().map(|entry| (entry.key, entry));
        control.apply(director, adopted.collect(), now);
        control.settle(now);
        control
    }

    /// Takes an event.
    pub fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Configure(director) => self.configure(director, now),
            Event::CheckResult {
                target,
                attempt,
                outcome,
            } => self.health.handle_result(target, attempt, outcome, now),
            Event::Neighbour { address, mac } => self.learn(address, mac),
            Event::CommandFailed { what, reason } => self.failed(*what, reason, now),
        }
        self.settle(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.health.handle_timeout(now);
        if self.neighbours_due.is_some_and(|due| due <= now) {
            self.neighbours_due = None;
            let unknown = self.neighbours.unknown();
            let reports = unknown.map(|address| Report::NeighbourUnknown { address });
            self.outputs.extend(reports.map(Command::Report));
        }
        let (due, later) = std::mem::take(&mut self.retries)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.retries = later;
        for (_, command) in due {
            self.retry(command);
        }
        self.settle(now);
    }

    /// Returns the next command; to be called until `None`.
    pub fn poll_output(&mut self) -> Option<Command> {
        self.outputs.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retry = self.retries.iter().map(|(at, _)| *at).min();
        let unopened = self.services.iter();
        let unopened = unopened.filter(|(key, _)| !self.addresses.contains(&key.address.ip()));
        let timers = [
            unopened.map(|(_, service)| service.opens_by).min(),
            self.health.poll_timeout(),
            self.ready_by,
            self.neighbours_due,
            retry,
        ];
        timers.into_iter().flatten().min()
    }

    /// The configuration in force.
    #[must_use]
    pub const fn director(&self) -> &Director {
        &self.director
    }

    /// The state of everything, for `status`.
    #[must_use]
    pub fn view(&self) -> View {
        let services = self.director.services.iter();
        let services = services.filter_map(|s| self.services.get(&s.key));
        View {
            name: self.director.name.clone(),
            ready: self.ready_by.is_none(),
            services: services.map(|s| s.view(&self.neighbours)).collect(),
        }
    }

    fn report(&mut self, report: Report) {
        self.outputs.push_back(Command::Report(report));
    }

    /// Takes a new configuration; what can't change while running stays, in the record too, so that the
    /// next comparison still tells.
    fn configure(&mut self, new: Director, now: Instant) {
        let plan = diff(&self.director, &new);
        if plan.is_empty() {
            self.report(Report::NothingChanged);
        }
        for service in plan.removed {
            self.report(Report::ServiceRemoved(service));
        }
        for changed in plan.changed {
            for change in changed.changes {
                let service = changed.service.clone();
                self.report(Report::ServiceChanged { service, change });
            }
        }
        for what in plan.restart_needed {
            self.report(Report::RestartNeeded(what));
        }
        let new = Director {
            interface: self.director.interface.clone(),
            xdp: self.director.xdp,
            tables: self.director.tables,
            ..new
        };
        self.apply(new, BTreeMap::new(), now);
    }

    /// Makes `new` the configuration; services that don't change are not touched.
    fn apply(
        &mut self,
        new: Director,
        mut adopted: BTreeMap<ServiceKey, ServiceEntry>,
        now: Instant,
    ) {
        self.withdraw(&new, &adopted);
        let servers = new.services.iter().flat_map(|s| &s.servers);
        let servers = servers.map(|server| server.address.ip()).collect();
        let (watched, unwatched) = self.neighbours.watch(&servers);
        if !watched.is_empty() {
            self.neighbours_due = Some(now + NEIGHBOUR_PATIENCE);
        }
        self.outputs
            .extend(watched.into_iter().map(Command::WatchNeighbour));
        for config in &new.services {
            let entry = adopted.remove(&config.key);
            if !self.services.contains_key(&config.key) {
                self.add_service(ServiceName::from(config), entry.as_ref());
                let opens_by = now + new.startup_wait;
                let service = Service::new(config, entry, opens_by, now);
                self.services.insert(config.key, service);
            }
            let service = self.services.get_mut(&config.key);
            if let Some(service) = service.filter(|s| s.config != *config) {
                for server in service.configure(config.clone(), now) {
                    let service = config.name.clone();
                    self.report(Report::ServerGated { service, server });
                }
            }
        }
        self.director = new;
        self.retarget(now);
        self.publish(now);
        self.outputs
            .extend(unwatched.into_iter().map(Command::UnwatchNeighbour));
    }

    fn add_service(&mut self, service: ServiceName, adopted: Option<&ServiceEntry>) {
        let report = match adopted {
            Some(entry) => {
                self.neighbours.adopt(entry);
                let servers = entry.servers.len();
                Report::ServiceAdopted { service, servers }
            }
            None => Report::ServiceAdded(service),
        };
        self.report(report);
    }

    /// Removes the services that are not in the new configuration, adopted ones too, and the addresses
    /// that none of its services has.
    fn withdraw(&mut self, new: &Director, adopted: &BTreeMap<ServiceKey, ServiceEntry>) {
        let keys: BTreeSet<ServiceKey> = new.services.iter().map(|s| s.key).collect();
        let kept: BTreeSet<IpAddr> = keys.iter().map(|key| key.address.ip()).collect();
        let leftover = adopted.keys().filter(|key| !keys.contains(key));
        let gone = self.services.keys().filter(|key| !keys.contains(key));
        let gone: BTreeSet<ServiceKey> = gone.chain(leftover.clone()).copied().collect();
        for key in leftover {
            let report = Report::LeftoverRemoved(*key);
            self.outputs.push_back(Command::Report(report));
        }
        let addresses: BTreeSet<IpAddr> = gone.iter().map(|key| key.address.ip()).collect();
        for address in addresses.difference(&kept).copied() {
            self.addresses.remove(&address);
            self.outputs.push_back(Command::RemoveAddress(address));
            self.outputs.push_back(Command::SetGate {
                address,
                state: GateState::Closed,
            });
        }
        for key in gone {
            self.services.remove(&key);
            self.outputs.push_back(Command::RemoveService(key));
        }
    }

    /// Makes the targets of the health core those that the services want.
    fn retarget(&mut self, now: Instant) {
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

    /// Puts what differs from what was put, and opens the gates of new addresses.
    fn publish(&mut self, now: Instant) {
        for config in &self.director.services {
            let Some(service) = self.services.get_mut(&config.key).filter(|s| s.dirty) else {
                continue;
            };
            service.dirty = false;
            service.reorder(&self.neighbours);
            let entry = service.entry(&self.neighbours);
            if service.put.as_ref() != Some(&entry) {
                service.put = Some(entry.clone());
                self.outputs.push_back(Command::PutService(entry));
            }
        }
        for (key, service) in &self.services {
            let address = key.address.ip();
            if self.addresses.contains(&address) || !service.may_open(&self.neighbours, now) {
                continue;
            }
            self.addresses.insert(address);
            self.outputs.push_back(Command::SetGate {
                address,
                state: GateState::Open,
            });
            self.outputs.push_back(Command::AddAddress(address));
            self.outputs.push_back(Command::Announce(address));
        }
    }

    fn learn(&mut self, address: IpAddr, mac: MacAddress) {
        let Some(before) = self.neighbours.learn(address, mac) else {
            return;
        };
        self.report(match before {
            None => Report::NeighbourFound { address, mac },
            Some(from) => Report::NeighbourChanged {
                address,
                from,
                to: mac,
            },
        });
        for service in self.services.values_mut() {
            service.dirty |= service.servers.keys().any(|s| s.ip() == address);
        }
    }

    fn failed(&mut self, what: Command, reason: String, now: Instant) {
        if let Command::Probe {
            target, attempt, ..
        } = what
        {
            self.health.handle_result(target, attempt, Err(reason), now);
            return;
        }
        self.report(Report::CommandFailed {
            what: what.action(),
            reason,
        });
        if let Command::PutService(entry) = &what
            && let Some(service) = self.services.get_mut(&entry.key)
        {
            service.put = None;
        }
        if !self.retries.iter().any(|(_, command)| *command == what) {
            self.retries.push((now + RETRY_AFTER, what));
        }
    }

    /// Gives a failed command again, unless the state that it was for is not wanted any more.
    fn retry(&mut self, command: Command) {
        let wanted = match &command {
            Command::PutService(entry) => {
                if let Some(service) = self.services.get_mut(&entry.key) {
                    service.dirty = true;
                }
                false
            }
            Command::RemoveService(key) => !self.services.contains_key(key),
            Command::SetGate { address, state } => {
                self.addresses.contains(address) == (*state == GateState::Open)
            }
            Command::AddAddress(address) | Command::Announce(address) => {
                self.addresses.contains(address)
            }
            Command::RemoveAddress(address) => !self.addresses.contains(address),
            Command::WatchNeighbour(address) => self.neighbours.is_watched(*address),
            Command::UnwatchNeighbour(address) => !self.neighbours.is_watched(*address),
            Command::Probe { .. } | Command::Report(_) | Command::Ready => false,
        };
        if wanted {
            self.outputs.push_back(command);
        }
    }

    /// Ends every mutation: takes the health core's outputs, puts what changed, and may become ready.
    fn settle(&mut self, now: Instant) {
        while let Some(output) = self.health.poll_output() {
            self.take(output, now);
        }
        self.publish(now);
        if let Some(by) = self.ready_by
            && (self.health.unchecked() == 0 || by <= now)
        {
            self.ready_by = None;
            self.outputs.push_back(Command::Ready);
        }
        self.check_invariants();
    }

    fn take(&mut self, output: Output, now: Instant) {
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

    /// Panics in debug builds where the state contradicts itself.
    fn check_invariants(&self) {
        #[cfg(debug_assertions)]
        for service in self.services.values() {
            let entry = service.entry(&self.neighbours);
            assert!(!service.dirty, "published");
            assert!(service.put.as_ref().is_none_or(|put| *put == entry));
            let listed: BTreeSet<_> = entry.servers.iter().map(|s| s.address).collect();
            assert_eq!(listed.len(), entry.servers.len(), "listed once");
            for address in listed {
                assert_ne!(service.servers[&address].health, crate::ServerHealth::Gated);
            }
            assert_eq!(service.servers.len(), service.config.servers.len());
            for server in service.servers.values() {
                assert_eq!(server.target.is_some(), service.config.check.is_some());
            }
        }
    }
}
