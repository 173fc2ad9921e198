//! Stand-alone virtual addresses: their gates, and when they are on the interface.
//!
//! Addresses under a virtual router are the VRRP thread's, from the order that names them until the order
//! that no longer does is executed; nothing here touches them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use evenkeel_model::{Director, GateState, ServiceEntry, ServiceKey};

use super::Control;
use crate::command::Command;
use crate::report::Report;

impl Control {
    /// Removes the services that are not in the new configuration, adopted ones too, and the addresses
    /// that none of its services has.
    pub(super) fn withdraw(
        &mut self,
        new: &Director,
        adopted: &BTreeMap<ServiceKey, ServiceEntry>,
    ) {
        let keys: BTreeSet<ServiceKey> = new.services.iter().map(|s| s.key).collect();
        let kept: BTreeSet<IpAddr> = keys.iter().map(|key| key.address.ip()).collect();
        let leftover = adopted.keys().filter(|key| !keys.contains(key));
        let gone = self.services.keys().filter(|key| !keys.contains(key));
        let gone: BTreeSet<ServiceKey> = gone.chain(leftover.clone()).copied().collect();
        for key in leftover {
            let report = Report::LeftoverRemoved(*key);
            self.outputs.push_back(Command::Report(report));
        }
        let addresses: BTreeSet<IpAddr> = gone.iter().map(|key| key.address.ip()).collect();
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
        let used = self.services.keys().map(|key| key.address.ip());
        let used: BTreeSet<IpAddr> = used.collect();
        let unused: Vec<IpAddr> = self.addresses.difference(&used).copied().collect();
        for address in unused {
            self.give_up(address);
        }
    }

    /// Opens the gates of addresses that a service can serve at.
    pub(super) fn open_gates(&mut self, now: Instant) {
        for (key, service) in &self.services {
            let address = key.address.ip();
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

    /// When the next gate is opened at the latest.
    pub(super) fn gate_timeout(&self) -> Option<Instant> {
        let unopened = self.services.iter().filter(|(key, _)| {
            let address = key.address.ip();
            !self.addresses.contains(&address) && !self.routers.hold(address)
        });
        unopened.map(|(_, service)| service.opens_by).min()
    }
}
