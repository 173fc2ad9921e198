//! A packet in memory, with the limits of the kernel's frames.

use evenkeel_datapath::{Frame, OFFSET_MAX};

/// Bytes that the kernel leaves before a packet (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;

/// A packet in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeFrame {
    buffer: Vec<u8>,
    start: usize,
}

impl NativeFrame {
    /// A frame of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut buffer = vec![0; HEADROOM];
        buffer.extend_from_slice(bytes);
        Self {
            buffer,
            start: HEADROOM,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl Frame for NativeFrame {
    fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > OFFSET_MAX {
            return None;
        }
        self.bytes().get(offset..offset + N)?.try_into().ok()
    }

    fn store<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()> {
        if offset > OFFSET_MAX {
            return None;
        }
        let start = self.start + offset;
        self.buffer
            .get_mut(start..start + N)?
            .copy_from_slice(&bytes);
        Some(())
    }

    fn grow_head<const N: usize>(&mut self) -> Option<()> {
        self.start = self.start.checked_sub(N)?;
        Some(())
    }

    fn truncate(&mut self, len: usize) -> Option<()> {
        // The kernel refuses to shrink a frame below an Ethernet header (`bpf_xdp_adjust_tail`).
        if len > self.len() || len < 14 {
            return None;
        }
        self.buffer.truncate(self.start + len);
        Some(())
    }
}
