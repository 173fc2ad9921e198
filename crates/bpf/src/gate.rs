//! Gates of virtual addresses.

use std::net::IpAddr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use evenkeel_abi::{Gate, high, low, map, pair};
use evenkeel_model::{Fragments, GateState, Listen, Listens, Protocol, ServiceEntry, ServiceKey};

use crate::convert::{address_word, address6_words, gate_state, gate_word, store};
use crate::error::{GateError, PutError, map_failed};
use crate::plane::DataPlane;
use crate::router::router_id;
use crate::service::ignore_missing;
use crate::takes::addresses;

/// Marks in [`Gate::address_used`].
const V4: u32 = 1;
const V6: u32 = 2;

impl DataPlane {
    /// Sets the gate of a virtual address; closing one that there is not is fine.
    ///
    /// # Errors
    /// If no service has the address, or if it is under a virtual router.
    pub fn set_gate(&mut self, address: IpAddr, state: GateState) -> Result<(), GateError> {
        if let Some(&router) = self.book.reserved.get(&address) {
            let router = router_id(router);
            return Err(GateError::Reserved { address, router });
        }
        match self.gate_at(&address) {
            Some(gate) => gate.state.store(gate_word(state), Release),
            None if state == GateState::Closed => {}
            None => return Err(GateError::Unknown { address }),
        }
        Ok(())
    }

    /// The gate of an address, if it has one.
    pub(crate) fn gate_at(&self, address: &IpAddr) -> Option<&Gate> {
        self.tables.gates.get(*self.book.gates.get(address)?)
    }

    /// The number of an address's gate, which is made if need be.
    pub(crate) fn gate_for(&mut self, address: IpAddr) -> Result<u32, PutError> {
        if let Some(&number) = self.book.gates.get(&address) {
            return Ok(number);
        }
        let number = self.book.lend_gate()?;
        if let Some(gate) = self.tables.gates.get(number) {
            gate.state.store(gate_word(GateState::Closed), Relaxed);
            gate.virtual_router.store(0, Relaxed);
            gate.fragments.store(0, Relaxed);
            gate.ports.store(0, 0);
            let used = match address {
                IpAddr::V4(address) => pair(address_word(address), V4),
                IpAddr::V6(address) => {
                    store(&gate.address6, address6_words(address));
                    pair(0, V6)
                }
            };
            gate.address_used.store(used, Release);
        }
        let (map, inserted) = match address {
            IpAddr::V4(address) => {
                let vips = &mut self.tables.vips;
                (map::VIPS, vips.insert(address_word(address), number, 0))
            }
            IpAddr::V6(address) => {
                let vips = &mut self.tables.vips6;
                (map::VIPS6, vips.insert(address6_words(address), number, 0))
            }
        };
        if let Err(error) = inserted {
            self.book.gate_numbers.give_back(number, Instant::now());
            return Err(map_failed(map)(error));
        }
        self.book.gates.insert(address, number);
        Ok(number)
    }

    /// Makes the gates of all these addresses, or none.
    pub(crate) fn gates_for(&mut self, listens: &Listens) -> Result<(), PutError> {
        for address in addresses(listens) {
            if let Err(error) = self.gate_for(address) {
                self.close_all_unused(listens)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// The number of the gate of a service that is no group; 0 if there is none.
    pub(crate) fn single_gate(&self, key: &ServiceKey) -> u32 {
        match key {
            ServiceKey::Single { address, .. } => self.book.gate_number(&address.ip()),
            ServiceKey::Group(_) => 0,
        }
    }

    /// Names the service in its gates if it places fragments by addresses, and else takes its name out.
    pub(crate) fn mark_fragments(&self, number: u32, entry: &ServiceEntry) {
        for Listen {
            address, protocol, ..
        } in &entry.listens()
        {
            let Some(gate) = self.gate_at(address) else {
                continue;
            };
            match entry.options.fragments {
                Fragments::ByAddress => set_fragments(gate, *protocol, number + 1),
                Fragments::Follow if fragments_of(gate, *protocol) == number + 1 => {
                    set_fragments(gate, *protocol, 0);
                }
                Fragments::Follow => {}
            }
        }
    }

    /// Takes a service's name out of its address's gate.
    pub(crate) fn forget_fragments(&self, address: IpAddr, protocol: Protocol, number: u32) {
        if let Some(gate) = self.gate_at(&address)
            && fragments_of(gate, protocol) == number + 1
        {
            set_fragments(gate, protocol, 0);
        }
    }

    /// Gives up an address's gate if neither a service nor a virtual router has it.
    pub(crate) fn close_unused(&mut self, address: IpAddr) -> Result<(), PutError> {
        let mut records = self.book.services.values();
        let is_used = self.book.reserved.contains_key(&address)
            || records.any(|record| {
                let listed = record.listed.as_ref().into_iter();
                let mut listed = listed.flat_map(|listed| listed.entry.addresses());
                let mut taken = record.takes.iter().map(|listen| listen.address);
                listed.any(|listed| listed == address) || taken.any(|taken| taken == address)
            });
        if is_used {
            Ok(())
        } else {
            self.give_up(address)
        }
    }

    /// Gives up the gates of those of these addresses that neither a service nor a virtual router has.
    pub(crate) fn close_all_unused(&mut self, listens: &Listens) -> Result<(), PutError> {
        addresses(listens)
            .into_iter()
            .try_for_each(|address| self.close_unused(address))
    }

    /// Gives up an address's gate.
    pub(crate) fn give_up(&mut self, address: IpAddr) -> Result<(), PutError> {
        let Some(number) = self.book.gates.remove(&address) else {
            return Ok(());
        };
        let (map, removed) = match address {
            IpAddr::V4(address) => {
                let vips = &mut self.tables.vips;
                (map::VIPS, vips.remove(&address_word(address)))
            }
            IpAddr::V6(address) => {
                let vips = &mut self.tables.vips6;
                (map::VIPS6, vips.remove(&address6_words(address)))
            }
        };
        if let Some(gate) = self.tables.gates.get(number) {
            gate.state.store(gate_word(GateState::Closed), Relaxed);
            gate.virtual_router.store(0, Relaxed);
            gate.address_used.store(0, Release);
        }
        let now = Instant::now();
        if let Some(ports) = self.book.ports.remove(&address) {
            self.book.arena.retire(ports, now);
        }
        self.book.gate_numbers.give_back(number, now);
        ignore_missing(map, removed)
    }

    /// Whether packets to any virtual address may be forwarded.
    #[must_use]
    pub fn serves(&self) -> bool {
        let mut gates = self.book.gates.keys();
        gates.any(|address| self.gate_of(*address) != GateState::Closed)
    }

    /// How the gates of a service act: as the most open one.
    pub(crate) fn gate_of_service(&self, entry: &ServiceEntry) -> GateState {
        let mut best = GateState::Closed;
        for address in entry.addresses() {
            match self.gate_of(address) {
                GateState::Open => return GateState::Open,
                GateState::Draining => best = GateState::Draining,
                GateState::Closed => {}
            }
        }
        best
    }

    /// How an address's gate acts: an open one whose role was yielded is as a draining one.
    pub(crate) fn gate_of(&self, address: IpAddr) -> GateState {
        let Some(gate) = self.gate_at(&address) else {
            return GateState::Closed;
        };
        match gate_state(gate.state.load(Acquire)) {
            GateState::Open if self.is_yielded(gate) => GateState::Draining,
            state @ (GateState::Open | GateState::Draining | GateState::Closed) => state,
        }
    }

    fn is_yielded(&self, gate: &Gate) -> bool {
        let router = low(gate.virtual_router.load(Acquire));
        let router = self.tables.routers.get(router).filter(|_| router != 0);
        router.is_some_and(|router| router.yielded.load(Acquire) != 0)
    }
}

/// The service that places a protocol's fragments by addresses: its number plus one, or 0.
fn fragments_of(gate: &Gate, protocol: Protocol) -> u32 {
    let word = gate.fragments.load(Acquire);
    match protocol {
        Protocol::Tcp => low(word),
        Protocol::Udp => high(word),
        Protocol::Sctp => 0,
    }
}

/// Sets that; only one thread writes it.
pub(crate) fn set_fragments(gate: &Gate, protocol: Protocol, service: u32) {
    let word = gate.fragments.load(Acquire);
    let word = match protocol {
        Protocol::Tcp => pair(service, high(word)),
        Protocol::Udp => pair(low(word), service),
        // Those of SCTP follow their first one alone.
        Protocol::Sctp => word,
    };
    gate.fragments.store(word, Release);
}
