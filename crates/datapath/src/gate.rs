//! What the gates of virtual addresses say, and ARP requests and neighbour solicitations for these.

use core::sync::atomic::Ordering::Acquire;

use evenkeel_abi::{DropReason, Gate, GateState, low};
use evenkeel_wire::{arp, eth, icmp6, ipv6};

use crate::ip::address_at;
use crate::process::dropped;
use crate::{Frame, Tables, Verdict};

/// Whether packets pass to the stack that are for services of an address with this gate: also if it has none.
#[inline(always)]
pub(crate) fn is_closed<T: Tables>(tables: &T, gate: Option<u32>) -> bool {
    gate.and_then(|gate| tables.gate(gate))
        .is_none_or(|gate| gate.state.load(Acquire) == GateState::CLOSED)
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
    asked(tables, tables.gate_of(u32::from_ne_bytes(target)))
}

/// Drops neighbour solicitations for an address that its next holder answers for (RFC 4861 §4.3).
///
/// The message follows IPv6's header at once.
#[inline(always)]
pub(crate) fn solicitation<F: Frame, T: Tables>(frame: &F, tables: &T) -> Verdict {
    match address_at(frame, ipv6::LEN + icmp6::TARGET) {
        Some(target) => asked(tables, tables.gate_of6(&target)),
        None => Verdict::Pass,
    }
}

/// What becomes of a question where the address with this gate is.
#[inline(always)]
fn asked<T: Tables>(tables: &T, gate: Option<u32>) -> Verdict {
    if is_silent_at(tables, gate) {
        dropped(tables, DropReason::GateDraining)
    } else {
        Verdict::Pass
    }
}

/// As [`is_silent`], of an address with this gate, if it has one.
#[inline(always)]
pub(crate) fn is_silent_at<T: Tables>(tables: &T, gate: Option<u32>) -> bool {
    gate.and_then(|gate| tables.gate(gate))
        .is_some_and(|gate| is_silent(tables, gate))
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
