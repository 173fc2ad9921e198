//! News for people, typed so that tests and JSON logs need not parse text.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use evenkeel_model::{Change, MacAddress, OnFailure, RestartNeeded, ServiceKey, ServiceName};

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
    /// A real server's hardware address is known.
    NeighbourFound {
        /// The real server's address.
        address: IpAddr,
        /// Its hardware address.
        mac: MacAddress,
    },
    /// A real server has another hardware address.
    NeighbourChanged {
        /// The real server's address.
        address: IpAddr,
        /// The old hardware address.
        from: MacAddress,
        /// The new hardware address.
        to: MacAddress,
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
            Self::ServerDown { .. }
            | Self::RestartNeeded(_)
            | Self::NeighbourUnknown { .. }
            | Self::CommandFailed { .. } => true,
            Self::ServiceAdded(_)
            | Self::ServiceAdopted { .. }
            | Self::ServiceRemoved(_)
            | Self::LeftoverRemoved(_)
            | Self::ServiceChanged { .. }
            | Self::NothingChanged
            | Self::ServerGated { .. }
            | Self::ServerUp { .. }
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
            } => {
                let action = match action {
                    OnFailure::Remove => "removed",
                    OnFailure::Quiesce => "quiesced",
                };
                write!(
                    f,
                    "server {server} of `{service}` is down and {action}: {reason}"
                )
            }
            Self::NeighbourFound { address, mac } => write!(f, "{address} is at {mac}"),
            Self::NeighbourChanged { address, from, to } => {
                write!(f, "{address} moved from {from} to {to}")
            }
            Self::NeighbourUnknown { address } => write!(
                f,
                "nobody answers for {address} on the link: its server is not listed; \
                 check the address, and that the server is in the interface's own network"
            ),
            Self::CommandFailed { what, reason } => {
                write!(f, "could not {what}: {reason}; trying again")
            }
        }
    }
}
