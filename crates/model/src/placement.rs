//! What the data plane is told to hold: services with the servers that are in them *now*.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::hop::Hop;
use crate::listen::{Listens, ServiceKey};
use crate::options::{ServiceOptions, Thresholds};
use crate::service::{Forwarding, Scheduler, Weight};

/// An Ethernet hardware address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Nobody's; that of a server that needs none, because it is this director.
    pub const ZERO: Self = Self([0; 6]);
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// State of a virtual address's gate (ARCHITECTURE.md, "The gate").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// Packets for the address's services are balanced.
    Open,
    /// Packets that still come are balanced, neighbour requests for the address are dropped.
    Draining,
    /// Packets pass to the stack.
    Closed,
}

/// A real server that is in a service's list now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerEntry {
    /// Address and port.
    pub address: SocketAddr,
    /// Weight in force: 0 while quiesced, by config or by a failed check.
    pub weight: Weight,
    /// Weight in the consistent-hash table, at least 1: the configured one, so that quiescing a
    /// server moves no running flow, and 1 where that is 0.
    pub hash_weight: Weight,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// Whom its packets are sent to; a server is listed only once that is known. [`Hop::NONE`] with [`Forwarding::Local`].
    pub hop: Hop,
    /// When it is overloaded.
    pub thresholds: Thresholds,
}

/// A virtual service as the data plane holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    /// What identifies it.
    pub key: ServiceKey,
    /// What a group takes; empty where the key says it.
    pub group: Listens,
    /// How new flows are placed.
    pub scheduler: Scheduler,
    /// What else it does.
    pub options: ServiceOptions,
    /// Servers in IPVS's list order: the one added last stands first
    /// (`list_add_rcu` in net/netfilter/ipvs/ip_vs_ctl.c, `__ip_vs_update_dest`).
    pub servers: Vec<ServerEntry>,
    /// Servers in no list, whose running flows go on.
    pub held: Vec<ServerEntry>,
}

impl ServiceEntry {
    /// Whether its addresses are of IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.addresses().any(|address| address.is_ipv6())
    }

    /// What it takes.
    #[must_use]
    pub fn listens(&self) -> Listens {
        self.group.or_of(&self.key)
    }

    /// Its virtual addresses; one may come several times.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.group.addresses_with(&self.key)
    }
}
