//! Reading: services, connections and counters, as they are now.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use aya::maps::{MapData, PerCpuArray};
use evenkeel_abi::{
    BUCKET_WAYS, Bucket, Conn, ConnState, DropReason, Event, FlowKey, Stats, Tick, Word, high, low,
    map,
};
use evenkeel_model::{
    Forwarding, GateState, Listens, Scheduler, ServiceKey, ServiceOptions, Thresholds, Weight,
};

use crate::adopt::server_address;
use crate::book::Listed;
use crate::convert::{count, socket_address, with_port};
use crate::error::ReadError;
use crate::mapped::MappedArray;
use crate::plane::DataPlane;
use crate::sweep::flow_key;
use crate::tables::unread;

/// Attempts at reading an entry that packets keep changing.
const ATTEMPTS: usize = 16;

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

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The client; of a template its address under the mask, and port 0.
    pub client: SocketAddrV4,
    /// The virtual address and port; of a group's template the group's number as an address.
    pub address: SocketAddrV4,
    /// IP protocol number; 0 in a group's template.
    pub protocol: u8,
    /// Whether it is no connection, but a template: where new ones of the client go.
    pub template: bool,
    /// Its real server; unspecified if its number is not known any more.
    pub server: SocketAddrV4,
    /// Its state, as the client's packets tell.
    pub state: ConnState,
    /// Time until it expires.
    pub expires: Duration,
    /// Whether it stands in the half-open table.
    pub half_open: bool,
    /// Whether a client's packet confirmed it a second or more after its first.
    pub assured: bool,
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
            let servers = servers.map(|(number, entry)| {
                let load = self.tables.loads.get(*number);
                Ok(ServerView {
                    address: entry.address,
                    weight: entry.weight,
                    thresholds: entry.thresholds,
                    overloaded: load.is_some_and(|l| l.overloaded.load(Relaxed) != 0),
                    forwarding: entry.forwarding,
                    active: load.map_or(0, |l| count(l.active.load(Relaxed))),
                    inactive: load.map_or(0, |l| count(l.inactive.load(Relaxed))),
                    persistent: load.map_or(0, |l| count(l.persistent.load(Relaxed))),
                    stats: stats(map::SERVER_STATS, &self.tables.server_stats, *number)?,
                })
            });
            Ok(ServiceView {
                key: *key,
                group: listed.entry.group.clone(),
                scheduler: listed.entry.scheduler,
                options: listed.entry.options,
                gate: self.gate_of_service(&listed.entry),
                stats: stats(map::SERVICE_STATS, &self.tables.service_stats, number)?,
                servers: servers.collect::<Result<_, ReadError>>()?,
            })
        });
        views.collect()
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

    /// All connections that have not expired, established ones first.
    ///
    /// Each is consistent in itself; packets go on changing them while they are read.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        let now = self.tables.now();
        let live = |table: &'_ MappedArray<Bucket>| -> Vec<(Word, FlowKey)> {
            let ways = table.as_slice().iter().flat_map(|bucket| &bucket.ways);
            ways.filter_map(read).collect()
        };
        let established = live(&self.tables.conns);
        // A connection that moves between the tables may be met in both.
        let met: HashSet<FlowKey> = established.iter().map(|(_, key)| *key).collect();
        let half_open = live(&self.tables.half_open).into_iter();
        let half_open = half_open.filter(|(_, key)| !met.contains(key));
        let all = established.iter().copied().map(|entry| (entry, false));
        all.chain(half_open.map(|entry| (entry, true)))
            .filter(|((word, _), _)| word.expiry() > now)
            .map(|((word, key), half_open)| self.connection(word, &key, half_open, now))
            .collect()
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

    fn connection(&self, word: Word, key: &FlowKey, half_open: bool, now: Tick) -> Connection {
        // The client's port stands in the first two bytes, the virtual port in the others.
        let [a, b, c, d] = low(key.ports_protocol).to_ne_bytes();
        let port = |a, b| u32::from(u16::from_ne_bytes([a, b]));
        let server = self.tables.servers.get(word.server());
        let unknown = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0);
        let state = ConnState::ALL.get(usize::from(word.state()));
        let virtual_word = match (key.is_template(), key.protocol()) {
            (true, 0) => high(key.addresses).to_be(),
            _ => high(key.addresses),
        };
        let virtual_address = socket_address(virtual_word, port(c, d));
        Connection {
            client: socket_address(low(key.addresses), port(a, b)),
            address: virtual_address,
            protocol: key.protocol(),
            template: key.is_template(),
            server: server.map_or(unknown, |server| {
                with_port(server_address(server), virtual_address.port())
            }),
            state: state.copied().unwrap_or(ConnState::None),
            expires: Duration::from_nanos(word.expiry().0.saturating_sub(now.0) << Tick::SHIFT),
            half_open,
            assured: !half_open && !word.is_unassured(),
        }
    }
}

/// Reads a live entry: its word, its key, and its word again, until that is the same.
fn read(conn: &Conn) -> Option<(Word, FlowKey)> {
    for _ in 0..ATTEMPTS {
        let word = Word(conn.word.load(Acquire));
        if !word.is_live() {
            return None;
        }
        let key = flow_key(conn);
        if conn.word.load(Acquire) == word.0 {
            return Some((word, key));
        }
    }
    None
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
