//! How the real servers are reached.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use evenkeel_model::{Forwarding, Hop, ServiceEntry};

/// Watched addresses, with the next hop where it is known.
#[derive(Debug, Default)]
pub(crate) struct Neighbours(BTreeMap<IpAddr, Option<Hop>>);

impl Neighbours {
    pub(crate) fn hop(&self, address: IpAddr) -> Option<Hop> {
        self.0.get(&address).copied().flatten()
    }

    pub(crate) fn is_watched(&self, address: IpAddr) -> bool {
        self.0.contains_key(&address)
    }

    /// Watches exactly these, and returns which are new and which are gone.
    pub(crate) fn watch(&mut self, wanted: &BTreeSet<IpAddr>) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let gone: Vec<IpAddr> = self
            .0
            .keys()
            .filter(|a| !wanted.contains(a))
            .copied()
            .collect();
        self.0.retain(|address, _| wanted.contains(address));
        let new: Vec<IpAddr> = wanted
            .iter()
            .filter(|a| !self.is_watched(**a))
            .copied()
            .collect();
        self.0.extend(new.iter().map(|address| (*address, None)));
        (new, gone)
    }

    /// Takes over what an adopted service knew, for watched addresses.
    pub(crate) fn adopt(&mut self, entry: &ServiceEntry) {
        let neighbours = entry.servers.iter().chain(&entry.held);
        for server in neighbours.filter(|s| s.forwarding != Forwarding::Local) {
            if let Some(hop) = self.0.get_mut(&server.address.ip()) {
                hop.get_or_insert(server.hop);
            }
        }
    }

    /// Learns a next hop, and returns the one before it, or nothing where nothing changed.
    pub(crate) fn learn(&mut self, address: IpAddr, hop: Hop) -> Option<Option<Hop>> {
        let known = self.0.get_mut(&address)?;
        (*known != Some(hop)).then(|| known.replace(hop))
    }

    pub(crate) fn unknown(&self) -> impl Iterator<Item = IpAddr> {
        let unknown = self.0.iter().filter(|(_, hop)| hop.is_none());
        unknown.map(|(address, _)| *address)
    }
}
