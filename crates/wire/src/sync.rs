//! Connection sync: what directors tell each other of their connections.
//!
//! Datagrams of UDP, numbers in network order, at most [`DATAGRAM_LEN_MAX`] bytes. Each begins with two bytes of
//! [`MAGIC`], the [`VERSION`] and a kind, which stay where they are in every version.
//!
//! ```text
//! hello   magic 2, version 1, kind 1, key id 4, sender's epoch 16, receiver's epoch 16 (0: not known),
//!         length 1 and name of the sender, length 1 and name of the receiver, signature 32
//! sealed  magic 2, version 1, kind 1, session 4, counter 8, encrypted frame, tag 16
//! frame   flags 1, next segment 8, bitmap of those beyond 8, stamp 4, echo 4, heard 4, [status], [segment]
//! status  behind 4, records outstanding 4, segments sent 8, digest 8, count 1 and ids of virtual routers
//! segment number 8, items
//! item    a mark, or a run: tag 1, count 1, that many records or removals
//! ```
//!
//! A record of IPv4 is 22 bytes: 60 fill a datagram, which makes 23.3 bytes each with everything around them (and 24.2
//! with the headers of UDP and IPv4). One of IPv6 is 58: 60.9 bytes each.
//!
//! Nothing here encrypts, signs or remembers: `evenkeel-sync` does.

mod datagram;
mod frame;
mod item;
mod record;
mod routers;

use core::fmt;

pub use datagram::{
    Datagram, Epoch, HELLO_LEN_MAX, Hello, NAME_LEN_MAX, SEALED_HEAD_LEN, SIGNATURE_LEN, TAG_LEN,
    is_name, parse, seal_head, write_hello,
};
pub use frame::{
    BEYOND, FRAME_LEN_MAX, Frame, STATUS_LEN_MAX, SegmentRef, Status, parse_frame, write_frame,
};
pub use item::{Item, Reader, Writer};
pub use record::{
    Flow, LIFETIME_MAX, LIFETIME_STEP, Protocol, RECORD_LEN_MAX, Record, State, TooHigh,
};
pub use routers::Routers;

/// The first two bytes of every datagram.
pub const MAGIC: [u8; 2] = *b"ek";
/// The version of the format that is described here.
pub const VERSION: u8 = 1;
/// Bytes of the longest datagram: with the headers of UDP and IPv6 it fits into 1,450 bytes, which is what VXLAN leaves
/// of Ethernet's 1,500.
pub const DATAGRAM_LEN_MAX: usize = 1_400;
/// Bytes of the items of the longest segment: a datagram without a status is full of it.
pub const SEGMENT_LEN_MAX: usize =
    DATAGRAM_LEN_MAX - SEALED_HEAD_LEN - TAG_LEN - frame::HEAD_LEN - frame::NUMBER_LEN;

/// Why bytes are no datagram, frame or segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They don't begin with [`MAGIC`]: not connection sync.
    Foreign,
    /// Another version.
    Version(u8),
    /// A kind, flag or tag that this version does not have.
    Unknown(u8),
    /// They end too early, or go on where nothing should be.
    Length,
    /// A name that is empty, too long or no UTF-8 without control characters.
    Name,
    /// Bits or bytes that have to be zero are not, or a number is outside its range.
    Range,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => write!(f, "not connection sync"),
            Self::Version(version) => write!(f, "version {version}, expected {VERSION}"),
            Self::Unknown(number) => write!(f, "unknown kind {number:#04x}"),
            Self::Length => write!(f, "wrong length"),
            Self::Name => write!(f, "bad name"),
            Self::Range => write!(f, "a field is outside its range"),
        }
    }
}

impl core::error::Error for Malformed {}

/// Bytes that are left to be read.
#[derive(Clone, Copy)]
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (first, rest) = self.0.split_at_checked(len).ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(*first)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    const fn end(&self) -> Result<(), Malformed> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Malformed::Length),
        }
    }
}

/// A buffer that is being filled; what does not fit is left out, and `written` is `None` then.
struct Output<'a> {
    buffer: &'a mut [u8],
    len: usize,
    overflows: bool,
}

impl<'a> Output<'a> {
    const fn new(buffer: &'a mut [u8]) -> Self {
        Self {
            buffer,
            len: 0,
            overflows: false,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let place = self.buffer.get_mut(self.len..);
        match place.and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.overflows = true,
        }
    }

    const fn written(&self) -> Option<usize> {
        match self.overflows {
            true => None,
            false => Some(self.len),
        }
    }
}

#[cfg(test)]
mod tests;
