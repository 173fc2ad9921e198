//! The VRRP thread as the core meets it: it owns the gates and addresses of its routers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use evenkeel_model::{GateState, VirtualRouter, VirtualRouterId};

/// A virtual router on the thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) config: VirtualRouter,
    pub(super) may_take_over: bool,
    pub(super) active: bool,
    /// Whether a configuration failed that may have begun it anew in control's eyes.
    pub(super) unclear: bool,
}

impl Seat {
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.config.addresses.iter().copied()
    }
}

/// The thread, and what it acts on.
#[derive(Debug, Default)]
pub(super) struct Thread {
    pub(super) seats: BTreeMap<VirtualRouterId, Seat>,
    pub(super) gates: BTreeMap<IpAddr, GateState>,
    /// Addresses of the director's interface.
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl Thread {
    pub(super) fn seat_of(&self, address: IpAddr) -> Option<&Seat> {
        let mut seats = self.seats.values();
        seats.find(|seat| seat.addresses().any(|own| own == address))
    }

    /// Takes part in exactly these; a router of another version or source begins anew.
    pub(super) fn configure(&mut self, routers: &[VirtualRouter]) {
        let before = std::mem::take(&mut self.seats);
        for config in routers {
            let known = before.get(&config.id).filter(|seat| {
                seat.config.version == config.version && seat.config.source == config.source
            });
            let seat = Seat {
                config: config.clone(),
                may_take_over: known.is_some_and(|seat| seat.may_take_over),
                active: known.is_some_and(|seat| seat.active),
                unclear: known.is_some_and(|seat| seat.unclear),
            };
            self.seats.insert(config.id, seat);
        }
        for seat in before.values() {
            for address in seat.addresses() {
                self.set(address, false);
            }
        }
        for seat in self.seats.clone().into_values() {
            self.stand(&seat);
        }
    }

    /// Changes the role of a router, if it may be Active.
    pub(super) fn switch(&mut self, id: VirtualRouterId) {
        if let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.may_take_over) {
            seat.active = !seat.active;
            let seat = seat.clone();
            self.stand(&seat);
        }
    }

    fn stand(&mut self, seat: &Seat) {
        for address in seat.addresses() {
            self.set(address, seat.active);
        }
    }

    fn set(&mut self, address: IpAddr, open: bool) {
        if open {
            self.gates.insert(address, GateState::Open);
            self.addresses.insert(address);
        } else {
            self.gates.insert(address, GateState::Closed);
            self.addresses.remove(&address);
        }
    }
}
