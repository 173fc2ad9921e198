//! Servers whose check fails here while another director acts for the service: they get no new flows, but their running
//! ones go on, for the Active, which placed them, may know better.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use evenkeel_model::{OnFailure, RealServer, ServerEntry, ServiceEntry, Weight};

use super::{Server, Service};
use crate::neighbours::Neighbours;
use crate::report::Report;
use crate::routers::Standing;
use crate::view::ServerHealth;

impl Service {
    /// Takes over what an earlier run held.
    pub(super) fn adopt_held(&mut self, config: &[RealServer], held: &[ServerEntry], now: Instant) {
        let is_held = |server: &&RealServer| held.iter().any(|h| h.address == server.address);
        for config in config.iter().filter(is_held) {
            let reason = "adopted from an earlier run";
            let mut server = Server::new(*config, ServerHealth::Down, reason, now);
            server.held = true;
            self.servers.insert(config.address, server);
        }
    }

    /// Notes who acts for its addresses.
    ///
    /// Who becomes Active goes on with what is held until its own check passes; whose check fails from then on leaves.
    pub(crate) fn stand(&mut self, standing: Standing) {
        // Without another standing or verdict, all is as it was.
        let before = std::mem::replace(&mut self.standing, standing);
        if before == standing && !self.dirty {
            return;
        }
        match standing {
            Standing::By if self.config.on_failure == OnFailure::Remove => {
                for server in self.servers.values_mut() {
                    if server.health == ServerHealth::Down && !server.held {
                        server.held = true;
                        self.dirty = true;
                    }
                }
            }
            Standing::By | Standing::Active => {}
            Standing::Alone => {
                for server in self.servers.values_mut().filter(|server| server.held) {
                    server.held = false;
                    self.dirty = true;
                }
            }
        }
    }

    /// The entries of those that it holds and can reach, in the order of their addresses.
    pub(super) fn held_entries(&self, neighbours: &Neighbours) -> Vec<ServerEntry> {
        let is_removed = self.config.on_failure == OnFailure::Remove;
        let servers = self.servers.iter();
        let held = servers.filter(|(_, server)| server.held && is_removed);
        let entries = held.filter_map(|(address, server)| {
            Some(ServerEntry {
                address: *address,
                weight: Weight::QUIESCED,
                hash_weight: Weight::QUIESCED,
                forwarding: server.forwarding(),
                hop: server.hop(neighbours)?,
                thresholds: server.config.thresholds,
            })
        });
        entries.collect()
    }

    /// What to report of those that the data plane is to hold from now on.
    pub(crate) fn newly_held(&self, entry: &ServiceEntry) -> impl Iterator<Item = Report> {
        let before = self.put.iter().flat_map(|put| &put.held);
        let before: BTreeSet<SocketAddr> = before.map(|server| server.address).collect();
        let held = entry.held.iter().map(|server| server.address);
        held.filter(move |address| !before.contains(address))
            .map(|server| Report::ServerHeld {
                service: self.config.name.clone(),
                server,
            })
    }
}
