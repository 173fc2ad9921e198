//! What a service does beside its scheduler; each default is what IPVS does.

use std::time::Duration;

/// Options of a virtual service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceOptions {
    /// Each packet is scheduled by itself and leaves no entry (`ipvsadm --ops`, UDP only).
    pub one_packet: bool,
    /// Flows of one client go to one server.
    pub persistence: Option<Persistence>,
    /// How fragments find their server.
    pub fragments: Fragments,
    /// How long entries live without a packet.
    pub timeouts: Timeouts,
    /// What a packet meets whose connection's server has left the service.
    pub on_removal: OnRemoval,
    /// Flags of sh and mh.
    pub flags: SchedulerFlags,
    /// The table of maglev.
    pub maglev: MaglevOptions,
}

/// Persistence, as `ipvsadm -p` and `-M` configure it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// How long a client's server is remembered after its last new flow, 1 s to 31 days.
    pub timeout: Duration,
    /// How many leading bits of the client's address tell clients apart: 1 to 32, or 1 to 128 with IPv6.
    pub prefix: u8,
}

/// How fragments find their server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragments {
    /// They go where their packet's first fragment went; one that comes before that is dropped.
    #[default]
    Follow,
    /// All of them, first ones too, are placed by addresses and protocol alone.
    ByAddress,
}

/// How long entries live without a packet; `None`: as everywhere ([`Timeouts::IPVS`], or `ipvsadm --set`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, ESTABLISHED.
    pub tcp: Option<Duration>,
    /// TCP, after a FIN.
    pub tcp_fin: Option<Duration>,
    /// UDP.
    pub udp: Option<Duration>,
    /// SCTP, ESTABLISHED.
    pub sctp: Option<Duration>,
}

impl Timeouts {
    /// IPVS's own.
    pub const IPVS: Self = Self {
        tcp: Some(Duration::from_mins(15)),
        tcp_fin: Some(Duration::from_mins(2)),
        udp: Some(Duration::from_mins(5)),
        sctp: Some(Duration::from_mins(15)),
    };

    /// These, and where there is none, `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            tcp: self.tcp.or(others.tcp),
            tcp_fin: self.tcp_fin.or(others.tcp_fin),
            udp: self.udp.or(others.udp),
            sctp: self.sctp.or(others.sctp),
        }
    }
}

/// What a packet meets whose flow's server has left the service; UDP flows are placed anew unless they are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRemoval {
    /// It is dropped and counted, as in IPVS.
    #[default]
    Drop,
    /// The client is told by a reset.
    Reset,
    /// It goes to the server all the same, until the flow ends.
    Keep,
}

/// Flags of the schedulers sh and mh (`ipvsadm -b`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulerFlags {
    /// `sh-port`, `mh-port`: the client's port counts too.
    pub port: bool,
    /// `sh-fallback`, `mh-fallback`: where the server takes no new flow, another one does.
    pub fallback: bool,
}

/// The table of the scheduler maglev.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaglevOptions {
    /// Number of its slots.
    pub slots: MaglevSlots,
    /// The client's address alone decides, not the whole flow.
    pub by_client: bool,
}

/// Number of slots of a consistent-hash table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaglevSlots {
    /// The smallest prime of at least 100 for each server.
    #[default]
    Auto,
    /// 65,537.
    Small,
    /// 655,373.
    Large,
}

/// Connections of a real server from which on it gets no new flows (`ipvsadm -x` and `-y`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// It is overloaded from so many on; 0: never.
    pub upper: u32,
    /// It is not any more below so many; 0: below three quarters of the upper one.
    pub lower: u32,
}
