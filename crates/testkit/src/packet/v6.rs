//! Frames of IPv6 that need more than an address of that kind.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4};

use etherparse::{Icmpv6Header, Icmpv6Type, IpNumber, PacketBuilder};

use super::{DIRECTOR, Datagram, ROUTER, Segment, flags};

/// Length of the Ethernet and IPv6 headers.
const HEADERS: usize = 14 + 40;

/// The IPv6 address and port that stand for these.
#[must_use]
pub const fn as_v6(address: SocketAddrV4) -> SocketAddr {
    let [a, b, c, d] = address.ip().octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, high, 0, 0, low, high ^ 0x55);
    SocketAddr::new(IpAddr::V6(ip), address.port())
}

/// The frame with these extension headers behind IPv6's, each with so many words of 8 bytes more than it must have.
///
/// # Panics
///
/// If the frame is not one of IPv6, or gets too long.
#[must_use]
pub fn with_headers(frame: &[u8], headers: &[(u8, u8)]) -> Vec<u8> {
    let mut out = frame.to_vec();
    for (kind, words) in headers.iter().rev() {
        let mut header = vec![0; 8 * (usize::from(*words) + 1)];
        // PadN (RFC 8200 §4.2) fills an options header, if that is not too long; of a routing header it is the type.
        let padding = words.saturating_mul(8).saturating_add(4);
        header[..4].copy_from_slice(&[out[20], *words, 1, padding]);
        out[20] = *kind;
        out.splice(HEADERS..HEADERS, header);
    }
    set_length(&mut out);
    out
}

/// The frames of an IPv6 packet's fragments, in order, each with at most so many bytes of payload, a multiple of 8.
///
/// # Panics
///
/// If the frame is not one of IPv6.
#[must_use]
pub fn fragments6(frame: &[u8], identification: u32, payload_max: usize) -> Vec<Vec<u8>> {
    let payload = &frame[HEADERS..];
    let pieces = payload.chunks(payload_max);
    let count = pieces.len();
    let piece = |(i, piece): (usize, &[u8])| {
        let more = u16::from(i + 1 < count);
        let offset = u16::try_from(i * payload_max).expect("it fits a packet") | more;
        let mut out = frame[..HEADERS].to_vec();
        out.extend([frame[20], 0]);
        out.extend(offset.to_be_bytes());
        out.extend(identification.to_be_bytes());
        out.extend(piece);
        out[20] = 44;
        set_length(&mut out);
        out
    };
    pieces.enumerate().map(piece).collect()
}

fn set_length(frame: &mut [u8]) {
    let length = u16::try_from(frame.len() - HEADERS).expect("it fits a packet");
    frame[18..20].copy_from_slice(&length.to_be_bytes());
}

/// An ICMPv6 message of a router to a virtual service about what that sent to the client: what it quotes of it is the
/// IPv6 header and these bytes more.
///
/// # Panics
///
/// If an address is none of IPv6.
#[must_use]
pub fn icmp6_error(
    kind: u8,
    client: SocketAddr,
    service: SocketAddr,
    protocol: u8,
    bytes: usize,
) -> Vec<u8> {
    // The other way round than what a client sends.
    let sent = match protocol {
        6 => Segment::new(service, client, flags::ACK).frame(),
        _ => Datagram {
            payload: 32,
            ..Datagram::new(service, client)
        }
        .frame(),
    };
    let end = sent.len().min(HEADERS + bytes);
    icmp6_quoting(kind, service.ip(), &sent[14..end])
}

/// The same about a packet that is given from its IPv6 header on.
///
/// # Panics
///
/// If the address is none of IPv6, or what it quotes is too long.
#[must_use]
pub fn icmp6_quoting(kind: u8, service: IpAddr, quoted: &[u8]) -> Vec<u8> {
    let IpAddr::V6(service) = service else {
        panic!("an address of IPv6");
    };
    let source = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 77);
    let builder = PacketBuilder::ethernet2(ROUTER, DIRECTOR)
        .ipv6(source.octets(), service.octets(), 64)
        .icmpv6_raw(kind, 0, [0, 0, 5, 0]);
    let mut out = Vec::with_capacity(builder.size(quoted.len()));
    builder.write(&mut out, quoted).expect("it fits a packet");
    out
}

/// A neighbour solicitation for an address, to its group, or to one MAC address as caches send it to confirm what they
/// hold.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn solicitation(target: Ipv6Addr, to: Option<[u8; 6]>) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        u16::from_be_bytes([0xff, a]),
        u16::from_be_bytes([b, c]),
    );
    let destination = if to.is_some() { target } else { group };
    let source = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let kind = Icmpv6Type::Unknown {
        type_u8: 135,
        code_u8: 0,
        bytes5to8: [0; 4],
    };
    let mut payload = target.octets().to_vec();
    payload.extend([1, 1]);
    payload.extend(ROUTER);
    let header = Icmpv6Header::with_checksum(kind, source.octets(), destination.octets(), &payload);
    let message = [&header.expect("it is short").to_bytes()[..], &payload].concat();
    let mac = to.unwrap_or([0x33, 0x33, 0xff, a, b, c]);
    ip6(
        mac,
        (source, destination),
        (IpNumber::IPV6_ICMP.0, 255),
        &message,
    )
}

/// A VRRP advertisement over IPv6 of another director, for so many addresses.
///
/// # Panics
///
/// If they are more than 255.
#[must_use]
pub fn advert6(virtual_router: u8, count: usize, (version, hop_limit): (u8, u8)) -> Vec<u8> {
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
    let count_byte = u8::try_from(count).expect("it is a byte");
    let mut message = vec![
        version << 4 | 1,
        virtual_router,
        100,
        count_byte,
        0,
        10,
        0,
        0,
    ];
    for i in 0..count {
        let last = u16::try_from(i).expect("at most 255");
        message.extend(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, last).octets());
    }
    let length = u16::try_from(message.len()).expect("at most 255 addresses");
    let sum = etherparse::checksum::Sum16BitWords::new()
        .add_slice(&message)
        .add_16bytes(source.octets())
        .add_16bytes(group.octets())
        .add_2bytes([0, 112])
        .add_2bytes(length.to_be_bytes());
    message[6..8].copy_from_slice(&sum.ones_complement().to_ne_bytes());
    let mac = [0x33, 0x33, 0, 0, 0, 0x12];
    ip6(mac, (source, group), (112, hop_limit), &message)
}

fn ip6(
    mac: [u8; 6],
    (source, destination): (Ipv6Addr, Ipv6Addr),
    (next, hop_limit): (u8, u8),
    payload: &[u8],
) -> Vec<u8> {
    let mut out = mac.to_vec();
    out.extend(ROUTER);
    out.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, next, hop_limit]);
    out.extend(source.octets());
    out.extend(destination.octets());
    out.extend(payload);
    set_length(&mut out);
    out
}
