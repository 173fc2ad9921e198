//! Between the model's addresses and the words of the maps.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use evenkeel_abi::{
    Costs, GateState as Gates, SchedulerId, Server, ServerFlags, ServiceKey as Key,
};
use evenkeel_model::{
    Forwarding, GateState, GroupNumber, MacAddress, Protocol, Scheduler, ServerEntry, ServiceKey,
};

use crate::error::PutError;

/// An address as it lies in a packet.
pub(crate) const fn address_word(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

pub(crate) const fn address(word: u32) -> Ipv4Addr {
    let [a, b, c, d] = word.to_ne_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// A port as it lies in a packet.
pub(crate) const fn port_word(port: u16) -> u16 {
    port.to_be()
}

/// An address and port from a word of each; the port stands in the low half.
pub(crate) const fn socket_address(word: u32, port: u32) -> SocketAddrV4 {
    let [a, b, _, _] = port.to_le_bytes();
    SocketAddrV4::new(address(word), u16::from_be(u16::from_le_bytes([a, b])))
}

/// A server's address; one of a group has each packet's own port.
pub(crate) fn with_port(mut server: SocketAddrV4, port: u16) -> SocketAddrV4 {
    if server.port() == 0 {
        server.set_port(port);
    }
    server
}

pub(crate) fn ipv4(address: SocketAddr) -> Result<SocketAddrV4, PutError> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(PutError::NotIpv4 { address }),
    }
}

pub(crate) const fn ipv4_of(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// A service's key as its slot has it.
pub(crate) fn key_words(key: &ServiceKey) -> Result<Key, PutError> {
    match key {
        ServiceKey::Single { protocol, address } => {
            let address = ipv4(*address)?;
            Ok(packet_key(*protocol, *address.ip(), address.port()))
        }
        ServiceKey::Group(number) => Ok(Key::group(number.get())),
    }
}

/// The key that packets of a protocol have to an address and port.
pub(crate) const fn packet_key(protocol: Protocol, address: Ipv4Addr, port: u16) -> Key {
    Key::new(address_word(address), port_word(port), protocol.number())
}

/// A service's key; `None` if its protocol is unknown, or its number none of a group.
pub(crate) fn key(words: Key) -> Option<ServiceKey> {
    match words.group_number() {
        Some(number) => GroupNumber::new(number).map(ServiceKey::Group),
        None => Some(ServiceKey::single(
            protocol(words.protocol())?,
            SocketAddr::V4(socket_address(words.address, u32::from(words.port()))),
        )),
    }
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
        Forwarding::DirectRouting => Server::pack_mac(server.mac.0, ServerFlags::PRESENT),
        Forwarding::Local => Server::pack_mac(
            MacAddress::ZERO.0,
            ServerFlags::PRESENT | ServerFlags::LOCAL,
        ),
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
