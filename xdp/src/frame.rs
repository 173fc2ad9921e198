//! The bytes of the packet under way.

use core::ptr::read_volatile;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use evenkeel_datapath::{Frame, OFFSET_MAX, reset};
use evenkeel_wire::eth;

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

    #[inline(always)]
    fn raw<const N: usize>(&self, offset: usize) -> Option<*mut [u8; N]> {
        let start = self.data() + offset;
        if start + N > self.ctx.data_end() {
            return None;
        }
        Some(start as *mut [u8; N])
    }
}

/// A function of its own, global, so that the kernel verifies it once; 1 if the packet is a reset now.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn evenkeel_reset(ctx: *mut xdp_md, mac: u64, header_len: u32, tag: u32) -> u64 {
    let header_len = header_len as usize & HEADER_MASK;
    let reset_behind = |tag: usize| {
        let ctx = XdpContext::new(ctx);
        reset(&mut XdpFrame { ctx, tag }, mac, header_len)
    };
    // Of an offset that is a variable, LLVM would subtract it from the packet's end, which the verifier forbids.
    let done = match tag {
        0 => reset_behind(0),
        _ => reset_behind(eth::TAG_LEN),
    };
    done.is_some().into()
}

/// Lengths of IP headers; the verifier wants a bound.
const HEADER_MASK: usize = 0x3c;

impl Frame for XdpFrame {
    #[inline(always)]
    fn reset(&mut self, mac: u64, header_len: usize) -> Option<()> {
        (evenkeel_reset(self.ctx.ctx, mac, header_len as u32, self.tag as u32) != 0).then_some(())
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
        (self.ctx.data_end() - self.ctx.data()).wrapping_sub(self.tag)
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
