//! Whose connections this director tells.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use evenkeel_model::{Director, Role, VirtualRouterId};
use evenkeel_sync::Routers;

/// How long after the loss of a role its connections are told still: packets come until everybody knows the successor.
const AFTERGLOW: Duration = Duration::from_secs(5);

/// The virtual addresses that this director acts for.
#[derive(Debug, Default)]
pub(super) struct Told {
    active: BTreeSet<VirtualRouterId>,
    /// Until when those that are not any more are told.
    ending: BTreeMap<VirtualRouterId, Instant>,
    addresses: BTreeSet<IpAddr>,
}

impl Told {
    /// The role in a virtual router is another one.
    pub(super) fn role(&mut self, router: VirtualRouterId, to: Role, now: Instant) {
        match to {
            Role::Active => {
                self.active.insert(router);
                self.ending.remove(&router);
            }
            Role::Backup | Role::Initialize => {
                if self.active.remove(&router) {
                    self.ending.insert(router, now + AFTERGLOW);
                }
            }
        }
    }

    /// The virtual routers that this director is Active for.
    pub(super) fn active(&self) -> Routers {
        self.active.iter().map(|router| router.get()).collect()
    }

    pub(super) fn is_active(&self, router: VirtualRouterId) -> bool {
        self.active.contains(&router)
    }

    /// Leaves those out whose time is over.
    pub(super) fn expire(&mut self, director: &Director, now: Instant) {
        if self.ending.values().any(|until| *until <= now) {
            self.reckon(director, now);
        }
    }

    /// Reckons the addresses anew, which roles, time and the configuration change.
    pub(super) fn reckon(&mut self, director: &Director, now: Instant) {
        self.ending.retain(|_, until| *until > now);
        let is_told = |id| self.active.contains(&id) || self.ending.contains_key(&id);
        let routers = director.virtual_routers.iter();
        let told = routers.filter(|router| is_told(router.id));
        let mut addresses: BTreeSet<IpAddr> = told
            .flat_map(|router| router.addresses.iter().copied())
            .collect();
        // Templates of groups have the group's number in the place of an address.
        for service in &director.services {
            if let Some(number) = service.key.group()
                && service
                    .addresses()
                    .any(|address| addresses.contains(&address))
            {
                let number = number.get();
                addresses.insert(Ipv4Addr::from_bits(number).into());
                addresses.insert(Ipv6Addr::from_bits(u128::from(number) << 96).into());
            }
        }
        self.addresses = addresses;
    }

    /// Whether connections of an address are told.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
}

#[cfg(test)]
mod tests;
