//! What the gates of virtual addresses say, and ARP requests for these.

use core::sync::atomic::Ordering::Acquire;

use evenkeel_abi::{DropReason, Gate, GateState, low};
use evenkeel_wire::{arp, eth};

use crate::{Frame, Tables, Verdict};

/// Whether packets of an address's services pass to the stack: also if it is no virtual address.
#[inline(always)]
pub(crate) fn is_closed<T: Tables>(tables: &T, address: u32) -> bool {
    of(tables, address).is_none_or(|gate| gate.state.load(Acquire) == GateState::CLOSED)
}

#[inline(always)]
fn of<T: Tables>(tables: &T, address: u32) -> Option<&Gate> {
    tables.gate(tables.gate_of(address)?)
}

/// Drops requests for an address that its next holder answers for.
///
/// `is_heard`: the frame is for us or for all; others were flooded.
#[inline(always)]
pub(crate) fn arp<F: Frame, T: Tables>(frame: &F, tables: &T, is_heard: bool) -> Verdict {
    let Some(head) = frame.load::<{ arp::ETHERNET_IPV4.len() }>(eth::LEN) else {
        return Verdict::Pass;
    };
    let Some(operation) = frame.load::<2>(eth::LEN + arp::OPERATION) else {
        return Verdict::Pass;
    };
    let is_request = head == arp::ETHERNET_IPV4 && operation == arp::REQUEST;
    if !is_request || !is_heard {
        return Verdict::Pass;
    }
    let Some(target) = frame.load::<4>(eth::LEN + arp::TARGET_ADDRESS) else {
        return Verdict::Pass;
    };
    match of(tables, u32::from_ne_bytes(target)) {
        Some(gate) if is_silent(tables, gate) => {
            tables.count_drop(DropReason::GateDraining);
            Verdict::Drop(DropReason::GateDraining)
        }
        _ => Verdict::Pass,
    }
}

/// As [`is_silent`], of the gate of an address.
#[inline(always)]
pub(crate) fn is_silent_for<T: Tables>(tables: &T, address: u32) -> bool {
    of(tables, address).is_some_and(|gate| is_silent(tables, gate))
}

/// Whether nobody may learn from this director where the address is: its gate is draining, or it is open
/// for a role that has gone to somebody else while our lease had run out.
#[inline(always)]
fn is_silent<T: Tables>(tables: &T, gate: &Gate) -> bool {
    match gate.state.load(Acquire) {
        GateState::DRAINING => true,
        GateState::OPEN => {
            let router = low(gate.virtual_router.load(Acquire));
            router != 0
                && tables
                    .router(router)
                    .is_some_and(|router| router.yielded.load(Acquire) != 0)
        }
        _ => false,
    }
}
