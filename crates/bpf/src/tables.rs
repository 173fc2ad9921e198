//! The maps of a loaded program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use evenkeel_abi::{
    Bucket, Clients, Gate, Globals, Link, Load, Router, Server, ServiceKey, ServiceSlot, Shared,
    State, Stats, Tick, map,
};

use crate::clock::Clock;
use crate::error::{ReadError, StartError, failed};
use crate::mapped::{Mappable, MappedArray};
use crate::object::{self, CLOCK};

/// The maps of a loaded program: the arrays as the program itself sees them.
pub struct Tables {
    pub(crate) clock: Clock,
    /// Constants; one value.
    pub globals: MappedArray<Globals>,
    /// Words that packets change; one value.
    pub state: MappedArray<State>,
    /// Interfaces, each at its index modulo the length.
    pub links: MappedArray<Link>,
    /// Gates; shared with the handles of virtual routers.
    pub gates: Arc<MappedArray<Gate>>,
    /// Virtual routers, by their id; shared with their handles.
    pub routers: Arc<MappedArray<Router>>,
    /// Where services probably are.
    pub service_hints: MappedArray<Shared>,
    /// Services.
    pub services: MappedArray<ServiceSlot>,
    /// Real servers.
    pub servers: MappedArray<Server>,
    /// Their connections.
    pub loads: MappedArray<Load>,
    /// Words of rings and hash tables.
    pub arena: MappedArray<Shared>,
    /// Established connections.
    pub conns: MappedArray<Bucket>,
    /// Half-open connections.
    pub half_open: MappedArray<Bucket>,
    /// The addresses of IPv6 clients of the established connections.
    pub(crate) conn_clients: MappedArray<Clients>,
    /// The same of the half-open ones.
    pub(crate) half_open_clients: MappedArray<Clients>,
    /// A bit for each bucket of established connections, set after packets changed it.
    pub changed: MappedArray<Shared>,
    /// Packets of which a first fragment came.
    pub fragments: MappedArray<Bucket>,
    pub(crate) vips: HashMap<MapData, u32, u32>,
    pub(crate) vips6: HashMap<MapData, [u64; 2], u32>,
    pub(crate) service_ids: HashMap<MapData, ServiceKey, u32>,
    pub(crate) service_stats: PerCpuArray<MapData, Stats>,
    pub(crate) server_stats: PerCpuArray<MapData, Stats>,
    pub(crate) drops: PerCpuArray<MapData, u64>,
    pub(crate) events: PerCpuArray<MapData, u64>,
}

impl Tables {
    /// An interface that the program is attached to, by its index.
    #[must_use]
    pub fn link(&self, index: u32) -> Option<&Link> {
        let link = self.links.get(index % self.links.len())?;
        (link.index.load(Acquire) == u64::from(index)).then_some(link)
    }

    /// The numbers of the services that packets find by protocol, address and port, by their key.
    ///
    /// # Errors
    /// If the map can't be read.
    pub fn service_ids(&self) -> Result<Vec<(ServiceKey, u32)>, ReadError> {
        let entries: Result<_, _> = self.service_ids.iter().collect();
        entries.map_err(|error| unread(map::SERVICE_IDS, error))
    }

    /// The tick that packets see now.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.clock.now()
    }

    /// Takes the maps out of a loaded object, and finds out what its clock says.
    pub(crate) fn open(ebpf: &mut Ebpf) -> Result<Self, StartError> {
        let globals: MappedArray<Globals> = mapped(ebpf, map::GLOBALS)?;
        object::verify(ebpf, CLOCK)?;
        let clock = match globals.get(0) {
            Some(globals) => Clock::start(ebpf, globals)?,
            None => Clock::default(),
        };
        Ok(Self {
            clock,
            globals,
            state: mapped(ebpf, map::STATE)?,
            links: mapped(ebpf, map::LINKS)?,
            gates: Arc::new(mapped(ebpf, map::GATES)?),
            routers: Arc::new(mapped(ebpf, map::ROUTERS)?),
            service_hints: mapped(ebpf, map::SERVICE_HINTS)?,
            services: mapped(ebpf, map::SERVICES)?,
            servers: mapped(ebpf, map::SERVERS)?,
            loads: mapped(ebpf, map::LOADS)?,
            arena: mapped(ebpf, map::ARENA)?,
            conns: mapped(ebpf, map::CONNS)?,
            half_open: mapped(ebpf, map::HALF_OPEN)?,
            conn_clients: mapped(ebpf, map::CONN_CLIENTS)?,
            half_open_clients: mapped(ebpf, map::HALF_OPEN_CLIENTS)?,
            changed: mapped(ebpf, map::CHANGED)?,
            fragments: mapped(ebpf, map::FRAGMENTS)?,
            vips: opened(ebpf, map::VIPS)?,
            vips6: opened(ebpf, map::VIPS6)?,
            service_ids: opened(ebpf, map::SERVICE_IDS)?,
            service_stats: opened(ebpf, map::SERVICE_STATS)?,
            server_stats: opened(ebpf, map::SERVER_STATS)?,
            drops: opened(ebpf, map::DROPS)?,
            events: opened(ebpf, map::EVENTS)?,
        })
    }
}

/// A value that may be missing.
pub(crate) fn found<T>(
    map: &'static str,
    answer: Result<T, MapError>,
) -> Result<Option<T>, ReadError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(unread(map, error)),
    }
}

pub(crate) fn unread(map: &'static str, error: MapError) -> ReadError {
    ReadError {
        map,
        source: Box::new(error),
    }
}

/// Sets a counter to zero on all processors.
pub(crate) fn zero<V: aya::Pod + Default>(
    array: &mut PerCpuArray<MapData, V>,
    index: u32,
) -> Result<(), MapError> {
    let processors = aya::util::nr_cpus().map_err(|(_path, error)| error)?;
    let zeros = PerCpuValues::try_from(vec![V::default(); processors])?;
    array.set(index, zeros, 0)
}

fn missing(name: &str) -> StartError {
    StartError::Failed {
        what: format!("find map `{name}` in the object"),
        source: "the object has no such map, or it is of another type".into(),
    }
}

fn opened<M>(ebpf: &mut Ebpf, name: &str) -> Result<M, StartError>
where
    M: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| missing(name))?;
    M::try_from(map).map_err(|error| failed(&format!("open map `{name}`"), error))
}

/// Maps an array; its descriptor stays with the object, whose programs name it by that until loaded.
pub(crate) fn mapped<T: Mappable>(ebpf: &Ebpf, name: &str) -> Result<MappedArray<T>, StartError> {
    let Some(Map::Array(data)) = ebpf.map(name) else {
        return Err(missing(name));
    };
    map_array(data).map_err(|error| failed(&format!("map `{name}` into memory"), error))
}

/// Maps an array of `T`.
pub(crate) fn map_array<T: Mappable>(data: &MapData) -> io::Result<MappedArray<T>> {
    let info = data.info().map_err(io::Error::other)?;
    // The kernel lays values out in steps of 8 bytes, and so are ours.
    if u32::try_from(size_of::<T>()) != Ok(info.value_size()) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    MappedArray::new(data.fd(), info.max_entries())
}
