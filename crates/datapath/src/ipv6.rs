//! IPv6: its header and the extension headers behind it, and neighbour solicitations.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{DropReason, Link};
use evenkeel_wire::{eth, icmp6, ipv4, ipv6};

use crate::ip::{Ip, address_at};
use crate::process::dropped;
use crate::transport::is_balanced;
use crate::{Frame, Tables, Verdict, gate};

/// Headers that are looked at, the last of which is not IPv6's any more; packets with more are malformed to us.
const HEADERS: usize = 8;
/// Largest length of all headers before the transport's.
const HEADERS_LEN_MAX: usize = 0x3ff;

/// What stands behind IPv6's extension headers, in one word: bits 0 to 7 the protocol, 8 to 19 its offset from the
/// IPv6 header on, 20 whether it is a fragment, 21 whether it is not its packet's first, 32 to 63 its identification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper(pub u64);

impl Upper {
    /// The headers are not whole, or there are too many.
    pub const NONE: Self = Self(u64::MAX);
    const FRAGMENT: u64 = 1 << 20;
    const FOLLOWS: u64 = 1 << 21;

    #[inline(always)]
    const fn plain(protocol: u8, offset: usize) -> Self {
        Self(protocol as u64 | (offset as u64) << 8)
    }

    #[inline(always)]
    pub(crate) const fn is_whole(self) -> bool {
        self.0 != Self::NONE.0
    }

    #[inline(always)]
    pub(crate) const fn protocol(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    #[inline(always)]
    pub(crate) const fn offset(self) -> usize {
        (self.0 >> 8) as usize & HEADERS_LEN_MAX
    }

    #[inline(always)]
    const fn fragment(self) -> u64 {
        self.0 >> Self::FRAGMENT.trailing_zeros() & 1
    }

    #[inline(always)]
    pub(crate) const fn follows(self) -> bool {
        self.0 & Self::FOLLOWS != 0
    }

    #[inline(always)]
    const fn identification(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What stands behind the extension headers, of which the first one is of this kind and at this offset from the IPv6
/// header on.
#[must_use]
#[inline(always)]
pub fn skip_headers<F: Frame + ?Sized>(frame: &F, first: u8, offset: usize) -> Upper {
    let (mut kind, mut offset, mut marks) = (first, offset, 0);
    for _ in 0..HEADERS {
        if offset + ipv6::FRAGMENT_LEN > HEADERS_LEN_MAX {
            return Upper::NONE;
        }
        if kind == ipv6::FRAGMENT {
            let Some([next, _, high, low, a, b, c, d]) = frame.load(eth::LEN + offset) else {
                return Upper::NONE;
            };
            let bits = u16::from_be_bytes([high, low]);
            // One that is its whole packet is none to anybody (RFC 6946).
            if bits & ipv6::FRAGMENT_BITS != 0 {
                marks = Upper::FRAGMENT | u64::from(u32::from_ne_bytes([a, b, c, d])) << 32;
            }
            offset += ipv6::FRAGMENT_LEN;
            kind = next;
            if bits & ipv6::OFFSET_BITS != 0 {
                return Upper(Upper::plain(kind, offset).0 | marks | Upper::FOLLOWS);
            }
        } else if kind == ipv6::HOP_BY_HOP
            || kind == ipv6::ROUTING
            || kind == ipv6::DESTINATION_OPTIONS
        {
            let Some([next, len]) = frame.load(eth::LEN + offset) else {
                return Upper::NONE;
            };
            offset += (len as usize + 1) * 8;
            kind = next;
        } else {
            return Upper(Upper::plain(kind, offset).0 | marks);
        }
    }
    Upper::NONE
}

/// Reads a packet's headers, as far as it is for a virtual address; otherwise what becomes of it.
///
/// `is_ours`: its destination is this interface's MAC address; `is_group`: it is a multicast one.
#[inline(always)]
pub(crate) fn read<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    link: &Link,
    is_ours: bool,
    is_group: bool,
) -> Result<Ip, Verdict> {
    let Some(head) = frame.load::<{ ipv6::SOURCE }>(eth::LEN) else {
        return Err(Verdict::Pass);
    };
    let source = address_at(frame, ipv6::SOURCE);
    let destination = address_at(frame, ipv6::DESTINATION);
    let (Some(source), Some(destination)) = (source, destination) else {
        return Err(Verdict::Pass);
    };
    let (next, ttl) = (head[ipv6::NEXT_HEADER], head[ipv6::HOP_LIMIT]);
    if head[ipv6::VERSION] >> 4 != 6 {
        return Err(Verdict::Pass);
    }
    let payload = u16::from_be_bytes([head[ipv6::PAYLOAD_LENGTH], head[ipv6::PAYLOAD_LENGTH + 1]]);
    let total_len = ipv6::LEN + payload as usize;
    if next == ipv4::VRRP {
        frame.hear6(tables, link.mac.load(Relaxed));
        return Err(Verdict::Pass);
    }
    if next == ipv6::ICMP
        && (is_ours || is_group)
        && frame.load(eth::LEN + ipv6::LEN) == Some([icmp6::NEIGHBOUR_SOLICITATION, 0])
    {
        return Err(gate::solicitation(frame, tables));
    }
    if !is_ours {
        return Err(Verdict::Pass);
    }
    let Some(gate) = tables.gate_of6(&destination) else {
        return Err(Verdict::Pass);
    };
    let upper = if is_balanced(next) != 0 || next == ipv6::ICMP {
        Upper::plain(next, ipv6::LEN)
    } else {
        frame.skip_headers(next, ipv6::LEN)
    };
    if !upper.is_whole() {
        return Err(match gate::is_closed(tables, Some(gate)) {
            true => Verdict::Pass,
            false => dropped(tables, DropReason::Malformed),
        });
    }
    Ok(Ip {
        is_v6: true,
        header_len: upper.offset(),
        total_len,
        fragment: upper.fragment(),
        follows: upper.follows(),
        identification: upper.identification(),
        ttl,
        protocol: upper.protocol(),
        addresses: tables.digest(source, destination),
        target: gate,
    })
}
