//! Inputs to begin with.

use super::kind;
use super::world::{SERVICES, address_of};
use crate::packet::flags::{ACK, FIN, RST, SYN};
use crate::packet::{Datagram, IcmpError, Segment, arp_request};

mod wide;

/// Beside a frame's kind: a byte of it is changed.
const CHANGED: u8 = 0x10;
/// Beside a frame's kind: it is cut.
const CUT: u8 = 0x40;

/// The beginning of an input: these sizes, and services that all have this scheduler.
fn begin(sizes: u8, scheduler: u8) -> Vec<u8> {
    let mut out = vec![sizes];
    out.extend([scheduler; SERVICES as usize]);
    out
}

/// A client's connection from SYN to FIN.
fn connection(ends: u8, shape: u8) -> Vec<u8> {
    let flags = [SYN, ACK, ACK | 8, FIN | ACK, ACK];
    flags
        .iter()
        .flat_map(|flags| [kind::TCP, ends, *flags, shape])
        .collect()
}

/// Datagrams of a client, the last a while after the first.
fn datagrams(ends: u8) -> Vec<u8> {
    let datagram = [kind::UDP, ends | 1, 1, 0x20];
    let later = [kind::TICKS, 0, 70];
    [datagram, datagram]
        .concat()
        .into_iter()
        .chain(later)
        .chain(datagram)
        .collect()
}

fn raw(frame: &[u8]) -> Vec<u8> {
    let len = u16::try_from(frame.len()).expect("a frame of a packet");
    let mut out = vec![kind::RAW];
    out.extend(len.to_be_bytes());
    out.extend(frame);
    out
}

/// All that happens to a service, with a scheduler and sizes of the tables.
fn story(sizes: u8, scheduler: u8) -> Vec<u8> {
    let mut out = begin(sizes, scheduler);
    for client in 0..6 {
        out.extend(connection(client << 4, 0));
        out.extend(datagrams(client << 4));
        out.extend([kind::ERROR, client << 4, 3, 4, 40, 0]);
    }
    // The second server is quiesced, the first leaves, the director itself serves too, others get weights.
    out.extend([kind::SERVER, 4, 0, kind::SERVER, 5, 0]);
    for client in 6..9 {
        out.extend([
            kind::TCP,
            client << 4,
            SYN,
            0,
            kind::TCP,
            client << 4,
            ACK,
            0,
        ]);
    }
    out.extend([
        kind::SERVER,
        0,
        255,
        kind::SERVER,
        12,
        3,
        kind::SERVER,
        9,
        5,
    ]);
    for client in 0..9 {
        out.extend([
            kind::TCP,
            client << 4,
            ACK,
            0,
            kind::UDP,
            client << 4 | 1,
            0,
            0,
        ]);
    }
    out.extend([kind::SECONDS, 0, 130]);
    out.extend(connection(0, 0));
    out.extend([kind::SECONDS, 4, 0, kind::SWEEP]);
    out.extend(connection(0x10, 0x28));
    out
}

/// Gates, roles, ARP, advertisements and hints.
fn gates() -> Vec<u8> {
    let mut out = begin(3, 0);
    for service in 0..SERVICES {
        out.extend([kind::HINT, service | (service + 1) << 2]);
    }
    out.extend(connection(0, 0));
    for gate in [2, 4, 0, 8] {
        out.extend([kind::GATE, gate, kind::ARP, 0]);
        out.extend([kind::TCP, 0x10, SYN, 0, kind::UDP, 0x11, 0, 0]);
        out.extend([kind::ERROR, 0x10, 8, 0, 0, 0]);
        out.extend([kind::ERROR, 0x10, 3, 4, 0, 0]);
    }
    out.extend([kind::ROUTER, 3, kind::ADVERT, 5, 100, kind::ARP, 0]);
    out.extend([kind::SECONDS, 0, 2, kind::ADVERT, 5, 100, kind::ARP, 0]);
    out.extend([kind::HINT, 8]);
    out.extend(connection(0x20, 0));
    out
}

/// What is answered, and what is not.
fn answers() -> Vec<u8> {
    let mut out = begin(3, 0);
    for client in [0, 1, 12, 13, 14, 15] {
        for options in 0..4 {
            out.extend([kind::TCP, client << 4, SYN, options << 3 | 1]);
            out.extend([kind::UDP, client << 4 | 1, 1, options << 3 | 2]);
        }
    }
    for which in [0, 4, 8, 1, 5, 9] {
        out.extend([kind::SERVER, which, 255]);
    }
    for client in 0..16 {
        out.extend([kind::TCP, client << 4, SYN, 0x20]);
        out.extend([kind::UDP, client << 4 | 1, 1, 0x48]);
    }
    out
}

/// Frames with damage, and frames as they are.
fn damaged() -> Vec<u8> {
    let mut out = begin(2, 3);
    for at in [12, 14, 16, 20, 21, 22, 23, 26, 30, 36, 46, 47] {
        out.extend([kind::TCP | CHANGED, 0, SYN, 0, at, 1]);
        out.extend([kind::UDP | CHANGED, 1, 1, 0, at, 0x10]);
        out.extend([kind::ERROR | CHANGED, 0, 3, 4, 32, 0, at + 28, 1]);
    }
    for len in (0..60).step_by(7) {
        out.extend([kind::TCP | CUT, 0, SYN, 0, 0, len]);
    }
    out
}

/// Datagrams and segments in pieces, in order and not; of services that have a flow for them and not.
fn pieces() -> Vec<u8> {
    let mut out = begin(3, 0);
    for ends in [0x00, 0x01, 0x11, 0x13] {
        for which in [0x09, 0x08, 0x09, 0x0a, 0x18, 0x29] {
            out.extend([kind::FRAGMENT, ends, ACK, 0x60, which]);
        }
    }
    for identification in 0..16 {
        out.extend([kind::FRAGMENT, 0x11, ACK, 0x60, identification << 4 | 8]);
    }
    out.extend([kind::SECONDS, 0, 31, kind::FRAGMENT, 0x01, ACK, 0x60, 0x09]);
    out
}

/// Inputs that reach far.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![gates(), answers(), damaged(), pieces()];
    for scheduler in 0..15 {
        // With tables for few flows and for many.
        seeds.push(story(if scheduler & 1 == 0 { 0 } else { 11 }, scheduler));
    }
    // Servers behind other interfaces.
    seeds.push(story(0x43, 0));
    // More clients than there is room for.
    let mut flood = begin(0, 1);
    for client in 0..16 {
        flood.extend([
            kind::TCP,
            client << 4,
            SYN,
            0,
            kind::UDP,
            client << 4 | 1,
            0,
            0,
        ]);
    }
    flood.extend([
        kind::SECONDS,
        0,
        4,
        kind::TCP,
        0,
        SYN,
        0,
        kind::TCP,
        0,
        RST,
        0,
    ]);
    seeds.push(flood);
    let mut frames = begin(3, 2);
    let (tcp, udp) = (address_of(0), address_of(1));
    let client = super::packets::client(0);
    frames.extend(raw(&Segment::new(client, tcp, SYN).frame()));
    frames.extend(raw(&Segment::new(client, tcp, ACK).frame()));
    frames.extend(raw(&Datagram::new(client, udp).frame()));
    frames.extend(raw(&IcmpError::fragmentation_needed(client, tcp, 6).frame()));
    frames.extend(raw(
        &IcmpError::fragmentation_needed(client, udp, 17).frame()
    ));
    frames.extend(raw(&arp_request(*tcp.ip())));
    let plain = Segment::new(client, tcp, ACK).frame();
    frames.extend(raw(&[
        &plain[..12],
        &[0x81, 0x00, 0x60, 0x64],
        &plain[12..],
    ]
    .concat()));
    seeds.push(frames);
    seeds.extend(wide::seeds());
    seeds
}
