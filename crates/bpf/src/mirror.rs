//! Connections that another director tells of: putting them into the established table and taking them out.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use evenkeel_abi::{ConnState, FlowKey, Server, ServerFlags, ServiceKey as Key, Tick, Word};
use evenkeel_datapath::{self as datapath, digest, entry_of, find_service, of_group};
use evenkeel_model::{GateState, GroupNumber, Protocol, ServiceKey};

use crate::connections::{Connection, Flow};
use crate::convert::{address_word, address6_words, packet_key, port_word, protocol};
use crate::live::Live;
use crate::placement::ports_word;
use crate::plane::DataPlane;

/// Ticks that no entry of another director lives longer than (417 days): more is a mistake.
const LONGEST: u64 = 1 << 31;

/// An entry of another director's established table, in terms that mean the same on every director.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// Its flow.
    pub flow: Flow,
    /// Its real server; of a group's server without a port the flow's own.
    pub server: SocketAddr,
    /// Its state.
    pub state: ConnState,
    /// Time until it expires.
    pub remaining: Duration,
    /// Whether a client's packet confirmed it a second or more after its first.
    pub assured: bool,
}

impl From<&Connection> for Mirrored {
    fn from(connection: &Connection) -> Self {
        Self {
            flow: connection.flow(),
            server: connection.server,
            state: connection.state,
            remaining: connection.expires,
            assured: connection.assured,
        }
    }
}

/// What became of an entry that was to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It is new here.
    Entered,
    /// It is in the place of what this director had of the flow.
    Changed,
    /// This director acts for the address and has a live entry of its own, or packets were changing the entry.
    Kept,
    /// No service here has the flow.
    UnknownService,
    /// The service has no such real server, neither in its list nor kept.
    UnknownServer,
    /// The table is full, or both of the flow's buckets are.
    NoRoom,
    /// It is over, or no entry can be so: addresses of two families, or a state that is none of its kind.
    Senseless,
}

/// The number of the service that has a flow, and whether this director acts for its address.
struct Whose {
    service: u32,
    is_open: bool,
}

impl DataPlane {
    /// Puts an entry of another director into the established table, as a packet would: it counts and is found from then
    /// on. It marks no change.
    ///
    /// Where the gate of its address is open, what this director has of the flow and has not expired stays; else
    /// it is overwritten.
    pub fn install(&self, mirrored: &Mirrored) -> Installed {
        let flow = &mirrored.flow;
        let Some(word) = word_of(mirrored) else {
            return Installed::Senseless;
        };
        let Some(key) = self.key_of(flow) else {
            return Installed::Senseless;
        };
        let Some(whose) = self.whose(flow) else {
            return Installed::UnknownService;
        };
        let Some(server) = self.server_at(whose.service, mirrored.server) else {
            return Installed::UnknownServer;
        };
        let now = self.tables.now();
        let expiry = now.after(word.expiry().0);
        let word =
            Word::live(server, word.state(), expiry).unassured_if(u64::from(word.is_unassured()));
        let live = self.live();
        let installed = match datapath::install(&live, &key, word, !whose.is_open) {
            datapath::Installed::Kept => return Installed::Kept,
            datapath::Installed::NoRoom => return Installed::NoRoom,
            datapath::Installed::Changed => Installed::Changed,
            datapath::Installed::Entered => Installed::Entered,
        };
        if let IpAddr::V6(client) = flow.client.ip() {
            datapath::note_client_of(&live, &key, address6_words(client));
        }
        installed
    }

    /// Takes the established entry of a flow out that another director has taken out, unless this director acts for the
    /// address or did a moment ago (its gate is open or draining): then its own packets decide how long it lives.
    ///
    /// True if there was one. A flow that packets bring to life in this moment is unknown to the next packet, and goes
    /// where the consistent hash says; with a closed gate there are no packets.
    pub fn remove(&self, flow: &Flow) -> bool {
        let Some(key) = self.key_of(flow) else {
            return false;
        };
        self.gate_of_flow(flow) == GateState::Closed && datapath::remove(&self.live(), &key)
    }

    /// Whether packets of a flow go to this real server while an entry says so: it stands in the service's list or is kept.
    #[must_use]
    pub fn has_server(&self, flow: &Flow, server: SocketAddr) -> bool {
        self.whose(flow)
            .is_some_and(|whose| self.server_at(whose.service, server).is_some())
    }

    /// Has new flows placed by the consistent hash once so much time has passed (with 0 at once), until the next call: as
    /// a director that does not know them places their later packets, unless it names a quiesced server. `None`: never, as
    /// at the start. They get entries all the same.
    pub fn place_by_hash_in(&self, duration: Option<Duration>) {
        let from = match duration {
            None => 0,
            Some(Duration::ZERO) => 1,
            Some(duration) => self.tables.clock.after(duration).0,
        };
        if let Some(state) = self.tables.state.get(0) {
            state.hash_from.store(from, Release);
        }
    }

    /// Whether a flow has an established entry that lives.
    pub(crate) fn has(&self, flow: &Flow) -> bool {
        let entry = self
            .key_of(flow)
            .and_then(|key| entry_of(&self.live(), &key));
        entry.is_some_and(|(word, half_open)| !half_open && word.expiry() > self.tables.now())
    }

    const fn live(&self) -> Live<'_> {
        Live {
            tables: &self.tables,
            book: &self.book,
        }
    }

    /// The key that a flow's entry has here; `None`: its addresses are of two families.
    fn key_of(&self, flow: &Flow) -> Option<FlowKey> {
        let ports = ports_word(flow.client.port(), flow.address.port());
        let (port, number) = (port_word(flow.address.port()), flow.protocol);
        let group = group_of(flow);
        match (flow.client.ip(), flow.address.ip()) {
            (IpAddr::V4(client), IpAddr::V4(address)) => {
                let address = address_word(address);
                let key = FlowKey::new(address_word(client), address, ports, number);
                if !flow.template {
                    return Some(key);
                }
                let service = group.map_or_else(|| Key::new(address, port, number), Key::group);
                // The client's address is under the mask already.
                Some(key.template(u32::MAX, service))
            }
            (IpAddr::V6(client), IpAddr::V6(address)) => {
                let of = group.map_or_else(|| address6_words(address), of_group);
                let secret = self.tables.globals.get(0)?;
                let secret = secret.secret.load(Acquire);
                let digest = digest(address6_words(client), of, secret);
                let key = FlowKey::v6(digest, ports, number);
                if !flow.template {
                    return Some(key);
                }
                let service = group.map_or_else(|| Key::v6(0, port, number), Key::group);
                Some(key.template6(digest, service))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    /// The service that has a flow.
    fn whose(&self, flow: &Flow) -> Option<Whose> {
        let service = self.service_of(flow)?;
        let is_open = self.gate_of_flow(flow) == GateState::Open;
        Some(Whose { service, is_open })
    }

    fn service_of(&self, flow: &Flow) -> Option<u32> {
        let address = flow.address;
        let own = match group_of(flow) {
            Some(number) => Some(ServiceKey::Group(GroupNumber::new(number)?)),
            None => Some(ServiceKey::single(protocol(flow.protocol)?, address)),
        };
        let record = own.and_then(|key| self.book.services.get(&key));
        if let Some(record) = record.filter(|record| record.listed.is_some()) {
            return Some(record.number);
        }
        if flow.template {
            return None;
        }
        let gate = *self.book.gates.get(&address.ip())?;
        let key = packet_key(protocol(flow.protocol)?, address.ip(), address.port(), gate);
        let (number, _gate) = find_service(&self.live(), &key)?;
        Some(number)
    }

    /// How the gate of a flow's address acts; of a group's template the most open one of the group.
    fn gate_of_flow(&self, flow: &Flow) -> GateState {
        let Some(number) = group_of(flow) else {
            return self.gate_of(flow.address.ip());
        };
        let key = GroupNumber::new(number).map(ServiceKey::Group);
        let record = key.and_then(|key| self.book.services.get(&key));
        let listed = record.and_then(|record| record.listed.as_ref());
        listed.map_or(GateState::Closed, |listed| {
            self.gate_of_service(&listed.entry)
        })
    }

    /// The number of a service's real server whose flows are forwarded.
    fn server_at(&self, service: u32, address: SocketAddr) -> Option<u32> {
        let portless = SocketAddr::new(address.ip(), 0);
        let numbers = &self.book.servers;
        let number = numbers.number(&(service, address));
        let number = number.or_else(|| numbers.number(&(service, portless)))?;
        let mac = self.tables.servers.get(number)?.mac.load(Acquire);
        (Server::unpack_flags(mac) & ServerFlags::PRESENT != 0).then_some(number)
    }
}

/// The number of the group whose template it is.
fn group_of(flow: &Flow) -> Option<u32> {
    if !flow.template || flow.protocol != 0 {
        return None;
    }
    Some(match flow.address.ip() {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => u32::try_from(address.to_bits() >> 96).unwrap_or(0),
    })
}

/// Its word without a server, with the ticks that are left in place of its expiry.
fn word_of(mirrored: &Mirrored) -> Option<Word> {
    let left = mirrored.remaining.as_nanos() >> Tick::SHIFT;
    let left = u64::try_from(left).unwrap_or(LONGEST).min(LONGEST);
    if left == 0 || !is_state_of(&mirrored.flow, mirrored.state) {
        return None;
    }
    let unassured = u64::from(!mirrored.assured);
    Some(Word::live(0, mirrored.state as u8, Tick(left)).unassured_if(unassured))
}

/// Whether a flow's entry can be in this state.
fn is_state_of(flow: &Flow, state: ConnState) -> bool {
    if flow.template {
        return state == ConnState::None;
    }
    match (protocol(flow.protocol), state) {
        (_, ConnState::None) => false,
        (Some(Protocol::Udp), state) => state == ConnState::Udp,
        (Some(Protocol::Sctp), ConnState::Established | ConnState::Close) => true,
        (Some(Protocol::Sctp), state) => state > ConnState::Udp,
        (Some(Protocol::Tcp), state) => state < ConnState::Udp,
        // Whoever looks for its service finds none.
        (None, _) => true,
    }
}
