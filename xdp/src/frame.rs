//! The bytes of the packet under way.

use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use evenkeel_datapath::{Frame, OFFSET_MAX};

/// A packet; the kernel's pointers are read anew in every call, so that none is stale after the
/// head or tail moved.
pub struct XdpFrame(pub XdpContext);

impl XdpFrame {
    #[inline(always)]
    fn at<const N: usize>(&self, offset: usize) -> Option<*mut [u8; N]> {
        if offset > OFFSET_MAX {
            return None;
        }
        let start = self.0.data() + offset;
        if start + N > self.0.data_end() {
            return None;
        }
        Some(start as *mut [u8; N])
    }
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn len(&self) -> usize {
        self.0.data_end() - self.0.data()
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
        let failed = unsafe { bpf_xdp_adjust_head(self.0.ctx, -(N as i32)) };
        (failed == 0).then_some(())
    }

    #[inline(always)]
    fn truncate(&mut self, len: usize) -> Option<()> {
        let surplus = self.len().checked_sub(len)?;
        if surplus == 0 {
            return Some(());
        }
        // SAFETY: the context is the kernel's; pointers into the packet are not kept across this call.
        let failed = unsafe { bpf_xdp_adjust_tail(self.0.ctx, -(surplus as i32)) };
        (failed == 0).then_some(())
    }
}
