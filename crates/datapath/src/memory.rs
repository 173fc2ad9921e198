//! A packet in ordinary memory, with the limits of the kernel's frames: for tests, simulation and tracing.

use alloc::vec;
use alloc::vec::Vec;

use evenkeel_wire::eth;

use crate::{Frame, OFFSET_MAX};

/// Bytes that the kernel leaves before a packet (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;

/// A packet in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryFrame {
    buffer: Vec<u8>,
    start: usize,
    /// Length of the tag that was skipped.
    tag: usize,
}

impl MemoryFrame {
    /// A frame of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut buffer = vec![0; HEADROOM];
        buffer.extend_from_slice(bytes);
        Self {
            buffer,
            start: HEADROOM,
            tag: 0,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Where an offset lies, past the tag.
    const fn physical(&self, offset: usize) -> usize {
        if offset < eth::ETHERTYPE {
            offset
        } else {
            offset + self.tag
        }
    }
}

impl Frame for MemoryFrame {
    fn skip_tag(&mut self, tagged: u64) {
        self.tag = if tagged == 1 { eth::TAG_LEN } else { 0 };
    }

    fn is_tagged(&self) -> bool {
        self.tag != 0
    }

    fn load_tag(&self) -> Option<[u8; 4]> {
        self.bytes()
            .get(eth::ETHERTYPE..eth::ETHERTYPE + 4)?
            .try_into()
            .ok()
    }

    fn store_tag(&mut self, bytes: [u8; 4]) -> Option<()> {
        let start = self.start + eth::ETHERTYPE;
        let place = self.buffer.get_mut(start..start + 4)?;
        place.copy_from_slice(&bytes);
        Some(())
    }

    fn len(&self) -> usize {
        self.bytes().len() - self.tag
    }

    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > OFFSET_MAX {
            return None;
        }
        let offset = self.physical(offset);
        self.bytes().get(offset..offset + N)?.try_into().ok()
    }

    fn store<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()> {
        if offset > OFFSET_MAX {
            return None;
        }
        let start = self.start + self.physical(offset);
        self.buffer
            .get_mut(start..start + N)?
            .copy_from_slice(&bytes);
        Some(())
    }

    fn grow_head<const N: usize>(&mut self) -> Option<()> {
        self.start = self.start.checked_sub(N)?;
        Some(())
    }

    fn shrink_head<const N: usize>(&mut self) -> Option<()> {
        self.start += N;
        Some(())
    }

    fn truncate(&mut self, len: usize) -> Option<()> {
        // The kernel refuses to shrink a frame below an Ethernet header (`bpf_xdp_adjust_tail`).
        if len > self.len() || len < eth::LEN {
            return None;
        }
        self.buffer.truncate(self.start + len + self.tag);
        Some(())
    }
}
