//! Counters: why packets were dropped, what else happened, and traffic per service and server.

/// Why a packet was dropped; its number indexes the map `DROPS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Truncated or contradictory headers.
    Malformed = 0,
    /// A fragment for a virtual address that is no service's: of an ICMP message, or for a port without one.
    Fragment = 1,
    /// TTL 1: answered with ICMP time exceeded, as a router does.
    TtlExceeded = 2,
    /// The service has no usable real server: answered with ICMP port unreachable.
    NoServer = 3,
    /// The flow's real server has left the service.
    ServerGone = 4,
    /// A new flow needed an entry and there was no room for one.
    TableFull = 5,
    /// An ARP request for an address whose gate is draining, or open and yielded.
    GateDraining = 6,
    /// The program found its own maps inconsistent.
    Internal = 7,
    /// The server is reached by an interface that this director does not work on.
    NoWayOut = 8,
    /// A fragment whose packet's first fragment has not come, or came 30 s ago.
    FragmentEarly = 9,
    /// As [`ServerGone`](Self::ServerGone), where the service says that the client is told: answered with a TCP reset.
    ServerGoneReset = 10,
}

impl DropReason {
    /// All reasons, by number.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::Fragment,
        Self::TtlExceeded,
        Self::NoServer,
        Self::ServerGone,
        Self::TableFull,
        Self::GateDraining,
        Self::Internal,
        Self::NoWayOut,
        Self::FragmentEarly,
        Self::ServerGoneReset,
    ];

    /// The name in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Fragment => "fragment",
            Self::TtlExceeded => "ttl-exceeded",
            Self::NoServer => "no-server",
            Self::ServerGone => "server-gone",
            Self::TableFull => "table-full",
            Self::GateDraining => "gate-draining",
            Self::Internal => "internal",
            Self::NoWayOut => "no-way-out",
            Self::FragmentEarly => "fragment-early",
            Self::ServerGoneReset => "server-gone-reset",
        }
    }
}

/// What happened to packets that were not dropped; its number indexes the map `EVENTS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A packet of an unknown flow, placed by the consistent hash.
    UnknownFlow = 0,
    /// A SYN or UDP packet placed by the consistent hash without an entry, in flood mode.
    FloodSyn = 1,
    /// The same because of too many connections, or too many unassured ones.
    FullSyn = 2,
    /// A half-open entry made room for a newer one.
    Evicted = 3,
    /// Flood mode began.
    FloodBegan = 4,
    /// The table of fragments forgot a packet before its time, to make room for a newer one.
    FragmentEvicted = 5,
    /// A SYN or UDP packet placed by the consistent hash, with an entry, because user space had asked for it.
    AskedSyn = 6,
}

impl Event {
    /// All events, by number.
    pub const ALL: [Self; 7] = [
        Self::UnknownFlow,
        Self::FloodSyn,
        Self::FullSyn,
        Self::Evicted,
        Self::FloodBegan,
        Self::FragmentEvicted,
        Self::AskedSyn,
    ];

    /// The name in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownFlow => "unknown-flow",
            Self::FloodSyn => "flood-syn",
            Self::FullSyn => "full-syn",
            Self::Evicted => "evicted",
            Self::FloodBegan => "flood-began",
            Self::FragmentEvicted => "fragment-evicted",
            Self::AskedSyn => "asked-syn",
        }
    }
}

/// Traffic of a service or real server, per processor.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Flows placed.
    pub conns: u64,
    /// Packets forwarded.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
}
