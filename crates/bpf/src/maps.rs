//! What each map must be: the contract between the object, the pins and the configuration.

use aya::maps::{MapInfo, MapType};
use evenkeel_abi::{
    Bucket, Clients, DropReason, Event, FRAGMENT_BUCKETS, Gate, Globals, HINTS, LINKS_MAX, Link,
    Load, ROUTERS_MAX, Router, Server, ServiceKey, ServiceSlot, Shared, State, Stats, map,
    mark_words,
};

use crate::options::Sizes;

/// `BPF_F_MMAPABLE` of include/uapi/linux/bpf.h.
const MMAPABLE: u32 = 1 << 10;

/// What a map must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) kind: MapType,
    pub(crate) key_size: usize,
    pub(crate) value_size: usize,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
}

/// How a map differs from its spec.
#[derive(Debug, PartialEq)]
pub(crate) enum Mismatch {
    /// It has another number of entries.
    Entries(u32),
    /// It is another kind of map; how.
    Kind(String),
}

impl Spec {
    const fn array<T>(name: &'static str, max_entries: u32) -> Self {
        Self {
            name,
            kind: MapType::Array,
            key_size: size_of::<u32>(),
            value_size: size_of::<T>(),
            max_entries,
            flags: MMAPABLE,
        }
    }

    const fn hash<K>(name: &'static str, max_entries: u32) -> Self {
        Self {
            name,
            kind: MapType::Hash,
            key_size: size_of::<K>(),
            value_size: size_of::<u32>(),
            max_entries,
            flags: 0,
        }
    }

    const fn per_cpu<T>(name: &'static str, max_entries: u32) -> Self {
        Self {
            name,
            kind: MapType::PerCpuArray,
            key_size: size_of::<u32>(),
            value_size: size_of::<T>(),
            max_entries,
            flags: 0,
        }
    }

    /// Compares a map with what it must be.
    pub(crate) fn check(&self, info: &MapInfo) -> Result<(), Mismatch> {
        let found = (
            info.map_type().unwrap_or(MapType::Unspecified),
            usize::try_from(info.key_size()).unwrap_or(0),
            usize::try_from(info.value_size()).unwrap_or(0),
            info.map_flags(),
        );
        let wanted = (self.kind, self.key_size, self.value_size, self.flags);
        if found != wanted {
            return Err(Mismatch::Kind(format!(
                "map `{}` is {}, not {}",
                self.name,
                described(found),
                described(wanted)
            )));
        }
        if info.max_entries() != self.max_entries {
            return Err(Mismatch::Entries(info.max_entries()));
        }
        Ok(())
    }
}

fn described((kind, key, value, flags): (MapType, usize, usize, u32)) -> String {
    format!("{kind:?} with keys of {key} and values of {value} bytes and flags {flags:#x}")
}

/// All maps, in the order of [`map::ALL`].
pub(crate) fn specs(sizes: &Sizes) -> [Spec; map::ALL.len()] {
    let drops = u32::try_from(DropReason::ALL.len()).unwrap_or(0);
    let events = u32::try_from(Event::ALL.len()).unwrap_or(0);
    [
        Spec::array::<Globals>(map::GLOBALS, 1),
        Spec::array::<State>(map::STATE, 1),
        Spec::array::<Link>(map::LINKS, LINKS_MAX),
        Spec::hash::<u32>(map::VIPS, sizes.gates),
        Spec::hash::<[u64; 2]>(map::VIPS6, sizes.gates),
        Spec::array::<Gate>(map::GATES, sizes.gates),
        Spec::array::<Router>(map::ROUTERS, ROUTERS_MAX),
        Spec::hash::<ServiceKey>(map::SERVICE_IDS, sizes.services),
        Spec::array::<Shared>(map::SERVICE_HINTS, HINTS),
        Spec::array::<ServiceSlot>(map::SERVICES, sizes.services),
        Spec::array::<Server>(map::SERVERS, sizes.servers),
        Spec::array::<Load>(map::LOADS, sizes.servers),
        Spec::array::<Shared>(map::ARENA, sizes.arena_words),
        Spec::array::<Bucket>(map::CONNS, sizes.conn_buckets()),
        Spec::array::<Bucket>(map::HALF_OPEN, sizes.buckets()),
        Spec::array::<Clients>(map::CONN_CLIENTS, sizes.conn_buckets()),
        Spec::array::<Clients>(map::HALF_OPEN_CLIENTS, sizes.buckets()),
        Spec::array::<Shared>(map::CHANGED, mark_words(sizes.conn_buckets())),
        Spec::array::<Bucket>(map::FRAGMENTS, FRAGMENT_BUCKETS),
        Spec::per_cpu::<Stats>(map::SERVICE_STATS, sizes.services),
        Spec::per_cpu::<Stats>(map::SERVER_STATS, sizes.servers),
        Spec::per_cpu::<u64>(map::DROPS, drops),
        Spec::per_cpu::<u64>(map::EVENTS, events),
    ]
}
