//! What `evenkeel status` shows.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{
    Edits, Forwarding, Protocol, ServiceId, SyncStatus, VirtualRouterStatus, VrrpThreadStatus,
};

/// State of the whole director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`crate::API_VERSION`].
    pub api_version: u32,
    /// Version of the daemon.
    pub version: String,
    /// Name of the director, from its config.
    pub director: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// When the daemon started, in seconds since 1970-01-01 UTC.
    pub started: u64,
    /// True where this daemon took over pinned state from one before it.
    pub adopted: bool,
    /// True once the first round of checks is complete or `startup_wait` has passed.
    pub ready: bool,
    /// True while this director takes no virtual router over, by `evenkeel maintenance on`.
    #[serde(default)]
    pub maintenance: bool,
    /// An interface that the data plane works on.
    pub interface: InterfaceStatus,
    /// Further interfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_interfaces: Vec<InterfaceStatus>,
    /// Fill of the connection tables.
    pub tables: TableStatus,
    /// Virtual routers, in the order of the config file.
    #[serde(default)]
    pub virtual_routers: Vec<VirtualRouterStatus>,
    /// The thread that runs them; `None` where there are none.
    #[serde(default)]
    pub vrrp_thread: Option<VrrpThreadStatus>,
    /// Connection sync; absent: it is not configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncStatus>,
    /// Virtual services, in the order of the config file.
    pub services: Vec<ServiceStatus>,
    /// What was edited by hand (`ipvsadm -A -E -D -a -e -d -C --set`).
    #[serde(default, skip_serializing_if = "Edits::is_empty")]
    pub edits: Edits,
    /// Packets dropped by the data plane; reasons that never occurred are left out.
    pub drops: Vec<DropCount>,
    /// What else happened to packets, such as flows that were placed without an entry; as `drops`.
    pub events: Vec<EventCount>,
    /// What the daemon could not do and is still trying.
    pub problems: Vec<Problem>,
}

/// An interface that the data plane works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: String,
    /// Mode that the program is attached in.
    pub mode: XdpMode,
}

/// How an XDP program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the stack's receive path.
    Generic,
}

/// Fill of the connection tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Entries of the established table.
    pub connections: u64,
    /// Capacity of the established table.
    pub connections_max: u64,
    /// Entries of the half-open table.
    pub half_open: u64,
    /// Capacity of the half-open table.
    pub half_open_max: u64,
    /// Entries of the established table that are not assured yet.
    pub unassured: u64,
    /// True while new flows are placed by the consistent hash, without an entry.
    pub flood_mode: bool,
}

/// State of a virtual address's gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateStatus {
    /// Packets for the address's services are balanced.
    Open,
    /// Packets that still come are balanced, neighbour requests are dropped.
    Draining,
    /// Packets pass to the stack.
    Closed,
}

/// What happens to a real server whose check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It leaves the list.
    Remove,
    /// It stays with weight 0.
    Quiesce,
}

/// State of a virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The operator's name for it.
    pub name: String,
    /// What identifies it.
    #[serde(flatten)]
    pub service: ServiceId,
    /// What a group takes; empty where `service` says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listens: Vec<Listen>,
    /// Scheduler, by IPVS's name.
    pub scheduler: String,
    /// Gate of its address, the most open one of a group's.
    pub gate: GateStatus,
    /// The virtual routers of its addresses, by name; `None`: they are this director's alone.
    #[serde(default)]
    pub virtual_router: Option<String>,
    /// What a failed check does.
    pub on_failure: OnFailure,
    /// Real servers, in the order of the config file.
    pub servers: Vec<ServerStatus>,
    /// The host that gets the new connections while none of `servers` takes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sorry_server: Option<ServerStatus>,
}

/// Packets of one protocol to some ports of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Virtual address.
    pub address: IpAddr,
    /// First port; 0: any port that no other service has.
    pub first_port: u16,
    /// Last port.
    pub last_port: u16,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.name();
        match self.address {
            IpAddr::V4(address) => write!(f, "{protocol} {address}:")?,
            IpAddr::V6(address) => write!(f, "{protocol} [{address}]:")?,
        }
        match (self.first_port, self.last_port) {
            (0, _) => f.write_str("*"),
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// What the director thinks of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerState {
    /// Its checks succeed, or it has none.
    Up,
    /// Its checks fail.
    Down,
    /// Its checks fail here, and connections that another director placed there go on.
    Held,
    /// No check has been answered yet.
    Gated,
    /// It would be in, but its hardware address is unknown.
    NoNeighbour,
    /// It is in, but has as many connections as it may have: it gets no new ones.
    Overloaded,
    /// It gets no new connections by hand (`evenkeel drain`), and its checks succeed, or it has none.
    Drained,
    /// It is a sorry server, and other servers take new connections.
    Spare,
}

impl ServerState {
    /// The word that `status` prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Held => "held",
            Self::Gated => "gated",
            Self::NoNeighbour => "no-neighbour",
            Self::Overloaded => "overloaded",
            Self::Drained => "drained",
            Self::Spare => "spare",
        }
    }
}

/// State of a real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Address and port.
    pub address: SocketAddr,
    /// How packets reach it.
    #[serde(default)]
    pub forwarding: Forwarding,
    /// Weight in the config.
    pub weight_configured: u16,
    /// Weight in force: 0 while quiesced, drained or not listed.
    pub weight: u16,
    /// True while it is drained, whatever its state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
    /// What the director thinks of it.
    pub state: ServerState,
    /// True while the data plane has it.
    pub listed: bool,
    /// Why it is in this state; empty where there is nothing to say.
    pub reason: String,
    /// Seconds since the state last changed.
    pub since_s: u64,
    /// Hardware address that its packets are sent to, once known: its own, or that of a router.
    pub mac: Option<String>,
    /// The interface that they leave by; `None`: the one that they came in by.
    #[serde(default)]
    pub interface: Option<String>,
    /// The VLAN whose tag they get, 1 to 4,094; `None`: no tag.
    #[serde(default)]
    pub vlan: Option<u16>,
    /// ActiveConn.
    pub active: u64,
    /// InActConn.
    pub inactive: u64,
    /// Connections placed on it since the tables were made.
    pub conns: u64,
    /// Packets forwarded to it.
    pub packets: u64,
    /// Bytes forwarded to it, counted from the IP header on.
    pub bytes: u64,
}

/// How often packets were dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCount {
    /// The reason, in kebab-case.
    pub reason: String,
    /// Packets.
    pub packets: u64,
}

/// How often one thing happened to packets that were not dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCount {
    /// What happened, in kebab-case.
    pub event: String,
    /// How often.
    pub count: u64,
}

/// Something the daemon could not do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it tried.
    pub what: String,
    /// Why it failed, the last time.
    pub reason: String,
    /// How often it has been tried.
    pub attempts: u32,
}
