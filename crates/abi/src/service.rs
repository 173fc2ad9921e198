//! Services, real servers and interfaces as the program sees them.

use core::sync::atomic::Ordering;

use crate::{Shared, high, low, pair};

/// Identifies a virtual service; 8 bytes without padding.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Virtual address; with IPv6 the number of its gate.
    pub address: u32,
    /// Virtual port in the low half, IP protocol number and marks in the high one.
    pub port_protocol: u32,
}

impl ServiceKey {
    /// Marks the keys of IPv6.
    const V6: u32 = 1 << 24;
    /// Marks the key of a group in its slot; no packet has such a key.
    const GROUP: u32 = 1 << 25;

    /// The key of a group in its slot, by its number; packets find it by the keys of what it takes.
    #[must_use]
    pub const fn group(number: u32) -> Self {
        Self {
            address: number,
            port_protocol: Self::GROUP,
        }
    }

    /// The number of the group whose slot has this key; `None`: it is no group's.
    #[must_use]
    pub const fn group_number(self) -> Option<u32> {
        if self.port_protocol & Self::GROUP == 0 {
            None
        } else {
            Some(self.address)
        }
    }

    /// The key of an address and port (both as they lie in the packet) and a protocol number.
    #[must_use]
    #[inline(always)]
    pub const fn new(address: u32, port: u16, protocol: u8) -> Self {
        Self {
            address,
            port_protocol: port as u32 | (protocol as u32) << 16,
        }
    }

    /// The key of an IPv6 address with this gate, a port as it lies in the packet and a protocol number.
    #[must_use]
    #[inline(always)]
    pub const fn v6(gate: u32, port: u16, protocol: u8) -> Self {
        let key = Self::new(gate, port, protocol);
        Self {
            port_protocol: key.port_protocol | Self::V6,
            ..key
        }
    }

    /// Number of the gate of the IPv6 address that it is of; `None`: it is not of IPv6.
    #[must_use]
    #[inline(always)]
    pub const fn gate6(self) -> Option<u32> {
        if self.port_protocol & Self::V6 == 0 {
            None
        } else {
            Some(self.address)
        }
    }

    /// The key as a slot carries it.
    #[must_use]
    #[inline(always)]
    pub const fn packed(self) -> u64 {
        pair(self.address, self.port_protocol)
    }

    /// The key of such a word.
    #[must_use]
    #[inline(always)]
    pub const fn unpacked(word: u64) -> Self {
        Self {
            address: low(word),
            port_protocol: high(word),
        }
    }

    /// Its word in `SERVICE_HINTS`: the top bits of a multiplicative hash (Fibonacci hashing).
    #[must_use]
    #[inline(always)]
    pub const fn hint(self) -> u32 {
        (self.address ^ self.port_protocol).wrapping_mul(0x9e37_79b1) >> (32 - crate::HINTS.ilog2())
    }

    /// The port, as it lies in the packet.
    #[must_use]
    pub const fn port(self) -> u16 {
        (self.port_protocol & 0xffff) as u16
    }

    /// The IP protocol number.
    #[must_use]
    pub const fn protocol(self) -> u8 {
        (self.port_protocol >> 16 & 0xff) as u8
    }
}

/// A run of entries in the arena: its first word and its number of 32-bit entries, two to a word.
#[repr(transparent)]
#[derive(Default)]
pub struct Span(Shared);

impl Span {
    /// First word and number of entries; 0 entries: there is no table.
    #[must_use]
    #[inline(always)]
    pub fn load(&self) -> (u32, u32) {
        let word = self.0.load(Ordering::Acquire);
        (low(word), high(word))
    }

    /// Sets both at once.
    #[inline(always)]
    pub fn store(&self, start: u32, len: u32) {
        self.0.store(pair(start, len), Ordering::Release);
    }
}

/// Values of [`Service::scheduler`].
pub struct SchedulerId;

impl SchedulerId {
    /// rr: the next position of the ring.
    pub const RR: u64 = 0;
    /// wrr: `ring` counts *levels*, the distinct weights of the servers with a weight, heaviest first (one of them
    /// may be cut in two, with the same list and its passes shared out); each is two
    /// words at the span's start: the first word and the number of entries of a list of the servers with at
    /// least that weight (in list order, two entries to a word), then the number of passes over it, and 0.
    /// The cursor is the level (bits 48 to 63), the next index in its list (bits 32 to 47) and the passes
    /// over it that are done (bits 0 to 31). User space begins a list with as many passes done as the level has,
    /// which no packet stores: it is the level's last pass, and nothing was picked yet.
    pub const WRR: u64 = 1;
    /// wlc: the server of the ring with the lowest cost for its share, see [`Costs`]; the cursor is not used.
    pub const WLC: u64 = 2;
    /// lc, sed, nq, fo, ovf: as wlc, by other costs.
    pub const LC: u64 = 4;
    /// See [`LC`](Self::LC).
    pub const SED: u64 = 5;
    /// See [`LC`](Self::LC).
    pub const NQ: u64 = 6;
    /// See [`LC`](Self::LC).
    pub const FO: u64 = 7;
    /// See [`LC`](Self::LC).
    pub const OVF: u64 = 8;
    /// dh: `ring` is a table of all servers, quiesced ones included, by the virtual address; the cursor is not used.
    pub const DH: u64 = 9;
    /// sh: as dh, by the client's address.
    pub const SH: u64 = 10;
    /// mh: as sh, with another hash and table.
    pub const MH: u64 = 11;
    /// twos: the ring; the cursor is where chance stands.
    pub const TWOS: u64 = 12;
    /// lblc: the server that an address has, which `ring` remembers, see [`Locality`](crate::Locality); else as wlc,
    /// of `list`.
    pub const LBLC: u64 = 13;
    /// lblcr: as lblc, with several servers for an address.
    pub const LBLCR: u64 = 14;
    /// maglev: `hash_all`, and `hash_fresh` where that names a quiesced server.
    pub const MAGLEV: u64 = 3;
}

/// What a scheduler compares of servers: a cost and a share, made of their connections and weights with these
/// factors. The server with the lowest cost for its share wins, the first of equals; none with share 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs(pub u64);

impl Costs {
    /// lc: an active connection costs as much as 257 inactive ones, whatever the weight.
    pub const LC: Self = Self::of([257, 1, 0, 0, 0, 1, 0]);
    /// wlc: the same, for the weight.
    pub const WLC: Self = Self::of([257, 1, 0, 0, 1, 0, 0]);
    /// sed: active connections with the new one.
    pub const SED: Self = Self::of([1, 0, 1, 0, 1, 0, 0]);
    /// nq: the same, but nothing where there is none.
    pub const NQ: Self = Self::of([1, 0, 1, 1, 1, 0, 0]);
    /// fo: the weight alone.
    pub const FO: Self = Self::of([0, 0, 1, 0, 1, 0, 0]);
    /// ovf: the weight alone, while there are no more active connections.
    pub const OVF: Self = Self::of([0, 0, 1, 0, 1, 0, 1]);

    /// Whether a server has less than half of the active connections that its weight stands for, overloaded or not:
    /// the one that has the least does, if any.
    pub const SLACK: Self = Self(Self::of([1, 0, 0, 0, 1, 0, 0]).0 | 1 << 57);

    const fn of([active, inactive, flow, idle, weight, any_weight, full]: [u64; 7]) -> Self {
        Self(
            active
                | inactive << 16
                | flow << 24
                | idle << 32
                | weight << 40
                | any_weight << 48
                | full << 56,
        )
    }

    const fn factor(self, shift: u32) -> u64 {
        self.0 >> shift & 0xff
    }

    /// Cost of an active connection.
    #[must_use]
    #[inline(always)]
    pub const fn active(self) -> u64 {
        self.0 & 0xffff
    }

    /// Cost of an inactive connection.
    #[must_use]
    #[inline(always)]
    pub const fn inactive(self) -> u64 {
        self.factor(16)
    }

    /// Cost of the new flow.
    #[must_use]
    #[inline(always)]
    pub const fn flow(self) -> u64 {
        self.factor(24)
    }

    /// What a server without active connections costs less.
    #[must_use]
    #[inline(always)]
    pub const fn idle(self) -> u64 {
        self.factor(32)
    }

    /// Share for each unit of weight.
    #[must_use]
    #[inline(always)]
    pub const fn weight(self) -> u64 {
        self.factor(40)
    }

    /// Share for a weight that is not 0.
    #[must_use]
    #[inline(always)]
    pub const fn any_weight(self) -> u64 {
        self.factor(48)
    }

    /// 1: no share with more active connections than the weight.
    #[must_use]
    #[inline(always)]
    pub const fn full(self) -> u64 {
        self.0 >> 56 & 1
    }

    /// 1: no share while it is overloaded.
    #[must_use]
    #[inline(always)]
    pub const fn unless_overloaded(self) -> u64 {
        1 ^ (self.0 >> 57 & 1)
    }
}

/// A service as packets use it. Once published it does not change until both halves of its slot
/// were replaced and no running program can still read it.
#[repr(C)]
#[derive(Default)]
pub struct Service {
    /// Gate of its address.
    pub gate: Shared,
    /// One of [`SchedulerId`].
    pub scheduler: Shared,
    /// Every server in IPVS's list order; for lblc and lblcr, and for user space, which reads it back on adoption.
    pub list: Span,
    /// The servers with a weight, in IPVS's list order. The word before the span's first is a cursor:
    /// with rr the position used last. With wrr the span holds a table of levels instead, see [`SchedulerId::WRR`],
    /// with lblc and lblcr one of addresses, see [`Locality`](crate::Locality).
    pub ring: Span,
    /// Consistent hash over all servers, quiesced ones included: unknown flows.
    pub hash_all: Span,
    /// Consistent hash over servers with a weight.
    pub hash_fresh: Span,
    /// Servers with weight 0: if none, the two hash tables are one.
    pub quiesced: Shared,
    /// [`Costs`] of a scheduler that compares loads.
    pub costs: Shared,
    /// Bits of [`ServiceFlags`].
    pub flags: Shared,
    /// Persistence: how long a template lives without a new flow, in ticks (0: there is none), and the
    /// mask of the client's address as it lies in the packet, or with IPv6 the length of its prefix.
    pub persistence: Shared,
    /// Keeps the timeouts on cache lines of their own.
    pub spare: [Shared; 6],
    /// How long an entry lives without a packet, in ticks, by the number of its state.
    pub timeouts: [Shared; 16],
}

/// Bits of [`Service::flags`].
pub struct ServiceFlags;

impl ServiceFlags {
    /// Each packet is scheduled by itself and leaves no entry.
    pub const ONE_PACKET: u64 = 1;
    /// It has several addresses or ports: its gate is the one of the packet's address.
    pub const GROUP: u64 = 1 << 1;
    /// Fragments are placed by addresses and protocol alone, first ones too; its gate names it, see
    /// [`Gate::fragments`](crate::Gate::fragments).
    pub const FRAGMENTS_BY_ADDRESS: u64 = 1 << 2;
    /// The consistent hash is of the client's address alone.
    pub const HASH_CLIENT: u64 = 1 << 3;
    /// sh and mh: the client's port counts too.
    pub const HASH_PORT: u64 = 1 << 4;
    /// sh and mh: where the bucket's server takes no new flow, another one does.
    pub const FALLBACK: u64 = 1 << 5;
    /// A packet of a flow whose server has left: a TCP flow is reset.
    pub const GONE_RESET: u64 = 1 << 6;
    /// Its addresses are of IPv6; for user space.
    pub const IPV6: u64 = 1 << 7;
    /// Flows of a server that leaves go on; for user space.
    pub const GONE_KEEP: u64 = 1 << 8;
}

/// Where a service stands: two halves, of which `select` names the one in force.
#[repr(C)]
#[derive(Default)]
pub struct ServiceSlot {
    /// 0 or 1.
    pub select: Shared,
    /// 1 while the slot belongs to a service.
    pub used: Shared,
    /// The service's key: address, then port and protocol as in [`ServiceKey`]; with a group [`ServiceKey::group`].
    pub key: Shared,
    /// 1 while user space changes the service; found at adoption: the change was cut short.
    pub changing: Shared,
    /// The service's IPv6 address, as it lies in memory, if it has one alone.
    pub address6: [Shared; 2],
    /// Keeps the halves on cache lines of their own.
    pub spare: [Shared; 2],
    /// The halves.
    pub halves: [Service; 2],
}

/// Flags in the high 16 bits of a server's first word.
pub struct ServerFlags;

impl ServerFlags {
    /// The server is in its service's list, or [`KEPT`](Self::KEPT): its flows are forwarded.
    pub const PRESENT: u16 = 1;
    /// The server is this director: its packets pass to the stack as they are.
    pub const LOCAL: u16 = 2;
    /// The server has left the list, and its flows go on all the same: it gets no others.
    pub const KEPT: u16 = 4;
}

/// A real server of one service; a cache line.
#[repr(C)]
#[derive(Default)]
pub struct Server {
    /// MAC address in the first six bytes as they lie in memory, flags in the last two.
    pub mac: Shared,
    /// Weight in force, weight in the consistent hash.
    pub weights: Shared,
    /// Its address, then port and protocol as in [`ServiceKey`], marked as there with IPv6.
    pub endpoint: Shared,
    /// Number of its service plus one in the low half; 0: the entry is free.
    pub owner: Shared,
    /// Its IPv6 address, as it lies in memory; `endpoint` holds no address then.
    pub address6: [Shared; 2],
    /// See [`Egress`].
    pub egress: Shared,
    /// Keeps the size at 64.
    pub spare: Shared,
}

impl Server {
    /// The word of a MAC address and flags.
    #[must_use]
    #[inline(always)]
    pub const fn pack_mac(mac: [u8; 6], flags: u16) -> u64 {
        let f = flags.to_ne_bytes();
        u64::from_ne_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], f[0], f[1]])
    }

    /// The MAC address of such a word.
    #[must_use]
    #[inline(always)]
    pub const fn unpack_mac(word: u64) -> [u8; 6] {
        let b = word.to_ne_bytes();
        [b[0], b[1], b[2], b[3], b[4], b[5]]
    }

    /// The flags of such a word.
    #[must_use]
    #[inline(always)]
    pub const fn unpack_flags(word: u64) -> u16 {
        let b = word.to_ne_bytes();
        u16::from_ne_bytes([b[6], b[7]])
    }
}

/// How packets leave for a real server: index of the interface (0: the one that they came in by) in the low half;
/// in the high one 0, or, with [`Egress::TAG`], the number of the VLAN whose tag they carry there (0: none).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Egress(pub u64);

impl Egress {
    /// The packets' tag is settled; without this it stays as it came.
    const TAG: u32 = 1 << 16;

    /// By this interface, with this tag.
    #[must_use]
    pub const fn by(interface: u32, vlan: u16) -> Self {
        Self(pair(interface, Self::TAG | vlan as u32))
    }

    /// Index of the interface; 0: the one that they came in by.
    #[must_use]
    #[inline(always)]
    pub const fn interface(self) -> u32 {
        low(self.0)
    }

    /// Whether the tag is settled.
    #[must_use]
    #[inline(always)]
    pub const fn names_tag(self) -> bool {
        high(self.0) & Self::TAG != 0
    }

    /// Number of the VLAN; 0: no tag.
    #[must_use]
    #[inline(always)]
    pub const fn vlan(self) -> u16 {
        (high(self.0) & 0xfff) as u16
    }
}

/// Connections of a real server, IPVS's ActiveConn and InActConn; a cache line.
#[repr(C)]
#[derive(Default)]
pub struct Load {
    /// Connections in an active state.
    pub active: Shared,
    /// All others.
    pub inactive: Shared,
    /// Connections from which on it is overloaded (0: never), and below which it is not any more.
    pub thresholds: Shared,
    /// 1 while it is overloaded: it gets no new flows.
    pub overloaded: Shared,
    /// Templates, IPVS's PersistConn.
    pub persistent: Shared,
    /// Keeps the size at 64.
    pub spare: [Shared; 3],
}

/// An interface that the program is attached to; it stands in `LINKS` at its index modulo [`LINKS_MAX`](crate::LINKS_MAX).
#[repr(C)]
#[derive(Default)]
pub struct Link {
    /// Its MAC address, packed as [`Server::mac`] with flags 0.
    pub mac: Shared,
    /// Its index; 0: none stands here.
    pub index: Shared,
}

const _: () = assert!(size_of::<ServiceKey>() == 8);
const _: () = assert!(size_of::<Service>() == 256);
const _: () = assert!(size_of::<ServiceSlot>() == 576);
const _: () = assert!(size_of::<Server>() == 64);
const _: () = assert!(size_of::<Load>() == 64);
