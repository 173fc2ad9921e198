//! Reading connections, as they are now.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use evenkeel_abi::{Bucket, Clients, Conn, ConnState, FlowKey, Tick, Word, high, low};
use evenkeel_datapath::{digest, of_group};
use evenkeel_model::ServiceKey;

use crate::convert::{address, address6, address6_words, loaded, port, server_address, with_port};
use crate::mapped::MappedArray;
use crate::plane::DataPlane;
use crate::sweep::flow_key;

/// Attempts at reading an entry that packets keep changing.
const ATTEMPTS: usize = 16;

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
    /// Whether it stands in the half-open table.
    pub half_open: bool,
    /// Whether a client's packet confirmed it a second or more after its first.
    pub assured: bool,
}

/// An entry as read.
#[derive(Clone, Copy)]
struct Entry {
    word: Word,
    key: FlowKey,
    /// What stands beside it, of use with IPv6 only.
    client: [u64; 2],
    half_open: bool,
}

/// A service's IPv6 addresses, and its number if it is a group.
#[derive(Default)]
struct Whose {
    addresses: Vec<Ipv6Addr>,
    group: Option<u32>,
}

impl DataPlane {
    /// All connections that have not expired, established ones first.
    ///
    /// Each is consistent in itself; packets go on changing them while they are read.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        let now = self.tables.now();
        let established = live(&self.tables.conns, &self.tables.conn_clients, false);
        // A connection that moves between the tables may be met in both.
        let met: HashSet<FlowKey> = established.iter().map(|entry| entry.key).collect();
        let half_open = live(&self.tables.half_open, &self.tables.half_open_clients, true);
        let half_open = half_open.into_iter();
        let half_open = half_open.filter(|entry| !met.contains(&entry.key));
        let services = self.services_of_ipv6();
        established
            .into_iter()
            .chain(half_open)
            .filter(|entry| entry.word.expiry() > now)
            .map(|entry| self.connection(entry, &services, now))
            .collect()
    }

    /// What IPv6 connections may be of, by the numbers of services.
    fn services_of_ipv6(&self) -> HashMap<u32, Whose> {
        let records = self.book.services.iter();
        let services = records.map(|(key, record)| {
            let mut addresses: HashSet<IpAddr> =
                record.takes.iter().map(|listen| listen.address).collect();
            if let ServiceKey::Single { address, .. } = key {
                addresses.insert(address.ip());
            }
            let addresses = addresses.into_iter().filter_map(|address| match address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            });
            let whose = Whose {
                addresses: addresses.collect(),
                group: key.group().map(|number| number.get()),
            };
            (record.number, whose)
        });
        services.collect()
    }

    fn connection(&self, entry: Entry, services: &HashMap<u32, Whose>, now: Tick) -> Connection {
        let Entry {
            word,
            key,
            half_open,
            ..
        } = entry;
        // The client's port stands in the first two bytes, the virtual port in the others.
        let [a, b, c, d] = low(key.ports_protocol).to_ne_bytes();
        let server = self.tables.servers.get(word.server());
        let (client, virtual_address) = if key.is_v6() {
            let owner = server.map_or(0, |server| low(server.owner.load(Relaxed)));
            let whose = owner
                .checked_sub(1)
                .and_then(|number| services.get(&number));
            let nobody = Whose::default();
            self.addresses6(&entry, whose.unwrap_or(&nobody))
        } else {
            addresses4(&key)
        };
        let virtual_address = SocketAddr::new(virtual_address, port(u16::from_ne_bytes([c, d])));
        let state = ConnState::ALL.get(usize::from(word.state()));
        let unknown = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        Connection {
            client: SocketAddr::new(client, port(u16::from_ne_bytes([a, b]))),
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

    /// The client's and the virtual address of an IPv6 connection: those whose digest it has.
    fn addresses6(&self, entry: &Entry, whose: &Whose) -> (IpAddr, IpAddr) {
        let secret = self.tables.globals.get(0);
        let secret = secret.map_or(0, |globals| globals.secret.load(Relaxed));
        let has = |of| digest(entry.client, of, secret) == entry.key.addresses;
        let client = IpAddr::V6(address6(entry.client));
        if entry.key.is_template()
            && let Some(number) = whose.group
        {
            // As IPVS shows it: the number in the place of the address's first word.
            let address = Ipv6Addr::from_bits(u128::from(number) << 96);
            let is_its_own = has(of_group(number));
            return (noted(client, is_its_own), address.into());
        }
        let mut addresses = whose.addresses.iter();
        let own = addresses.find(|address| has(address6_words(**address)));
        let any = || whose.addresses.first().copied();
        let address = own.copied().or_else(any).unwrap_or(Ipv6Addr::UNSPECIFIED);
        (noted(client, own.is_some()), address.into())
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
fn live(
    table: &MappedArray<Bucket>,
    clients: &MappedArray<Clients>,
    half_open: bool,
) -> Vec<Entry> {
    let buckets = table.as_slice().iter().zip(clients.as_slice());
    let ways = buckets.flat_map(|(bucket, clients)| bucket.ways.iter().zip(&clients.ways));
    let entries = ways.filter_map(|(conn, client)| {
        let (word, key) = read(conn)?;
        Some(Entry {
            word,
            key,
            client: loaded(client),
            half_open,
        })
    });
    entries.collect()
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
