//! The balancing program among the programs that measure it (`cargo xtask bench datapath`).
//!
//! A measured program is repeated on one packet, which it changes. So each round first writes the
//! headers of the client whose turn it is; what that costs is measured by `floor` alone.

#![no_std]
#![no_main]

use aya_ebpf::bindings::{BPF_F_MMAPABLE, xdp_action, xdp_md};
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use core::sync::atomic::Ordering::Relaxed;
use evenkeel_abi::{FlowKey, Shared};
use evenkeel_datapath::{Frame, flow_hash};
use evenkeel_xdp::frame::XdpFrame;
use evenkeel_xdp::{balance, tell_time};

/// What the rounds write; set by user space.
#[repr(C)]
pub struct Work {
    /// Number of the next round.
    round: Shared,
    /// Clients to choose from at random; 0: the one whose number is the round's.
    clients: Shared,
    /// The number of a round's client without the low bits: 1 lets two rounds have the same client.
    shift: Shared,
    /// TCP flags of even rounds.
    even: Shared,
    /// TCP flags of odd rounds.
    odd: Shared,
    /// Rounds of the yardstick that found nothing, or found no room for their client.
    missed: Shared,
    /// The port that packets go to.
    port: Shared,
}

#[btf_map]
static WORK: Array<Work, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The yardstick's table: as many flows as there are clients.
#[btf_map]
static YARDSTICK: HashMap<FlowKey, u32, { 1 << 20 }> = HashMap::new();

/// As `YARDSTICK`, of IPv6.
#[btf_map]
static YARDSTICK6: HashMap<[u32; 9], u32, { 1 << 20 }> = HashMap::new();

/// Frames that came back.
#[btf_map]
static SUNK: PerCpuArray<u64, 1> = PerCpuArray::new();

const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
const LEN: usize = ETHERNET.len() + 2;
/// From 10.0.0.0 to 198.18.14.146: 40 bytes, TTL 64, don't fragment, and the checksum without the source.
const IP: [u8; 10] = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6];
const ADDRESS: [u8; 4] = [198, 18, 14, 146];
/// From 2001:db8::, whose last four bytes are the client's, to 2001:db8::e:92: 20 bytes, hop limit 64.
const IP6: [u8; 8] = [0x60, 0, 0, 0, 0, 20, 6, 64];
const NETWORK6: [u8; 12] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0];
const ADDRESS6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xe, 0, 0x92];

/// Writes the headers of this round's client, of IPv6 or of IPv4.
#[inline(always)]
fn write_headers<const V6: bool>(frame: &mut XdpFrame) -> Option<()> {
    let work = WORK.get(0)?;
    let round = work.round.load(Relaxed);
    work.round.store(round + 1, Relaxed);
    let clients = work.clients.load(Relaxed);
    let mixed = flow_hash(
        &FlowKey {
            addresses: round,
            ports_protocol: 0,
        },
        0,
    );
    let client = if clients == 0 {
        round >> (work.shift.load(Relaxed) & 1)
    } else {
        (u64::from(mixed) * clients) >> 32
    };
    let flags = if round & 1 == 0 {
        work.even.load(Relaxed)
    } else {
        work.odd.load(Relaxed)
    };
    let high = (client >> 10) as u32;
    let source = (0x0a00_0000 | (high & 0x00ff_ffff)).to_be_bytes();
    let port = (1024 + (client & 1023) as u16).to_be_bytes();
    frame.store(0, ETHERNET)?;
    let tcp = if V6 {
        frame.store(LEN - 2, [0x86, 0xdd])?;
        frame.store(LEN, IP6)?;
        frame.store(LEN + 8, NETWORK6)?;
        frame.store(LEN + 20, source)?;
        frame.store(LEN + 24, ADDRESS6)?;
        LEN + 40
    } else {
        frame.store(LEN - 2, [8, 0])?;
        frame.store(LEN, IP)?;
        // The checksum is not looked at here, only updated.
        frame.store(LEN + 10, [0; 2])?;
        frame.store(LEN + 12, source)?;
        frame.store(LEN + 16, ADDRESS)?;
        LEN + 20
    };
    frame.store(tcp, port)?;
    frame.store(tcp + 2, (work.port.load(Relaxed) as u16).to_be_bytes())?;
    // Any sequence number; this one makes every round cost the same, however its client is chosen.
    frame.store(tcp + 4, mixed.to_ne_bytes())?;
    frame.store(tcp + 12, [0x50, flags as u8])
}

/// Writes the headers of this round's client; 1 if there was room for them.
///
/// A global function, so that its stack is none of the balancing program's, which has none to spare.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn write_round4(ctx: *mut xdp_md) -> u64 {
    let mut frame = XdpFrame::new(XdpContext::new(ctx));
    write_headers::<false>(&mut frame).is_some().into()
}

/// As [`write_round4`], of IPv6.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn write_round6(ctx: *mut xdp_md) -> u64 {
    let mut frame = XdpFrame::new(XdpContext::new(ctx));
    write_headers::<true>(&mut frame).is_some().into()
}

#[inline(always)]
fn write_round<const V6: bool>(ctx: &XdpContext) -> Option<()> {
    let written = if V6 {
        write_round6(ctx.ctx)
    } else {
        write_round4(ctx.ctx)
    };
    (written == 1).then_some(())
}

/// The cost of a round that does nothing but write its headers.
#[xdp]
pub fn floor(ctx: XdpContext) -> u32 {
    aborted_or_sent(write_round::<false>(&ctx))
}

/// As [`floor`], of IPv6.
#[xdp]
pub fn floor6(ctx: XdpContext) -> u32 {
    aborted_or_sent(write_round::<true>(&ctx))
}

#[inline(always)]
fn aborted_or_sent(done: Option<()>) -> u32 {
    match done {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_ABORTED,
    }
}

/// The least that a stateful balancer does: parse, one look-up in a table of a million, send.
#[xdp]
pub fn yardstick(ctx: XdpContext) -> u32 {
    match write_round::<false>(&ctx).and_then(|()| look_up(&XdpFrame::new(ctx))) {
        Some(_) => xdp_action::XDP_TX,
        None => missed(),
    }
}

/// As [`yardstick`], of IPv6.
#[xdp]
pub fn yardstick6(ctx: XdpContext) -> u32 {
    match write_round::<true>(&ctx).and_then(|()| look_up6(&XdpFrame::new(ctx))) {
        Some(_) => xdp_action::XDP_TX,
        None => missed(),
    }
}

#[cold]
fn missed() -> u32 {
    if let Some(work) = WORK.get(0) {
        work.missed.fetch_add(1, Relaxed);
    }
    xdp_action::XDP_DROP
}

#[inline(always)]
fn look_up(frame: &XdpFrame) -> Option<u32> {
    let kind = frame.load::<2>(LEN - 2)?;
    let ip = frame.load::<20>(LEN)?;
    if kind != [8, 0] || ip[0] >> 4 != 4 || ip[9] != 6 {
        return None;
    }
    let ports = frame.load::<4>(LEN + (ip[0] & 15) as usize * 4)?;
    let word = |at: usize| u32::from_ne_bytes([ip[at], ip[at + 1], ip[at + 2], ip[at + 3]]);
    let key = FlowKey::new(word(12), word(16), u32::from_ne_bytes(ports), 6);
    // SAFETY: the value is copied at once, and nobody changes the table while it is measured.
    unsafe { YARDSTICK.get(key) }.copied()
}

#[inline(always)]
fn look_up6(frame: &XdpFrame) -> Option<u32> {
    let kind = frame.load::<2>(LEN - 2)?;
    let [version, _, _, _, _, _, next, _] = frame.load::<8>(LEN)?;
    if kind != [0x86, 0xdd] || version >> 4 != 6 || next != 6 {
        return None;
    }
    // SAFETY: as in `look_up`.
    unsafe { YARDSTICK6.get(tuple6(frame)?) }.copied()
}

/// Both addresses and both ports.
#[inline(always)]
fn tuple6(frame: &XdpFrame) -> Option<[u32; 9]> {
    let mut words = [0; 9];
    for (number, word) in words.iter_mut().enumerate() {
        *word = u32::from_ne_bytes(frame.load(LEN + 8 + number * 4)?);
    }
    Some(words)
}

/// Enters this round's client into the yardstick's table.
#[xdp]
pub fn fill_yardstick(ctx: XdpContext) -> u32 {
    let Some(()) = write_round::<false>(&ctx) else {
        return xdp_action::XDP_ABORTED;
    };
    let frame = XdpFrame::new(ctx);
    let (Some(ip), Some(ports)) = (frame.load::<8>(LEN + 12), frame.load::<4>(LEN + 20)) else {
        return xdp_action::XDP_ABORTED;
    };
    let [a, b, c, d, e, f, g, h] = ip;
    let key = FlowKey::new(
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes(ports),
        6,
    );
    match YARDSTICK.insert(key, 1, 0) {
        Ok(()) => xdp_action::XDP_TX,
        Err(_) => missed(),
    }
}

/// As [`fill_yardstick`], of IPv6.
#[xdp]
pub fn fill_yardstick6(ctx: XdpContext) -> u32 {
    let Some(()) = write_round::<true>(&ctx) else {
        return xdp_action::XDP_ABORTED;
    };
    let frame = XdpFrame::new(ctx);
    let Some(key) = tuple6(&frame) else {
        return xdp_action::XDP_ABORTED;
    };
    match YARDSTICK6.insert(key, 1, 0) {
        Ok(()) => xdp_action::XDP_TX,
        Err(_) => missed(),
    }
}

/// The balancing program, after the headers of the round.
#[xdp]
#[inline(always)]
pub fn measured(ctx: XdpContext) -> u32 {
    match write_round::<false>(&ctx) {
        Some(()) => balance(ctx),
        None => xdp_action::XDP_ABORTED,
    }
}

/// As [`measured`], of IPv6.
#[xdp]
#[inline(always)]
pub fn measured6(ctx: XdpContext) -> u32 {
    match write_round::<true>(&ctx) {
        Some(()) => balance(ctx),
        None => xdp_action::XDP_ABORTED,
    }
}

/// The balancing program as evenkeel runs it.
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

/// Sends every frame back.
#[xdp]
pub fn send_back(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Counts and drops every frame.
#[xdp]
pub fn sink(_ctx: XdpContext) -> u32 {
    if let Some(n) = SUNK.get_ptr_mut(0) {
        // SAFETY: the counter is this processor's.
        unsafe { *n += 1 };
    }
    xdp_action::XDP_DROP
}

evenkeel_xdp::object!();
