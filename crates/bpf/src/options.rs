//! What a data plane is started with.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use evenkeel_abi::{ARENA_WORDS, BUCKET_WAYS, GATES_MAX, SERVICES_MAX};
use evenkeel_model::MacAddress;

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the interface's driver.
    Native,
    /// In the stack's receive path.
    Generic,
}

/// A further interface that the program runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its MAC address: only frames to it are forwarded.
    pub mac: MacAddress,
    /// Where the program runs; an adopted link keeps its mode.
    pub mode: Mode,
}

/// Capacities of the maps; those of pinned maps can't change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Established connections.
    pub connections: u32,
    /// Half-open connections; rounded up to a power of two, at least one bucket.
    pub half_open: u32,
    /// Services.
    pub services: u32,
    /// Virtual addresses.
    pub gates: u32,
    /// Real servers over all services, those included that left and still have connections. Each
    /// costs 96 bytes, and 24 per processor.
    pub servers: u32,
    /// Words of 8 bytes for rings and hash tables: some 55 for each server of a service, 110 while one
    /// of the service's servers is quiesced, and as much again while the service changes. With wrr further
    /// ones for each distinct weight: two, and one for every two servers of at least that weight.
    pub arena_words: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            connections: 1 << 20,
            half_open: 1 << 16,
            services: SERVICES_MAX,
            gates: GATES_MAX,
            servers: 1 << 14,
            arena_words: ARENA_WORDS,
        }
    }
}

impl Sizes {
    /// Sizes for tests and small laboratories: 4 MB of maps.
    #[must_use]
    pub const fn small() -> Self {
        Self {
            connections: 1 << 14,
            half_open: 1 << 12,
            services: 64,
            gates: 64,
            servers: 1 << 10,
            arena_words: 1 << 17,
        }
    }

    /// One of everything, for programs that use no map.
    pub(crate) const fn least() -> Self {
        Self {
            connections: 1,
            half_open: 1,
            services: 1,
            gates: 1,
            servers: 1,
            arena_words: 1,
        }
    }

    /// Buckets of the established table, in whole pages: their ways are twice the connections, so that a flow finds
    /// one.
    pub(crate) fn conn_buckets(&self) -> u32 {
        let ways = u32::try_from(BUCKET_WAYS).unwrap_or(1);
        (self.connections.min(1 << 24) * 2)
            .div_ceil(ways)
            .next_multiple_of(16)
    }

    /// Buckets of the half-open table, a power of two.
    pub(crate) fn buckets(&self) -> u32 {
        let ways = u32::try_from(BUCKET_WAYS).unwrap_or(1);
        (self.half_open.min(1 << 24).max(ways).next_power_of_two() / ways).max(1)
    }
}

/// What a data plane is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the pins, on a bpf file system; it is made if missing.
    pub pin_dir: PathBuf,
    /// The first interface to attach to.
    pub interface: String,
    /// Its index.
    pub link_index: u32,
    /// Its MAC address: only frames to it are forwarded.
    pub mac: MacAddress,
    /// Its IPv4 address, as source of ICMP errors; `None`: none are sent.
    pub address: Option<Ipv4Addr>,
    /// Where the program runs; an adopted link keeps its mode.
    pub mode: Mode,
    /// Further interfaces: packets may come in and leave by them too.
    pub others: Vec<Interface>,
    /// Capacities.
    pub sizes: Sizes,
}

impl Options {
    /// All interfaces, the first one first.
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        let first = Interface {
            name: self.interface.clone(),
            index: self.link_index,
            mac: self.mac,
            mode: self.mode,
        };
        std::iter::once(first)
            .chain(self.others.iter().cloned())
            .collect()
    }
}
