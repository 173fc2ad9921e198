//! Between the model's addresses and the words of the maps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{
    Costs, Egress, GateState as Gates, SchedulerId, Server, ServerFlags, ServiceKey as Key,
    ServiceSlot, Shared,
};
use evenkeel_model::{
    Forwarding, GateState, GroupNumber, Hop, MacAddress, Protocol, Scheduler, ServerEntry,
    ServiceKey, Way,
};

/// An IPv4 address as it lies in a packet.
pub(crate) const fn address_word(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

pub(crate) const fn address(word: u32) -> Ipv4Addr {
    let [a, b, c, d] = word.to_ne_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// An IPv6 address as it lies in a packet.
pub(crate) const fn address6_words(address: Ipv6Addr) -> [u64; 2] {
    let bits = address.to_bits();
    #[expect(clippy::cast_possible_truncation, reason = "one half after the other")]
    let halves = [(bits >> 64) as u64, bits as u64];
    [halves[0].to_be(), halves[1].to_be()]
}

pub(crate) const fn address6([first, second]: [u64; 2]) -> Ipv6Addr {
    let high = (u64::from_be(first) as u128) << 64;
    Ipv6Addr::from_bits(high | u64::from_be(second) as u128)
}

/// What stands in two words that both sides share.
pub(crate) fn loaded([first, second]: &[Shared; 2]) -> [u64; 2] {
    [first.load(Relaxed), second.load(Relaxed)]
}

pub(crate) fn store([first, second]: &[Shared; 2], words: [u64; 2]) {
    first.store(words[0], Relaxed);
    second.store(words[1], Relaxed);
}

/// A port as it lies in a packet.
pub(crate) const fn port_word(port: u16) -> u16 {
    port.to_be()
}

/// The port of such a word.
pub(crate) const fn port(word: u16) -> u16 {
    u16::from_be(word)
}

/// A server's address; one of a group has each packet's own port.
pub(crate) fn with_port(mut server: SocketAddr, port: u16) -> SocketAddr {
    if server.port() == 0 {
        server.set_port(port);
    }
    server
}

/// The key that packets of a protocol have to an address with this gate, and port.
pub(crate) const fn packet_key(protocol: Protocol, address: IpAddr, port: u16, gate: u32) -> Key {
    let (port, protocol) = (port_word(port), protocol.number());
    match address {
        IpAddr::V4(address) => Key::new(address_word(address), port, protocol),
        IpAddr::V6(_) => Key::v6(gate, port, protocol),
    }
}

/// The key in a service's slot; `None` if its protocol is unknown, or its number none of a group.
pub(crate) fn slot_key(slot: &ServiceSlot) -> Option<ServiceKey> {
    let words = Key::unpacked(slot.key.load(Relaxed));
    if let Some(number) = words.group_number() {
        return GroupNumber::new(number).map(ServiceKey::Group);
    }
    let address = match words.gate6() {
        Some(_) => IpAddr::V6(address6(loaded(&slot.address6))),
        None => IpAddr::V4(address(words.address)),
    };
    let address = SocketAddr::new(address, port(words.port()));
    Some(ServiceKey::single(protocol(words.protocol())?, address))
}

/// Writes a server's address, and the protocol of its service if that has one.
pub(crate) fn store_server(server: &Server, address: SocketAddr, protocol: u8) {
    let port = port_word(address.port());
    let key = match address.ip() {
        IpAddr::V4(ip) => Key::new(address_word(ip), port, protocol),
        IpAddr::V6(ip) => {
            store(&server.address6, address6_words(ip));
            Key::v6(0, port, protocol)
        }
    };
    server.endpoint.store(key.packed(), Relaxed);
}

/// A server's address.
pub(crate) fn server_address(server: &Server) -> SocketAddr {
    let key = Key::unpacked(server.endpoint.load(Relaxed));
    let ip = match key.gate6() {
        Some(_) => IpAddr::V6(address6(loaded(&server.address6))),
        None => IpAddr::V4(address(key.address)),
    };
    SocketAddr::new(ip, port(key.port()))
}

/// A protocol; `None` if its number is unknown.
pub(crate) fn protocol(number: u8) -> Option<Protocol> {
    let mut protocols = Protocol::ALL.into_iter();
    protocols.find(|protocol| protocol.number() == number)
}

pub(crate) const fn scheduler_word(scheduler: Scheduler) -> u64 {
    match scheduler {
        Scheduler::RoundRobin => SchedulerId::RR,
        Scheduler::WeightedRoundRobin => SchedulerId::WRR,
        Scheduler::LeastConnection => SchedulerId::LC,
        Scheduler::WeightedLeastConnection => SchedulerId::WLC,
        Scheduler::ShortestExpectedDelay => SchedulerId::SED,
        Scheduler::NeverQueue => SchedulerId::NQ,
        Scheduler::Failover => SchedulerId::FO,
        Scheduler::Overflow => SchedulerId::OVF,
        Scheduler::Locality => SchedulerId::LBLC,
        Scheduler::ReplicatedLocality => SchedulerId::LBLCR,
        Scheduler::DestinationHash => SchedulerId::DH,
        Scheduler::SourceHash => SchedulerId::SH,
        Scheduler::MaglevHash => SchedulerId::MH,
        Scheduler::TwoChoices => SchedulerId::TWOS,
        Scheduler::Maglev => SchedulerId::MAGLEV,
    }
}

/// What a scheduler compares of servers, if it does.
pub(crate) const fn costs(scheduler: Scheduler) -> Costs {
    match scheduler {
        Scheduler::LeastConnection => Costs::LC,
        Scheduler::WeightedLeastConnection => Costs::WLC,
        Scheduler::ShortestExpectedDelay => Costs::SED,
        Scheduler::NeverQueue => Costs::NQ,
        Scheduler::Failover => Costs::FO,
        Scheduler::Overflow => Costs::OVF,
        Scheduler::RoundRobin
        | Scheduler::WeightedRoundRobin
        | Scheduler::Locality
        | Scheduler::ReplicatedLocality
        | Scheduler::DestinationHash
        | Scheduler::SourceHash
        | Scheduler::MaglevHash
        | Scheduler::TwoChoices
        | Scheduler::Maglev => Costs(0),
    }
}

/// A scheduler; `None` if it is unknown.
pub(crate) fn scheduler(word: u64) -> Option<Scheduler> {
    let mut schedulers = Scheduler::ALL.into_iter();
    schedulers.find(|scheduler| scheduler_word(*scheduler) == word)
}

/// A listed server's hardware address and flags.
pub(crate) const fn mac_word(server: &ServerEntry) -> u64 {
    match server.forwarding {
        Forwarding::DirectRouting => Server::pack_mac(server.hop.mac.0, ServerFlags::PRESENT),
        Forwarding::Local => Server::pack_mac(
            MacAddress::ZERO.0,
            ServerFlags::PRESENT | ServerFlags::LOCAL,
        ),
    }
}

/// The same of a server that is held: its flows are forwarded, and it gets no new ones.
pub(crate) const fn held_word(server: &ServerEntry) -> u64 {
    let word = mac_word(server);
    let flags = Server::unpack_flags(word) | ServerFlags::KEPT;
    Server::pack_mac(Server::unpack_mac(word), flags)
}

/// The way to a server.
pub(crate) fn egress(server: &ServerEntry) -> Egress {
    let way = server.hop.way;
    way.map_or_else(Egress::default, |way| {
        Egress::by(way.interface, way.vlan.unwrap_or(0))
    })
}

/// How a server is reached, by its words.
pub(crate) fn hop(server: &Server) -> Hop {
    let egress = Egress(server.egress.load(Relaxed));
    let way = (egress.interface() != 0).then(|| Way {
        interface: egress.interface(),
        vlan: Some(egress.vlan()).filter(|vlan| *vlan != 0),
    });
    Hop {
        mac: MacAddress(Server::unpack_mac(server.mac.load(Acquire))),
        way,
    }
}

pub(crate) const fn forwarding(mac_word: u64) -> Forwarding {
    if Server::unpack_flags(mac_word) & ServerFlags::LOCAL == 0 {
        Forwarding::DirectRouting
    } else {
        Forwarding::Local
    }
}

pub(crate) const fn gate_word(state: GateState) -> u64 {
    match state {
        GateState::Open => Gates::OPEN,
        GateState::Draining => Gates::DRAINING,
        GateState::Closed => Gates::CLOSED,
    }
}

pub(crate) const fn gate_state(word: u64) -> GateState {
    match word {
        Gates::OPEN => GateState::Open,
        Gates::DRAINING => GateState::Draining,
        _ => GateState::Closed,
    }
}

/// A counter's value; one that packets have counted down before up for a moment is 0.
pub(crate) fn count(word: u64) -> u32 {
    if word > u64::MAX / 2 {
        return 0;
    }
    u32::try_from(word).unwrap_or(u32::MAX)
}
