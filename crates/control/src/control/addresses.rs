//! Stand-alone virtual addresses: their gates, and when they are on the interface.
//!
//! Addresses under a virtual router are the VRRP thread's, from the order that names them until the order
//! that no longer does is executed; nothing here touches them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use evenkeel_model::{Director, GateState, ServiceEntry, ServiceKey, VirtualService};

use super::Control;
use crate::command::Command;
use crate::report::Report;

impl Control {
    /// Removes the services that are not in the new configuration, adopted ones too, and the addresses
    /// that none of its services has any more.
    pub(super) fn withdraw(
        &mut self,
        new: &Director,
        adopted: &BTreeMap<ServiceKey, ServiceEntry>,
    ) {
        let keys: BTreeSet<ServiceKey> = new.services.iter().map(|s| s.key).collect();
        let kept = new.services.iter().flat_map(VirtualService::addresses);
        let kept: BTreeSet<IpAddr> = kept.collect();
        let leftover = adopted.keys().filter(|key| !keys.contains(key));
        let gone = self.services.keys().filter(|key| !keys.contains(key));
        let gone: BTreeSet<ServiceKey> = gone.chain(leftover.clone()).copied().collect();
        for key in leftover {
            let report = Report::LeftoverRemoved(*key);
            self.outputs.push_back(Command::Report(report));
        }
        let running = self.services.values();
        let running = running.flat_map(|service| service.config.addresses());
        let adopted = adopted.values().flat_map(ServiceEntry::addresses);
        let addresses: BTreeSet<IpAddr> = running.chain(adopted).collect();
        for address in addresses.difference(&kept).copied() {
            if self.routers.hold(address) {
                continue;
            }
            self.give_up(address);
        }
        for key in gone {
            self.services.remove(&key);
            self.outputs.push_back(Command::RemoveService(key));
        }
    }

    fn give_up(&mut self, address: IpAddr) {
        self.addresses.remove(&address);
        self.outputs.push_back(Command::RemoveAddress(address));
        self.outputs.push_back(Command::SetGate {
            address,
            state: GateState::Closed,
        });
    }

    /// Gives up addresses that lost their last service while it was not known whose they were.
    pub(super) fn give_up_unused(&mut self) {
        let used = self.services.values();
        let used = used.flat_map(|service| service.config.addresses());
        let used: BTreeSet<IpAddr> = used.collect();
        let unused: Vec<IpAddr> = self.addresses.difference(&used).copied().collect();
        for address in unused {
            self.give_up(address);
        }
    }

    /// Opens the gates of addresses that a service can serve at.
    pub(super) fn open_gates(&mut self, now: Instant) {
        for service in self.services.values() {
            for address in service.config.addresses() {
                if self.addresses.contains(&address)
                    || self.routers.hold(address)
                    || !service.may_open(&self.neighbours, now)
                {
                    continue;
                }
                self.addresses.insert(address);
                self.outputs.push_back(Command::SetGate {
                    address,
                    state: GateState::Open,
                });
                self.outputs.push_back(Command::AddAddress(address));
                self.outputs.push_back(Command::Announce(address));
            }
        }
    }

    /// When the next gate is opened at the latest.
    pub(super) fn gate_timeout(&self) -> Option<Instant> {
        let unopened = self.services.values().filter(|service| {
            let mut addresses = service.config.addresses();
            addresses.any(|a| !self.addresses.contains(&a) && !self.routers.hold(a))
        });
        unopened.map(|service| service.opens_by).min()
    }
}
