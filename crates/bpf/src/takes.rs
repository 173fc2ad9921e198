//! By what packets find a service: keys of single ports in `SERVICE_IDS`, and port ranges in the list of steps of an
//! address's gate.
//!
//! A new list goes into words that no program reads, then the gate names it; single words change in place only where
//! a service goes and there is no room for a new list.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use aya::maps::MapError;
use evenkeel_abi::{Gate, PortStep, ServiceKey as Key, map};
use evenkeel_model::{Listen, Listens, Ports, Protocol, ServiceKey};

use crate::arena::Extent;
use crate::book::{Book, Table};
use crate::convert::{address, address6, packet_key, port, protocol};
use crate::error::{PutError, map_failed};
use crate::plane::DataPlane;
use crate::service::ignore_missing;
use crate::tables::Tables;

/// Ports of a protocol that a service has by a range, with its number.
type Range = (Protocol, Ports, u32);

impl DataPlane {
    /// Has packets find a service by exactly this; what it does not take any more may be another's by now.
    pub(crate) fn take(&mut self, key: &ServiceKey, wanted: &Listens) -> Result<(), PutError> {
        let Some(record) = self.book.services.get_mut(key) else {
            return Ok(());
        };
        if record.takes == *wanted {
            return Ok(());
        }
        let number = record.number;
        let had = record.takes.clone();
        // Until all is done both count, so that a change that fails is taken back whole.
        record.takes = Listens::new(had.iter().chain(wanted).copied());
        for words in self.keys(wanted) {
            let inserted = self.tables.service_ids.insert(words, number, 0);
            inserted.map_err(map_failed(map::SERVICE_IDS))?;
        }
        let ranged: BTreeSet<IpAddr> = ranged(&had).chain(ranged(wanted)).collect();
        for address in ranged {
            self.lay_ports(address, number, wanted)?;
        }
        if let Some(record) = self.book.services.get_mut(key) {
            record.takes = wanted.clone();
        }
        let kept: BTreeSet<Key> = self.keys(wanted).into_iter().collect();
        for words in self.keys(&had) {
            if !kept.contains(&words) {
                self.let_go(words, number)?;
            }
        }
        self.forget_addresses(number, &had, wanted)
    }

    /// Has no packet find a service any more.
    pub(crate) fn leave(&mut self, key: &ServiceKey) -> Result<(), PutError> {
        let Some(record) = self.book.services.get_mut(key) else {
            return Ok(());
        };
        let number = record.number;
        let had = record.takes.clone();
        for words in self.keys(&had) {
            self.let_go(words, number)?;
        }
        for address in ranged(&had).collect::<BTreeSet<_>>() {
            if self
                .lay_ports(address, number, &Listens::default())
                .is_err()
            {
                self.strip_ports(address, number);
            }
        }
        if let Some(record) = self.book.services.get_mut(key) {
            record.takes = Listens::default();
        }
        self.forget_addresses(number, &had, &Listens::default())
    }

    /// Takes a key out, unless another service has it.
    fn let_go(&mut self, words: Key, number: u32) -> Result<(), PutError> {
        if self.tables.service_ids.get(&words, 0).ok() != Some(number) {
            return Ok(());
        }
        let removed = self.tables.service_ids.remove(&words);
        ignore_missing(map::SERVICE_IDS, removed)
    }

    /// Forgets a service in the gates of addresses that it has no more.
    fn forget_addresses(
        &mut self,
        number: u32,
        had: &Listens,
        has: &Listens,
    ) -> Result<(), PutError> {
        for protocol in Protocol::ALL {
            let kept = has.addresses_of(protocol);
            for address in had.addresses_of(protocol).difference(&kept) {
                self.forget_fragments(*address, protocol, number);
            }
        }
        for address in addresses(had) {
            self.close_unused(address)?;
        }
        Ok(())
    }

    /// Gives an address a new list of steps, in which a service has these of its ports.
    fn lay_ports(
        &mut self,
        address: IpAddr,
        number: u32,
        wanted: &Listens,
    ) -> Result<(), PutError> {
        let mut ranges = self.ranges_of_others(address, number);
        ranges
            .extend(ranges_at(wanted, address).map(|(protocol, ports)| (protocol, ports, number)));
        let steps = steps(&ranges);
        let len = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        if len > PortStep::MAX {
            return Err(PutError::Full {
                what: "port ranges of one address",
                max: PortStep::MAX / 2,
            });
        }
        let Some(&gate) = self.book.gates.get(&address) else {
            return Ok(());
        };
        let extent = self.book.lend_words(len)?;
        for (word, step) in (extent.start..).zip(&steps) {
            if let Some(word) = self.tables.arena.get(word) {
                word.store(step.0, Relaxed);
            }
        }
        let old = self.book.ports.remove(&address);
        if let Some(gate) = self.tables.gates.get(gate) {
            gate.ports.store(extent.start, extent.len * 2);
        }
        if len > 0 {
            self.book.ports.insert(address, extent);
        }
        if let Some(old) = old {
            self.book.arena.retire(old, Instant::now());
        }
        Ok(())
    }

    /// Takes a service out of an address's list of steps where it stands, which needs no room.
    fn strip_ports(&self, address: IpAddr, number: u32) {
        let Some(extent) = self.book.ports.get(&address) else {
            return;
        };
        let ranges = self.ranges_of_others(address, number);
        for word in extent.start..extent.start + extent.len {
            let Some(word) = self.tables.arena.get(word) else {
                continue;
            };
            let from = PortStep(word.load(Acquire)).from();
            let (protocol, port) = parts(from);
            let step = PortStep::new(protocol, port, owner(&ranges, from));
            word.store(step.0, Release);
        }
    }

    /// The keys of what is taken by single ports; the addresses have gates.
    fn keys(&self, listens: &Listens) -> Vec<Key> {
        let keys = listens.iter().filter_map(|listen| {
            let port = listen.ports.single()?;
            let gate = self.book.gate_number(&listen.address);
            Some(packet_key(listen.protocol, listen.address, port, gate))
        });
        keys.collect()
    }

    fn ranges_of_others(&self, address: IpAddr, number: u32) -> Vec<Range> {
        let records = self.book.services.values();
        let others = records.filter(|record| record.number != number);
        let ranges = others.flat_map(|record| {
            let ranges = ranges_at(&record.takes, address);
            ranges.map(|(protocol, ports)| (protocol, ports, record.number))
        });
        ranges.collect()
    }
}

/// Addresses of which a range of ports is taken.
fn ranged(listens: &Listens) -> impl Iterator<Item = IpAddr> {
    let ranges = listens
        .iter()
        .filter(|listen| listen.ports.single().is_none());
    ranges.map(|listen| listen.address)
}

fn ranges_at(listens: &Listens, address: IpAddr) -> impl Iterator<Item = (Protocol, Ports)> {
    let ranges = listens
        .iter()
        .filter(move |listen| listen.address == address && listen.ports.single().is_none());
    ranges.map(|listen| (listen.protocol, listen.ports))
}

/// The addresses, each once.
pub(crate) fn addresses(listens: &Listens) -> BTreeSet<IpAddr> {
    listens.iter().map(|listen| listen.address).collect()
}

/// A protocol number and a port of a place in a list of steps.
const fn parts(from: u32) -> (u8, u16) {
    let [port_high, port_low, protocol, _] = [
        (from >> 8 & 0xff) as u8,
        (from & 0xff) as u8,
        (from >> 16 & 0xff) as u8,
        0,
    ];
    (protocol, u16::from_be_bytes([port_high, port_low]))
}

/// Where a protocol's port stands in a list of steps.
const fn place(protocol: Protocol, port: u16) -> u32 {
    PortStep::new(protocol.number(), port, None).from()
}

/// The service of a place: of two that have it, the last in the list, and any port only where there is no other.
fn owner(ranges: &[Range], at: u32) -> Option<u32> {
    let holds = |(protocol, ports, _): &&Range| {
        let (number, port) = parts(at);
        protocol.number() == number && ports.contains(port)
    };
    let some = ranges.iter().rev().filter(|(_, ports, _)| !ports.is_any());
    let any = ranges.iter().rev().filter(|(_, ports, _)| ports.is_any());
    some.chain(any).find(holds).map(|(_, _, number)| *number)
}

/// The list of steps of these ranges; empty if there are none.
fn steps(ranges: &[Range]) -> Vec<PortStep> {
    let edges = ranges.iter().flat_map(|(protocol, ports, _)| {
        let first = place(*protocol, ports.first());
        [first, place(*protocol, ports.last()) + 1]
    });
    let edges: BTreeSet<u32> = edges.chain([0]).collect();
    let mut steps: Vec<PortStep> = Vec::new();
    for edge in edges {
        let (protocol, port) = parts(edge);
        let step = PortStep::new(protocol, port, owner(ranges, edge));
        if steps
            .last()
            .is_none_or(|last| last.service() != step.service())
        {
            steps.push(step);
        }
    }
    if ranges.is_empty() { Vec::new() } else { steps }
}

/// Ranges of ports by the address that they are of.
pub(crate) type Adopted = Vec<(IpAddr, Vec<Range>)>;

/// All virtual addresses and the numbers of their gates; an error says what can't be read.
pub(crate) fn virtual_addresses(tables: &Tables) -> Result<Vec<(IpAddr, u32)>, String> {
    let unread = |map: &str, error: MapError| format!("`{map}` can't be read: {error}");
    let v4: Result<Vec<_>, _> = tables.vips.iter().collect();
    let v4 = v4.map_err(|error| unread(map::VIPS, error))?.into_iter();
    let v6: Result<Vec<_>, _> = tables.vips6.iter().collect();
    let v6 = v6.map_err(|error| unread(map::VIPS6, error))?.into_iter();
    let v4 = v4.map(|(word, number)| (IpAddr::V4(address(word)), number));
    let v6 = v6.map(|(words, number)| (IpAddr::V6(address6(words)), number));
    Ok(v4.chain(v6).collect())
}

/// Takes over the lists of steps of all addresses; an error says what contradicts itself.
pub(crate) fn adopt_ports(tables: &Tables, book: &mut Book) -> Result<Adopted, String> {
    let mut adopted = Vec::new();
    for (address, number) in virtual_addresses(tables)? {
        let Some(gate) = tables.gates.get(number) else {
            continue;
        };
        let (ranges, extent) = read_ports(tables, gate)
            .ok_or_else(|| format!("the port ranges of `{address}` are not in order"))?;
        if !book.arena.occupy(extent) {
            return Err(format!("the port ranges of `{address}` are also another's"));
        }
        if extent.len > 0 {
            book.ports.insert(address, extent);
            adopted.push((address, ranges));
        }
    }
    Ok(adopted)
}

/// Takes services out of the lists of steps that are not `live`: a removal was cut short.
pub(crate) fn strip_dead(tables: &Tables, book: &Book, live: &HashSet<u32>) {
    for extent in book.ports.values() {
        for word in extent.start..extent.start + extent.len {
            let Some(word) = tables.arena.get(word) else {
                continue;
            };
            let step = PortStep(word.load(Acquire));
            if step.service().is_some_and(|number| !live.contains(&number)) {
                let (protocol, port) = parts(step.from());
                word.store(PortStep::new(protocol, port, None).0, Release);
            }
        }
    }
}

/// The ranges that a gate's list of steps says, and the words that it takes; `None` if it is in disorder.
fn read_ports(tables: &Tables, gate: &Gate) -> Option<(Vec<Range>, Extent)> {
    let extent = Table::of(&gate.ports).extent();
    if extent.len == 0 {
        return Some((Vec::new(), Extent::default()));
    }
    let words = extent.start..extent.start.checked_add(extent.len)?;
    let steps = words.map(|word| Some(PortStep(tables.arena.get(word)?.load(Acquire))));
    let steps = steps.collect::<Option<Vec<PortStep>>>()?;
    let ordered = steps.is_sorted_by(|a, b| a.from() < b.from());
    if !ordered || steps.first()?.from() != 0 || extent.len > PortStep::MAX {
        return None;
    }
    Some((ranges(&steps)?, extent))
}

/// The ranges that a list of steps says.
fn ranges(steps: &[PortStep]) -> Option<Vec<Range>> {
    let mut ranges: Vec<Range> = Vec::new();
    let ends = steps.iter().skip(1).map(|next| next.from() - 1);
    for (step, end) in steps.iter().zip(ends.chain([u32::MAX >> 8])) {
        let Some(number) = step.service() else {
            continue;
        };
        let (of, first) = parts(step.from());
        let protocol = protocol(of)?;
        let (_, last) = parts(end.min(place(protocol, u16::MAX)));
        if first == 0 {
            ranges.push((protocol, Ports::ANY, number));
            continue;
        }
        // What is left of any port between others' ranges is known from port 0.
        let any = ranges.contains(&(protocol, Ports::ANY, number));
        if !any {
            ranges.push((protocol, Ports::range(first, last)?, number));
        }
    }
    Some(ranges)
}

/// What a service takes, from what the maps say.
pub(crate) fn listens(
    number: u32,
    ids: &HashMap<Key, u32>,
    ports: &Adopted,
    gates: &HashMap<u32, IpAddr>,
) -> Option<Listens> {
    let mut listens = Vec::new();
    for (words, _) in ids.iter().filter(|(_, of)| **of == number) {
        let address = match words.gate6() {
            Some(gate) => *gates.get(&gate)?,
            None => IpAddr::V4(address(words.address)),
        };
        listens.push(Listen {
            address,
            protocol: protocol(words.protocol())?,
            ports: Ports::one(port(words.port())),
        });
    }
    for (address, ranges) in ports {
        let own = ranges.iter().filter(|(_, _, of)| *of == number);
        listens.extend(own.map(|(protocol, ports, _)| Listen {
            address: *address,
            protocol: *protocol,
            ports: *ports,
        }));
    }
    Some(Listens::new(listens))
}

#[cfg(test)]
mod tests;
