//! What `ipvsadm -Lc` needs.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::Protocol;

/// All connections that the director remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// [`crate::API_VERSION`].
    pub api_version: u32,
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
    /// True while it stands in the half-open table.
    pub half_open: bool,
    /// True once a second client packet came at least a second after the first.
    pub assured: bool,
}
