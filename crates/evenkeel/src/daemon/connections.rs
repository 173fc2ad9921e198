//! Answers for connections: all, or those that are asked for.

use std::net::IpAddr;

use evenkeel_api::{
    API_VERSION, CONNECTIONS_MAX, Connection, ConnectionState, Connections, ConnectionsQuery,
    ServiceId,
};
use evenkeel_model as model;

use crate::daemon::edits::words;
use crate::daemon::event_loop::Daemon;
use crate::daemon::server::{self, Answer};
use crate::daemon::view;

impl Daemon {
    /// Answers what `ipvsadm -Lc` and `evenkeel connections` need.
    pub(crate) fn connections(&self, asked: &ConnectionsQuery) -> Answer<Connections> {
        let wanted = Wanted::read(asked).map_err(server::failed)?;
        let limit = asked.limit.map_or(usize::MAX, |most| {
            usize::try_from(most.min(CONNECTIONS_MAX)).unwrap_or(usize::MAX)
        });
        let plane = &self.hands.plane;
        let found = plane.find_connections(limit, |held| wanted.has(&shown(held)));
        Ok(Connections {
            api_version: API_VERSION,
            matched: Some(found.matched),
            connections: found.connections.iter().map(shown).collect(),
        })
    }
}

/// Which connections are asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    service: Option<ServiceId>,
    server: Option<IpAddr>,
    client: Option<Network>,
    state: Option<ConnectionState>,
}

impl Wanted {
    fn read(asked: &ConnectionsQuery) -> Result<Self, String> {
        let service = match (asked.protocol, asked.virtual_address, asked.group) {
            (None, None, None) => None,
            (Some(protocol), Some(address), None) => Some(ServiceId::Single { protocol, address }),
            (None, None, Some(group)) => Some(ServiceId::Group { group }),
            _ => return Err("a service is a protocol and an address, or a group".to_owned()),
        };
        let client = match (asked.client, asked.prefix) {
            (None, None) => None,
            (None, Some(_)) => return Err("a prefix without a client".to_owned()),
            (Some(client), prefix) => Some(Network::new(client, prefix)?),
        };
        Ok(Self {
            service,
            server: asked.server,
            client,
            state: asked.state,
        })
    }

    fn has(&self, connection: &Connection) -> bool {
        self.service.is_none_or(|of| connection.service == Some(of))
            && self
                .server
                .is_none_or(|on| connection.destination.ip() == on)
            && self
                .client
                .is_none_or(|net| net.has(connection.client.ip()))
            && self.state.is_none_or(|state| connection.state == state)
    }
}

/// Addresses that are alike in their leading bits.
#[derive(Clone, Copy, Debug)]
struct Network {
    is_ipv6: bool,
    /// The address in the low bits.
    bits: u128,
    /// Of these bits the last ones that don't count.
    host_bits: u32,
}

impl Network {
    fn new(address: IpAddr, prefix: Option<u8>) -> Result<Self, String> {
        let (bits, length) = bits(address);
        let prefix = prefix.map_or(length, u32::from);
        let host_bits = length.checked_sub(prefix);
        Ok(Self {
            is_ipv6: address.is_ipv6(),
            bits,
            host_bits: host_bits
                .ok_or_else(|| format!("a prefix of {prefix} bits, and {address} has {length}"))?,
        })
    }

    fn has(self, address: IpAddr) -> bool {
        let differing = bits(address).0 ^ self.bits;
        // Shifted by all 128 bits nothing is left.
        let differing = differing.checked_shr(self.host_bits).unwrap_or(0);
        address.is_ipv6() == self.is_ipv6 && differing == 0
    }
}

/// An address as a number, and how many bits that has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

fn shown(held: &evenkeel_bpf::Connection) -> Connection {
    Connection {
        protocol: model::Protocol::ALL
            .into_iter()
            .find(|of| of.number() == held.protocol)
            .map(view::protocol),
        template: held.template,
        state: state(held.state, held.protocol),
        client: held.client,
        virtual_address: held.address,
        destination: held.server,
        expires_s: held.expires.as_secs(),
        service: held.service.map(words::service_id),
        half_open: held.half_open,
        assured: held.assured,
    }
}

/// The state of a connection of this protocol number.
pub(crate) const fn state(state: evenkeel_abi::ConnState, protocol: u8) -> ConnectionState {
    use evenkeel_abi::ConnState as Held;

    match state {
        Held::None => ConnectionState::None,
        Held::Established => ConnectionState::Established,
        Held::SynSent => ConnectionState::SynSent,
        Held::SynRecv => ConnectionState::SynRecv,
        Held::FinWait => ConnectionState::FinWait,
        Held::TimeWait => ConnectionState::TimeWait,
        Held::Close if protocol == model::Protocol::Sctp.number() => ConnectionState::Closed,
        Held::Close => ConnectionState::Close,
        Held::CloseWait => ConnectionState::CloseWait,
        Held::LastAck => ConnectionState::LastAck,
        Held::Listen => ConnectionState::Listen,
        Held::SynAck => ConnectionState::Synack,
        Held::Udp => ConnectionState::Udp,
        Held::Init1 => ConnectionState::Init1,
        Held::Init => ConnectionState::Init,
        Held::CookieEchoed => ConnectionState::CookieEchoed,
        Held::ShutdownReceived => ConnectionState::ShutdownReceived,
    }
}

#[cfg(test)]
mod tests;
