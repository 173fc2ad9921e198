//! What the header of a packet says, IPv4's and IPv6's alike.

use evenkeel_abi::{FlowKey, ServiceKey, pair};
use evenkeel_wire::{eth, ipv4, ipv6};

use crate::branchless::is_zero;
use crate::{Frame, Tables};

/// What an IP header says, as far as the data plane is concerned.
#[derive(Clone, Copy)]
pub(crate) struct Ip {
    pub(crate) is_v6: bool,
    /// Length of all headers before the transport's.
    pub(crate) header_len: usize,
    pub(crate) total_len: usize,
    /// 1 if it is a fragment, else 0: made without a branch, for the verifier would follow all that comes after it twice.
    pub(crate) fragment: u64,
    /// Whether it is a fragment that is not its packet's first.
    pub(crate) follows: bool,
    pub(crate) identification: u32,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    /// What the keys of its flows have of addresses: both, or with IPv6 a digest of both.
    pub(crate) addresses: u64,
    /// The virtual address; with IPv6 the number of its gate.
    pub(crate) target: u32,
}

/// A flow as packets of it are treated: by the key of its entry, and by the key that it is placed by.
///
/// With IPv4 both are one.
#[derive(Clone, Copy)]
pub struct Flow {
    /// The key of its entry.
    pub key: FlowKey,
    /// What schedulers hash: addresses and ports, IPv6's addresses folded; the same on every director.
    pub placing: FlowKey,
}

impl Flow {
    /// The flow of a key that is placed by these addresses, IPv6's [`folded`].
    #[must_use]
    #[inline(always)]
    pub const fn new(key: FlowKey, placed_by: u64) -> Self {
        Self {
            key,
            placing: FlowKey {
                addresses: placed_by,
                ports_protocol: key.ports_protocol & PORTS_PROTOCOL,
            },
        }
    }

    /// The flow of a packet with this key.
    #[inline(always)]
    pub(crate) fn of<F: Frame>(frame: &F, key: FlowKey) -> Self {
        let placed_by = if key.is_v6() {
            frame.folded_addresses()
        } else {
            key.addresses
        };
        Self::new(key, placed_by)
    }
}

/// What is left of a key's second word without its marks.
const PORTS_PROTOCOL: u64 = pair(u32::MAX, 0xff);

/// The addresses of an IPv6 packet, each [`folded`].
#[must_use]
#[inline(always)]
pub fn folded_addresses<F: Frame + ?Sized>(frame: &F) -> Option<u64> {
    let source = address_at(frame, ipv6::SOURCE)?;
    let destination = address_at(frame, ipv6::DESTINATION)?;
    Some(pair(folded(source), folded(destination)))
}

impl Ip {
    /// What an IPv4 header says.
    #[inline(always)]
    pub(crate) fn v4(h: &[u8; ipv4::MIN_LEN]) -> Self {
        let fragment = u16::from_be_bytes([h[ipv4::FRAGMENT], h[ipv4::FRAGMENT + 1]]);
        Self {
            is_v6: false,
            header_len: (h[ipv4::VERSION_IHL] & 0x0f) as usize * 4,
            total_len: u16::from_be_bytes([h[ipv4::TOTAL_LENGTH], h[ipv4::TOTAL_LENGTH + 1]])
                as usize,
            fragment: 1 ^ is_zero((fragment & ipv4::FRAGMENT_BITS).into()),
            follows: fragment & ipv4::OFFSET_BITS != 0,
            identification: u16::from_ne_bytes([h[4], h[5]]).into(),
            ttl: h[ipv4::TTL],
            protocol: h[ipv4::PROTOCOL],
            addresses: u64::from_ne_bytes([h[12], h[13], h[14], h[15], h[16], h[17], h[18], h[19]]),
            target: u32::from_ne_bytes([h[16], h[17], h[18], h[19]]),
        }
    }

    /// The key of a flow with these ports.
    #[inline(always)]
    pub(crate) const fn key(&self, ports: u32) -> FlowKey {
        if self.is_v6 {
            FlowKey::v6(self.addresses, ports, self.protocol)
        } else {
            FlowKey {
                addresses: self.addresses,
                ports_protocol: pair(ports, self.protocol as u32),
            }
        }
    }

    /// What the fragments of one packet have in common (RFC 791 §3.2, RFC 8200 §4.5), in the form of a flow's key: the
    /// identification stands where a flow has its ports.
    #[inline(always)]
    pub(crate) const fn fragment_key(&self) -> FlowKey {
        self.key(self.identification)
    }

    /// What packets find the service of a port by.
    #[inline(always)]
    pub(crate) const fn service_key(&self, port: u16) -> ServiceKey {
        if self.is_v6 {
            ServiceKey::v6(self.target, port, self.protocol)
        } else {
            ServiceKey::new(self.target, port, self.protocol)
        }
    }

    /// The number of the virtual address's gate.
    #[inline(always)]
    pub(crate) fn gate<T: Tables>(&self, tables: &T) -> Option<u32> {
        if self.is_v6 {
            Some(self.target)
        } else {
            tables.gate_of(self.target)
        }
    }
}

/// An IPv6 address as it lies in memory, from its bytes at an offset.
#[inline(always)]
pub(crate) fn address_at<F: Frame + ?Sized>(frame: &F, offset: usize) -> Option<[u64; 2]> {
    let bytes: [u8; 16] = frame.load(eth::LEN + offset)?;
    let (high, low) = bytes.split_at(8);
    Some([
        u64::from_ne_bytes(high.try_into().ok()?),
        u64::from_ne_bytes(low.try_into().ok()?),
    ])
}

/// An IPv6 address in 32 bits, its four words combined by exclusive or (`addr_fold` of net/netfilter/ipvs/ip_vs_sh.c).
#[must_use]
#[inline(always)]
pub const fn folded([first, second]: [u64; 2]) -> u32 {
    let both = first ^ second;
    #[expect(clippy::cast_possible_truncation, reason = "half of it")]
    let half = (both ^ both >> 32) as u32;
    half
}

/// An IPv6 address under the mask of a prefix of this many bits.
#[must_use]
#[inline(always)]
pub const fn under_prefix([first, second]: [u64; 2], bits: u32) -> [u64; 2] {
    [
        first & mask(if bits < 64 { bits } else { 64 }),
        second & mask(bits.saturating_sub(64)),
    ]
}

/// The first bits of a word, as it lies in the packet; at most all of them.
#[inline(always)]
const fn mask(bits: u32) -> u64 {
    match bits {
        0 => 0,
        _ => (u64::MAX << ((64 - bits as u64) & 63)).to_be(),
    }
}

/// What a template's digest has in place of the virtual address where its service is a group.
#[must_use]
#[inline(always)]
pub const fn of_group(number: u32) -> [u64; 2] {
    [0, pair(number, u32::MAX)]
}
