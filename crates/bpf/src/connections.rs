//! Reading connections, as they are now.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use evenkeel_abi::{Bucket, Clients, Conn, ConnState, FlowKey, Shared, Tick, Word, high, low};
use evenkeel_datapath::{digest, of_group};
use evenkeel_model::{Listens, ServiceKey};

use crate::book::Book;
use crate::convert::{
    address, address6, address6_words, loaded, port, server_address, slot_key, with_port,
};
use crate::mapped::MappedArray;
use crate::plane::DataPlane;
use crate::sweep::flow_key;
use crate::tables::Tables;

/// Attempts at reading an entry that packets keep changing.
const ATTEMPTS: usize = 16;

/// What makes a flow, the same on every director.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The client; of a template its address under the mask, and port 0.
    pub client: SocketAddr,
    /// The virtual address and port; of a group's template the group's number as an address.
    pub address: SocketAddr,
    /// IP protocol number; 0 in a group's template.
    pub protocol: u8,
    /// Whether it is no connection, but a template: where new ones of the client go.
    pub template: bool,
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The client; of a template its address under the mask, and port 0. An IPv6 address is unspecified for the moment
    /// between the connection's entry and its note.
    pub client: SocketAddr,
    /// The virtual address and port; of a group's template the group's number as an address.
    pub address: SocketAddr,
    /// IP protocol number; 0 in a group's template.
    pub protocol: u8,
    /// Whether it is no connection, but a template: where new ones of the client go.
    pub template: bool,
    /// Its real server; unspecified if its number is not known any more.
    pub server: SocketAddr,
    /// Its state, as the client's packets tell.
    pub state: ConnState,
    /// Time until it expires.
    pub expires: Duration,
    /// The service that its server is of; `None`: that is not known any more.
    pub service: Option<ServiceKey>,
    /// Whether it stands in the half-open table.
    pub half_open: bool,
    /// Whether a client's packet confirmed it a second or more after its first.
    pub assured: bool,
}

impl Connection {
    /// What makes it this one.
    #[must_use]
    pub const fn flow(&self) -> Flow {
        Flow {
            client: self.client,
            address: self.address,
            protocol: self.protocol,
            template: self.template,
        }
    }

    /// Whether its client and its server are known.
    pub(crate) const fn is_told(&self) -> bool {
        !self.client.ip().is_unspecified() && !self.server.ip().is_unspecified()
    }
}

/// An entry as read.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) word: Word,
    pub(crate) key: FlowKey,
    /// What stands beside it, of use with IPv6 only.
    pub(crate) client: [u64; 2],
    pub(crate) half_open: bool,
}

impl Entry {
    /// A live entry: its word, its key, and its word again, until that is the same.
    pub(crate) fn read(conn: &Conn, client: &[Shared; 2], half_open: bool) -> Option<Self> {
        for _ in 0..ATTEMPTS {
            let word = Word(conn.word.load(Acquire));
            if !word.is_live() {
                return None;
            }
            let key = flow_key(conn);
            if conn.word.load(Acquire) == word.0 {
                return Some(Self {
                    word,
                    key,
                    client: loaded(client),
                    half_open,
                });
            }
        }
        None
    }
}

/// Connections of a certain kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The first of them, in no order.
    pub connections: Vec<Connection>,
    /// How many there are.
    pub matched: u64,
}

impl DataPlane {
    /// All connections that have not expired, established ones first.
    ///
    /// Each is consistent in itself; packets go on changing them while they are read.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.find_connections(usize::MAX, |_any| true).connections
    }

    /// As [`connections`](Self::connections), but only those that are `wanted`, and of these `limit` at most.
    ///
    /// Takes memory for the connections that are wanted alone, some 150 bytes for each of the limit and 24 for the others.
    #[must_use]
    pub fn find_connections(&self, limit: usize, wanted: impl Fn(&Connection) -> bool) -> Found {
        let now = self.tables.now();
        let names = Names::of(&self.tables, &self.book);
        let established = live(&self.tables.conns, &self.tables.conn_clients, false);
        let half_open = live(&self.tables.half_open, &self.tables.half_open_clients, true);
        let mut found = Found::default();
        // A connection that moves between the tables may be met in both.
        let mut met: HashSet<FlowKey> = HashSet::new();
        for entry in established.chain(half_open) {
            if entry.word.expiry() <= now || entry.half_open && met.contains(&entry.key) {
                continue;
            }
            let connection = names.connection(&entry, now);
            if !wanted(&connection) {
                continue;
            }
            found.matched += 1;
            if !entry.half_open {
                met.insert(entry.key);
            }
            if found.connections.len() < limit {
                found.connections.push(connection);
            }
        }
        found
    }
}

/// Tells whose the entries are.
pub(crate) struct Names<'a> {
    tables: &'a Tables,
    book: &'a Book,
    /// What groups take, by their services' numbers; of use with IPv6 only.
    groups: OnceCell<HashMap<u32, &'a Listens>>,
}

impl<'a> Names<'a> {
    pub(crate) const fn of(tables: &'a Tables, book: &'a Book) -> Self {
        Self {
            tables,
            book,
            groups: OnceCell::new(),
        }
    }

    /// The connection of an entry.
    pub(crate) fn connection(&self, entry: &Entry, now: Tick) -> Connection {
        let Flow {
            client,
            address,
            protocol,
            template,
        } = self.flow(entry);
        let word = entry.word;
        let server = self.tables.servers.get(word.server());
        let state = ConnState::ALL.get(usize::from(word.state()));
        let unknown = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        Connection {
            client,
            address,
            protocol,
            template,
            server: server.map_or(unknown, |server| {
                with_port(server_address(server), address.port())
            }),
            state: state.copied().unwrap_or(ConnState::None),
            expires: Duration::from_nanos(word.expiry().0.saturating_sub(now.0) << Tick::SHIFT),
            service: self.service_of(entry).and_then(|(_, key)| key),
            half_open: entry.half_open,
            assured: !entry.half_open && !word.is_unassured(),
        }
    }

    /// The flow of an entry.
    pub(crate) fn flow(&self, entry: &Entry) -> Flow {
        let key = entry.key;
        // The client's port stands in the first two bytes, the virtual port in the others.
        let [a, b, c, d] = low(key.ports_protocol).to_ne_bytes();
        let (client, address) = if key.is_v6() {
            self.addresses6(entry)
        } else {
            addresses4(&key)
        };
        Flow {
            client: SocketAddr::new(client, port(u16::from_ne_bytes([a, b]))),
            address: SocketAddr::new(address, port(u16::from_ne_bytes([c, d]))),
            protocol: key.protocol(),
            template: key.is_template(),
        }
    }

    /// The client's and the virtual address of an IPv6 connection: those whose digest it has.
    fn addresses6(&self, entry: &Entry) -> (IpAddr, IpAddr) {
        let secret = self.tables.globals.get(0);
        let secret = secret.map_or(0, |globals| globals.secret.load(Relaxed));
        let has = |of| digest(entry.client, of, secret) == entry.key.addresses;
        let client = IpAddr::V6(address6(entry.client));
        let addresses = match self.service_of(entry) {
            Some((_, Some(ServiceKey::Group(number)))) if entry.key.is_template() => {
                let number = number.get();
                // As IPVS shows it: the number in the place of the address's first word.
                let address = Ipv6Addr::from_bits(u128::from(number) << 96);
                return (noted(client, has(of_group(number))), address.into());
            }
            Some((service, Some(ServiceKey::Group(_)))) => self.addresses_of(service),
            Some((_, Some(ServiceKey::Single { address, .. }))) => {
                v6(address.ip()).into_iter().collect()
            }
            Some((_, None)) | None => Vec::new(),
        };
        let mut candidates = addresses.iter();
        let own = candidates.find(|address| has(address6_words(**address)));
        let any = || addresses.first().copied();
        let address = own.copied().or_else(any).unwrap_or(Ipv6Addr::UNSPECIFIED);
        (noted(client, own.is_some()), address.into())
    }

    /// The number of the service that an entry's server is of, and what identifies that.
    fn service_of(&self, entry: &Entry) -> Option<(u32, Option<ServiceKey>)> {
        let server = self.tables.servers.get(entry.word.server())?;
        let number = low(server.owner.load(Relaxed)).checked_sub(1)?;
        let slot = self.tables.services.get(number)?;
        Some((number, slot_key(slot)))
    }

    /// The IPv6 addresses of a group, by the number of its service.
    fn addresses_of(&self, service: u32) -> Vec<Ipv6Addr> {
        let groups = self.groups.get_or_init(|| {
            let records = self.book.services.iter();
            let groups = records.filter(|(key, _)| key.group().is_some());
            groups
                .map(|(_, record)| (record.number, &record.takes))
                .collect()
        });
        let takes = groups.get(&service).map(|takes| takes.iter());
        let mut addresses: Vec<Ipv6Addr> = takes
            .into_iter()
            .flatten()
            .filter_map(|listen| v6(listen.address))
            .collect();
        addresses.dedup();
        addresses
    }
}

const fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }
}

/// A client's address, if what stands beside its entry is its own.
fn noted(client: IpAddr, is_its_own: bool) -> IpAddr {
    if is_its_own {
        client
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    }
}

fn addresses4(key: &FlowKey) -> (IpAddr, IpAddr) {
    let client = address(low(key.addresses));
    let word = match (key.is_template(), key.protocol()) {
        (true, 0) => high(key.addresses).to_be(),
        _ => high(key.addresses),
    };
    (client.into(), address(word).into())
}

/// The live entries of a table.
fn live<'t>(
    table: &'t MappedArray<Bucket>,
    clients: &'t MappedArray<Clients>,
    half_open: bool,
) -> impl Iterator<Item = Entry> + use<'t> {
    let buckets = table.as_slice().iter().zip(clients.as_slice());
    let ways = buckets.flat_map(|(bucket, clients)| bucket.ways.iter().zip(&clients.ways));
    ways.filter_map(move |(conn, client)| Entry::read(conn, client, half_open))
}
