//! News for people, typed so that tests and JSON logs need not parse text.

mod sync;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use evenkeel_model::{
    Change, Edit, Forwarding, Hop, OnFailure, RestartNeeded, Role, RouterChange, RouterName,
    ServiceKey, ServiceName,
};

pub use self::sync::SyncNews;

/// Something worth a line in the log; displays as that line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A service is in the configuration that was not there.
    ServiceAdded(ServiceName),
    /// A service was found in the data plane, with state from an earlier run.
    ServiceAdopted {
        /// The service.
        service: ServiceName,
        /// Number of real servers in its adopted list.
        servers: usize,
    },
    /// A service is gone from the configuration.
    ServiceRemoved(ServiceName),
    /// A service was found in the data plane that the configuration does not have; it is removed.
    LeftoverRemoved(ServiceKey),
    /// A service's configuration changed.
    ServiceChanged {
        /// The service.
        service: ServiceName,
        /// What changed.
        change: Change,
    },
    /// Somebody made an edit by hand.
    Edited(Edit),
    /// Somebody made so many edits by hand at once.
    EditedAtOnce(usize),
    /// Edits of a service are taken back, since the data plane has no room for what they come to.
    EditTakenBack(ServiceKey),
    /// All edits by hand are forgotten.
    EditsForgotten,
    /// A virtual router is in the configuration that was not there.
    RouterAdded(RouterName),
    /// A virtual router is gone from the configuration.
    RouterRemoved(RouterName),
    /// A virtual router's configuration changed.
    RouterChanged {
        /// The virtual router.
        router: RouterName,
        /// What changed.
        change: RouterChange,
    },
    /// This director's role in a virtual router changed.
    RoleChanged {
        /// The virtual router.
        router: RouterName,
        /// The old role.
        from: Role,
        /// The new role.
        to: Role,
        /// Why.
        reason: String,
    },
    /// This director took over, and has services whose flows it can't know: another director placed them.
    FlowsUnknown {
        /// The virtual router.
        router: RouterName,
        /// The services, with their schedulers, for people.
        services: String,
    },
    /// Something is wrong about a virtual router.
    RouterTrouble {
        /// The virtual router.
        router: RouterName,
        /// What, for people.
        what: String,
    },
    /// An operator ordered something about a virtual router, or what was ordered has ended.
    RouterOrdered {
        /// The virtual router.
        router: RouterName,
        /// What, for people.
        what: String,
        /// Whether it is as was ordered.
        done: bool,
    },
    /// This director takes nothing over from now on, or does again.
    Maintenance(bool),
    /// Something happened with a peer of connection sync.
    Sync {
        /// The peer's name.
        peer: String,
        /// What.
        news: SyncNews,
    },
    /// A part of the new configuration is not taken up.
    RestartNeeded(RestartNeeded),
    /// A new configuration says what the old one said.
    NothingChanged,
    /// A server waits for its first check before it is listed.
    ServerGated {
        /// The service's name.
        service: String,
        /// The server.
        server: SocketAddr,
    },
    /// A server is up.
    ServerUp {
        /// The service's name.
        service: String,
        /// The server.
        server: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A server is down.
    ServerDown {
        /// The service's name.
        service: String,
        /// The server.
        server: SocketAddr,
        /// What is done about it.
        action: OnFailure,
        /// Why.
        reason: String,
    },
    /// A server that is down here gets no new flows, but those go on that the service's Active tells of.
    ServerHeld {
        /// The service's name.
        service: String,
        /// The server.
        server: SocketAddr,
    },
    /// No server of a service takes new flows: they go to its sorry server.
    SorryServerIn {
        /// The service's name.
        service: String,
        /// The sorry server.
        server: SocketAddr,
    },
    /// The sorry server is not needed any more, and its flows end as those of any server that leaves.
    SorryServerOut {
        /// The service's name.
        service: String,
        /// The sorry server.
        server: SocketAddr,
    },
    /// A server's address became the director's own, or is no longer.
    ServerForwarding {
        /// The service's name.
        service: String,
        /// The server.
        server: SocketAddr,
        /// How packets reach it from now on.
        forwarding: Forwarding,
    },
    /// The next hop to a real server is known.
    NeighbourFound {
        /// The real server's address.
        address: IpAddr,
        /// Itself, or a router.
        hop: Hop,
    },
    /// A real server has another next hop, or that another hardware address.
    NeighbourChanged {
        /// The real server's address.
        address: IpAddr,
        /// The old next hop.
        from: Hop,
        /// The new one.
        to: Hop,
    },
    /// Nobody answers for a real server's address on the link; it is not listed until somebody does.
    NeighbourUnknown {
        /// The real server's address.
        address: IpAddr,
    },
    /// The shell could not do something.
    CommandFailed {
        /// What, for people.
        what: String,
        /// Why.
        reason: String,
    },
}

impl Report {
    /// Tells whether this is a trouble that a person should look at.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        match self {
            Self::Sync { news, .. } => news.is_warning(),
            Self::ServerDown { .. }
            | Self::RestartNeeded(_)
            | Self::RouterTrouble { .. }
            | Self::NeighbourUnknown { .. }
            | Self::EditTakenBack(_)
            | Self::RouterOrdered { done: false, .. }
            | Self::Maintenance(true)
            | Self::SorryServerIn { .. }
            | Self::CommandFailed { .. } => true,
            Self::ServiceAdded(_)
            | Self::ServiceAdopted { .. }
            | Self::ServiceRemoved(_)
            | Self::LeftoverRemoved(_)
            | Self::ServiceChanged { .. }
            | Self::Edited(_)
            | Self::EditedAtOnce(_)
            | Self::EditsForgotten
            | Self::RouterAdded(_)
            | Self::RouterRemoved(_)
            | Self::RouterChanged { .. }
            | Self::RoleChanged { .. }
            | Self::FlowsUnknown { .. }
            | Self::RouterOrdered { done: true, .. }
            | Self::Maintenance(false)
            | Self::NothingChanged
            | Self::ServerGated { .. }
            | Self::ServerUp { .. }
            | Self::SorryServerOut { .. }
            | Self::ServerHeld { .. }
            | Self::ServerForwarding { .. }
            | Self::NeighbourFound { .. }
            | Self::NeighbourChanged { .. } => false,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAdded(service) => write!(f, "{service} added"),
            Self::ServiceAdopted { service, servers } => {
                write!(f, "{service} adopted, servers listed: {servers}")
            }
            Self::ServiceRemoved(service) => write!(f, "{service} removed"),
            Self::LeftoverRemoved(key) => write!(
                f,
                "service {key} removed: found in the data plane, not in the configuration"
            ),
            Self::ServiceChanged { service, change } => write!(f, "{service}: {change}"),
            Self::Edited(edit) => write!(f, "by hand: {edit}"),
            Self::EditedAtOnce(count) => write!(f, "by hand: {count} edits at once"),
            Self::EditTakenBack(key) => write!(f, "edits of {key} taken back: there is no room"),
            Self::EditsForgotten => f.write_str("edits by hand forgotten"),
            Self::RouterAdded(router) => write!(f, "{router} added"),
            Self::RouterRemoved(router) => write!(f, "{router} removed"),
            Self::RouterChanged { router, change } => write!(f, "{router}: {change}"),
            Self::RoleChanged {
                router,
                from,
                to,
                reason,
            } => {
                let (to, from) = (to.name(), from.name());
                write!(f, "{router} is {to}, was {from}: {reason}")
            }
            Self::FlowsUnknown { router, services } => write!(f, "{router}: {}", unknown(services)),
            Self::RouterTrouble { router, what } | Self::RouterOrdered { router, what, .. } => {
                write!(f, "{router}: {what}")
            }
            Self::Maintenance(on) => f.write_str(maintenance(*on)),
            Self::Sync { peer, news } => write!(f, "connection sync with `{peer}`: {news}"),
            Self::RestartNeeded(what) => what.fmt(f),
            Self::NothingChanged => f.write_str("configuration read, nothing changed"),
            Self::ServerGated { service, server } => write!(
                f,
                "server {server} of `{service}` waits for its first check"
            ),
            Self::ServerUp {
                service,
                server,
                reason,
            } => write!(f, "server {server} of `{service}` is up: {reason}"),
            Self::ServerDown {
                service,
                server,
                action,
                reason,
            } => f.write_str(&down(service, *server, *action, reason)),
            Self::ServerHeld { service, server } => f.write_str(&held(service, *server)),
            Self::SorryServerIn { service, server } => f.write_str(&needed(service, *server)),
            Self::SorryServerOut { service, server } => {
                write!(f, "sorry server {server} of `{service}` leaves the list")
            }
            Self::ServerForwarding {
                service,
                server,
                forwarding,
            } => write!(f, "server {server} of `{service}` is {}", how(*forwarding)),
            Self::NeighbourFound { address, hop } => write!(f, "{address} is at {hop}"),
            Self::NeighbourChanged { address, from, to } => {
                write!(f, "{address} moved from {from} to {to}")
            }
            Self::NeighbourUnknown { address } => f.write_str(&unanswered(*address)),
            Self::CommandFailed { what, reason } => {
                write!(f, "could not {what}: {reason}; trying again")
            }
        }
    }
}

/// What becomes of these services' flows that another director placed.
fn unknown(services: &str) -> String {
    format!(
        "what another director placed of {services} is unknown here: connections go by the consistent hash and \
         mostly break (counted as unknown-flow), UDP flows are placed anew"
    )
}

const fn maintenance(on: bool) -> &'static str {
    if on {
        "in maintenance: this director takes no virtual router over until `evenkeel maintenance off`"
    } else {
        "in maintenance no longer"
    }
}

fn held(service: &str, server: SocketAddr) -> String {
    format!(
        "server {server} of `{service}` is held: connections that another director placed there go on"
    )
}

fn needed(service: &str, sorry: SocketAddr) -> String {
    format!("no server of `{service}` takes new connections: they go to the sorry server {sorry}")
}

fn unanswered(address: IpAddr) -> String {
    format!(
        "nobody answers for {address} on the link: its server is not listed; check the address, and that the \
         server is in the interface's own network"
    )
}

fn down(service: &str, server: SocketAddr, action: OnFailure, reason: &str) -> String {
    let done = done(action);
    format!("server {server} of `{service}` is down and {done}: {reason}")
}

/// What was done about a server that is down.
const fn done(action: OnFailure) -> &'static str {
    match action {
        OnFailure::Remove => "removed",
        OnFailure::Quiesce => "quiesced",
    }
}

/// How a server is reached that was reached in another way before, and why.
const fn how(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Local => "local: its address is this director's own",
        Forwarding::DirectRouting => "not local any more: its address is not this director's own",
    }
}
