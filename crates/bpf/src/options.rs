//! What a data plane is started with.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use evenkeel_abi::{ARENA_WORDS, BUCKET_WAYS, GATES_MAX, SERVERS_MAX, SERVICES_MAX};
use evenkeel_model::{MacAddress, MaglevSlots, Scheduler, VirtualService};

use crate::draft::slots;
use crate::locality::most_words;

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

/// Most words of the arena: 512 MB.
const ARENA_MOST: u32 = 1 << 26;

/// Words that a service takes, with a second hash table for when a server is quiesced.
fn words_of(scheduler: Scheduler, maglev: MaglevSlots, servers: usize) -> u64 {
    let levels = scheduler == Scheduler::WeightedRoundRobin;
    let lists = if levels {
        // Its levels: a list for each of the weights, in the worst case.
        servers * servers / 4 + 4 * servers
    } else {
        2 * servers
    };
    u64::from(slots(scheduler, maglev, servers)) + lists as u64 + 8
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
    /// Words of 8 bytes for rings and hash tables: some 20 to 35 for each server of a service (with maglev 55 to 100), twice as many while one
    /// of the service's servers is quiesced, and as much again while the service changes. With wrr further
    /// ones for each distinct weight: two, and one for every two servers of at least that weight. With lblc further
    /// 8 for each address, with lblcr these and two for each address and server.
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
    /// The same with room for these services, and for each of them to change while it stands; never less.
    ///
    /// A data plane that is adopted keeps its own room for servers and tables.
    #[must_use]
    pub fn with_room_for<'s>(self, services: impl IntoIterator<Item = &'s VirtualService>) -> Self {
        let (mut servers, mut words) = (0u64, 0u64);
        for service in services {
            let count = service.all_servers().count();
            servers += count as u64;
            words += words_of(service.scheduler, service.options.maglev.slots, count);
            let addresses = service.addresses().collect::<BTreeSet<_>>().len();
            words += most_words(service.scheduler, addresses, count);
        }
        let room = |now: u32, needed: u64, most: u32| {
            let doubled = u32::try_from(needed * 2).unwrap_or(u32::MAX);
            now.max(doubled.checked_next_power_of_two().unwrap_or(most))
                .min(most)
        };
        Self {
            servers: room(self.servers, servers, SERVERS_MAX),
            arena_words: room(self.arena_words, words, ARENA_MOST),
            ..self
        }
    }

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
    /// The same of IPv6.
    pub address6: Option<Ipv6Addr>,
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
