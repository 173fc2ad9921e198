//! Edits by hand: what `ipvsadm -A -E -D -a -e -d -C -Z --set` asks for, and what was edited.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::Protocol;

/// What identifies a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ServiceId {
    /// A service of one protocol, address and port.
    Single {
        /// Transport protocol.
        protocol: Protocol,
        /// Virtual address and port.
        address: SocketAddr,
    },
    /// A group.
    Group {
        /// Its number (`ipvsadm -f`).
        group: u32,
    },
}

impl ServiceId {
    /// The protocol that its ports are of, where it has one.
    #[must_use]
    pub const fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Single { protocol, .. } => Some(protocol),
            Self::Group { .. } => None,
        }
    }

    /// Its address and port, where it has one.
    #[must_use]
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Single { address, .. } => Some(address),
            Self::Group { .. } => None,
        }
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single { protocol, address } => write!(f, "{} {address}", protocol.name()),
            Self::Group { group } => write!(f, "FWM {group}"),
        }
    }
}

/// Persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    /// How long a client's server is remembered, 1 s to 31 days.
    pub timeout_s: u32,
    /// How many leading bits of the client's address tell clients apart: 1 to 32, or 1 to 128 with IPv6.
    pub prefix: u8,
}

/// What a service does beside its scheduler, as far as ipvsadm knows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceOptions {
    /// Flows of one client go to one server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// Each packet is scheduled by itself.
    pub one_packet: bool,
    /// `sh-fallback`, `mh-fallback`.
    pub fallback: bool,
    /// `sh-port`, `mh-port`.
    pub port: bool,
}

/// What an edit says of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSettings {
    /// Scheduler, by IPVS's name.
    pub scheduler: String,
    /// What else it does.
    #[serde(default)]
    pub options: ServiceOptions,
}

/// Connections from which on a real server gets no new flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// It is overloaded from so many on; 0: never.
    pub upper: u32,
    /// It is not any more below so many; 0: below three quarters of the upper one.
    pub lower: u32,
}

/// What an edit says of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSettings {
    /// Its weight.
    pub weight: u16,
    /// When it is overloaded.
    #[serde(default)]
    pub thresholds: Thresholds,
}

/// How long entries live without a packet, in seconds; `None`: as everywhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeoutSettings {
    /// TCP, ESTABLISHED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_s: Option<u32>,
    /// TCP, after a FIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_fin_s: Option<u32>,
    /// UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_s: Option<u32>,
}

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "edit")]
pub enum Edit {
    /// Make a service without servers.
    AddService {
        /// The service.
        service: ServiceId,
        /// What it is like.
        settings: ServiceSettings,
    },
    /// Change a service.
    EditService {
        /// The service.
        service: ServiceId,
        /// What it is like from now on.
        settings: ServiceSettings,
    },
    /// Remove a service and its servers.
    DeleteService {
        /// The service.
        service: ServiceId,
    },
    /// Add a real server to a service.
    AddServer {
        /// The service, whose port is the server's too.
        service: ServiceId,
        /// The server's address.
        server: IpAddr,
        /// What it is like.
        settings: ServerSettings,
    },
    /// Change a real server.
    EditServer {
        /// The service.
        service: ServiceId,
        /// The server's address.
        server: IpAddr,
        /// What it is like from now on.
        settings: ServerSettings,
    },
    /// Remove a real server.
    DeleteServer {
        /// The service.
        service: ServiceId,
        /// The server's address.
        server: IpAddr,
    },
    /// Give a real server no new connections, until it is ready, or changed or added anew.
    Drain {
        /// The service.
        service: ServiceId,
        /// The server's address.
        server: IpAddr,
    },
    /// Give a drained real server new connections again.
    Ready {
        /// The service.
        service: ServiceId,
        /// The server's address.
        server: IpAddr,
    },
    /// Remove all services.
    Clear,
    /// Set the timeouts that are given, and leave the others.
    SetTimeouts {
        /// The timeouts.
        timeouts: TimeoutSettings,
    },
    /// Have counters begin at zero in listings.
    Zero {
        /// The service; `None`: all of them.
        service: Option<ServiceId>,
    },
}

/// Edits, which are made one after the other, each of them or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditRequest {
    /// The edits, at most [`EDITS_MAX`].
    pub edits: Vec<Edit>,
}

/// Most edits of one request.
pub const EDITS_MAX: usize = 10_000;

/// What came of an [`EditRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditAnswer {
    /// [`crate::API_VERSION`].
    pub api_version: u32,
    /// For each edit, why it changed nothing; `None`: it was done.
    pub refused: Vec<Option<EditRefusal>>,
    /// What is odd about them, though they were done.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Why an edit was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EditRefusal {
    /// The service that it adds is there.
    ServiceExists,
    /// The service is not there.
    NoSuchService,
    /// The real server that it adds is there.
    ServerExists,
    /// The service does not have the real server.
    NoSuchServer,
    /// There is no such scheduler.
    NoSuchScheduler,
    /// There is no room for more services or servers.
    NoRoom,
    /// No such group is configured, so that nobody has said what it takes.
    NoSuchGroup,
    /// Another service has its address and port.
    Taken,
    /// The real server's address is of the other version of IP than the service's.
    AddressFamily,
    /// A virtual address would be a host's own, or a host's own address a virtual one.
    AddressInUse,
    /// An address is not one that a host can have, or a number is out of its range.
    Invalid,
}

/// What was done to a service or to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EditKind {
    /// It was made by hand, and stands whatever the config file says.
    Added,
    /// It is the config file's, with other settings.
    Changed,
    /// It was removed, and is hidden where the config file has it.
    Removed,
}

impl EditKind {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// All that was edited by hand and is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edits {
    /// Services that were edited, or of which a server was.
    pub services: Vec<EditedService>,
    /// Timeouts that were set.
    pub timeouts: TimeoutSettings,
}

impl Edits {
    /// Tells whether nothing was edited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A service that was edited, or of which a server was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditedService {
    /// The service.
    #[serde(flatten)]
    pub service: ServiceId,
    /// What was done to the service itself; `None`: nothing.
    pub edit: Option<EditKind>,
    /// What it is like, where it was added or changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<ServiceSettings>,
    /// Its servers that were edited.
    pub servers: Vec<EditedServer>,
    /// Its servers that are drained, address and port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drained: Vec<SocketAddr>,
}

/// A real server that was edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditedServer {
    /// Address and port.
    pub address: SocketAddr,
    /// What was done.
    pub edit: EditKind,
    /// What it is like, where it was added or changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<ServerSettings>,
}
