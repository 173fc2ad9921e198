//! What `ipvsadm -L` needs.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{GateStatus, Role, ServiceId, ServiceOptions, Thresholds, TimeoutSettings};

/// All virtual services as the data plane holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    /// [`crate::API_VERSION`].
    pub api_version: u32,
    /// Services, unsorted.
    pub services: Vec<ServiceListing>,
    /// Timeouts of services that have none of their own, where they are not IPVS's.
    #[serde(default)]
    pub timeouts: TimeoutSettings,
}

/// How packets reach a real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forwarding {
    /// Direct routing.
    #[default]
    Direct,
    /// The server is the director itself.
    Local,
}

impl Forwarding {
    /// The name in `ipvsadm -L`.
    #[must_use]
    pub const fn listing_name(self) -> &'static str {
        match self {
            Self::Direct => "Route",
            Self::Local => "Local",
        }
    }

    /// The option in `ipvsadm -S`, where a local server is one of direct routing: IPVS finds out by
    /// itself that the address is its own.
    #[must_use]
    pub const fn save_option(self) -> &'static str {
        match self {
            Self::Direct | Self::Local => "-g",
        }
    }
}

/// Counters since the tables were made, or since `ipvsadm -Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Connections placed.
    pub conns: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Bytes from clients, counted from the IP header on.
    pub in_bytes: u64,
}

/// Moving averages as IPVS's estimator makes them: a step every 2 s, weight 1/4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Connections per second.
    pub cps: u64,
    /// Packets from clients per second.
    pub in_pps: u64,
    /// Bytes from clients per second.
    pub in_bps: u64,
}

/// A virtual service in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceListing {
    /// What identifies it.
    #[serde(flatten)]
    pub service: ServiceId,
    /// Scheduler, by IPVS's name.
    pub scheduler: String,
    /// What else it does.
    #[serde(default)]
    pub options: ServiceOptions,
    /// Counters of the service.
    pub totals: Totals,
    /// Rates of the service.
    pub rates: Rates,
    /// Gate of its address, the most open one of a group's. An older daemon does not say; it lists nothing that it only holds warm.
    #[serde(default = "open")]
    pub gate: GateStatus,
    /// The virtual router of its (first) address, and this director's role in it.
    #[serde(default)]
    pub virtual_router: Option<RouterRole>,
    /// Real servers that are in the list now, in IPVS's list order.
    pub servers: Vec<ServerListing>,
}

const fn open() -> GateStatus {
    GateStatus::Open
}

/// A virtual router, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterRole {
    /// The operator's name for it.
    pub name: String,
    /// This director's role.
    pub role: Role,
}

/// A real server in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerListing {
    /// Address and port.
    pub address: SocketAddr,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// Weight in force.
    pub weight: u16,
    /// When it is overloaded.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// ActiveConn.
    pub active: u64,
    /// InActConn.
    pub inactive: u64,
    /// PersistConn.
    #[serde(default)]
    pub persistent: u64,
    /// Counters of the server.
    pub totals: Totals,
    /// Rates of the server.
    pub rates: Rates,
}
