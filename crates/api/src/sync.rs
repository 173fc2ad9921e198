//! Connection sync, as `evenkeel status` shows it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// State of connection sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// UDP port of all directors.
    pub port: u16,
    /// How old a change may be that a receiver lacks, while it counts as in sync; ms.
    pub lag_bound_ms: u64,
    /// The other directors, in the order of the config file.
    pub peers: Vec<SyncPeerStatus>,
    /// What became of connections that peers told, and how many wait for a real server that is not there yet; kinds that
    /// never occurred are left out.
    pub received: Vec<SyncCount>,
}

/// How a peer stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncPeerStatus {
    /// Its name.
    pub name: String,
    /// Its addresses, from the config.
    pub addresses: Vec<IpAddr>,
    /// The address by which it was heard last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<IpAddr>,
    /// The greatest lag of the connections of this director there within the last second or two, in ms: younger ones a
    /// failure of this director may cost. Absent: there is no session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_most_ms: Option<u64>,
    /// From this director to it.
    pub outgoing: SyncDirection,
    /// From it to this director.
    pub incoming: SyncDirection,
    /// Seconds since the session began; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_s: Option<u64>,
    /// How long a datagram and its answer take, in us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// Numbers of the virtual routers that it says it is Active for.
    pub active: Vec<u8>,
    /// Whether its services and servers are this director's; absent: it has not said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_services: Option<bool>,
    /// Troubles of the last minute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
    /// What happened; kinds that never occurred are left out.
    pub counters: Vec<SyncCount>,
}

/// One half of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDirection {
    /// `down`, `snapshot`, `lagging` or `in-sync`.
    pub state: String,
    /// Records on their way.
    pub outstanding: u32,
    /// How old the oldest change may be that the receiver lacks, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCount {
    /// What.
    pub kind: String,
    /// How often.
    pub count: u64,
}
