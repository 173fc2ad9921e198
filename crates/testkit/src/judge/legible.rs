//! Packets as etherparse has to be given them.

use etherparse::{Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice, ip_number};

/// Protocol of a packet of which nobody reads more.
const NONE: u8 = ip_number::IPV6_NO_NEXT_HEADER.0;

/// Changes numbers of protocols in an IP packet where etherparse would read on and the data plane does not, and the
/// other way round:
///
/// - an authentication header is no service's protocol, whatever it holds;
/// - what follows a fragment's header is the packet's middle, and no extension header, if the fragment is no first one;
/// - hop-by-hop options that do not come first are the server's to complain about (RFC 8200 §4.1), not a router's.
pub(super) fn legible(packet: &mut [u8]) {
    if packet.first().is_some_and(|version| version >> 4 == 4) {
        if let Some(protocol) = packet.get_mut(9)
            && *protocol == ip_number::AUTH.0
        {
            *protocol = NONE;
        }
        return;
    }
    if Ipv6HeaderSlice::from_slice(packet).is_err() {
        return;
    }
    // Where the header's number stands, and where the header does.
    let (mut number, mut header) = (6, 40);
    loop {
        let len = match packet[number].into() {
            ip_number::AUTH => {
                packet[number] = NONE;
                return;
            }
            ip_number::IPV6_FRAG => {
                let Ok(fragment) = Ipv6FragmentHeaderSlice::from_slice(&packet[header..]) else {
                    return;
                };
                if fragment.fragment_offset().value() != 0 {
                    if is_extension(fragment.next_header().0) {
                        packet[header] = NONE;
                    }
                    return;
                }
                fragment.slice().len()
            }
            kind @ (ip_number::IPV6_HOP_BY_HOP
            | ip_number::IPV6_ROUTE
            | ip_number::IPV6_DEST_OPTIONS) => {
                if kind == ip_number::IPV6_HOP_BY_HOP && number != 6 {
                    packet[number] = ip_number::IPV6_DEST_OPTIONS.0;
                }
                let Ok(options) = Ipv6RawExtHeaderSlice::from_slice(&packet[header..]) else {
                    return;
                };
                options.slice().len()
            }
            _ => return,
        };
        (number, header) = (header, header + len);
    }
}

/// Whether etherparse reads behind headers of this kind.
fn is_extension(kind: u8) -> bool {
    let kinds = [
        ip_number::AUTH,
        ip_number::IPV6_FRAG,
        ip_number::IPV6_HOP_BY_HOP,
        ip_number::IPV6_ROUTE,
        ip_number::IPV6_DEST_OPTIONS,
    ];
    kinds.contains(&kind.into())
}
