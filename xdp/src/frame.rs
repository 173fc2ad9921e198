//! The bytes of the packet under way.

use core::ptr::read_volatile;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use evenkeel_abi::{DropReason, FlowKey, ServiceKey};
use evenkeel_datapath::{
    Frame, OFFSET_MAX, Tables, Upper, Verdict, answer, answer6, chunk_of_sctp, folded_addresses, hear, hear6, note_client, note_first, rare, reset, reset6, skip_headers, template_digest,
};
use evenkeel_wire::eth;

use crate::tables::{ANYWHERE, Maps};

/// A packet; the kernel's pointers are read anew in every call, so that none is stale after the
/// head or tail moved.
pub struct XdpFrame {
    pub ctx: XdpContext,
    /// Length of the tag that was skipped.
    tag: usize,
}

impl XdpFrame {
    #[inline(always)]
    pub const fn new(ctx: XdpContext) -> Self {
        Self { ctx, tag: 0 }
    }

    #[inline(always)]
    fn at<const N: usize>(&self, offset: usize) -> Option<*mut [u8; N]> {
        if offset > OFFSET_MAX {
            return None;
        }
        let skipped = if offset >= eth::ETHERTYPE {
            self.tag
        } else {
            0
        };
        self.raw(offset + skipped)
    }

    /// Where the packet begins; read anew each time, or LLVM would leave out comparisons that others imply, of which
    /// the verifier does not know.
    #[inline(always)]
    fn data(&self) -> usize {
        // SAFETY: the context is the kernel's and valid as long as the program runs.
        unsafe { read_volatile(&raw const (*self.ctx.ctx).data) as usize }
    }

    /// Where it ends; read anew for the same reason: LLVM would keep it, and copy its half as a number.
    #[inline(always)]
    fn data_end(&self) -> usize {
        // SAFETY: the context is the kernel's and valid as long as the program runs.
        unsafe { read_volatile(&raw const (*self.ctx.ctx).data_end) as usize }
    }

    #[inline(always)]
    fn raw<const N: usize>(&self, offset: usize) -> Option<*mut [u8; N]> {
        let start = self.data() + offset;
        if start + N > self.data_end() {
            return None;
        }
        Some(start as *mut [u8; N])
    }
}

/// What an expression makes of the packet behind a tag of this length.
///
/// Of an offset that is a variable, LLVM would subtract it from the packet's end, which the verifier forbids.
macro_rules! behind {
    ($ctx:expr, $tag:expr, |$frame:ident| $on:expr) => {
        match $tag {
            0 => {
                let ctx = XdpContext::new($ctx);
                let $frame = &mut XdpFrame { ctx, tag: 0 };
                $on
            }
            _ => {
                let (ctx, tag) = (XdpContext::new($ctx), eth::TAG_LEN);
                let $frame = &mut XdpFrame { ctx, tag };
                $on
            }
        }
    };
}

/// A function of its own, global, so that the kernel verifies it once; 1 if the packet is a reset now.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_reset(ctx: *mut xdp_md, mac: u64, tag: u32) -> u64 {
    behind!(ctx, tag, |frame| reset(frame, mac).is_some().into())
}

/// The same of an IPv6 packet.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_reset6(ctx: *mut xdp_md, mac: u64, tag: u32) -> u64 {
    behind!(ctx, tag, |frame| reset6(frame, mac).is_some().into())
}

/// As [`evenkeel_reset`]; what becomes of a rare packet.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_rare(ctx: *mut xdp_md, tag: u32) -> u64 {
    behind!(ctx, tag, |frame| {
        let maps = Maps::on(frame.ctx.ingress_ifindex() as u32);
        match rare(frame, &maps) {
            Verdict::Pass => PASS,
            Verdict::Drop(_) => DROP,
            Verdict::Transmit => TRANSMIT,
            Verdict::Redirect(_) => REDIRECT,
        }
    })
}

const PASS: u64 = 0;
const DROP: u64 = 1;
const TRANSMIT: u64 = 2;
const REDIRECT: u64 = 3;

/// What can be answered, of its number.
#[inline(always)]
const fn reason(number: u32) -> DropReason {
    match number {
        EXPIRED => DropReason::TtlExceeded,
        _ => DropReason::NoServer,
    }
}

/// As [`evenkeel_reset`]; 1 if the packet is an ICMP error now.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_answer(ctx: *mut xdp_md, number: u32, mac: u64, tag: u32) -> u64 {
    let reason = reason(number);
    behind!(ctx, tag, |frame| {
        answer(frame, &ANYWHERE, reason, mac).is_some().into()
    })
}

/// As [`evenkeel_reset`]; returns nothing, which such a function can't.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_hear(ctx: *mut xdp_md, mac: u64, tag: u32) -> u64 {
    behind!(ctx, tag, |frame| {
        hear(frame, &ANYWHERE, mac).is_some().into()
    })
}

/// As [`evenkeel_reset`]; 1 if the packet is an ICMPv6 error now.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_answer6(ctx: *mut xdp_md, number: u32, mac: u64, tag: u32) -> u64 {
    let reason = reason(number);
    behind!(ctx, tag, |frame| {
        answer6(frame, &ANYWHERE, reason, mac).is_some().into()
    })
}

/// As [`evenkeel_reset`]; returns nothing, which such a function can't.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_hear6(ctx: *mut xdp_md, mac: u64, tag: u32) -> u64 {
    behind!(ctx, tag, |frame| {
        hear6(frame, &ANYWHERE, mac).is_some().into()
    })
}

/// As [`evenkeel_reset`]; the word of [`Upper`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_skip_headers(ctx: *mut xdp_md, first: u32, offset: u32, tag: u32) -> u64 {
    let offset = offset as usize & HEADERS6_MASK;
    behind!(ctx, tag, |frame| skip_headers(frame, first as u8, offset).0)
}

/// As [`evenkeel_reset`]; the chunk's type.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_chunk_of_sctp(
    ctx: *mut xdp_md,
    header_len: u32,
    total_len: u32,
    tag: u32,
) -> u64 {
    let header_len = header_len as usize & HEADERS6_MASK;
    behind!(ctx, tag, |frame| {
        chunk_of_sctp(frame, header_len, total_len as usize).into()
    })
}

/// As [`evenkeel_reset`]; returns nothing, which such a function can't.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_note_client(
    ctx: *mut xdp_md,
    addresses: u64,
    ports_protocol: u64,
    prefix: u32,
    tag: u32,
) -> u64 {
    let key = FlowKey {
        addresses,
        ports_protocol,
    };
    behind!(ctx, tag, |frame| {
        note_client(frame, &ANYWHERE, &key, prefix).is_some().into()
    })
}

/// As [`evenkeel_reset`]; returns nothing, which such a function can't.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_note_first(ctx: *mut xdp_md, service: u32, ports: u32, tag: u32) -> u64 {
    behind!(ctx, tag, |frame| {
        let maps = Maps::on(frame.ctx.ingress_ifindex() as u32);
        note_first(frame, &maps, service, ports);
        0
    })
}

/// As [`evenkeel_reset`]; the addresses.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_folded_addresses(ctx: *mut xdp_md, tag: u32) -> u64 {
    behind!(ctx, tag, |frame| folded_addresses(frame).unwrap_or(0))
}

/// As [`evenkeel_reset`]; the digest.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_template_digest(
    ctx: *mut xdp_md,
    service: u64,
    prefix: u32,
    tag: u32,
) -> u64 {
    let service = ServiceKey::unpacked(service);
    behind!(ctx, tag, |frame| {
        template_digest(frame, &ANYWHERE, service, prefix).unwrap_or(0)
    })
}

/// Number of [`DropReason::TtlExceeded`].
const EXPIRED: u32 = DropReason::TtlExceeded as u32;
/// Lengths of IPv6 headers with their extensions, and what ICMPv6 quotes behind such; the verifier wants a bound.
const HEADERS6_MASK: usize = 0x7ff;

impl Frame for XdpFrame {
    #[inline(always)]
    fn reset(&mut self, mac: u64) -> Option<()> {
        (evenkeel_reset(self.ctx.ctx, mac, self.tag as u32) != 0).then_some(())
    }

    #[inline(always)]
    fn reset6(&mut self, mac: u64) -> Option<()> {
        (evenkeel_reset6(self.ctx.ctx, mac, self.tag as u32) != 0).then_some(())
    }

    #[inline(always)]
    fn rare<T: Tables>(&mut self, _tables: &T) -> Verdict {
        match evenkeel_rare(self.ctx.ctx, self.tag as u32) {
            PASS => Verdict::Pass,
            TRANSMIT => Verdict::Transmit,
            REDIRECT => Verdict::Redirect(0),
            // It has been counted under its own name.
            _ => Verdict::Drop(DropReason::Internal),
        }
    }

    #[inline(always)]
    fn answer<T: Tables>(&mut self, _tables: &T, reason: DropReason, mac: u64) -> Option<()> {
        if !matches!(reason, DropReason::TtlExceeded | DropReason::NoServer) {
            return None;
        }
        (evenkeel_answer(self.ctx.ctx, reason as u32, mac, self.tag as u32) != 0).then_some(())
    }

    #[inline(always)]
    fn hear<T: Tables>(&self, _tables: &T, mac: u64) {
        evenkeel_hear(self.ctx.ctx, mac, self.tag as u32);
    }

    #[inline(always)]
    fn answer6<T: Tables>(&mut self, _tables: &T, reason: DropReason, mac: u64) -> Option<()> {
        if !matches!(reason, DropReason::TtlExceeded | DropReason::NoServer) {
            return None;
        }
        (evenkeel_answer6(self.ctx.ctx, reason as u32, mac, self.tag as u32) != 0).then_some(())
    }

    #[inline(always)]
    fn hear6<T: Tables>(&self, _tables: &T, mac: u64) {
        evenkeel_hear6(self.ctx.ctx, mac, self.tag as u32);
    }

    #[inline(always)]
    fn note_first<T: Tables>(&mut self, _tables: &T, service: u32, ports: u32) {
        evenkeel_note_first(self.ctx.ctx, service, ports, self.tag as u32);
    }

    #[inline(always)]
    fn folded_addresses(&self) -> u64 {
        evenkeel_folded_addresses(self.ctx.ctx, self.tag as u32)
    }

    #[inline(always)]
    fn note_client<T: Tables>(&self, _tables: &T, key: &FlowKey, prefix: u32) {
        let FlowKey {
            addresses,
            ports_protocol,
        } = *key;
        let (ctx, tag) = (self.ctx.ctx, self.tag as u32);
        evenkeel_note_client(ctx, addresses, ports_protocol, prefix, tag);
    }

    #[inline(always)]
    fn template_digest<T: Tables>(&self, _tables: &T, service: ServiceKey, prefix: u32) -> u64 {
        evenkeel_template_digest(self.ctx.ctx, service.packed(), prefix, self.tag as u32)
    }

    #[inline(always)]
    fn chunk_of_sctp(&self, header_len: usize, total_len: usize) -> u8 {
        let (ctx, tag) = (self.ctx.ctx, self.tag as u32);
        evenkeel_chunk_of_sctp(ctx, header_len as u32, total_len as u32, tag) as u8
    }

    #[inline(always)]
    fn skip_headers(&self, first: u8, offset: usize) -> Upper {
        let found = evenkeel_skip_headers(
            self.ctx.ctx,
            first.into(),
            offset as u32,
            self.tag as u32,
        );
        Upper(found)
    }

    #[inline(always)]
    fn skip_tag(&mut self, tagged: u64) {
        self.tag = (tagged as usize & 1) * eth::TAG_LEN;
    }

    #[inline(always)]
    fn is_tagged(&self) -> bool {
        self.tag != 0
    }

    #[inline(always)]
    fn load_tag(&self) -> Option<[u8; 4]> {
        let at = self.raw::<4>(eth::ETHERTYPE)?;
        // SAFETY: `raw` checked that the bytes of the packet are there, and a byte array needs no alignment.
        Some(unsafe { *at })
    }

    #[inline(always)]
    fn store_tag(&mut self, bytes: [u8; 4]) -> Option<()> {
        let at = self.raw::<4>(eth::ETHERTYPE)?;
        // SAFETY: `raw` checked that the bytes of the packet are there; this program alone has the packet.
        unsafe { *at = bytes };
        Some(())
    }

    #[inline(always)]
    fn len(&self) -> usize {
        (self.data_end() - self.data()).wrapping_sub(self.tag)
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.at::<N>(offset)?;
        // SAFETY: `at` checked that N bytes of the packet start there, and a byte array needs no alignment.
        Some(unsafe { *at })
    }

    #[inline(always)]
    fn store<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()> {
        let at = self.at::<N>(offset)?;
        // SAFETY: `at` checked that N bytes of the packet start there; this program alone has the packet.
        unsafe { *at = bytes };
        Some(())
    }

    #[inline(always)]
    fn grow_head<const N: usize>(&mut self) -> Option<()> {
        // SAFETY: the context is the kernel's; pointers into the packet are not kept across this call.
        let failed = unsafe { bpf_xdp_adjust_head(self.ctx.ctx, -(N as i32)) };
        (failed == 0).then_some(())
    }

    #[inline(always)]
    fn shrink_head<const N: usize>(&mut self) -> Option<()> {
        // SAFETY: the context is the kernel's; pointers into the packet are not kept across this call.
        let failed = unsafe { bpf_xdp_adjust_head(self.ctx.ctx, N as i32) };
        (failed == 0).then_some(())
    }

    #[inline(always)]
    fn truncate(&mut self, len: usize) -> Option<()> {
        let surplus = self.len().checked_sub(len)?;
        if surplus == 0 {
            return Some(());
        }
        // SAFETY: the context is the kernel's; pointers into the packet are not kept across this call.
        let failed = unsafe { bpf_xdp_adjust_tail(self.ctx.ctx, -(surplus as i32)) };
        (failed == 0).then_some(())
    }
}
