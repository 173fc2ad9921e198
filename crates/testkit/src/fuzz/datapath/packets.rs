//! The frames of the data plane's target.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::kind;
use super::world::{ROUTER, address_of};
use crate::fuzz::input::{Input, pick};
use crate::packet::{Advert, Content, Covers, Crafted, arp_request, fragments};

/// One of sixteen clients, the last four of which nobody may answer.
pub(super) fn client(number: u8) -> SocketAddrV4 {
    let address = match number & 15 {
        15 => Ipv4Addr::UNSPECIFIED,
        14 => Ipv4Addr::new(224, 0, 0, 1),
        13 => Ipv4Addr::LOCALHOST,
        12 => Ipv4Addr::BROADCAST,
        _ => Ipv4Addr::new(203, 0, 113, 1),
    };
    SocketAddrV4::new(address, 40_000 + u16::from(number & 15))
}

/// The frame of this kind that the input describes.
pub(super) fn frame(kind: u8, input: &mut Input<'_>) -> Option<Vec<u8>> {
    match kind {
        kind::RAW => {
            let len = input.word()?;
            Some(input.take(usize::from(len)).to_vec())
        }
        kind::ADVERT => Some(advert(input.byte()?, input.byte()?)),
        kind::ARP => Some(arp_request(*address_of(input.byte()?).ip())),
        kind::ERROR => {
            let (ends, kind, code) = (input.byte()?, input.byte()?, input.byte()?);
            let quoted = input.byte()?;
            let (service, client) = (address_of(ends), client(ends >> 4));
            // Bit 2: about the other protocol than the service's.
            let is_udp = (ends ^ ends >> 2) & 1 != 0;
            let about = shaped(service, client, content(is_udp, 0x10), quoted);
            let mut about = about.packet();
            about.truncate(usize::from(quoted).max(20) + 8);
            let word = [0, 0, 5, code];
            let content = Content::Icmp { kind, code, word };
            let mut error = shaped(client, service, content, input.byte()?);
            error.payload = about;
            Some(error.frame())
        }
        kind::FRAGMENT => {
            let (ends, flags, shape) = (input.byte()?, input.byte()?, input.byte()?);
            // Bits 0 and 1: which piece; 2 and 3: of what size; the others: of which packet.
            let which = input.byte()?;
            let content = content(ends & 1 != 0, flags);
            let whole = shaped(client(ends >> 4), address_of(ends), content, shape).frame();
            let size = pick(&[8, 24, 64, 600], which >> 2 & 3);
            let pieces = fragments(&whole, u16::from(which >> 4), size);
            let piece = usize::from(which & 3).min(pieces.len() - 1);
            pieces.into_iter().nth(piece)
        }
        kind => {
            let (ends, flags, shape) = (input.byte()?, input.byte()?, input.byte()?);
            let content = content(kind == kind::UDP, flags);
            // Bit 2: to a port that is no service's, unless the other protocol has it.
            let mut service = address_of(ends);
            service.set_port(service.port() + u16::from(ends >> 2 & 1));
            Some(shaped(client(ends >> 4), service, content, shape).frame())
        }
    }
}

fn content(is_udp: bool, flags: u8) -> Content {
    match is_udp {
        true => Content::Udp {
            checksum: flags & 1 != 0,
        },
        false => Content::Tcp {
            flags: u16::from(flags),
            options: usize::from(flags >> 6),
        },
    }
}

/// A packet: TTL in bits 0 to 2, options in bits 3 and 4, payload in bits 5 and 6, padding in bit 7.
fn shaped(from: SocketAddrV4, to: SocketAddrV4, content: Content, shape: u8) -> Crafted {
    Crafted {
        ttl: pick(&[64, 1, 0, 2, 255, 64, 128, 32], shape & 7),
        options: pick(&[0, 1, 5, 10], shape >> 3 & 3),
        payload: vec![0x5a; pick(&[0, 1, 30, 1200], shape >> 5 & 3)],
        padding: usize::from(shape >> 7) * 6,
        ..Crafted::new(from, to, content)
    }
}

/// An advertisement: version in bit 0, checksum in bit 1, addresses in bits 2 and 3, options in bits 4 and 5,
/// whose it is in bit 6, another TTL in bit 7.
fn advert(what: u8, priority: u8) -> Vec<u8> {
    let addresses = vec![*address_of(0).ip(); usize::from(what >> 2 & 3)];
    let router = ROUTER + (what >> 6 & 1);
    let mut advert = Advert::new(2 + (what & 1), router, &addresses);
    advert.priority = priority;
    if what & 2 != 0 {
        advert.covers = Covers::Message;
    }
    advert.options = usize::from(what >> 4 & 3) * 4;
    advert.ttl -= what >> 7;
    advert.frame()
}

/// Damages the frame: as many bytes as bits 0 and 1 say are changed, bit 2 cuts it, bit 3 mends the IP checksum.
pub(super) fn damage(frame: &mut Vec<u8>, how: u8, input: &mut Input<'_>) -> Option<()> {
    for _ in 0..how & 3 {
        let (at, with) = (usize::from(input.byte()?), input.byte()?);
        if let Some(byte) = frame.get_mut(at) {
            *byte ^= with;
        }
    }
    if how & 4 != 0 {
        frame.truncate(usize::from(input.word()?));
    }
    if how & 8 != 0 {
        mend(frame);
    }
    Some(())
}

fn mend(frame: &mut [u8]) {
    let Some((_, ip)) = frame.split_at_checked(14) else {
        return;
    };
    if let Ok((header, _)) = etherparse::Ipv4Header::from_slice(ip) {
        let sum = header.calc_header_checksum().to_be_bytes();
        frame[24..26].copy_from_slice(&sum);
    }
}
