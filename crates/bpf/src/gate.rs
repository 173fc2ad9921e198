//! Gates of virtual addresses.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use evenkeel_abi::{Gate, low, map, pair};
use evenkeel_model::GateState;

use crate::convert::{address_word, gate_state, gate_word, ipv4_of};
use crate::error::{GateError, PutError, map_failed};
use crate::plane::DataPlane;
use crate::service::ignore_missing;

impl DataPlane {
    /// Sets the gate of a virtual address; closing one that there is not is fine.
    ///
    /// # Errors
    /// If no service has the address, or if it is under a virtual router.
    pub fn set_gate(&mut self, address: IpAddr, state: GateState) -> Result<(), GateError> {
        let ipv4 = ipv4_of(address);
        if let Some(&router) = ipv4.and_then(|ipv4| self.book.reserved.get(&ipv4)) {
            return Err(GateError::Reserved { address, router });
        }
        let number = ipv4.and_then(|ipv4| self.book.gates.get(&ipv4));
        match number.and_then(|number| self.tables.gates.get(*number)) {
            Some(gate) => gate.state.store(gate_word(state), Release),
            None if state == GateState::Closed => {}
            None => return Err(GateError::Unknown { address }),
        }
        Ok(())
    }

    /// The number of an address's gate, which is made if need be.
    pub(crate) fn gate_for(&mut self, address: Ipv4Addr) -> Result<u32, PutError> {
        if let Some(&number) = self.book.gates.get(&address) {
            return Ok(number);
        }
        let number = self.book.lend_gate()?;
        let word = address_word(address);
        if let Some(gate) = self.tables.gates.get(number) {
            gate.state.store(gate_word(GateState::Closed), Relaxed);
            gate.virtual_router.store(0, Relaxed);
            gate.address_used.store(pair(word, 1), Release);
        }
        if let Err(error) = self.tables.vips.insert(word, number, 0) {
            self.book.gate_numbers.give_back(number, Instant::now());
            return Err(map_failed(map::VIPS)(error));
        }
        self.book.gates.insert(address, number);
        Ok(number)
    }

    /// Gives up an address's gate if neither a service nor a virtual router has it.
    pub(crate) fn close_unused(&mut self, address: Ipv4Addr) -> Result<(), PutError> {
        let mut records = self.book.services.iter();
        let is_used = self.book.reserved.contains_key(&address)
            || records.any(|(key, r)| r.listed.is_some() && key.address.ip() == address);
        if is_used {
            Ok(())
        } else {
            self.give_up(address)
        }
    }

    /// Gives up an address's gate.
    pub(crate) fn give_up(&mut self, address: Ipv4Addr) -> Result<(), PutError> {
        let Some(number) = self.book.gates.remove(&address) else {
            return Ok(());
        };
        let removed = self.tables.vips.remove(&address_word(address));
        if let Some(gate) = self.tables.gates.get(number) {
            gate.state.store(gate_word(GateState::Closed), Relaxed);
            gate.virtual_router.store(0, Relaxed);
            gate.address_used.store(0, Release);
        }
        self.book.gate_numbers.give_back(number, Instant::now());
        ignore_missing(map::VIPS, removed)
    }

    /// How an address's gate acts: an open one whose role was yielded is as a draining one.
    pub(crate) fn gate_of(&self, address: IpAddr) -> GateState {
        let number = ipv4_of(address).and_then(|ip| self.book.gates.get(&ip));
        let Some(gate) = number.and_then(|number| self.tables.gates.get(*number)) else {
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
