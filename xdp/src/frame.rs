//! The bytes of the packet under way.

use core::ptr::read_volatile;

use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use evenkeel_datapath::{Frame, OFFSET_MAX};
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

impl Frame for XdpFrame {
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
