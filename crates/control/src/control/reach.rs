//! How real servers are reached: by their neighbour entries, or because they are this director.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_model::{Director, Hop, VirtualService};

use super::Control;
use crate::command::Command;
use crate::report::Report;

/// How long a new neighbour may be unknown before people are told; the kernel sends three requests,
/// one second apart.
const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(4);

impl Control {
    /// Watches exactly these servers' neighbour entries, but for those that are this director; returns whom
    /// to stop watching once the data plane does without.
    pub(super) fn watch(&mut self, servers: &BTreeSet<IpAddr>, now: Instant) -> Vec<IpAddr> {
        let foreign = servers.difference(&self.own_addresses).copied();
        let (watched, unwatched) = self.neighbours.watch(&foreign.collect());
        if !watched.is_empty() {
            self.neighbours_due = Some(now + NEIGHBOUR_PATIENCE);
        }
        self.outputs
            .extend(watched.into_iter().map(Command::WatchNeighbour));
        unwatched
    }

    pub(super) fn unwatch(&mut self, addresses: Vec<IpAddr>) {
        self.outputs
            .extend(addresses.into_iter().map(Command::UnwatchNeighbour));
    }

    /// Takes the director's own addresses.
    pub(super) fn own(&mut self, addresses: BTreeSet<IpAddr>, now: Instant) {
        self.own_addresses = addresses;
        let unwatched = self.watch(&servers(&self.director), now);
        for service in self.services.values_mut() {
            let reports = service.locate(&self.own_addresses);
            self.outputs.extend(reports.map(Command::Report));
        }
        self.publish(now);
        self.unwatch(unwatched);
    }

    pub(super) fn learn(&mut self, address: IpAddr, hop: Hop) {
        let Some(before) = self.neighbours.learn(address, hop) else {
            return;
        };
        self.report(match before {
            None => Report::NeighbourFound { address, hop },
            Some(from) => Report::NeighbourChanged {
                address,
                from,
                to: hop,
            },
        });
        for service in self.services.values_mut() {
            service.dirty |= service.knows(address);
        }
    }

    /// Tells of neighbours that have been unknown for long.
    pub(super) fn complain_of_neighbours(&mut self, now: Instant) {
        if self.neighbours_due.is_some_and(|due| due <= now) {
            self.neighbours_due = None;
            let unknown = self.neighbours.unknown();
            let reports = unknown.map(|address| Report::NeighbourUnknown { address });
            self.outputs.extend(reports.map(Command::Report));
        }
    }
}

/// The addresses of all real servers, sorry servers too.
pub(super) fn servers(director: &Director) -> BTreeSet<IpAddr> {
    let services = director.services.iter();
    let servers = services.flat_map(VirtualService::all_servers);
    servers.map(|server| server.address.ip()).collect()
}
