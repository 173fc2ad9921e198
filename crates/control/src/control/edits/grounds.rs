//! Which addresses are virtual and which are hosts' own: what moves between directors can't be both.

use std::collections::BTreeSet;
use std::net::IpAddr;

use evenkeel_model::{Director, Edit, ServiceKey, VirtualService};

#[derive(Debug)]
pub(super) struct Grounds {
    /// Of services and virtual routers.
    virtuals: BTreeSet<IpAddr>,
    /// Of real servers and directors.
    hosts: BTreeSet<IpAddr>,
}

impl Grounds {
    pub(super) fn of(director: &Director) -> Self {
        let services = director.services.iter();
        let listen = services.clone().flat_map(VirtualService::addresses);
        let servers = services.flat_map(VirtualService::all_servers);
        let routers = director.virtual_routers.iter();
        let moved = routers.clone().flat_map(|router| &router.addresses);
        let directors = routers.flat_map(|router| router.peers.iter().chain(&router.source));
        Self {
            virtuals: listen.chain(moved.copied()).collect(),
            hosts: servers
                .map(|server| server.address.ip())
                .chain(directors.copied())
                .collect(),
        }
    }

    /// Whether an edit would make an address both.
    pub(super) fn forbid(&self, edit: &Edit) -> bool {
        match edit {
            Edit::AddService(ServiceKey::Single { address, .. }, _) => {
                self.hosts.contains(&address.ip())
            }
            Edit::AddServer(_, address, _) => self.virtuals.contains(address),
            Edit::AddService(ServiceKey::Group(_), _)
            | Edit::EditService(..)
            | Edit::DeleteService(_)
            | Edit::EditServer(..)
            | Edit::DeleteServer(..)
            | Edit::Drain(..)
            | Edit::Ready(..)
            | Edit::Clear
            | Edit::SetTimeouts(_) => false,
        }
    }

    /// Notes what an edit has added.
    pub(super) fn note(&mut self, edit: &Edit) {
        if let Edit::AddService(ServiceKey::Single { address, .. }, _) = edit {
            self.virtuals.insert(address.ip());
        }
        if let Edit::AddServer(_, address, _) = edit {
            self.hosts.insert(*address);
        }
    }

    /// Addresses that are both.
    pub(super) fn clashes(&self) -> impl Iterator<Item = IpAddr> {
        self.virtuals.intersection(&self.hosts).copied()
    }
}
