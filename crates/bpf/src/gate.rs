//! Gates of virtual addresses.

use std::net::IpAddr;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Instant;

use evenkeel_abi::{map, pair};
use evenkeel_model::{GateState, ServiceKey};

use crate::convert::{address_word, gate_word, ipv4, ipv4_of};
use crate::error::{GateError, PutError, map_failed};
use crate::plane::DataPlane;
use crate::service::ignore_missing;

impl DataPlane {
    /// Sets the gate of a virtual address; closing one that there is not is fine.
    ///
    /// # Errors
    /// If no service has the address.
    pub fn set_gate(&mut self, address: IpAddr, state: GateState) -> Result<(), GateError> {
        let number = ipv4_of(address).and_then(|address| self.book.gates.get(&address));
        match number.and_then(|number| self.tables.gates.get(*number)) {
            Some(gate) => gate.state.store(gate_word(state), Release),
            None if state == GateState::Closed => {}
            None => return Err(GateError::Unknown { address }),
        }
        Ok(())
    }

    /// The number of the gate of a service's address, which is made if need be.
    pub(crate) fn gate_for(&mut self, key: &ServiceKey) -> Result<u32, PutError> {
        let address = *ipv4(key.address)?.ip();
        if let Some(&number) = self.book.gates.get(&address) {
            return Ok(number);
        }
        let number = self.book.lend_gate()?;
        let word = address_word(address);
        if let Some(gate) = self.tables.gates.get(number) {
            gate.state.store(gate_word(GateState::Closed), Relaxed);
            gate.virtual_router.store(0, Relaxed);
            gate.lease.store(0, Relaxed);
            gate.address_used.store(pair(word, 1), Release);
        }
        if let Err(error) = self.tables.vips.insert(word, number, 0) {
            self.book.gate_numbers.give_back(number, Instant::now());
            return Err(map_failed(map::VIPS)(error));
        }
        self.book.gates.insert(address, number);
        Ok(number)
    }

    /// Gives up the gate of a service's address if no other service has it.
    pub(crate) fn close_unused(&mut self, key: &ServiceKey) -> Result<(), PutError> {
        let address = *ipv4(key.address)?.ip();
        let mut records = self.book.services.iter();
        if records.any(|(other, r)| r.listed.is_some() && other.address.ip() == address) {
            return Ok(());
        }
        let Some(number) = self.book.gates.remove(&address) else {
            return Ok(());
        };
        let removed = self.tables.vips.remove(&address_word(address));
        if let Some(gate) = self.tables.gates.get(number) {
            gate.state.store(gate_word(GateState::Closed), Relaxed);
            gate.address_used.store(0, Release);
        }
        self.book.gate_numbers.give_back(number, Instant::now());
        ignore_missing(map::VIPS, removed)
    }
}
