//! What the XDP program and user space share: map names, keys, values and counters.
//!
//! Values that both sides touch while packets flow consist of 64-bit atomics only (the BPF target
//! has no others): user space maps the arrays into its memory and works on the same words.
//! Addresses and ports stand as they lie in the packet (network order); `u32::from_ne_bytes` of
//! the packet's bytes gives the field. Two 32-bit fields share a word by [`pair`]: the first named
//! one in the low half.

#![no_std]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", allow(internal_features, reason = "see `shared`"))]

pub mod conn;
pub mod counter;
mod gate;
mod locality;
#[cfg(feature = "user")]
mod pod;
mod port_step;
mod service;
pub mod shared;

pub use conn::{BUCKET_WAYS, Bucket, Clients, Conn, ConnState, FlowKey, Tick, Word};
pub use counter::{DropReason, Event, Stats};
pub use gate::{Gate, GateState, Router};
pub use locality::Locality;
pub use port_step::PortStep;
pub use service::{
    Costs, Egress, Link, Load, SchedulerId, Server, ServerFlags, Service, ServiceFlags, ServiceKey,
    ServiceSlot, Span,
};
pub use shared::Shared;

/// Version of everything in this crate; which others are adopted, `evenkeel_bpf` says (`ADOPTED`).
pub const SCHEMA: u32 = 7;

/// Names of the maps, the same in the object file and among the pins.
pub mod map {
    /// `Array<Globals, 1>`: constants of this data plane, written once before the first packet.
    pub const GLOBALS: &str = "GLOBALS";
    /// `Array<State, 1>`: words that packets change.
    pub const STATE: &str = "STATE";
    /// `Array<Link>`: the interfaces that the program is attached to.
    pub const LINKS: &str = "LINKS";
    /// `HashMap<u32, u32>`: virtual address to gate number.
    pub const VIPS: &str = "VIPS";
    /// `HashMap<[u64; 2], u32>`: the same of IPv6, as the address lies in the packet.
    pub const VIPS6: &str = "VIPS6";
    /// `Array<Gate>`: one per virtual address.
    pub const GATES: &str = "GATES";
    /// `Array<Router>` by virtual router id, those of IPv6 behind those of IPv4.
    pub const ROUTERS: &str = "ROUTERS";
    /// `HashMap<ServiceKey, u32>`: protocol, address and port to service number; a group has several keys.
    pub const SERVICE_IDS: &str = "SERVICE_IDS";
    /// `Array<Shared>`: where a service probably is, by a hash of its key: its number plus one, or 0.
    pub const SERVICE_HINTS: &str = "SERVICE_HINTS";
    /// `Array<ServiceSlot>`: services, each twice, for an atomic change.
    pub const SERVICES: &str = "SERVICES";
    /// `Array<Server>`: real servers; a server of two services has two entries.
    pub const SERVERS: &str = "SERVERS";
    /// `Array<Load>`: connections of each real server.
    pub const LOADS: &str = "LOADS";
    /// `Array<Shared>`: rings and hash tables, lent out in spans.
    pub const ARENA: &str = "ARENA";
    /// `Array<Bucket>`: established connections, set-associative.
    pub const CONNS: &str = "CONNS";
    /// `Array<Bucket>`: half-open connections, set-associative.
    pub const HALF_OPEN: &str = "HALF_OPEN";
    /// `Array<Clients>`: the IPv6 addresses of the clients in `CONNS`, place for place, for listings.
    pub const CONN_CLIENTS: &str = "CONN_CLIENTS";
    /// `Array<Clients>`: the same of `HALF_OPEN`.
    pub const HALF_OPEN_CLIENTS: &str = "HALF_OPEN_CLIENTS";
    /// `Array<Shared>`: a bit for each bucket of `CONNS`, set by a packet after it has entered a flow there or changed
    /// one in more than its expiry; cleared by whoever tells others of it.
    pub const CHANGED: &str = "CHANGED";
    /// `Array<Bucket>`: packets of which a first fragment came, set-associative; the key has their identification in
    /// place of ports.
    pub const FRAGMENTS: &str = "FRAGMENTS";
    /// `PerCpuArray<Stats>` by service number.
    pub const SERVICE_STATS: &str = "SERVICE_STATS";
    /// `PerCpuArray<Stats>` by server number.
    pub const SERVER_STATS: &str = "SERVER_STATS";
    /// `PerCpuArray<u64>` by `DropReason`.
    pub const DROPS: &str = "DROPS";
    /// `PerCpuArray<u64>` by `Event`.
    pub const EVENTS: &str = "EVENTS";

    /// All of them, in the order in which they are pinned.
    pub const ALL: [&str; 23] = [
        GLOBALS,
        STATE,
        LINKS,
        VIPS,
        VIPS6,
        GATES,
        ROUTERS,
        SERVICE_IDS,
        SERVICE_HINTS,
        SERVICES,
        SERVERS,
        LOADS,
        ARENA,
        CONNS,
        HALF_OPEN,
        CONN_CLIENTS,
        HALF_OPEN_CLIENTS,
        CHANGED,
        FRAGMENTS,
        SERVICE_STATS,
        SERVER_STATS,
        DROPS,
        EVENTS,
    ];
}

/// Most services of one director.
pub const SERVICES_MAX: u32 = 10_240;
/// Words of `SERVICE_HINTS`, a power of two.
pub const HINTS: u32 = 1 << 12;
/// Places of `LINKS`, a power of two.
pub const LINKS_MAX: u32 = 256;
/// Most virtual addresses of one director.
pub const GATES_MAX: u32 = 10_240;
/// Entries of `ROUTERS`: virtual router ids are bytes, of which 0 is none; those of IPv6 stand behind.
pub const ROUTERS_MAX: u32 = 512;
/// Index in `ROUTERS` of IPv6's virtual router 0.
pub const ROUTERS6: u32 = 256;
/// Most real servers, over all services; a server number has 20 bits in a connection's word.
pub const SERVERS_MAX: u32 = 1 << 17;
/// Buckets of `FRAGMENTS`, a power of two: 8,192 packets.
pub const FRAGMENT_BUCKETS: u32 = 1 << 10;
/// Words (of 8 bytes) of the arena that holds rings and hash tables, unless asked otherwise.
pub const ARENA_WORDS: u32 = 1 << 20;

/// The word of `CHANGED` that a bucket has its bit in, and that bit.
#[must_use]
#[inline(always)]
pub const fn mark(bucket: u32) -> (u32, u64) {
    (bucket >> 6, 1 << (bucket & 63))
}

/// Words of `CHANGED` for so many buckets.
#[must_use]
pub const fn mark_words(buckets: u32) -> u32 {
    buckets.div_ceil(u64::BITS)
}

/// Two 32-bit fields in one word.
#[must_use]
#[inline(always)]
pub const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// The first field of a [`pair`].
#[must_use]
#[inline(always)]
pub const fn low(word: u64) -> u32 {
    (word & 0xffff_ffff) as u32
}

/// The second field of a [`pair`].
#[must_use]
#[inline(always)]
pub const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Constants of a data plane, written once before its first packet.
#[repr(C)]
#[derive(Default)]
pub struct Globals {
    /// `SCHEMA` of the writer.
    pub schema: Shared,
    /// Random word that keys the buckets of the tables, and the digests of IPv6 addresses.
    pub secret: Shared,
    /// Seed of the consistent hash; equal on all directors of a cluster.
    pub hash_seed: Shared,
    /// Length of a jiffy in nanoseconds (`TICK_NSEC`), the program's clock.
    pub jiffy_ns: Shared,
    /// Entries that the established table may have, half of its ways.
    pub conns: Shared,
    /// Its buckets.
    pub conn_buckets: Shared,
    /// Buckets of the half-open table, less one; their number is a power of two.
    pub bucket_mask: Shared,
    /// Unassured connections above which new flows are placed by the hash.
    pub unassured_max: Shared,
    /// Address of the interface, as source of ICMP time exceeded; 0 if it has none.
    pub address: Shared,
    /// Its IPv6 address, as it lies in memory, for the same; zero if it has none.
    pub address6: [Shared; 2],
}

/// Words that packets change, one set per data plane.
#[repr(C)]
#[derive(Default)]
pub struct State {
    /// Flood mode lasts until this tick.
    pub flood_until: Shared,
    /// ICMP errors sent in the present second: their number, and the second.
    pub icmp: Shared,
    /// Entries of the established table.
    pub established: Shared,
    /// Unassured entries of the established table.
    pub unassured: Shared,
    /// Entries of the half-open table.
    pub half_open: Shared,
    /// New flows are placed by the consistent hash from this tick on, for user space has asked for it, or died and
    /// could not put it off; 0: they are not.
    pub hash_from: Shared,
}
