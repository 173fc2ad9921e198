//! Which service a packet is for, and which gate it meets.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{
    PortStep, Service, ServiceFlags, ServiceKey, ServiceSlot, Span, high, low, pair,
};

use crate::Tables;
use crate::branchless::{is_below, is_zero, select};

/// The service of a packet.
pub(crate) struct Found<'t> {
    pub(crate) at: ServiceAt,
    pub(crate) slot: &'t ServiceSlot,
    /// The half in force.
    pub(crate) service: &'t Service,
}

/// A service, and the gate of a packet's address: their numbers, in one word, so that the program has one to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceAt(pub u64);

impl ServiceAt {
    /// A service at an address with this gate.
    #[must_use]
    #[inline(always)]
    pub const fn new(service: u32, gate: u32) -> Self {
        Self(pair(service, gate))
    }

    /// Number of the service.
    #[must_use]
    #[inline(always)]
    pub const fn service(self) -> u32 {
        low(self.0)
    }

    /// Number of the gate.
    #[must_use]
    #[inline(always)]
    pub const fn gate(self) -> u32 {
        high(self.0)
    }
}

/// Finds a service: the hint saves the hash look-up where it is right, which its slot tells; to a group there is none.
#[inline(always)]
pub(crate) fn find<T: Tables>(tables: &T, key: ServiceKey) -> Option<Found<'_>> {
    let hint = low(tables.service_hint(key.hint())?.load(Relaxed)).wrapping_sub(1);
    if let Some(slot) = tables.service(hint)
        && slot.used.load(Acquire) != 0
        && slot.key.load(Relaxed) == key.packed()
    {
        let service = in_force(slot);
        return Some(Found {
            at: ServiceAt::new(hint, low(service.gate.load(Relaxed))),
            slot,
            service,
        });
    }
    let (number, gate) = tables.find_service(&key)?;
    let slot = tables.service(number)?;
    Some(Found {
        at: ServiceAt::new(number, gate),
        slot,
        service: in_force(slot),
    })
}

#[inline(always)]
fn in_force(slot: &ServiceSlot) -> &Service {
    &slot.halves[(slot.select.load(Acquire) & 1) as usize]
}

/// The numbers of a packet's service and of the gate of its address, without a hint: the service that has its port
/// by itself, else the one that has it in a range, else the one that has all others.
#[must_use]
#[inline(always)]
pub fn find_service<T: Tables + ?Sized>(tables: &T, key: &ServiceKey) -> Option<(u32, u32)> {
    if let Some(number) = tables.service_of(key) {
        let service = in_force(tables.service(number)?);
        let gate = if service.flags.load(Relaxed) & ServiceFlags::GROUP == 0 {
            low(service.gate.load(Relaxed))
        } else {
            gate_of(tables, key)?
        };
        return Some((number, gate));
    }
    let gate = gate_of(tables, key)?;
    let number = by_ports(tables, &tables.gate(gate)?.ports, key)?;
    Some((number, gate))
}

/// Number of the gate of the address that a key is of.
#[inline(always)]
fn gate_of<T: Tables + ?Sized>(tables: &T, key: &ServiceKey) -> Option<u32> {
    match key.gate6() {
        Some(gate) => Some(gate),
        None => tables.gate_of(key.address),
    }
}

/// The service whose ports hold a packet's: that of the last step which is not above it.
#[inline(always)]
fn by_ports<T: Tables + ?Sized>(tables: &T, span: &Span, key: &ServiceKey) -> Option<u32> {
    let (start, len) = span.load();
    let steps = u64::from(len / 2);
    let place = u64::from(PortStep::place_of(*key));
    let mut at = 0;
    for bit in (0..PortStep::MAX.ilog2()).rev() {
        let next = at | 1 << bit;
        let inside = is_below(next, steps);
        // One that is not there is not looked at; the first one is, which changes nothing.
        let probe = select(inside, next, 0);
        let step = PortStep(tables.arena(start.wrapping_add(low(probe)))?.load(Acquire));
        let is_above = is_below(place, u64::from(step.from()));
        at = select(inside & is_zero(is_above), next, at);
    }
    if steps == 0 {
        return None;
    }
    let step = tables.arena(start.wrapping_add(low(at)))?;
    PortStep(step.load(Acquire)).service()
}
