//! Connections: keys, entries, and the one word that is all of an entry's mutable state.

use crate::{ServiceKey, Shared, high, low, pair};

/// Monotonic time in units of 2^24 ns (16.8 ms).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// Nanoseconds of a tick, as a power of two.
    pub const SHIFT: u32 = 24;

    /// The tick of a monotonic time in nanoseconds.
    #[must_use]
    #[inline(always)]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns >> Self::SHIFT)
    }

    /// Ticks in a number of seconds, rounded up.
    #[must_use]
    #[inline(always)]
    pub const fn in_secs(secs: u32) -> u64 {
        (secs as u64 * 1_000_000_000).div_ceil(1 << Self::SHIFT)
    }

    /// The tick `ticks` later.
    #[must_use]
    #[inline(always)]
    pub const fn after(self, ticks: u64) -> Self {
        Self(self.0.wrapping_add(ticks))
    }
}

/// Identifies a flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Client's address, virtual address; with IPv6 a digest of both, keyed by [`Globals::secret`](crate::Globals).
    pub addresses: u64,
    /// Client's port and virtual port (one 32-bit field, as they lie in the packet), IP protocol number and marks.
    pub ports_protocol: u64,
}

impl FlowKey {
    /// The key of a packet with these addresses and ports, all as they lie in it.
    #[must_use]
    #[inline(always)]
    pub const fn new(client: u32, address: u32, ports: u32, protocol: u8) -> Self {
        Self {
            addresses: pair(client, address),
            ports_protocol: pair(ports, protocol as u32),
        }
    }

    /// Marks the keys of templates, beside the protocol number.
    const TEMPLATE: u32 = 1 << 8;
    /// Marks the keys of IPv6.
    const V6: u32 = 1 << 9;

    /// The key of an IPv6 packet with this digest of its addresses, and these ports as they lie in it.
    #[must_use]
    #[inline(always)]
    pub const fn v6(digest: u64, ports: u32, protocol: u8) -> Self {
        Self {
            addresses: digest,
            ports_protocol: pair(ports, protocol as u32 | Self::V6),
        }
    }

    /// Whether it is of IPv6.
    #[must_use]
    #[inline(always)]
    pub const fn is_v6(self) -> bool {
        high(self.ports_protocol) & Self::V6 != 0
    }

    /// The key of the template of an IPv6 client, with a digest of its address under the mask and of what the service
    /// has its own by: its address, or the group's number.
    #[must_use]
    #[inline(always)]
    pub const fn template6(self, digest: u64, service: ServiceKey) -> Self {
        let template = self.template(0, service);
        Self {
            addresses: digest,
            ports_protocol: template.ports_protocol | (Self::V6 as u64) << 32,
        }
    }

    /// The key of the template that persistence goes by (`ip_vs_sched_persist` in net/netfilter/ipvs/ip_vs_core.c): of
    /// the client's address under a mask, and the service as its slot names it.
    #[must_use]
    #[inline(always)]
    pub const fn template(self, mask: u32, service: ServiceKey) -> Self {
        let port = [0, 0, 0xff, 0xff];
        let single = match service.group_number() {
            Some(_) => 0,
            None => u32::MAX,
        };
        let ports = low(self.ports_protocol) & u32::from_ne_bytes(port) & single;
        let protocol = high(self.ports_protocol) & single;
        Self {
            addresses: pair(low(self.addresses) & mask, service.address),
            ports_protocol: pair(ports, protocol | Self::TEMPLATE),
        }
    }

    /// Whether it is a template's.
    #[must_use]
    #[inline(always)]
    pub const fn is_template(self) -> bool {
        high(self.ports_protocol) & Self::TEMPLATE != 0
    }

    /// IP protocol number; 0 in a group's template.
    #[must_use]
    #[inline(always)]
    pub const fn protocol(self) -> u8 {
        high(self.ports_protocol).to_le_bytes()[0]
    }
}

/// States of connections: IPVS's of TCP with its numbers (include/net/ip_vs.h), then its only one of UDP, and those of
/// SCTP that the client's packets alone can lead to.
///
/// SCTP's ESTABLISHED and CLOSED are TCP's [`Established`](Self::Established) and [`Close`](Self::Close): they count
/// and are left alike.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnState {
    /// A template's only one: it is no connection, but says where a client's go.
    None = 0,
    /// ESTABLISHED.
    Established = 1,
    /// SYN_SENT.
    SynSent = 2,
    /// SYN_RECV.
    SynRecv = 3,
    /// FIN_WAIT.
    FinWait = 4,
    /// TIME_WAIT.
    TimeWait = 5,
    /// CLOSE.
    Close = 6,
    /// CLOSE_WAIT.
    CloseWait = 7,
    /// LAST_ACK.
    LastAck = 8,
    /// LISTEN.
    Listen = 9,
    /// SYNACK.
    SynAck = 10,
    /// Any UDP flow; from here on numbers of our own, for IPVS numbers each protocol's states anew.
    Udp = 11,
    /// SCTP, INIT1.
    Init1 = 12,
    /// SCTP, INIT.
    Init = 13,
    /// SCTP, COOKIE_ECHOED.
    CookieEchoed = 14,
    /// SCTP, SHUTDOWN_RECEIVED.
    ShutdownReceived = 15,
}

impl ConnState {
    /// All states, by number.
    pub const ALL: [Self; 16] = [
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
        Self::SynAck,
        Self::Udp,
        Self::Init1,
        Self::Init,
        Self::CookieEchoed,
        Self::ShutdownReceived,
    ];

    /// The name as ipvsadm prints it; that of [`Close`](Self::Close) is TCP's.
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
            Self::SynAck => "SYNACK",
            Self::Udp => "UDP",
            Self::Init1 => "INIT1",
            Self::Init => "INIT",
            Self::CookieEchoed => "C-ECHOED",
            Self::ShutdownReceived => "S-RECEIVED",
        }
    }
}

/// All of a connection's mutable state: expiry, server, state and flags in 64 bits.
///
/// It changes by compare-and-exchange only, so that a packet, another packet on another processor
/// and the sweep agree on who changed it, and whoever changed it adjusts the counters.
/// Bits 0 to 35 expiry tick, 36 to 55 server, 56 to 59 state, 60 unassured, 61 0, 62 busy, 63 live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub u64);

impl Word {
    /// No connection stands here.
    pub const FREE: Self = Self(0);
    const EXPIRY_MASK: u64 = (1 << 36) - 1;
    const SERVER_SHIFT: u32 = 36;
    const SERVER_MASK: u64 = (1 << 20) - 1;
    const STATE_SHIFT: u32 = 56;
    const UNASSURED: u64 = 1 << 60;
    const BUSY: u64 = 1 << 62;
    const LIVE: u64 = 1 << 63;

    /// A live, assured connection.
    #[must_use]
    #[inline(always)]
    pub const fn live(server: u32, state: u8, expiry: Tick) -> Self {
        Self(
            Self::LIVE
                | ((state as u64 & 0xf) << Self::STATE_SHIFT)
                | ((server as u64 & Self::SERVER_MASK) << Self::SERVER_SHIFT)
                | (expiry.0 & Self::EXPIRY_MASK),
        )
    }

    /// Its place is being filled by a packet; `tick` tells such words apart.
    #[must_use]
    #[inline(always)]
    pub const fn busy(tick: Tick) -> Self {
        Self(Self::BUSY | (tick.0 & Self::EXPIRY_MASK))
    }

    /// Tick at which it expires.
    #[must_use]
    #[inline(always)]
    pub const fn expiry(self) -> Tick {
        Tick(self.0 & Self::EXPIRY_MASK)
    }

    /// Number of its real server.
    #[must_use]
    #[inline(always)]
    pub const fn server(self) -> u32 {
        ((self.0 >> Self::SERVER_SHIFT) & Self::SERVER_MASK) as u32
    }

    /// Number of its [`ConnState`], 0 to 15.
    #[must_use]
    #[inline(always)]
    pub const fn state(self) -> u8 {
        ((self.0 >> Self::STATE_SHIFT) & 0xf) as u8
    }

    /// A connection stands here that packets may use if it has not expired.
    #[must_use]
    #[inline(always)]
    pub const fn is_live(self) -> bool {
        self.not_live() == 0
    }

    /// 0 if [`Self::is_live`], else another number.
    #[must_use]
    #[inline(always)]
    pub const fn not_live(self) -> u64 {
        (self.0 ^ Self::LIVE) >> 61
    }

    /// 1 while the place is being filled, else 0.
    #[must_use]
    #[inline(always)]
    pub const fn is_busy(self) -> u64 {
        self.0 >> Self::BUSY.trailing_zeros() & 1
    }

    /// No connection stands here.
    #[must_use]
    #[inline(always)]
    pub const fn is_free(self) -> bool {
        self.0 == 0
    }

    /// No second client packet has come a second after the first yet.
    #[must_use]
    #[inline(always)]
    pub const fn is_unassured(self) -> bool {
        self.0 & Self::UNASSURED != 0
    }

    /// The same, unassured.
    #[must_use]
    #[inline(always)]
    pub const fn unassured(self) -> Self {
        Self(self.0 | Self::UNASSURED)
    }

    /// The same, unassured where the condition is 1, unchanged where it is 0.
    #[must_use]
    #[inline(always)]
    pub const fn unassured_if(self, condition: u64) -> Self {
        Self(self.0 | (condition & 1) << Self::UNASSURED.trailing_zeros())
    }

    /// Whether more than the expiry differs.
    #[must_use]
    #[inline(always)]
    pub const fn differs_from(self, other: Self) -> bool {
        (self.0 ^ other.0) & !Self::EXPIRY_MASK != 0
    }

    /// 1 in a template, else 0.
    #[must_use]
    #[inline(always)]
    pub const fn is_template(self) -> u64 {
        (self.state() as u64).wrapping_sub(1) >> 63
    }

    /// Whether it counts as ActiveConn: ESTABLISHED, SYN_SENT, SYN_RECV or SYNACK
    /// (`tcp_state_active_table` in net/netfilter/ipvs/ip_vs_proto_tcp.c).
    #[must_use]
    #[inline(always)]
    pub const fn is_active(self) -> bool {
        state_is_active(self.state())
    }
}

/// Whether a connection in this state counts as ActiveConn.
#[must_use]
#[inline(always)]
pub const fn state_is_active(state: u8) -> bool {
    const ACTIVE: u16 = 1 << ConnState::Established as u16
        | 1 << ConnState::SynSent as u16
        | 1 << ConnState::SynRecv as u16
        | 1 << ConnState::SynAck as u16;
    (ACTIVE >> (state & 0xf)) & 1 != 0
}

/// A connection, established or half-open; half a cache line.
#[repr(C)]
#[derive(Default)]
pub struct Conn {
    /// See [`Word`].
    pub word: Shared,
    /// The flow's key, [`FlowKey::addresses`].
    pub addresses: Shared,
    /// The flow's key, [`FlowKey::ports_protocol`].
    pub ports_protocol: Shared,
    /// The tick at which it was made; in the table of fragments the number of the service, and
    /// the ports.
    pub born: Shared,
}

/// Entries of a bucket.
pub const BUCKET_WAYS: usize = 8;

/// A bucket of the established or the half-open table.
#[repr(C)]
#[derive(Default)]
pub struct Bucket {
    /// Its entries, in no order.
    pub ways: [Conn; BUCKET_WAYS],
}

/// The IPv6 addresses of a bucket's clients, as they lie in memory; those of templates under the mask.
///
/// A flow's key has only a digest of its client's address. This is for listings: a packet that enters a flow writes
/// it afterwards, and a reader tells by the digest whether it is the entry's.
#[repr(C)]
#[derive(Default)]
pub struct Clients {
    /// One for each way.
    pub ways: [[Shared; 2]; BUCKET_WAYS],
}

const _: () = assert!(size_of::<Clients>() == 128);
const _: () = assert!(size_of::<FlowKey>() == 16);
const _: () = assert!(size_of::<Conn>() == 32);
const _: () = assert!(size_of::<Bucket>() == 256);
