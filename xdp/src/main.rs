//! The XDP programs that evenkeel runs.
//!
//! `evenkeel` balances; `clock` tells the time; `pass` lets everything through, for the peer end of a veth pair, which
//! takes frames that were sent back only if it has a program too.

#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use evenkeel_xdp::{balance, tell_time};

/// Balances what is for a virtual service.
///
/// Inlined into what the macro makes of it, whose frame would count on the stack: Linux 6.1 rounds each up to 32 bytes.
#[xdp]
#[inline(always)]
pub fn evenkeel(ctx: XdpContext) -> u32 {
    balance(ctx)
}

/// Tells user space what its clock says.
#[xdp]
pub fn clock(ctx: XdpContext) -> u32 {
    tell_time(ctx)
}

/// Lets everything through.
#[xdp]
pub fn pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

evenkeel_xdp::object!();
