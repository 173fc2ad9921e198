//! The consistent hash without a data plane: where every director would place a flow.

use std::net::{SocketAddr, SocketAddrV4};

use evenkeel_abi::FlowKey;
use evenkeel_datapath::{flow_hash, slot};
use evenkeel_model::{Protocol, hash_table};

use crate::convert::address_word;
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
        client: SocketAddrV4,
        service: SocketAddrV4,
        protocol: Protocol,
    ) -> Option<usize> {
        let hash = flow_hash(&key_of(client, service, protocol), HASH_SEED);
        let slots = u32::try_from(self.table.len()).ok()?;
        let slot = usize::try_from(slot(hash, slots)).ok()?;
        usize::try_from(*self.table.get(slot)?).ok()
    }
}

/// The key of a flow's packets.
pub(crate) fn key_of(client: SocketAddrV4, service: SocketAddrV4, protocol: Protocol) -> FlowKey {
    let [a, b] = client.port().to_be_bytes();
    let [c, d] = service.port().to_be_bytes();
    FlowKey::new(
        address_word(*client.ip()),
        address_word(*service.ip()),
        u32::from_ne_bytes([a, b, c, d]),
        protocol.number(),
    )
}

#[cfg(test)]
mod tests;
