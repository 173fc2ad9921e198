//! Gates of addresses under virtual routers, and the leases of their roles.
//!
//! Whoever holds a role writes here from a thread of its own, while the data plane's owner goes on:
//! a [`RouterGates`] needs nothing of the [`DataPlane`] but memory that both share.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use evenkeel_abi::{Gate, GateState as Gates, ROUTERS6, Router};
use evenkeel_model::{GateState, VirtualRouterId};

use crate::clock::Clock;
use crate::convert::gate_word;
use crate::error::PutError;
use crate::mapped::MappedArray;
use crate::plane::DataPlane;

/// The gates of a virtual router's addresses and the lease of its role.
///
/// It stays valid when the data plane is dropped; what it writes then reaches packets as long as the program
/// is pinned. Nothing here allocates or calls the kernel, but for the time.
pub struct RouterGates {
    gates: Arc<MappedArray<Gate>>,
    routers: Arc<MappedArray<Router>>,
    clock: Clock,
    /// Its index in `ROUTERS`.
    index: u16,
    /// Numbers of its gates.
    numbers: Vec<u32>,
}

/// How a predecessor left a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The lease lasts still.
    pub lease_alive: bool,
    /// Another director was heard since the lease was renewed last, or in the same tick (17 ms).
    pub foreign_since_renewal: bool,
    /// Another director was heard when the lease had run out, and neighbours are not answered since.
    pub yielded: bool,
    /// At least one of its gates is open.
    pub open: bool,
}

impl RouterGates {
    /// Sets all its gates, except those that are not the virtual router's any more.
    pub fn set(&self, state: GateState) {
        for gate in self.own_gates() {
            gate.state.store(gate_word(state), Release);
        }
    }

    /// Makes the lease last for so long from now on, a tick (17 ms) more at most, and takes back that
    /// it was yielded.
    pub fn renew(&self, for_: Duration) {
        if let Some(router) = self.router() {
            router.lease.store(self.clock.after(for_).0, Release);
            router.renewed.store(self.clock.now().0, Release);
            router.yielded.store(0, Release);
        }
    }

    /// Ends the lease now.
    pub fn end_lease(&self) {
        if let Some(router) = self.router() {
            router.lease.store(0, Release);
        }
    }

    /// How things stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let word = |of: fn(&Router) -> &evenkeel_abi::Shared| {
            self.router().map_or(0, |router| of(router).load(Acquire))
        };
        let heard = word(|router| &router.heard);
        Standing {
            lease_alive: word(|router| &router.lease) >= self.clock.now().0,
            foreign_since_renewal: heard != 0 && heard >= word(|router| &router.renewed),
            yielded: word(|router| &router.yielded) != 0,
            open: self
                .own_gates()
                .any(|gate| gate.state.load(Acquire) == Gates::OPEN),
        }
    }

    fn router(&self) -> Option<&Router> {
        self.routers.get(self.index.into())
    }

    fn own_gates(&self) -> impl Iterator<Item = &Gate> {
        let gates = self.numbers.iter().filter_map(|n| self.gates.get(*n));
        gates.filter(|gate| gate.virtual_router.load(Acquire) == u64::from(self.index))
    }
}

impl DataPlane {
    /// Takes part in exactly these virtual routers, each with addresses of one family, by which those of the same number
    /// are told apart: each of their addresses gets a gate, which stays
    /// whether a service has the address or not and is [`RouterGates`]' alone to set.
    ///
    /// A gate that there was keeps its state, a new one is closed. Gates of addresses that are not listed any
    /// more are closed, and given up where no service has them. Gates that were adopted stay as they are until
    /// the first call. Returns the handles in the order of the list; those of before serve no more.
    ///
    /// # Errors
    /// Nothing has changed if there is no room for the gates. Where a map can't be changed afterwards, all else is
    /// as asked for.
    pub fn reserve_gates(
        &mut self,
        routers: &[(VirtualRouterId, Vec<IpAddr>)],
    ) -> Result<Vec<RouterGates>, PutError> {
        let wanted = routers.iter().flat_map(|(id, addresses)| {
            let index = index_of(*id, addresses);
            addresses.iter().map(move |address| (*address, index))
        });
        let wanted: BTreeMap<IpAddr, u16> = wanted.collect();
        self.make_gates(wanted.keys())?;
        // Routers join before a gate names them, and leave when none does.
        let indices = routers
            .iter()
            .map(|(id, addresses)| index_of(*id, addresses));
        let indices: BTreeSet<u16> = indices.collect();
        for index in &indices {
            self.tables.routers.get((*index).into()).map(join);
        }
        for (address, index) in &wanted {
            if let Some(gate) = self.gate_at(address) {
                gate.virtual_router.store((*index).into(), Release);
            }
        }
        let before = mem::replace(&mut self.book.reserved, wanted);
        let mut outcome = Ok(());
        for address in before.into_keys() {
            if !self.book.reserved.contains_key(&address) {
                outcome = self.release(address).and(outcome);
            }
        }
        for (index, router) in (0u16..).zip(self.tables.routers.as_slice()) {
            if !indices.contains(&index) {
                leave(router);
            }
        }
        outcome?;
        Ok(routers
            .iter()
            .map(|(id, addresses)| self.handle(*id, addresses))
            .collect())
    }

    /// Makes gates where there are none, all or nothing.
    fn make_gates<'a>(
        &mut self,
        addresses: impl Iterator<Item = &'a IpAddr>,
    ) -> Result<(), PutError> {
        let mut made = Vec::new();
        for address in addresses {
            if self.book.gates.contains_key(address) {
                continue;
            }
            match self.gate_for(*address) {
                Ok(_number) => made.push(*address),
                Err(error) => {
                    for address in made {
                        self.give_up(address)?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Makes a gate ordinary again.
    fn release(&mut self, address: IpAddr) -> Result<(), PutError> {
        if let Some(gate) = self.gate_at(&address) {
            gate.state.store(gate_word(GateState::Closed), Release);
            gate.virtual_router.store(0, Release);
        }
        self.close_unused(address)
    }

    fn handle(&self, id: VirtualRouterId, addresses: &[IpAddr]) -> RouterGates {
        let numbers = addresses.iter().filter_map(|a| self.book.gates.get(a));
        RouterGates {
            gates: Arc::clone(&self.tables.gates),
            routers: Arc::clone(&self.tables.routers),
            clock: self.tables.clock,
            index: index_of(id, addresses),
            numbers: numbers.copied().collect(),
        }
    }
}

/// The index in `ROUTERS` of a virtual router with these addresses.
fn index_of(id: VirtualRouterId, addresses: &[IpAddr]) -> u16 {
    let is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    u16::from(id.get()) + if is_v6 { OF_IPV6 } else { 0 }
}

/// The virtual router's id of an index.
pub(crate) fn router_id(index: u16) -> u8 {
    let [_family, id] = index.to_be_bytes();
    id
}

#[expect(clippy::cast_possible_truncation, reason = "256")]
const OF_IPV6: u16 = ROUTERS6 as u16;

/// Lets the program listen for the virtual router; one that it listens for already is left as it is.
fn join(router: &Router) {
    if router.used.load(Acquire) != 1 {
        forget(router);
        router.used.store(1, Release);
    }
}

fn leave(router: &Router) {
    router.used.store(0, Release);
    forget(router);
}

fn forget(router: &Router) {
    for word in [
        &router.lease,
        &router.heard,
        &router.yielded,
        &router.renewed,
    ] {
        word.store(0, Relaxed);
    }
}
