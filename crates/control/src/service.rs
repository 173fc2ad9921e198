//! One service as it runs: its servers' health and their order in the list.

mod held;
mod sorry;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use evenkeel_health::{Start, TargetId};
use evenkeel_model::{
    Forwarding, Hop, OnFailure, RealServer, ServerEntry, ServiceEntry, VirtualService, Weight,
};

use crate::neighbours::Neighbours;
use crate::report::Report;
use crate::routers::Standing;
use crate::view::{ServerHealth, ServerView, ServiceView};

/// Why a server without a check is up.
const UNCHECKED: &str = "not checked";

/// One server as it runs.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) config: RealServer,
    /// Whether its address is the director's own.
    pub(crate) local: bool,
    pub(crate) target: Option<TargetId>,
    pub(crate) health: ServerHealth,
    /// Its check fails here, but flows that another director placed go on.
    held: bool,
    pub(crate) reason: String,
    pub(crate) since: Instant,
    pub(crate) last_failure: Option<String>,
    /// Since when it is drained, as far as this run knows.
    drained_since: Option<Instant>,
}

impl Server {
    fn new(config: RealServer, health: ServerHealth, reason: &str, now: Instant) -> Self {
        Self {
            config,
            local: false,
            target: None,
            health,
            held: false,
            reason: reason.to_owned(),
            since: now,
            last_failure: None,
            drained_since: config.drained.then_some(now),
        }
    }

    fn configure(&mut self, config: RealServer, now: Instant) {
        self.config = config;
        let since = self.drained_since.unwrap_or(now);
        self.drained_since = config.drained.then_some(since);
    }

    /// Changes the health, and tells whether it was another.
    pub(crate) fn set_health(&mut self, health: ServerHealth, reason: &str, now: Instant) -> bool {
        if self.health == health {
            return false;
        }
        self.health = health;
        self.held = false;
        reason.clone_into(&mut self.reason);
        self.since = now;
        true
    }

    /// How packets reach it now.
    const fn forwarding(&self) -> Forwarding {
        if self.local {
            Forwarding::Local
        } else {
            self.config.forwarding
        }
    }

    /// The next hop to it; `None`: it is not known yet.
    fn hop(&self, neighbours: &Neighbours) -> Option<Hop> {
        if self.local {
            Some(Hop::NONE)
        } else {
            neighbours.hop(self.config.address.ip())
        }
    }

    fn view(&self, entry: &ServiceEntry, neighbours: &Neighbours) -> ServerView {
        let RealServer {
            address, weight, ..
        } = self.config;
        let listed = entry.servers.iter().find(|s| s.address == address);
        ServerView {
            address,
            weight,
            forwarding: self.forwarding(),
            in_force: listed.map(|s| s.weight),
            held: entry.held.iter().any(|s| s.address == address),
            health: self.health,
            reason: self.reason.clone(),
            since: self.since,
            hop: neighbours.hop(address.ip()),
            last_failure: self.last_failure.clone(),
            drained_since: self.drained_since,
        }
    }

    /// What a check that begins with this server may take for granted.
    pub(crate) const fn start(&self) -> Start {
        match self.health {
            ServerHealth::Gated => Start::Gated,
            ServerHealth::Up => Start::Adopted,
            ServerHealth::Down => Start::AdoptedDown,
        }
    }
}

/// Where a server belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In no list, though it may be held: it comes back at the head.
    Out,
    /// Nowhere yet; the place that it got when it was added is kept for it.
    Waiting,
    /// In the list, with this weight.
    Listed(Weight),
}

/// One service as it runs.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) config: VirtualService,
    pub(crate) servers: BTreeMap<SocketAddr, Server>,
    /// IPVS's list order, with the places of servers that wait; the one added last stands first.
    pub(crate) order: Vec<SocketAddr>,
    /// What the data plane holds; `None`: nothing, or nobody knows.
    pub(crate) put: Option<ServiceEntry>,
    /// Whether the list may be another than the one put.
    pub(crate) dirty: bool,
    /// When its address is taken at the latest, whatever its servers still wait for.
    pub(crate) opens_by: Instant,
    /// Who acted for its addresses when that was last looked at.
    standing: Standing,
    /// Who gets the new flows while no server is usable.
    sorry: Option<Server>,
    /// Whether its servers had their time to become usable.
    began: bool,
    /// The sorry server that was last known to be listed.
    sorry_listed: Option<SocketAddr>,
}

impl Service {
    /// Makes a service that has no servers but those that the data plane has as `adopted` and that are
    /// configured; [`configure`](Self::configure) adds the others.
    pub(crate) fn new(
        config: &VirtualService,
        adopted: Option<ServiceEntry>,
        opens_by: Instant,
        now: Instant,
    ) -> Self {
        let mut service = Self {
            config: VirtualService {
                servers: Vec::new(),
                sorry_server: None,
                ..config.clone()
            },
            servers: BTreeMap::new(),
            order: Vec::new(),
            put: None,
            dirty: true,
            opens_by,
            standing: Standing::Alone,
            sorry: None,
            began: false,
            sorry_listed: None,
        };
        if let Some(entry) = adopted {
            service.adopt_sorry(config.sorry_server, &entry);
            for listed in &entry.servers {
                let config = config.servers.iter().find(|s| s.address == listed.address);
                if let Some(config) = config {
                    service.adopt(*config, listed, now);
                }
            }
            service.adopt_held(&config.servers, &entry.held, now);
            service.put = Some(entry);
        }
        service
    }

    fn adopt(&mut self, config: RealServer, listed: &ServerEntry, now: Instant) {
        // Weight 0 that nobody configured is how a failed server is kept; with `remove` it is an
        // older configuration's.
        let quiesced = self.config.check.is_some()
            && self.config.on_failure == OnFailure::Quiesce
            && listed.weight == Weight::QUIESCED
            && config.weight_for_new() != Weight::QUIESCED;
        let health = if quiesced {
            ServerHealth::Down
        } else {
            ServerHealth::Up
        };
        let mut server = Server::new(config, health, "adopted from an earlier run", now);
        server.local = listed.forwarding == Forwarding::Local;
        self.servers.insert(config.address, server);
        self.order.push(config.address);
    }

    /// Takes a new configuration; returns what to report of servers.
    ///
    /// Servers that are new get the head of the order, in the order of the configuration.
    pub(crate) fn configure(&mut self, config: VirtualService, now: Instant) -> Vec<Report> {
        self.servers
            .retain(|address, _| config.servers.iter().any(|s| s.address == *address));
        let servers = &self.servers;
        self.order.retain(|address| servers.contains_key(address));
        let mut reports = Vec::new();
        for server in &config.servers {
            if let Some(known) = self.servers.get_mut(&server.address) {
                known.configure(*server, now);
                if config.check.is_none() {
                    known.target = None;
                    if known.set_health(ServerHealth::Up, UNCHECKED, now) {
                        reports.push(Report::ServerUp {
                            service: config.name.clone(),
                            server: server.address,
                            reason: UNCHECKED.to_owned(),
                        });
                    }
                }
                continue;
            }
            let (health, reason) = if config.check.is_some() {
                reports.push(Report::ServerGated {
                    service: config.name.clone(),
                    server: server.address,
                });
                (ServerHealth::Gated, "not checked yet")
            } else {
                (ServerHealth::Up, UNCHECKED)
            };
            let new = Server::new(*server, health, reason, now);
            self.servers.insert(server.address, new);
            self.order.insert(0, server.address);
        }
        self.configure_sorry(config.sorry_server, now);
        self.config = config;
        self.dirty = true;
        reports
    }

    /// Finds the servers that are the director itself; returns what to report of them.
    pub(crate) fn locate(&mut self, own: &BTreeSet<IpAddr>) -> impl Iterator<Item = Report> {
        let mut reports = Vec::new();
        for server in self.servers.values_mut().chain(&mut self.sorry) {
            let local = own.contains(&server.config.address.ip());
            if server.local != local {
                server.local = local;
                self.dirty = true;
                reports.push(Report::ServerForwarding {
                    service: self.config.name.clone(),
                    server: server.config.address,
                    forwarding: server.forwarding(),
                });
            }
        }
        reports.into_iter()
    }

    fn place(&self, server: &Server, neighbours: &Neighbours) -> Place {
        let weight = match (server.health, self.config.on_failure) {
            (ServerHealth::Gated, _) => return Place::Waiting,
            (ServerHealth::Down, OnFailure::Remove) => return Place::Out,
            (ServerHealth::Down, OnFailure::Quiesce) => Weight::QUIESCED,
            (ServerHealth::Up, _) => server.config.weight_for_new(),
        };
        if server.hop(neighbours).is_some() {
            Place::Listed(weight)
        } else {
            Place::Waiting
        }
    }

    /// Whether its address may be taken: a client should not be refused while its servers only wait for
    /// their first check, or for their hardware address.
    pub(crate) fn may_open(&self, neighbours: &Neighbours, now: Instant) -> bool {
        let mut places = self.servers.values().map(|s| self.place(s, neighbours));
        let lists = self.put.as_ref().is_some_and(|put| !put.servers.is_empty());
        lists || self.opens_by <= now || places.all(|place| place != Place::Waiting)
    }

    /// Whether a server waits for its first check, or for its hardware address.
    pub(crate) fn waits(&self, server: SocketAddr, neighbours: &Neighbours) -> bool {
        let server = self.servers.get(&server);
        server.is_some_and(|server| self.place(server, neighbours) == Place::Waiting)
    }

    /// Takes the servers that are out from the order, and puts those that are back at the head.
    pub(crate) fn reorder(&mut self, neighbours: &Neighbours) {
        for config in &self.config.servers {
            let address = config.address;
            let Some(server) = self.servers.get(&address) else {
                continue;
            };
            match self.place(server, neighbours) {
                Place::Out => self.order.retain(|a| *a != address),
                Place::Waiting => {}
                Place::Listed(_) if self.order.contains(&address) => {}
                Place::Listed(_) => self.order.insert(0, address),
            }
        }
    }

    /// What the data plane should hold.
    pub(crate) fn entry(&self, neighbours: &Neighbours) -> ServiceEntry {
        let listed = self.order.iter().filter_map(|address| {
            let server = self.servers.get(address)?;
            let Place::Listed(weight) = self.place(server, neighbours) else {
                return None;
            };
            Some(ServerEntry {
                address: *address,
                weight,
                hash_weight: server.config.weight.max(Weight::ONE),
                forwarding: server.forwarding(),
                hop: server.hop(neighbours)?,
                thresholds: server.config.thresholds,
            })
        });
        ServiceEntry {
            key: self.config.key,
            group: self.config.group.clone(),
            scheduler: self.config.scheduler,
            options: self.config.options,
            servers: self
                .sorry_entry(neighbours)
                .into_iter()
                .chain(listed)
                .collect(),
            held: self.held_entries(neighbours),
        }
    }

    pub(crate) fn view(&self, neighbours: &Neighbours) -> ServiceView {
        let entry = self.entry(neighbours);
        let servers = self.config.servers.iter().filter_map(|config| {
            let server = self.servers.get(&config.address)?;
            Some(server.view(&entry, neighbours))
        });
        ServiceView {
            name: self.config.name.clone(),
            key: self.config.key,
            group: self.config.group.clone(),
            scheduler: self.config.scheduler,
            on_failure: self.config.on_failure,
            check: self.config.check.clone(),
            servers: servers.collect(),
            sorry_server: self.sorry.as_ref().map(|s| s.view(&entry, neighbours)),
            entry,
        }
    }
}
