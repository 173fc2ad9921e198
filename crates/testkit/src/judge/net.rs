//! What etherparse reads in the header of an IP packet of either version.

use std::net::IpAddr;

use etherparse::{Ipv6ExtensionSlice, Ipv6ExtensionsSlice, LaxNetSlice, NetSlice};

/// A packet's header.
#[derive(Clone, Copy)]
pub(super) struct Net<'a> {
    /// Sender and receiver.
    pub(super) addresses: [IpAddr; 2],
    /// Protocol of the payload, behind all extension headers.
    pub(super) protocol: u8,
    /// Identification as it lies in the packet, and offset, if it is a fragment.
    pub(super) fragment: Option<(u32, u16)>,
    pub(super) payload: &'a [u8],
    /// Length with all headers.
    pub(super) total_len: u64,
    /// Time to live, or hop limit.
    pub(super) ttl: u8,
    /// Length of all headers before the payload.
    pub(super) header_len: usize,
    /// It says that nothing follows its IPv6 header, which etherparse takes for any length (RFC 2675).
    pub(super) has_no_length: bool,
    /// More extension headers, or longer ones, than the data plane looks behind.
    pub(super) is_beyond: bool,
}

/// Whether the data plane does not look behind so many extension headers, or headers of this length altogether.
pub(super) const fn is_beyond(count: usize, header_len: usize) -> bool {
    count > 7 || header_len > 1015
}

impl<'a> Net<'a> {
    /// Of a packet; `None`: it is none of IP.
    pub(super) fn of(net: &NetSlice<'a>) -> Option<Self> {
        match net {
            NetSlice::Ipv4(net) => {
                let header = net.header();
                let identification = u32::from(header.identification().to_be());
                let offset = header.fragments_offset().value();
                Some(Self {
                    addresses: [
                        header.source_addr().into(),
                        header.destination_addr().into(),
                    ],
                    protocol: header.protocol().0,
                    fragment: net
                        .is_payload_fragmented()
                        .then_some((identification, offset)),
                    payload: net.payload().payload,
                    total_len: header.total_len().into(),
                    ttl: header.ttl(),
                    header_len: header.slice().len(),
                    has_no_length: false,
                    is_beyond: false,
                })
            }
            NetSlice::Ipv6(net) => {
                let header = net.header();
                let extensions = net.extensions().clone().into_iter();
                let count = extensions.clone().count();
                let header_len = 40 + net.extensions().slice().len();
                // Of a fragment in a fragment the inner one counts.
                let fragments = extensions.filter_map(|extension| {
                    let Ipv6ExtensionSlice::Fragment(fragment) = extension else {
                        return None;
                    };
                    let offset = fragment.fragment_offset().value();
                    fragment
                        .is_fragmenting_payload()
                        .then_some((fragment.identification().to_be(), offset))
                });
                Some(Self {
                    addresses: [
                        header.source_addr().into(),
                        header.destination_addr().into(),
                    ],
                    protocol: net.payload().ip_number.0,
                    fragment: fragments.last(),
                    payload: net.payload().payload,
                    total_len: 40 + u64::from(header.payload_length()),
                    ttl: header.hop_limit(),
                    header_len,
                    has_no_length: header.payload_length() == 0,
                    is_beyond: is_beyond(count, header_len),
                })
            }
            NetSlice::Arp(_) => None,
        }
    }

    /// Whether it is a message of ICMP, or of ICMPv6 with IPv6.
    pub(super) const fn is_icmp(&self) -> bool {
        let [_, receiver] = self.addresses;
        self.protocol == if receiver.is_ipv6() { 58 } else { 1 }
    }

    /// Whether it is no first fragment.
    pub(super) fn follows(&self) -> bool {
        self.fragment.is_some_and(|(_, offset)| offset != 0)
    }
}

/// The header of a packet that may be cut short, as errors quote it.
pub(super) struct LaxNet<'a> {
    pub(super) addresses: [IpAddr; 2],
    pub(super) protocol: u8,
    pub(super) follows: bool,
    pub(super) payload: &'a [u8],
    /// Number of extension headers, and their length.
    pub(super) extensions: (usize, usize),
}

impl<'a> LaxNet<'a> {
    /// Of a packet; `None`: it is none of IP.
    pub(super) fn of(net: &LaxNetSlice<'a>) -> Option<Self> {
        match net {
            LaxNetSlice::Ipv4(net) => {
                let header = net.header();
                Some(Self {
                    addresses: [
                        header.source_addr().into(),
                        header.destination_addr().into(),
                    ],
                    protocol: header.protocol().0,
                    follows: header.fragments_offset().value() != 0,
                    payload: net.payload().payload,
                    extensions: (0, 0),
                })
            }
            LaxNetSlice::Ipv6(net) => {
                let header = net.header();
                let extensions = whole(net.extensions());
                let follows = extensions.iter().any(|extension| {
                    matches!(extension, Ipv6ExtensionSlice::Fragment(f) if f.fragment_offset().value() != 0)
                });
                Some(Self {
                    addresses: [
                        header.source_addr().into(),
                        header.destination_addr().into(),
                    ],
                    protocol: net.payload().ip_number.0,
                    follows,
                    payload: net.payload().payload,
                    extensions: (extensions.len(), net.extensions().slice().len()),
                })
            }
            LaxNetSlice::Arp(_) => None,
        }
    }
}

/// The headers of a chain that may be cut short, where etherparse's iterator would read beyond the last whole one.
fn whole<'a>(chain: &Ipv6ExtensionsSlice<'a>) -> Vec<Ipv6ExtensionSlice<'a>> {
    let mut rest = chain.slice().len();
    let mut headers = chain.clone().into_iter();
    let whole = std::iter::from_fn(|| {
        (rest > 0).then_some(())?;
        let header = headers.next()?;
        rest -= match &header {
            Ipv6ExtensionSlice::HopByHop(header)
            | Ipv6ExtensionSlice::Routing(header)
            | Ipv6ExtensionSlice::DestinationOptions(header) => header.slice().len(),
            Ipv6ExtensionSlice::Fragment(header) => header.slice().len(),
            Ipv6ExtensionSlice::Authentication(header) => header.slice().len(),
        };
        Some(header)
    });
    whole.collect()
}
