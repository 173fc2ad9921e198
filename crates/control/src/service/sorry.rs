//! The sorry server: it gets the new flows while no other server can.
//!
//! As in keepalived (`update_quorum_state` in keepalived/check/ipwrapper.c, with its default quorum of 1) that is
//! while the weights of the servers that are up come to 0. Those of weight 0 stay in the list here, for their
//! running flows go on.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use evenkeel_model::{RealServer, ServerEntry, ServiceEntry, Weight};

use super::{Place, Server, Service, UNCHECKED};
use crate::neighbours::Neighbours;
use crate::report::Report;
use crate::view::ServerHealth;

impl Service {
    /// Notes what an earlier run came to: whether servers had their time, and the sorry server was needed.
    pub(super) fn adopt_sorry(&mut self, config: Option<RealServer>, entry: &ServiceEntry) {
        let address = config.map(|config| config.address);
        self.sorry_listed = address.filter(|address| lists(entry, *address));
        self.began = !entry.servers.is_empty();
    }

    pub(super) fn configure_sorry(&mut self, config: Option<RealServer>, now: Instant) {
        let known = self.sorry.take();
        self.sorry = config.map(|config| {
            match known.filter(|known| known.config.address == config.address) {
                Some(known) => Server { config, ..known },
                None => Server::new(config, ServerHealth::Up, UNCHECKED, now),
            }
        });
    }

    /// Whether it forwards to that host, or may.
    pub(crate) fn knows(&self, address: IpAddr) -> bool {
        self.servers
            .values()
            .chain(&self.sorry)
            .any(|server| server.config.address.ip() == address)
    }

    /// Notes once that its servers had their time: a client should not be told that it is a bad moment while they
    /// only wait for their first check.
    pub(crate) fn begin(&mut self, neighbours: &Neighbours, now: Instant) {
        if self.began {
            return;
        }
        // Not by what was put: that may turn out to have failed, and one turn puts a service once.
        let mut places = self.servers.values().map(|s| self.place(s, neighbours));
        let waits = places.any(|place| place == Place::Waiting);
        if !waits || self.opens_by <= now || self.is_usable(neighbours) {
            self.began = true;
            self.dirty |= self.sorry.is_some();
        }
    }

    /// Whether a server of it takes new flows.
    fn is_usable(&self, neighbours: &Neighbours) -> bool {
        self.servers
            .values()
            .any(|server| match self.place(server, neighbours) {
                Place::Out | Place::Waiting => false,
                Place::Listed(weight) => weight != Weight::QUIESCED,
            })
    }

    /// When the sorry server may be needed though nothing else happens.
    pub(crate) fn sorry_due(&self) -> Option<Instant> {
        (self.sorry.is_some() && !self.began).then_some(self.opens_by)
    }

    /// The sorry server's entry, if it is needed and can be reached.
    pub(super) fn sorry_entry(&self, neighbours: &Neighbours) -> Option<ServerEntry> {
        let sorry = self.sorry.as_ref().filter(|_| self.began)?;
        if self.is_usable(neighbours) {
            return None;
        }
        Some(ServerEntry {
            address: sorry.config.address,
            weight: sorry.config.weight,
            hash_weight: sorry.config.weight.max(Weight::ONE),
            forwarding: sorry.forwarding(),
            hop: sorry.hop(neighbours)?,
            thresholds: sorry.config.thresholds,
        })
    }

    /// What to report of the sorry server, now that this is the list.
    pub(crate) fn note_sorry(&mut self, entry: &ServiceEntry) -> Option<Report> {
        let address = self.sorry.as_ref().map(|sorry| sorry.config.address);
        let listed = address.filter(|address| lists(entry, *address));
        let before = std::mem::replace(&mut self.sorry_listed, listed);
        let service = self.config.name.clone();
        match (before, listed) {
            (before, after) if before == after => None,
            (_, Some(server)) => Some(Report::SorryServerIn { service, server }),
            (before, None) => before.map(|server| Report::SorryServerOut { service, server }),
        }
    }
}

fn lists(entry: &ServiceEntry, address: SocketAddr) -> bool {
    entry.servers.iter().any(|s| s.address == address)
}
