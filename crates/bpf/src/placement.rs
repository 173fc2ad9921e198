//! The consistent hash without a data plane: where every director would place a flow.

use std::net::{IpAddr, SocketAddr};

use evenkeel_abi::FlowKey;
use evenkeel_datapath::{flow_hash, folded, slot};
use evenkeel_model::{Protocol, hash_table};

use crate::convert::{address_word, address6_words};
use crate::plane::HASH_SEED;

/// The consistent hash over a list of real servers, as every director computes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    table: Vec<u32>,
}

impl Placement {
    /// That of real servers with their configured weights; their addresses must be distinct.
    #[must_use]
    pub fn of(servers: &[(SocketAddr, u32)]) -> Self {
        Self {
            table: hash_table::build(servers, HASH_SEED.into()),
        }
    }

    /// The place in the list of the server that a flow without an entry goes to; `None` where no server has
    /// a weight.
    #[must_use]
    pub fn place(
        &self,
        client: SocketAddr,
        service: SocketAddr,
        protocol: Protocol,
    ) -> Option<usize> {
        let hash = flow_hash(&placed_by(client, service, protocol), HASH_SEED);
        let slots = u32::try_from(self.table.len()).ok()?;
        let slot = usize::try_from(slot(hash, slots)).ok()?;
        usize::try_from(*self.table.get(slot)?).ok()
    }
}

/// What a flow is placed by: addresses and ports, IPv6's addresses folded.
pub(crate) fn placed_by(client: SocketAddr, service: SocketAddr, protocol: Protocol) -> FlowKey {
    FlowKey::new(
        placing_word(client.ip()),
        placing_word(service.ip()),
        ports_word(client.port(), service.port()),
        protocol.number(),
    )
}

const fn placing_word(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address_word(address),
        IpAddr::V6(address) => folded(address6_words(address)),
    }
}

/// Both ports as they lie in a packet.
pub(crate) const fn ports_word(client: u16, service: u16) -> u32 {
    let ([a, b], [c, d]) = (client.to_be_bytes(), service.to_be_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests;
