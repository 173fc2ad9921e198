//! The packet that is traced, made from what was asked.

use std::net::IpAddr;

use evenkeel_model::{MacAddress, Protocol};
use evenkeel_wire::{checksum, eth, ipv4, sctp, tcp, udp};

use crate::trace::TracePacket;

/// Time to live of a packet that is made: none of its own makes a difference.
const TTL: u8 = 64;

/// Where the packet seems to come from: a locally administered address that no host has.
const SOURCE: [u8; 6] = [2, 0, 0, 0, 0, 0];

/// The frame of a packet without data that was sent to `destination`.
///
/// The data plane does not look at the checksum of TCP and UDP, which stays 0.
pub(super) fn build(packet: &TracePacket, destination: MacAddress) -> Vec<u8> {
    let transport = transport(packet);
    let mut frame = Vec::new();
    frame.extend(destination.0);
    frame.extend(SOURCE);
    if let (IpAddr::V6(client), IpAddr::V6(address)) = (packet.client.ip(), packet.address.ip()) {
        let next = packet.protocol.number();
        let length = u8::try_from(transport.len()).unwrap_or(u8::MAX);
        frame.extend(eth::IPV6);
        frame.extend([0x60, 0, 0, 0, 0, length, next, TTL]);
        frame.extend(client.octets());
        frame.extend(address.octets());
    } else {
        frame.extend(eth::IPV4);
        frame.extend(ip_header(packet, transport.len()));
    }
    frame.extend(transport);
    frame
}

fn transport(packet: &TracePacket) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(packet.client.port().to_be_bytes());
    header.extend(packet.address.port().to_be_bytes());
    match packet.protocol {
        Protocol::Tcp => {
            // Sequence and acknowledgement numbers, and the window, mean nothing to the decision.
            header.extend([0; 8]);
            header.extend([0x50, packet.flags, 0xff, 0xff, 0, 0, 0, 0]);
            debug_assert_eq!(header.len(), tcp::MIN_LEN, "a header without options");
        }
        Protocol::Udp => {
            header.extend([0, 8, 0, 0]);
            debug_assert_eq!(header.len(), udp::LEN, "a datagram without data");
        }
        Protocol::Sctp => {
            // Verification tag and checksum, then the chunk, which has no value.
            header.extend([0; 8]);
            header.extend([packet.flags, 0, 0, 4]);
            debug_assert_eq!(header.len(), sctp::MIN_LEN, "a header and that of a chunk");
        }
    }
    header
}

fn ip_header(packet: &TracePacket, payload: usize) -> [u8; ipv4::MIN_LEN] {
    let total = u8::try_from(ipv4::MIN_LEN + payload).unwrap_or(u8::MAX);
    let [a, b, c, d] = octets(packet.client.ip());
    let [e, f, g, h] = octets(packet.address.ip());
    let protocol = packet.protocol.number();
    let mut header = [
        0x45, 0, 0, total, 0, 0, 0, 0, TTL, protocol, 0, 0, a, b, c, d, e, f, g, h,
    ];
    let words = header.chunks_exact(2).map(|two| match two {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    });
    let sum = checksum::finish(words.fold(0, checksum::add)).to_be_bytes();
    if let Some(place) = header.get_mut(ipv4::CHECKSUM..ipv4::CHECKSUM + 2) {
        place.copy_from_slice(&sum);
    }
    header
}

const fn octets(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => [0; 4],
    }
}
