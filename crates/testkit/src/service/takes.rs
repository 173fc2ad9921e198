//! By what packets find a service: its address and port, or a group's addresses and ranges of ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{PortStep, ServiceKey, high, low, pair};
use evenkeel_model::Listen;
use evenkeel_wire::ipv4;

use super::{PORT_WORDS, TestService};
use crate::tables::{NativeTables, words};

impl NativeTables {
    /// Has packets find a service by exactly what it says; returns the gates of its addresses, each once.
    pub(super) fn take(&mut self, service: &TestService) -> Vec<u32> {
        let number = service.number;
        self.leave(number);
        let slot = &self.services[number as usize];
        if let Some(listen) = service.group.first() {
            slot.key
                .store(ServiceKey::group(number + 1).packed(), SeqCst);
            assert_eq!(listen.address.is_ipv6(), service.address.is_ipv6());
        } else {
            let gate = self.gate_for(service.address.ip(), number);
            let key = self.service_key(service.address, service.protocol);
            self.services[number as usize]
                .key
                .store(key.packed(), SeqCst);
            self.service_ids.insert(key, number);
            self.mark_fragments(service, gate, service.protocol);
            return vec![gate];
        }
        let mut gates = Vec::new();
        for listen in service.group {
            let gate = self.gate_for(listen.address, number);
            let protocol = listen.protocol.number();
            match listen.ports.single() {
                Some(port) => {
                    let address = SocketAddr::new(listen.address, port);
                    let key = self.service_key(address, protocol);
                    self.service_ids.insert(key, number);
                }
                None => self.ranges.push((*listen, number)),
            }
            self.mark_fragments(service, gate, protocol);
            if !gates.contains(&gate) {
                gates.push(gate);
            }
            self.lay_ports(listen.address);
        }
        gates
    }

    /// Has no packet find a service.
    pub(super) fn leave(&mut self, number: u32) {
        self.service_ids.retain(|_, of| *of != number);
        let ranges = self.ranges.extract_if(.., |(_, of)| *of == number);
        let ranged: BTreeSet<IpAddr> = ranges.map(|(listen, _)| listen.address).collect();
        for address in ranged {
            self.lay_ports(address);
        }
        for gate in &self.gates {
            let services = gate.fragments.load(SeqCst);
            let without = |of: u32| if of == number + 1 { 0 } else { of };
            let left = pair(without(low(services)), without(high(services)));
            gate.fragments.store(left, SeqCst);
        }
    }

    /// The number of an address's gate, which is made if need be: this one, if it is no other's.
    fn gate_for(&mut self, address: IpAddr, number: u32) -> u32 {
        if let Some(gate) = self.gate_number(address) {
            return gate;
        }
        let is_free = |gate: &u32| {
            !self
                .vips
                .values()
                .chain(self.vips6.values())
                .any(|g| g == gate)
        };
        let mut gates = std::iter::once(number).chain(32..);
        let gate = gates.find(is_free).expect("there are more gates");
        match address {
            IpAddr::V4(address) => {
                self.vips.insert(u32::from_ne_bytes(address.octets()), gate);
            }
            IpAddr::V6(address) => {
                let address = words(address);
                self.vips6.insert(address, gate);
                for (word, value) in self.gates[gate as usize].address6.iter().zip(address) {
                    word.store(value, SeqCst);
                }
            }
        }
        gate
    }

    fn mark_fragments(&self, service: &TestService, gate: u32, protocol: u8) {
        if !service.fragments_by_address {
            return;
        }
        let word = &self.gates[gate as usize].fragments;
        let (tcp, udp) = (low(word.load(SeqCst)), high(word.load(SeqCst)));
        match protocol {
            ipv4::TCP => word.store(pair(service.number + 1, udp), SeqCst),
            ipv4::UDP => word.store(pair(tcp, service.number + 1), SeqCst),
            _ => {}
        }
    }

    /// Writes the steps of an address's ports, behind the tables of the service of its gate's number.
    fn lay_ports(&self, address: IpAddr) {
        let gate = self.gate_number(address).expect("it has one");
        let of_address = self
            .ranges
            .iter()
            .filter(|(listen, _)| listen.address == address);
        let ranges: Vec<&(Listen, u32)> = of_address.collect();
        let place =
            |listen: &Listen, port| PortStep::new(listen.protocol.number(), port, None).from();
        let edges = ranges.iter().flat_map(|(listen, _)| {
            [
                place(listen, listen.ports.first()),
                place(listen, listen.ports.last()) + 1,
            ]
        });
        let edges: BTreeSet<u32> = edges.chain([0]).collect();
        let part = self.arena.len() / self.services.len();
        let end = u32::try_from(part).expect("a part is small") * (gate + 1);
        let start = end - PORT_WORDS;
        let len = if ranges.is_empty() { 0 } else { edges.len() };
        let len = u32::try_from(len).expect("a few");
        assert!(len <= PORT_WORDS, "the ranges fit");
        for (word, edge) in (start..start + len).zip(edges) {
            let [_, protocol, high, low] = edge.to_be_bytes();
            let port = u16::from_be_bytes([high, low]);
            let step = PortStep::new(protocol, port, owner(&ranges, protocol, port));
            self.arena[word as usize].store(step.0, SeqCst);
        }
        self.gates[gate as usize].ports.store(start, len * 2);
    }
}

/// The service that has a port: by a range, else as one of any port.
fn owner(ranges: &[&(Listen, u32)], protocol: u8, port: u16) -> Option<u32> {
    let holds = |(listen, _): &&&(Listen, u32)| {
        listen.protocol.number() == protocol && listen.ports.contains(port)
    };
    let mut held: Vec<_> = ranges.iter().filter(holds).collect();
    held.sort_by_key(|(listen, _)| listen.ports.is_any());
    held.first().map(|(_, number)| *number)
}
