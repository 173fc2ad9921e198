//! What a new configuration changes in a running one.
//!
//! A comparison of two values: it orders nothing and applies nothing. `control` acts on the new
//! configuration; the plan is what people read, in the log and in the answer to `reload`.

mod routers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

pub use self::routers::{RouterChange, RouterChanges, RouterName, RouterPlan, routers};
use crate::check::{Check, CheckKind};
use crate::listen::{Listens, ServiceKey};
use crate::options::Thresholds;
use crate::service::{
    Director, OnFailure, RealServer, Scheduler, TableSizes, VirtualService, Weight, XdpPreference,
};

/// The differences between two configurations; displays as one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// New name of the director.
    pub renamed: Option<Renamed>,
    /// What changes in the virtual routers.
    pub virtual_routers: RouterPlan,
    /// Services that only the new configuration has, in its order.
    pub added: Vec<ServiceName>,
    /// Services that only the old configuration has, in its order.
    pub removed: Vec<ServiceName>,
    /// Services that both have, with differences, in the new configuration's order.
    pub changed: Vec<ServiceChanges>,
    /// What stays as it is until the daemon is started again.
    pub restart_needed: Vec<RestartNeeded>,
}

impl Plan {
    /// Tells whether the configurations say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The plan as lines, none where nothing changed.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(renamed) = &self.renamed {
            lines.push(format!("director {renamed}"));
        }
        lines.extend(self.virtual_routers.lines());
        lines.extend(self.removed.iter().map(|s| format!("{s} removed")));
        lines.extend(self.added.iter().map(|s| format!("{s} added")));
        for service in &self.changed {
            let changes = service.changes.iter();
            lines.extend(changes.map(|change| format!("{}: {change}", service.service)));
        }
        lines.extend(self.restart_needed.iter().map(ToString::to_string));
        lines
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing changed");
        }
        f.write_str(&self.lines().join("\n"))
    }
}

/// A service as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    /// The operator's name for it.
    pub name: String,
    /// What identifies it.
    pub key: ServiceKey,
}

impl From<&VirtualService> for ServiceName {
    fn from(service: &VirtualService) -> Self {
        Self {
            name: service.name.clone(),
            key: service.key,
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service `{}` ({})", self.name, self.key)
    }
}

/// A name before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The old name.
    pub from: String,
    /// The new name.
    pub to: String,
}

impl fmt::Display for Renamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "renamed from `{}` to `{}`", self.from, self.to)
    }
}

/// What changes within one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceChanges {
    /// The service, under its new name.
    pub service: ServiceName,
    /// The changes, at least one.
    pub changes: Vec<Change>,
}

/// One change within a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The service has another name.
    Renamed(Renamed),
    /// The group takes other packets.
    Listens {
        /// What it took.
        from: Listens,
        /// What it takes.
        to: Listens,
    },
    /// New flows are placed by another scheduler.
    Scheduler {
        /// The old scheduler.
        from: Scheduler,
        /// The new scheduler.
        to: Scheduler,
    },
    /// The service's options change.
    Options,
    /// Another thing happens to servers whose check fails.
    OnFailure {
        /// The old rule.
        from: OnFailure,
        /// The new rule.
        to: OnFailure,
    },
    /// Servers are checked in another way; `None`: not at all.
    Check {
        /// The old check.
        from: Option<Box<Check>>,
        /// The new check.
        to: Option<Box<Check>>,
    },
    /// A real server joins.
    ServerAdded(RealServer),
    /// A real server leaves.
    ServerRemoved(RealServer),
    /// A real server's configured weight changes.
    Weight {
        /// The server.
        server: SocketAddr,
        /// The old weight.
        from: Weight,
        /// The new weight.
        to: Weight,
    },
    /// A real server is overloaded from another number of connections on.
    Thresholds {
        /// The server.
        server: SocketAddr,
        /// The new thresholds.
        to: Thresholds,
    },
    /// A real server is reached in another way.
    Forwarding(RealServer),
    /// A real server is drained, or ready again.
    Drained(RealServer),
    /// Another host gets the new flows while no real server can, or none does any more.
    SorryServer {
        /// The old one.
        from: Option<SocketAddr>,
        /// The new one.
        to: Option<SocketAddr>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed(renamed) => renamed.fmt(f),
            Self::Listens { from, to } => write!(f, "listens on {to}, was {from}"),
            Self::Scheduler { from, to } => {
                write!(f, "scheduler `{}` to `{}`", from.name(), to.name())
            }
            Self::Options => f.write_str("options changed"),
            Self::OnFailure { from, to } => {
                write!(f, "on failure `{}` to `{}`", rule(*from), rule(*to))
            }
            Self::Check { from, to } => {
                let (from, to) = (check(from.as_deref()), check(to.as_deref()));
                write!(f, "check `{from}` to `{to}`")
            }
            Self::ServerAdded(server) => {
                let weight = server.weight.get();
                write!(f, "server {} added, weight {weight}", server.address)
            }
            Self::ServerRemoved(server) => write!(f, "server {} removed", server.address),
            Self::Weight { server, from, to } => {
                write!(f, "server {server} weight {} to {}", from.get(), to.get())
            }
            Self::Thresholds { server, to } => {
                write!(
                    f,
                    "server {server} thresholds to {} and {}",
                    to.upper, to.lower
                )
            }
            Self::Forwarding(server) => {
                let forwarding = server.forwarding.listing_name();
                write!(f, "server {} forwarding to `{forwarding}`", server.address)
            }
            Self::Drained(server) => {
                let what = if server.drained { "drained" } else { "ready" };
                write!(f, "server {} {what}", server.address)
            }
            Self::SorryServer { from, to } => {
                write!(f, "sorry server {} to {}", host(*from), host(*to))
            }
        }
    }
}

fn host(server: Option<SocketAddr>) -> String {
    server.map_or_else(|| "none".to_owned(), |server| server.to_string())
}

const fn rule(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Remove => "remove",
        OnFailure::Quiesce => "quiesce",
    }
}

/// A check in one line.
fn check(check: Option<&Check>) -> String {
    use fmt::Write as _;
    let Some(check) = check else {
        return "none".to_owned();
    };
    let mut line = match &check.kind {
        CheckKind::Tcp => "tcp".to_owned(),
        CheckKind::Http {
            path,
            host,
            status,
            body,
        } => {
            let mut line = format!("http {path}");
            // Writing to a String cannot fail.
            if let Some(host) = host {
                let _ = write!(line, " host {host}");
            }
            if let Some(status) = status {
                let _ = write!(line, " status {status}");
            }
            if let Some(body) = body {
                let _ = write!(line, " body {:?}", body.0);
            }
            line
        }
    };
    let cadence = check.cadence;
    if let Some(port) = check.port {
        let _ = write!(line, " port {port}");
    }
    let _ = write!(
        line,
        " every {:?} timeout {:?} fall {} rise {}",
        cadence.every, cadence.timeout, cadence.fall, cadence.rise
    );
    line
}

/// A change that a running daemon does not take up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartNeeded {
    /// Another interface.
    Interface {
        /// The interface in use.
        from: String,
        /// The interface wanted.
        to: String,
    },
    /// Other further interfaces.
    MoreInterfaces {
        /// Those in use.
        from: Vec<String>,
        /// Those wanted.
        to: Vec<String>,
    },
    /// Another XDP mode.
    Xdp {
        /// The mode in use.
        from: XdpPreference,
        /// The mode wanted.
        to: XdpPreference,
    },
    /// Other table capacities, which the pinned tables don't have either.
    Tables {
        /// The capacities in use.
        from: TableSizes,
        /// The capacities wanted.
        to: TableSizes,
    },
    /// Other settings of connection sync.
    Sync,
}

impl fmt::Display for RestartNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface { from, to } => {
                write!(f, "interface `{from}` to `{to}`: ")?;
                f.write_str("kept as it is; restart evenkeel to change it")
            }
            Self::MoreInterfaces { from, to } => {
                write!(f, "more-interfaces {from:?} to {to:?}: ")?;
                f.write_str("kept as they are; restart evenkeel to change them")
            }
            Self::Xdp { from, to } => {
                write!(f, "xdp `{}` to `{}`: ", mode(*from), mode(*to))?;
                f.write_str("kept as it is; restart evenkeel to change it")
            }
            Self::Tables { from, to } => {
                write!(
                    f,
                    "tables of {} connections, {} half-open to {}, {}: ",
                    from.connections, from.half_open, to.connections, to.half_open
                )?;
                f.write_str("kept as they are; stop evenkeel, run `evenkeel purge` and start it")
            }
            Self::Sync => f.write_str("sync: kept as it is; restart evenkeel to change it"),
        }
    }
}

const fn mode(xdp: XdpPreference) -> &'static str {
    match xdp {
        XdpPreference::Auto => "auto",
        XdpPreference::Native => "native",
        XdpPreference::Generic => "generic",
    }
}

/// Compares two configurations; services are the same where protocol, address and port are, groups where
/// their numbers are, virtual routers where number and version are.
#[must_use]
pub fn diff(old: &Director, new: &Director) -> Plan {
    let had: BTreeMap<ServiceKey, &VirtualService> =
        old.services.iter().map(|s| (s.key, s)).collect();
    let has: BTreeSet<ServiceKey> = new.services.iter().map(|s| s.key).collect();
    let gone = old.services.iter().filter(|s| !has.contains(&s.key));
    let mut plan = Plan {
        renamed: renamed(&old.name, &new.name),
        virtual_routers: routers(&old.virtual_routers, &new.virtual_routers),
        removed: gone.map(ServiceName::from).collect(),
        restart_needed: restart_needed(old, new),
        ..Plan::default()
    };
    for service in &new.services {
        let Some(before) = had.get(&service.key) else {
            plan.added.push(ServiceName::from(service));
            continue;
        };
        let changes = changes(before, service);
        if !changes.is_empty() {
            plan.changed.push(ServiceChanges {
                service: ServiceName::from(service),
                changes,
            });
        }
    }
    plan
}

fn renamed(from: &str, to: &str) -> Option<Renamed> {
    (from != to).then(|| Renamed {
        from: from.to_owned(),
        to: to.to_owned(),
    })
}

fn restart_needed(old: &Director, new: &Director) -> Vec<RestartNeeded> {
    let interface = (old.interface != new.interface).then(|| RestartNeeded::Interface {
        from: old.interface.clone(),
        to: new.interface.clone(),
    });
    let more =
        (old.more_interfaces != new.more_interfaces).then(|| RestartNeeded::MoreInterfaces {
            from: old.more_interfaces.clone(),
            to: new.more_interfaces.clone(),
        });
    let xdp = (old.xdp != new.xdp).then_some(RestartNeeded::Xdp {
        from: old.xdp,
        to: new.xdp,
    });
    let tables = (old.tables != new.tables).then_some(RestartNeeded::Tables {
        from: old.tables,
        to: new.tables,
    });
    let sync = (old.sync != new.sync).then_some(RestartNeeded::Sync);
    [interface, more, xdp, tables, sync]
        .into_iter()
        .flatten()
        .collect()
}

fn changes(old: &VirtualService, new: &VirtualService) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(renamed(&old.name, &new.name).map(Change::Renamed));
    if old.group != new.group {
        changes.push(Change::Listens {
            from: old.group.clone(),
            to: new.group.clone(),
        });
    }
    if old.scheduler != new.scheduler {
        changes.push(Change::Scheduler {
            from: old.scheduler,
            to: new.scheduler,
        });
    }
    if old.options != new.options {
        changes.push(Change::Options);
    }
    if old.on_failure != new.on_failure {
        changes.push(Change::OnFailure {
            from: old.on_failure,
            to: new.on_failure,
        });
    }
    if old.check != new.check {
        changes.push(Change::Check {
            from: old.check.clone().map(Box::new),
            to: new.check.clone().map(Box::new),
        });
    }
    server_changes(&old.servers, &new.servers, &mut changes);
    if old.sorry_server != new.sorry_server {
        changes.push(Change::SorryServer {
            from: old.sorry_server.map(|server| server.address),
            to: new.sorry_server.map(|server| server.address),
        });
    }
    changes
}

fn server_changes(old: &[RealServer], new: &[RealServer], changes: &mut Vec<Change>) {
    let had: BTreeMap<SocketAddr, &RealServer> = old.iter().map(|s| (s.address, s)).collect();
    let has: BTreeSet<SocketAddr> = new.iter().map(|s| s.address).collect();
    let gone = old.iter().filter(|s| !has.contains(&s.address));
    changes.extend(gone.copied().map(Change::ServerRemoved));
    for server in new {
        let Some(before) = had.get(&server.address) else {
            changes.push(Change::ServerAdded(*server));
            continue;
        };
        if before.weight != server.weight {
            changes.push(Change::Weight {
                server: server.address,
                from: before.weight,
                to: server.weight,
            });
        }
        if before.thresholds != server.thresholds {
            changes.push(Change::Thresholds {
                server: server.address,
                to: server.thresholds,
            });
        }
        if before.forwarding != server.forwarding {
            changes.push(Change::Forwarding(*server));
        }
        if before.drained != server.drained {
            changes.push(Change::Drained(*server));
        }
    }
}

#[cfg(test)]
mod tests;
