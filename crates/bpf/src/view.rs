//! Reading: services, connections and counters, as they are now.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use aya::maps::{MapData, PerCpuArray};
use evenkeel_abi::{BUCKET_WAYS, DropReason, Event, Stats, low, map};
use evenkeel_model::{
    Forwarding, GateState, Listens, Scheduler, ServerEntry, ServiceKey, ServiceOptions, Thresholds,
    Weight,
};

use crate::book::Listed;
use crate::convert::count;
use crate::error::ReadError;
use crate::plane::DataPlane;
use crate::tables::unread;

/// A service as it stands in the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// What identifies it.
    pub key: ServiceKey,
    /// What a group takes; empty where the key says it.
    pub group: Listens,
    /// Its scheduler.
    pub scheduler: Scheduler,
    /// What else it does.
    pub options: ServiceOptions,
    /// The most open of its addresses' gates as they act: draining where it is open but its role was yielded.
    pub gate: GateState,
    /// Its traffic since it was put first.
    pub stats: Stats,
    /// Its real servers, in IPVS's list order.
    pub servers: Vec<ServerView>,
    /// Those that it holds.
    pub held: Vec<ServerView>,
}

impl ServiceView {
    /// Its virtual addresses; one may come several times.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.group.addresses_with(&self.key)
    }
}

/// A real server as it stands in the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// Address and port.
    pub address: SocketAddr,
    /// Weight in force.
    pub weight: Weight,
    /// When it is overloaded.
    pub thresholds: Thresholds,
    /// Whether it is: it gets no new flows.
    pub overloaded: bool,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// ActiveConn.
    pub active: u32,
    /// InActConn.
    pub inactive: u32,
    /// PersistConn.
    pub persistent: u32,
    /// Its traffic since it was put first.
    pub stats: Stats,
}

/// A counter by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its name.
    pub name: &'static str,
    /// Its value, over all processors.
    pub value: u64,
}

/// How full the tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Established connections.
    pub established: u32,
    /// Those of them that are not assured.
    pub unassured: u32,
    /// Room for established connections.
    pub connections: u32,
    /// Half-open connections.
    pub half_open: u32,
    /// Room for half-open connections.
    pub half_open_room: u32,
    /// New flows are placed by the consistent hash now.
    pub flood: bool,
}

impl DataPlane {
    /// All services with their servers and counters, by key.
    ///
    /// # Errors
    /// If a map can't be read.
    pub fn snapshot(&self) -> Result<Vec<ServiceView>, ReadError> {
        let records = self.book.services.iter();
        let live = records.filter_map(|(key, r)| Some((key, r.number, r.listed.as_ref()?)));
        let views = live.map(|(key, number, listed)| {
            let servers = listed.numbers.iter().zip(&listed.entry.servers);
            let held = listed.held.iter().zip(&listed.entry.held);
            let view = |(number, entry): (&u32, &ServerEntry)| self.server_view(*number, entry);
            Ok(ServiceView {
                key: *key,
                group: listed.entry.group.clone(),
                scheduler: listed.entry.scheduler,
                options: listed.entry.options,
                gate: self.gate_of_service(&listed.entry),
                stats: stats(map::SERVICE_STATS, &self.tables.service_stats, number)?,
                servers: servers.map(view).collect::<Result<_, ReadError>>()?,
                held: held.map(view).collect::<Result<_, ReadError>>()?,
            })
        });
        views.collect()
    }

    fn server_view(&self, number: u32, entry: &ServerEntry) -> Result<ServerView, ReadError> {
        let load = self.tables.loads.get(number);
        Ok(ServerView {
            address: entry.address,
            weight: entry.weight,
            thresholds: entry.thresholds,
            overloaded: load.is_some_and(|l| l.overloaded.load(Relaxed) != 0),
            forwarding: entry.forwarding,
            active: load.map_or(0, |l| count(l.active.load(Relaxed))),
            inactive: load.map_or(0, |l| count(l.inactive.load(Relaxed))),
            persistent: load.map_or(0, |l| count(l.persistent.load(Relaxed))),
            stats: stats(map::SERVER_STATS, &self.tables.server_stats, number)?,
        })
    }

    /// Whether a listing shows a service, or a real server of it: it is held, and a gate of it is open.
    #[must_use]
    pub fn lists(&self, key: ServiceKey, server: Option<SocketAddr>) -> bool {
        let record = self.book.services.get(&key);
        let listed = record.and_then(|record| record.listed.as_ref());
        let has = |listed: &Listed| {
            let mut servers = listed.entry.servers.iter();
            server.is_none_or(|server| servers.any(|s| s.address == server))
        };
        let is_open = |listed: &&Listed| self.gate_of_service(&listed.entry) == GateState::Open;
        listed.filter(is_open).is_some_and(has)
    }

    /// Dropped packets by reason.
    ///
    /// # Errors
    /// If the map can't be read.
    pub fn drops(&self) -> Result<Vec<Counter>, ReadError> {
        let names = DropReason::ALL.iter().map(|reason| reason.name());
        counters(map::DROPS, &self.tables.drops, names)
    }

    /// Other events.
    ///
    /// # Errors
    /// If the map can't be read.
    pub fn events(&self) -> Result<Vec<Counter>, ReadError> {
        let names = Event::ALL.iter().map(|event| event.name());
        counters(map::EVENTS, &self.tables.events, names)
    }

    /// How full the tables are.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.tables.state.get(0);
        let ways = u32::try_from(BUCKET_WAYS).unwrap_or(1);
        Usage {
            established: state.map_or(0, |s| count(s.established.load(Relaxed))),
            unassured: state.map_or(0, |s| count(s.unassured.load(Relaxed))),
            connections: self
                .tables
                .globals
                .get(0)
                .map_or(0, |g| low(g.conns.load(Relaxed))),
            half_open: state.map_or(0, |s| count(s.half_open.load(Relaxed))),
            half_open_room: self.tables.half_open.len() * ways,
            flood: state.is_some_and(|s| s.flood_until.load(Relaxed) > self.tables.now().0),
        }
    }
}

fn stats(
    map: &'static str,
    array: &PerCpuArray<MapData, Stats>,
    number: u32,
) -> Result<Stats, ReadError> {
    let values = array.get(&number, 0).map_err(|error| unread(map, error))?;
    Ok(values.iter().fold(Stats::default(), |sum, one| Stats {
        conns: sum.conns + one.conns,
        packets: sum.packets + one.packets,
        bytes: sum.bytes + one.bytes,
    }))
}

fn counters(
    map: &'static str,
    array: &PerCpuArray<MapData, u64>,
    names: impl Iterator<Item = &'static str>,
) -> Result<Vec<Counter>, ReadError> {
    let values = (0..).zip(names).map(|(index, name)| {
        let values = array.get(&index, 0).map_err(|error| unread(map, error))?;
        let value = values.iter().sum();
        Ok(Counter { name, value })
    });
    values.collect()
}
