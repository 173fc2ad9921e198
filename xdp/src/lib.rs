//! Glue between the kernel and `evenkeel-datapath`: the packet, the maps, and the program made of them.

#![no_std]

pub mod frame;
mod functions;
pub mod tables;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use aya_ebpf::programs::XdpContext;
use evenkeel_datapath::{Frame, Verdict, process};

use crate::frame::XdpFrame;
use crate::tables::Maps;

/// Balances what is for a virtual service.
#[inline(always)]
pub fn balance(ctx: XdpContext) -> u32 {
    let maps = Maps::on(ctx.ingress_ifindex() as u32);
    match process(&mut XdpFrame::new(ctx), &maps) {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Drop(_) => xdp_action::XDP_DROP,
        Verdict::Transmit => xdp_action::XDP_TX,
        Verdict::Redirect(_) => xdp_action::XDP_REDIRECT,
    }
}

/// Writes what the clocks say into the packet: jiffies, and `CLOCK_MONOTONIC_COARSE` in nanoseconds.
#[inline(always)]
pub fn tell_time(ctx: XdpContext) -> u32 {
    // SAFETY: both take nothing and return a number.
    let (jiffies, coarse) = unsafe { (bpf_jiffies64(), bpf_ktime_get_coarse_ns()) };
    let mut frame = XdpFrame::new(ctx);
    match frame
        .store(0, jiffies.to_ne_bytes())
        .and_then(|()| frame.store(8, coarse.to_ne_bytes()))
    {
        Some(()) => xdp_action::XDP_PASS,
        None => xdp_action::XDP_ABORTED,
    }
}

/// What an object needs besides its programs.
#[macro_export]
macro_rules! object {
    () => {
        #[panic_handler]
        fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
            loop {}
        }

        #[unsafe(link_section = "license")]
        #[unsafe(no_mangle)]
        static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
    };
}
