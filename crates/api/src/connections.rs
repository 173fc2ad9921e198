//! What `ipvsadm -Lc` and `evenkeel connections` need.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Protocol, ServiceId};

/// Most connections of an answer that has a limit.
pub const CONNECTIONS_MAX: u64 = 100_000;

/// Which connections are asked for, as the query of the request; what is left out is no condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionsQuery {
    /// Those of the service with this protocol and ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// ... this address and port; only both together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_address: Option<SocketAddr>,
    /// Those of the group of this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Those on the real server of this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<IpAddr>,
    /// Those of this client, or of the network that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// How many leading bits of `client` count: 32 with IPv4 at most, 128 with IPv6; left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// Those in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<ConnectionState>,
    /// Most connections of the answer, which are counted beyond that; more than [`CONNECTIONS_MAX`] is taken as that.
    /// Left out: the answer has all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl ConnectionsQuery {
    /// The same, for the connections of one service.
    #[must_use]
    pub const fn of_service(self, service: ServiceId) -> Self {
        match service {
            ServiceId::Single { protocol, address } => Self {
                protocol: Some(protocol),
                virtual_address: Some(address),
                ..self
            },
            ServiceId::Group { group } => Self {
                group: Some(group),
                ..self
            },
        }
    }
}

/// Connections that the director remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// [`crate::API_VERSION`].
    pub api_version: u32,
    /// How many were asked for, whether they are here or were cut off by the limit. An older daemon does not say: it
    /// knows no conditions, and gives all that there are.
    #[serde(default)]
    pub matched: Option<u64>,
    /// Connections, in no order.
    pub connections: Vec<Connection>,
}

/// IPVS's states of a connection, by IPVS's names: those of TCP, the one of UDP, and those of SCTP that the client's
/// packets alone lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionState {
    None,
    Established,
    SynSent,
    SynRecv,
    FinWait,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Synack,
    Udp,
    Init1,
    Init,
    CookieEchoed,
    ShutdownReceived,
    Closed,
}

impl ConnectionState {
    /// All states.
    pub const ALL: [Self; 17] = [
        Self::None,
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Synack,
        Self::Udp,
        Self::Init1,
        Self::Init,
        Self::CookieEchoed,
        Self::ShutdownReceived,
        Self::Closed,
    ];

    /// The name as ipvsadm prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait => "FIN_WAIT",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Synack => "SYNACK",
            Self::Udp => "UDP",
            Self::Init1 => "INIT1",
            Self::Init => "INIT",
            Self::CookieEchoed => "C-ECHOED",
            Self::ShutdownReceived => "S-RECEIVED",
            Self::Closed => "CLOSED",
        }
    }
}

/// A connection that the director remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Transport protocol; `None`: any, in a group's template.
    pub protocol: Option<Protocol>,
    /// True if it is no connection, but a template: new connections of the client go to its destination.
    #[serde(default)]
    pub template: bool,
    /// Its state.
    pub state: ConnectionState,
    /// The client's address and port; of a template the address under the netmask, and port 0.
    pub client: SocketAddr,
    /// The virtual address and port; of a group's template its number in the form of an address.
    pub virtual_address: SocketAddr,
    /// The real server's address and port.
    pub destination: SocketAddr,
    /// Seconds until it expires, if no packet comes.
    pub expires_s: u64,
    /// The service that it is of; `None`: nobody knows any more, or an older daemon, which does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// True while it stands in the half-open table.
    pub half_open: bool,
    /// True once a second client packet came at least a second after the first.
    pub assured: bool,
}
