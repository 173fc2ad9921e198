//! What `evenkeel trace` shows: where a packet would go, and why.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{ConnectionState, Forwarding, GateStatus, Protocol, RouterRole};

/// SCTP's INIT, in [`TraceQuery::flags`].
pub const SCTP_INIT: u8 = 1;
/// TCP's FIN, in [`TraceQuery::flags`].
pub const TCP_FIN: u8 = 0x01;
/// TCP's SYN.
pub const TCP_SYN: u8 = 0x02;
/// TCP's RST.
pub const TCP_RST: u8 = 0x04;
/// TCP's ACK.
pub const TCP_ACK: u8 = 0x10;

/// The packet to trace, as the query of the request. It has no data and a TTL of 64, and is sent to the
/// director's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceQuery {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The client's address and port; IPv4.
    pub client: SocketAddr,
    /// The virtual address and port; IPv4.
    pub virtual_address: SocketAddr,
    /// TCP's flags, as in its header, or the type of an SCTP packet's first chunk; a SYN if left out, and of no meaning
    /// with UDP.
    #[serde(default = "syn")]
    pub flags: u8,
}

const fn syn() -> u8 {
    TCP_SYN
}

/// Where a packet would go now, and why; the question changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceAnswer {
    /// [`crate::API_VERSION`].
    pub api_version: u32,
    /// The packet that was asked for.
    pub packet: TraceQuery,
    /// What becomes of it.
    pub verdict: TraceVerdict,
    /// Why it is dropped or answered, by the name that `status` counts it under.
    pub drop_reason: Option<String>,
    /// Gate of the address; `None`: it is no virtual address of this director.
    pub gate: Option<GateStatus>,
    /// The virtual router of the address, and this director's role in it.
    pub virtual_router: Option<RouterRole>,
    /// The service.
    pub service: Option<TracedService>,
    /// The flow's entry as it is.
    pub entry: Option<TracedEntry>,
    /// The flow's entry as the packet would leave it.
    pub entry_after: Option<TracedEntry>,
    /// What chooses the server; `None`: the packet goes to none.
    pub chosen_by: Option<ChosenBy>,
    /// The server that it goes to.
    pub server: Option<TracedServer>,
    /// What would be counted besides, by the names of `events` in `status`.
    pub events: Vec<String>,
    /// Why, for people.
    pub why: String,
    /// What to do next, for people.
    pub hints: Vec<String>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceVerdict {
    /// Up to the director's own stack, untouched.
    Pass,
    /// On to the server.
    Forward,
    /// Dropped, and its sender told by an ICMP error.
    Answer,
    /// Dropped.
    Drop,
}

impl TraceVerdict {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Forward => "forward",
            Self::Answer => "answer",
            Self::Drop => "drop",
        }
    }
}

/// What chooses the server of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenBy {
    /// The flow's entry.
    Entry,
    /// The client's template, where the service has persistence.
    Template,
    /// The service's scheduler.
    Scheduler,
    /// The consistent hash, without an entry.
    ConsistentHash,
    /// The consistent hash without quiesced servers.
    FreshHash,
}

/// The service of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedService {
    /// The operator's name for it; `None` for one that the config does not name any more.
    pub name: Option<String>,
    /// Scheduler, by IPVS's name.
    pub scheduler: String,
}

/// An entry of a connection table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedEntry {
    /// True while it stands in the half-open table.
    pub half_open: bool,
    /// Its state.
    pub state: ConnectionState,
    /// Seconds until it expires, if no packet comes; 0 if it has.
    pub expires_s: u64,
    /// True once a second client packet came at least a second after the first.
    pub assured: bool,
    /// The real server's address and port.
    pub server: SocketAddr,
}

/// The server of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedServer {
    /// Address and port.
    pub address: SocketAddr,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// Hardware address that its packets are sent to; `None` for the director itself.
    pub mac: Option<String>,
    /// The interface that they leave by; `None`: the one that they came in by.
    #[serde(default)]
    pub interface: Option<String>,
    /// The VLAN whose tag they get, 1 to 4,094; `None`: no tag.
    #[serde(default)]
    pub vlan: Option<u16>,
}
