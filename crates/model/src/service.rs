//! Virtual services and real servers, as configured.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::check::Check;
use crate::listen::{Listens, ServiceKey};
use crate::options::{ServiceOptions, Thresholds};
use crate::sync::ConnectionSync;
use crate::virtual_router::VirtualRouter;

/// Transport protocol of a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, protocol number 6.
    Tcp,
    /// UDP, protocol number 17.
    Udp,
    /// SCTP, protocol number 132.
    Sctp,
}

impl Protocol {
    /// All protocols that this version knows.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The IP protocol number (IANA).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The name as ipvsadm prints it, in capitals.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// How a service chooses the real server of a new flow; the names are IPVS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// `rr`: the next server that has a weight, in list order.
    RoundRobin,
    /// `wrr`: as `rr`, in proportion to the weights, interleaved.
    WeightedRoundRobin,
    /// `lc`: the server with the fewest connections.
    LeastConnection,
    /// `wlc`: the server with the fewest connections for its weight.
    WeightedLeastConnection,
    /// `sed`: the server that would have the fewest active connections for its weight with one more.
    ShortestExpectedDelay,
    /// `nq`: the first server without an active connection, else as `sed`.
    NeverQueue,
    /// `fo`: the server with the greatest weight.
    Failover,
    /// `ovf`: the server with the greatest weight that has no more active connections than that.
    Overflow,
    /// `lblc`: the server that the virtual address has, while it is not busy, else as `wlc`.
    Locality,
    /// `lblcr`: the least loaded of the servers that the virtual address has; where it is busy another one comes to them.
    ReplicatedLocality,
    /// `dh`: by a static hash of the virtual address.
    DestinationHash,
    /// `sh`: by a static hash of the client's address, in proportion to the weights.
    SourceHash,
    /// `mh`: by IPVS's Maglev table of the client's address.
    MaglevHash,
    /// `twos`: the less loaded of two servers that chance picks by their weights.
    TwoChoices,
    /// `maglev`: a consistent hash of the flow, the same on every director.
    Maglev,
}

impl Scheduler {
    /// All schedulers that this version knows.
    pub const ALL: [Self; 15] = [
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnection,
        Self::WeightedLeastConnection,
        Self::ShortestExpectedDelay,
        Self::NeverQueue,
        Self::Failover,
        Self::Overflow,
        Self::Locality,
        Self::ReplicatedLocality,
        Self::DestinationHash,
        Self::SourceHash,
        Self::MaglevHash,
        Self::TwoChoices,
        Self::Maglev,
    ];

    /// The name as ipvsadm prints it and as the config file spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "rr",
            Self::WeightedRoundRobin => "wrr",
            Self::LeastConnection => "lc",
            Self::WeightedLeastConnection => "wlc",
            Self::ShortestExpectedDelay => "sed",
            Self::NeverQueue => "nq",
            Self::Failover => "fo",
            Self::Overflow => "ovf",
            Self::Locality => "lblc",
            Self::ReplicatedLocality => "lblcr",
            Self::DestinationHash => "dh",
            Self::SourceHash => "sh",
            Self::MaglevHash => "mh",
            Self::TwoChoices => "twos",
            Self::Maglev => "maglev",
        }
    }
}

/// How packets reach a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Direct routing: the frame is sent to the server's MAC address, the packet is left as it is.
    DirectRouting,
    /// The server is this director itself: the packet goes up to its own stack. Never configured; chosen
    /// where a server's address is one of the director's own, as IPVS does.
    Local,
}

impl Forwarding {
    /// The name in `ipvsadm -L`.
    #[must_use]
    pub const fn listing_name(self) -> &'static str {
        match self {
            Self::DirectRouting => "Route",
            Self::Local => "Local",
        }
    }
}

/// Weight of a real server: 0 (quiesced: no new flows) to 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u16);

impl Weight {
    /// No new flows; running ones go on.
    pub const QUIESCED: Self = Self(0);
    /// The weight of a server for which none is given.
    pub const ONE: Self = Self(1);

    /// The weight as a number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A weight outside 0 to 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("weight `{0}` is not in the range 0 to 65535")]
pub struct InvalidWeight(pub i64);

impl TryFrom<i64> for Weight {
    type Error = InvalidWeight;

    fn try_from(value: i64) -> Result<Self, InvalidWeight> {
        u16::try_from(value)
            .map(Self)
            .map_err(|_out_of_range| InvalidWeight(value))
    }
}

/// What happens to a real server whose check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It leaves the list; packets of its running flows are dropped and counted.
    Remove,
    /// It keeps its place with weight 0; its running flows still reach it.
    Quiesce,
}

/// A real server of a virtual service, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealServer {
    /// Address and port; with direct routing the port is the service's, see [`ServiceKey::port`].
    pub address: SocketAddr,
    /// Configured weight.
    pub weight: Weight,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// When it is overloaded.
    pub thresholds: Thresholds,
    /// By hand it gets no new flows, whatever its weight; no config file says so.
    pub drained: bool,
}

impl RealServer {
    /// The weight that it has for new flows.
    #[must_use]
    pub const fn weight_for_new(&self) -> Weight {
        if self.drained {
            Weight::QUIESCED
        } else {
            self.weight
        }
    }
}

/// A virtual service, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualService {
    /// The operator's name for it, unique in the config.
    pub name: String,
    /// What identifies it.
    pub key: ServiceKey,
    /// What a group takes; empty where the key says it.
    pub group: Listens,
    /// How new flows are placed.
    pub scheduler: Scheduler,
    /// What else it does.
    pub options: ServiceOptions,
    /// What happens to a server whose check fails.
    pub on_failure: OnFailure,
    /// How its servers are checked; `None`: never checked, always in.
    pub check: Option<Check>,
    /// Real servers, in the order of the config file.
    pub servers: Vec<RealServer>,
    /// Gets the new flows while none of `servers` is usable, and is none of them; of weight 1, never checked.
    pub sorry_server: Option<RealServer>,
}

impl VirtualService {
    /// What it takes.
    #[must_use]
    pub fn listens(&self) -> Listens {
        self.group.or_of(&self.key)
    }

    /// Its virtual addresses; one may come several times.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.group.addresses_with(&self.key)
    }

    /// All whom its packets may go to: the real servers, then the sorry server.
    pub fn all_servers(&self) -> impl Iterator<Item = &RealServer> {
        self.servers.iter().chain(&self.sorry_server)
    }
}

/// Which XDP mode the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpPreference {
    /// Native where the driver is known good, generic on veth.
    Auto,
    /// In the driver; an error where it can't.
    Native,
    /// In the stack's receive path, works on any interface.
    Generic,
}

/// Capacities of the pinned tables; a change needs `evenkeel purge` first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSizes {
    /// Established connections, 1,024 to 16,777,216.
    pub connections: u32,
    /// Half-open connections, 1,024 to 16,777,216; rounded up to a power of two.
    pub half_open: u32,
}

impl Default for TableSizes {
    fn default() -> Self {
        Self {
            connections: 1 << 20,
            half_open: 1 << 16,
        }
    }
}

/// The whole validated configuration of one director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Director {
    /// Name of this director, for logs and `status`.
    pub name: String,
    /// Interface that has the virtual addresses: it receives the clients' packets and reaches the real servers.
    pub interface: String,
    /// Further interfaces that packets may come in by and leave by.
    pub more_interfaces: Vec<String>,
    /// XDP mode.
    pub xdp: XdpPreference,
    /// Table capacities.
    pub tables: TableSizes,
    /// Longest wait for the first round of checks.
    pub startup_wait: Duration,
    /// Connection sync; `None`: this director shares its connections with nobody.
    pub sync: Option<Box<ConnectionSync>>,
    /// Virtual routers, in the order of the config file.
    pub virtual_routers: Vec<VirtualRouter>,
    /// Virtual services, in the order of the config file.
    pub services: Vec<VirtualService>,
}

impl Director {
    /// All interfaces, the one of the virtual addresses first.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        let more = self.more_interfaces.iter();
        std::iter::once(&self.interface)
            .chain(more)
            .map(String::as_str)
    }
}
