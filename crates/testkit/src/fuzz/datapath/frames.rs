//! The frames of a wide world: of both families and all protocols, whole and in pieces, with tags and extension headers,
//! and what is said about addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use evenkeel_wire::ipv4;

use super::packets::client;
use super::wide::address;
use super::world::ROUTER;
use crate::fuzz::input::{Input, pick};
use crate::packet::{
    DIRECTOR, Datagram, IcmpError, Sctp, Segment, advert6, arp_request_to, as_v6, fragments,
    fragments6, icmp6_quoting, solicitation, tagged, with_headers,
};

/// Forms of frames, in the low three bits of a frame's last byte.
pub(super) mod form {
    pub(in crate::fuzz) const WHOLE: u8 = 0;
    /// A piece of the packet.
    pub(in crate::fuzz) const PIECE: u8 = 1;
    /// An ICMP error about the packet's answer.
    pub(in crate::fuzz) const ERROR: u8 = 2;
    /// The same with extension headers, or of a fragment.
    pub(in crate::fuzz) const ERROR_BEHIND: u8 = 3;
    /// ARP or neighbour discovery for the packet's address, and advertisements.
    pub(in crate::fuzz) const ASKED: u8 = 4;
    /// With extension headers, or IP options.
    pub(in crate::fuzz) const BEHIND: u8 = 5;
    /// An echo request in place of the packet.
    pub(in crate::fuzz) const ECHO: u8 = 6;
    /// A piece with extension headers.
    pub(in crate::fuzz) const PIECE_BEHIND: u8 = 7;
}

/// What frames may be for: the end of the address, the port, the protocol, and whether it is of IPv6.
const TARGETS: [(u8, u16, u8, bool); 32] = [
    (146, 80, ipv4::TCP, false),
    (146, 53, ipv4::UDP, false),
    (147, 80, ipv4::TCP, false),
    (147, 53, ipv4::UDP, false),
    (146, 80, ipv4::TCP, true),
    (146, 53, ipv4::UDP, true),
    (147, 53, ipv4::UDP, true),
    (148, 2905, ipv4::SCTP, false),
    (148, 2905, ipv4::SCTP, true),
    (149, 80, ipv4::TCP, false),
    (150, 8000, ipv4::TCP, false),
    (149, 53, ipv4::UDP, false),
    (150, 8042, ipv4::TCP, false),
    (150, 2905, ipv4::SCTP, false),
    (149, 53, ipv4::UDP, true),
    (150, 8042, ipv4::TCP, true),
    (149, 2905, ipv4::SCTP, true),
    (150, 8099, ipv4::TCP, false),
    (150, 8100, ipv4::TCP, false),
    (150, 443, ipv4::TCP, false),
    (150, 7999, ipv4::TCP, false),
    (149, 81, ipv4::TCP, false),
    (149, 0, ipv4::UDP, false),
    (149, 65_535, ipv4::UDP, true),
    (150, 443, ipv4::TCP, true),
    (150, 8099, ipv4::TCP, true),
    (147, 80, ipv4::TCP, true),
    (150, 2999, ipv4::SCTP, false),
    (150, 2899, ipv4::SCTP, false),
    (150, 53, ipv4::UDP, false),
    (146, 443, ipv4::TCP, false),
    (2, 80, ipv4::TCP, true),
];

/// A packet between a client and a service, in either direction.
struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    protocol: u8,
    /// TCP's flags, or which chunks of SCTP.
    flags: u8,
    shape: u8,
}

/// The frame that the input describes: what it is for, a client, flags, a shape, a form, and what that takes.
pub(super) fn frame(input: &mut Input<'_>) -> Option<Vec<u8>> {
    let (last, port, protocol, is_v6) = pick(&TARGETS, input.byte()?);
    let client = several(input.byte()?, is_v6);
    let service = SocketAddrV4::new(address(last), port);
    let service = if is_v6 {
        as_v6(service)
    } else {
        service.into()
    };
    let (flags, shape, form) = (input.byte()?, input.byte()?, input.byte()?);
    let packet = Packet {
        from: client,
        to: service,
        protocol,
        flags,
        shape,
    };
    let whole = packet.frame();
    let frame = match form & 7 {
        form::PIECE => piece(&whole, input.byte()?),
        form::PIECE_BEHIND => {
            let which = input.byte()?;
            behind(&piece(&whole, which), &headers(input)?)
        }
        form::ERROR => packet.error(&[], input)?,
        form::ERROR_BEHIND => {
            let headers = headers(input)?;
            packet.error(&headers, input)?
        }
        form::BEHIND => behind(&whole, &headers(input)?),
        form::ASKED => asked(service.ip(), flags, shape),
        form::ECHO => echo(client.ip(), service.ip()),
        _ => whole,
    };
    let tags = [None, Some(100), Some(0x6064), Some(30)];
    Some(match pick(&tags, form >> 3) {
        Some(tag) if frame.len() >= 12 => tagged(&frame, tag),
        _ => frame,
    })
}

/// One of sixteen clients at one of eight addresses; the last four are nobody's.
fn several(number: u8, is_v6: bool) -> SocketAddr {
    let mut client = client(number);
    if *client.ip() == Ipv4Addr::new(203, 0, 113, 1) {
        client.set_ip(pick(
            &[
                Ipv4Addr::new(203, 0, 113, 1),
                Ipv4Addr::new(203, 0, 113, 2),
                Ipv4Addr::new(203, 0, 113, 200),
                Ipv4Addr::new(203, 0, 200, 1),
                Ipv4Addr::new(203, 1, 113, 1),
                Ipv4Addr::new(13, 0, 113, 1),
                Ipv4Addr::new(203, 0, 114, 1),
                Ipv4Addr::new(203, 0, 115, 1),
            ],
            number >> 4 & 7,
        ));
    }
    if !is_v6 {
        return client.into();
    }
    match number & 15 {
        15 => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), client.port()),
        14 => SocketAddr::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(), 40_014),
        13 => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), client.port()),
        _ => as_v6(client),
    }
}

impl Packet {
    /// TTL in bits 0 to 2 of the shape, whom the frame is for in bits 3 and 4, payload in bits 5 and 6, padding in
    /// bit 7.
    fn frame(&self) -> Vec<u8> {
        let (client, service, shape) = (self.from, self.to, self.shape);
        let ttl = pick(&[64, 1, 0, 2, 255, 64, 128, 32], shape & 7);
        let another = [2, 9, 9, 9, 9, 9];
        let macs = [
            DIRECTOR,
            DIRECTOR,
            another,
            [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12],
        ];
        let destination = pick(&macs, shape >> 3 & 3);
        let payload = pick(&[0, 1, 30, 1200], shape >> 5 & 3);
        let mut frame = match self.protocol {
            ipv4::UDP => Datagram {
                ttl,
                destination,
                payload,
                ..Datagram::new(client, service)
            }
            .frame(),
            ipv4::SCTP => Sctp {
                ttl,
                destination,
                chunks: self.chunks(payload),
                ..Sctp::new(client, service, 0)
            }
            .frame(),
            _ => Segment {
                ttl,
                destination,
                payload,
                ..Segment::new(client, service, self.flags)
            }
            .frame(),
        };
        frame.resize(frame.len() + usize::from(shape >> 7) * 6, 0);
        frame
    }

    /// The first chunk by bits 0 to 3 of the flags, the second by bits 4 and 5.
    fn chunks(&self, payload: usize) -> Vec<(u8, u16)> {
        let kinds = [1, 10, 0, 7, 14, 6, 11, 2, 3, 4, 5, 8, 9, 13, 15, 255];
        let len = u16::try_from(payload).expect("a packet's");
        let first = (pick(&kinds, self.flags & 15), len);
        match pick(&[None, Some(6), Some(0), Some(10)], self.flags >> 4 & 3) {
            Some(second) => vec![first, (second, 0)],
            None => vec![first],
        }
    }

    /// An error about what the service answered: its type and code, and how many bytes it quotes.
    fn error(&self, headers: &[(u8, u8)], input: &mut Input<'_>) -> Option<Vec<u8>> {
        let (kind, quoted) = (input.byte()?, usize::from(input.byte()?));
        let answer = Self {
            from: self.to,
            to: self.from,
            ..*self
        };
        let mut sent = answer.frame();
        if !headers.is_empty() {
            sent = match self.to {
                SocketAddr::V4(_) => piece(&sent, headers[0].1),
                SocketAddr::V6(_) => with_headers(&sent, headers),
            };
        }
        let sent = &sent[14..];
        let (IpAddr::V4(service), SocketAddr::V4(client)) = (self.to.ip(), self.from) else {
            let kinds = [2, 1, 3, 4, 0, 5, 127, 129];
            let quoted = &sent[..sent.len().min(20 + quoted)];
            return Some(icmp6_quoting(pick(&kinds, kind), self.to.ip(), quoted));
        };
        Some(
            IcmpError {
                kind: pick(&[3, 11, 12, 0, 4, 5, 13, 3], kind),
                code: kind >> 4,
                quoted: sent[..sent.len().min(quoted)].to_vec(),
                ttl: if kind & 8 == 0 { 64 } else { 1 },
                ..IcmpError::fragmentation_needed(client, SocketAddrV4::new(service, 0), 6)
            }
            .frame(),
        )
    }
}

/// Which piece in bits 0 and 1, of what size in bits 2 and 3, of which packet in the others.
fn piece(whole: &[u8], which: u8) -> Vec<u8> {
    let size = pick(&[8, 24, 64, 600], which >> 2 & 3);
    let number = which >> 4;
    let pieces = match is_v6(whole) {
        true => fragments6(whole, u32::from(number) << 20, size),
        false => fragments(whole, number.into(), size),
    };
    let piece = usize::from(which & 3).min(pieces.len() - 1);
    pieces.into_iter().nth(piece).expect("there are as many")
}

fn is_v6(frame: &[u8]) -> bool {
    frame[12..14] == [0x86, 0xdd]
}

/// Extension headers: how many, then kind and length of each.
fn headers(input: &mut Input<'_>) -> Option<Vec<(u8, u8)>> {
    let count = input.byte()? & 15;
    let header = |input: &mut Input<'_>| {
        let byte = input.byte()?;
        let kind = pick(&[60, 43, 0, 44, 51, 59, 135, 60], byte);
        Some((kind, pick(&[0, 1, 4, 20, 60, 255, 0, 0], byte >> 3)))
    };
    (0..count).map(|_| header(input)).collect()
}

/// The packet with extension headers, or with IPv4 as many words of options.
fn behind(frame: &[u8], headers: &[(u8, u8)]) -> Vec<u8> {
    if is_v6(frame) {
        return with_headers(frame, headers);
    }
    let mut frame = frame.to_vec();
    let words = headers.len().min(10);
    frame.splice(34..34, vec![1; words * 4]);
    frame[14] += u8::try_from(words).expect("a few");
    let total = u16::from_be_bytes([frame[16], frame[17]]);
    let total = total + u16::try_from(words * 4).expect("a few");
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame
}

/// A question for an address, for all or for whom the shape says; with bit 0 of the flags an advertisement of IPv6.
fn asked(address: IpAddr, flags: u8, shape: u8) -> Vec<u8> {
    if flags & 1 != 0 {
        let router = ROUTER + (shape & 1);
        let version = 3 - (flags >> 1 & 1);
        let count = usize::from(shape >> 1 & 7);
        return advert6(router, count, (version, 255 - (flags >> 2 & 1)));
    }
    let macs = [None, Some(DIRECTOR), Some([2, 9, 9, 9, 9, 9]), None];
    let to = pick(&macs, shape);
    match address {
        IpAddr::V4(address) => arp_request_to(to.unwrap_or([0xff; 6]), address),
        IpAddr::V6(address) => solicitation(address, to),
    }
}

fn echo(client: IpAddr, service: IpAddr) -> Vec<u8> {
    match (client, service) {
        (IpAddr::V4(client), IpAddr::V4(service)) => IcmpError {
            source: client,
            service,
            kind: 8,
            code: 0,
            mtu: 1,
            quoted: vec![0x5a; 8],
            ttl: 64,
        }
        .frame(),
        _ => icmp6_quoting(128, service, &[0x5a; 8]),
    }
}
