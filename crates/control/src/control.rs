//! The core: events in, desired state, commands out.

mod addresses;
mod checks;
mod edits;
mod failures;
mod reach;
mod roles;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use evenkeel_health::Health;
use evenkeel_model::{
    Director, Overlay, ServiceEntry, ServiceKey, ServiceName, VirtualRouterId, diff,
};

use crate::command::{Command, Event};
use crate::neighbours::Neighbours;
use crate::report::Report;
use crate::routers::{Routers, Standing};
use crate::service::Service;
use crate::targets::Targets;
use crate::view::View;

/// The director's desired state, and the orders that make it actual.
///
/// # How to drive it
/// After [`new`](Self::new) and after every call that takes `&mut self`, call
/// [`poll_output`](Self::poll_output) until it returns `None` and execute the commands in their order
/// (probes beside everything else), then arm one timer for [`poll_timeout`](Self::poll_timeout) and call
/// [`handle_timeout`](Self::handle_timeout) when it fires. `now` must not run backwards. One event at a
/// time: nothing is fed in between an event and the end of its commands, and then
/// [`Event::CommandFailed`] of those that failed comes first, in their order.
///
/// # What it orders
/// A service is put; once it lists a server, or has none to wait for, its address's gate is opened, the
/// address added and announced; when it goes, the address first, then the gate, then the service. A server
/// is listed once its first check has passed and its hardware address is known (one whose address is this
/// director's own needs none, and is forwarded to as local); then it stands where it was added, the one
/// added last first, as in IPVS. A failed server leaves the list and comes back at its head, or (`quiesce`)
/// keeps its place with weight 0; while other directors act for the service, and tell this one of their flows, it is
/// held, so that these go on. What the data plane was found to hold is adopted: listed servers stay
/// listed until their checks fail.
///
/// A service's sorry server stands at the head of its list while it is needed: while no other server of the list has
/// a weight, and not before these had their time for a first check.
///
/// # Virtual routers
/// An address is stand-alone, or under a virtual router. Services are put and checked alike in both cases,
/// so that a Backup is warm. The gate, the address and its announcement are ordered for stand-alone
/// addresses only; those of a virtual router follow its role, and the VRRP thread sets them by itself.
///
/// [`Command::ConfigureRouters`] is the first command of all, without routers too (an earlier run may have
/// left some), and comes first whenever a configuration changes the list. An address that moves under a
/// router is forgotten here: the thread begins as Backup and gives it up. One that leaves a router is opened
/// like a new one, but only in the turn after the order, when it is known not to have failed.
///
/// A router is told once that it may take over ([`Command::MayTakeOver`]): when the first round of checks is
/// complete (or `startup_wait` has passed) and the address of each of its services may be taken as if it
/// were stand-alone. A router that begins anew, with another number, version or source, is told again.
///
/// # Edits by hand
/// They are an [`Overlay`] over the configuration: what is wanted is always the configuration of the last
/// [`Event::Configure`] with the overlay laid over it. Each change of the overlay orders
/// [`Command::KeepEdits`] before anything that it brings about.
#[derive(Debug)]
pub struct Control {
    /// What is configured.
    configured: Director,
    /// What was edited by hand.
    overlay: Overlay,
    /// Both together: what is wanted.
    director: Director,
    services: BTreeMap<ServiceKey, Service>,
    health: Health,
    targets: Targets,
    neighbours: Neighbours,
    routers: Routers,
    /// Stand-alone virtual addresses whose gate was opened.
    addresses: BTreeSet<IpAddr>,
    /// Addresses of the director itself.
    own_addresses: BTreeSet<IpAddr>,
    /// Virtual routers whose connections this director has from their Active.
    synced: BTreeSet<VirtualRouterId>,
    outputs: VecDeque<Command>,
    /// When to be ready at the latest; `None`: ready.
    ready_by: Option<Instant>,
    /// When to report neighbours that are still unknown.
    neighbours_due: Option<Instant>,
    /// Commands that failed, but for puts, and when to give them again.
    retries: Vec<(Instant, Command)>,
    /// Services whose put failed, and when to put them again.
    puts_again: BTreeMap<ServiceKey, Instant>,
}

impl Control {
    /// Takes over a director: its configuration, the edits that were kept, what an earlier run left in the
    /// data plane, and the addresses of its interfaces.
    #[must_use]
    pub fn new(
        configured: Director,
        overlay: Overlay,
        adopted: Vec<ServiceEntry>,
        own_addresses: BTreeSet<IpAddr>,
        now: Instant,
    ) -> Self {
        let director = edits::wanted(&configured, &overlay);
        let mut control = Self {
            configured,
            overlay,
            director: Director {
                virtual_routers: Vec::new(),
                services: Vec::new(),
                ..director.clone()
            },
            services: BTreeMap::new(),
            health: Health::new(),
            targets: Targets::default(),
            neighbours: Neighbours::default(),
            routers: Routers::default(),
            addresses: BTreeSet::new(),
            own_addresses,
            synced: BTreeSet::new(),
            outputs: VecDeque::new(),
            ready_by: Some(now + director.startup_wait),
            neighbours_due: None,
            retries: Vec::new(),
            puts_again: BTreeMap::new(),
        };
        if director.virtual_routers.is_empty() {
            control.order_routers(Vec::new(), now);
        }
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
            Event::Neighbour { address, hop } => self.learn(address, hop),
            Event::Role {
                router,
                from,
                to,
                reason,
            } => self.role_changed(router, from, to, reason),
            Event::Synced(routers) => self.synced = routers,
            Event::RouterTrouble { router, what } => self.router_troubled(router, what),
            Event::RouterOrdered { router, what, done } => self.router_ordered(router, what, done),
            Event::Maintenance(on) => self.report(Report::Maintenance(on)),
            Event::OwnAddresses(addresses) => self.own(addresses, now),
            Event::CommandFailed {
                what,
                reason,
                again,
            } => {
                let is_put = matches!(*what, Command::PutService(_));
                self.failed(*what, reason, again, now);
                if is_put {
                    // Nothing is due by it, and all services may fail at once.
                    return;
                }
            }
            Event::TryAgain => self.retry_all(now),
        }
        self.settle(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.health.handle_timeout(now);
        if self.routers.given().is_some_and(|at| at <= now) {
            self.routers_configured();
            self.give_up_unused();
        }
        self.complain_of_neighbours(now);
        self.retry_due(now);
        self.settle(now);
    }

    /// Returns the next command; to be called until `None`.
    pub fn poll_output(&mut self) -> Option<Command> {
        self.outputs.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retries = self.retries.iter().map(|(at, _)| at);
        let retry = retries.chain(self.puts_again.values()).min().copied();
        let timers = [
            self.gate_timeout(),
            self.takeover_timeout(),
            self.routers.given(),
            self.health.poll_timeout(),
            self.ready_by,
            self.neighbours_due,
            self.services.values().filter_map(Service::sorry_due).min(),
            retry,
        ];
        timers.into_iter().flatten().min()
    }

    /// The configuration in force, with the edits by hand.
    #[must_use]
    pub const fn director(&self) -> &Director {
        &self.director
    }

    /// The configuration in force, without the edits by hand.
    #[must_use]
    pub const fn configured(&self) -> &Director {
        &self.configured
    }

    /// Whether an address is the director's own.
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.own_addresses.contains(&address)
    }

    /// The edits by hand.
    #[must_use]
    pub const fn overlay(&self) -> &Overlay {
        &self.overlay
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
        let restart_needed = diff(&self.configured, &new).restart_needed;
        self.configured = Director {
            interface: self.configured.interface.clone(),
            xdp: self.configured.xdp,
            tables: self.configured.tables,
            ..new
        };
        let changed = self.want(edits::wanted(&self.configured, &self.overlay), now);
        if !changed && restart_needed.is_empty() {
            self.report(Report::NothingChanged);
        }
        for what in restart_needed {
            self.report(Report::RestartNeeded(what));
        }
    }

    /// Makes `new` what is wanted, and tells what that changes; returns whether it changes anything.
    fn want(&mut self, new: Director, now: Instant) -> bool {
        let plan = diff(&self.director, &new);
        let changes = !plan.is_empty();
        for service in plan.removed {
            self.report(Report::ServiceRemoved(service));
        }
        for changed in plan.changed {
            for change in changed.changes {
                let service = changed.service.clone();
                self.report(Report::ServiceChanged { service, change });
            }
        }
        self.apply(new, BTreeMap::new(), now);
        changes
    }

    /// Makes `new` the configuration; services that don't change are not touched.
    fn apply(
        &mut self,
        new: Director,
        mut adopted: BTreeMap<ServiceKey, ServiceEntry>,
        now: Instant,
    ) {
        self.apply_routers(&new, now);
        self.withdraw(&new, &adopted);
        let unwatched = self.watch(&reach::servers(&new), now);
        for config in &new.services {
            let entry = adopted.remove(&config.key);
            if !self.services.contains_key(&config.key) {
                self.add_service(ServiceName::from(config), entry.as_ref());
                let opens_by = now + new.startup_wait;
                let service = Service::new(config, entry, opens_by, now);
                self.services.insert(config.key, service);
            }
            let Some(service) = self.services.get_mut(&config.key) else {
                continue;
            };
            let mut reports = Vec::new();
            if service.config != *config {
                reports = service.configure(config.clone(), now);
            }
            reports.extend(service.locate(&self.own_addresses));
            self.outputs
                .extend(reports.into_iter().map(Command::Report));
        }
        self.director = new;
        self.retarget(now);
        self.publish(now);
        self.unwatch(unwatched);
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

    /// Puts what differs from what was put, and opens the gates of new addresses.
    fn publish(&mut self, now: Instant) {
        let is_synced = self.director.sync.is_some();
        for config in &self.director.services {
            let Some(service) = self.services.get_mut(&config.key) else {
                continue;
            };
            let standing = match is_synced {
                true => self.routers.standing(&service.config),
                false => Standing::Alone,
            };
            service.stand(standing);
            service.begin(&self.neighbours, now);
            if !service.dirty {
                continue;
            }
            service.dirty = false;
            service.reorder(&self.neighbours);
            let entry = service.entry(&self.neighbours);
            let report = service.note_sorry(&entry).map(Command::Report);
            self.outputs.extend(report);
            let reports = service.newly_held(&entry).map(Command::Report);
            self.outputs.extend(reports);
            if service.put.as_ref() != Some(&entry) {
                service.put = Some(entry.clone());
                self.outputs.push_back(Command::PutService(entry));
            }
        }
        self.open_gates(now);
    }

    /// Ends every mutation: takes the health core's outputs, puts what changed, may become ready, and lets
    /// routers take over.
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
        self.allow_takeovers(now);
        self.check_invariants();
    }

    /// Panics in debug builds where the state contradicts itself.
    fn check_invariants(&self) {
        #[cfg(debug_assertions)]
        for address in &self.addresses {
            let owned = self.routers.is_done() && self.routers.hold(*address);
            assert!(!owned, "{address} has two owners");
        }
        #[cfg(debug_assertions)]
        for service in self.services.values() {
            let entry = service.entry(&self.neighbours);
            assert!(!service.dirty, "published");
            assert!(service.put.as_ref().is_none_or(|put| *put == entry));
            let listed: BTreeSet<_> = entry.servers.iter().map(|s| s.address).collect();
            assert_eq!(listed.len(), entry.servers.len(), "listed once");
            for address in listed {
                let server = service.servers.get(&address);
                assert_ne!(server.map(|s| s.health), Some(crate::ServerHealth::Gated));
            }
            assert_eq!(service.servers.len(), service.config.servers.len());
            for server in service.servers.values() {
                assert_eq!(server.target.is_some(), service.config.check.is_some());
            }
        }
    }
}
