//! Inputs of wide worlds.

use super::super::frames::form;
use super::super::kind;
use super::super::wide::{MORE, change};
use super::super::world::{SERVICES, WIDE};
use super::{ACK, FIN, RST, SYN};

/// Places of targets in the list of [`super::super::frames`]: TCP's with a service, UDP's and SCTP's.
const TCP: [u8; 8] = [0, 2, 4, 9, 10, 15, 18, 19];
const UDP: [u8; 6] = [1, 3, 5, 6, 11, 14];
const SCTP: [u8; 4] = [7, 8, 13, 16];

/// Beside a form: the frame has a tag.
const TAGGED: u8 = 1 << 3;

fn begin(sizes: u8, schedulers: [u8; 2]) -> Vec<u8> {
    let mut out = vec![sizes | WIDE];
    let services = usize::from(SERVICES + MORE);
    out.extend(schedulers.iter().cycle().take(services));
    out
}

/// A frame: for whom, from whom, flags, form, and what that takes.
fn frame(target: u8, client: u8, flags: u8, form: u8, takes: &[u8]) -> Vec<u8> {
    let shape = if target & 1 == 0 { 0x40 } else { 0 };
    let mut out = vec![kind::FRAME, target, client, flags, shape, form];
    out.extend(takes);
    out
}

fn whole(target: u8, client: u8, flags: u8) -> Vec<u8> {
    frame(target, client, flags, form::WHOLE, &[])
}

fn changed(kind: u8, service: u8, what: u8) -> [u8; 4] {
    [kind::CHANGE, kind, service, what]
}

/// For every service, the same.
fn all(kind: u8, what: u8) -> Vec<u8> {
    let services = 0..SERVICES + MORE;
    services
        .flat_map(|service| changed(kind, service, what))
        .collect()
}

/// A flow of every protocol and family to every kind of service, from its beginning to its end; SCTP's flags are places
/// in the list of chunks.
fn flows(client: u8) -> Vec<u8> {
    let mut out = Vec::new();
    for flags in [SYN, ACK, ACK, FIN | ACK] {
        out.extend(TCP.iter().flat_map(|target| whole(*target, client, flags)));
    }
    for _ in 0..2 {
        out.extend(UDP.iter().flat_map(|target| whole(*target, client, 0)));
        out.extend([kind::TICKS, 0, 70]);
    }
    for chunks in [0, 0x11, 2, 0x31, 3, 4] {
        out.extend(
            SCTP.iter()
                .flat_map(|target| whole(*target, client, chunks)),
        );
    }
    out
}

/// Flows of some clients, while servers and services come and go.
fn story(sizes: u8, schedulers: [u8; 2]) -> Vec<u8> {
    let mut out = begin(sizes, schedulers);
    out.extend(flows(0));
    out.extend(flows(0x11));
    // The second server is quiesced, the first goes, the director serves too.
    out.extend(all(change::SERVER, 1 << 2 | 1));
    out.extend(flows(2));
    out.extend(all(change::SERVER, 2 << 2));
    out.extend(all(change::SERVER, 7 << 2 | 3));
    out.extend(flows(0x11));
    out.extend([kind::SECONDS, 0, 130]);
    out.extend(flows(0));
    out.extend([kind::SECONDS, 4, 0, kind::SWEEP]);
    out
}

/// Servers that go, whose flows are kept, reset or dropped.
fn removals() -> Vec<u8> {
    let mut out = begin(3, [0, 3]);
    for policy in [0, 1, 2] {
        out.extend(all(change::REMOVAL, policy));
        for client in 0..4 {
            out.extend(TCP.iter().flat_map(|to| whole(*to, client, SYN)));
            out.extend(TCP.iter().flat_map(|to| whole(*to, client, ACK)));
        }
        out.extend(all(change::SERVER, 2 << 2));
        for client in 0..5 {
            out.extend(TCP.iter().flat_map(|to| whole(*to, client, ACK)));
            out.extend(TCP.iter().flat_map(|to| whole(*to, client, SYN)));
        }
        out.extend(all(change::SERVER, 0));
        out.extend([kind::SECONDS, 4, 0, kind::SWEEP]);
    }
    for service in [4, 9, 10, 11] {
        out.extend(changed(change::REMOVE, service, 0));
        out.extend(flows(1));
        out.extend(changed(change::GROUP, service, 1));
        out.extend(flows(1));
        out.extend(changed(change::GROUP, service, 0));
        out.extend(changed(change::PUT, service, 0));
    }
    out.extend([kind::SECONDS, 4, 0, kind::SWEEP]);
    out.extend(TCP.iter().flat_map(|to| whole(*to, 5, SYN)));
    out.extend(TCP.iter().flat_map(|to| whole(*to, 6, SYN)));
    out.extend(all(change::SERVER, 2 << 2 | 1));
    out.extend(TCP.iter().flat_map(|to| whole(*to, 5, ACK)));
    out.extend(TCP.iter().flat_map(|to| whole(*to, 6, ACK)));
    out
}

/// Clients under several masks and prefixes, and templates that run out or name servers that have gone.
fn persistence(schedulers: [u8; 2]) -> Vec<u8> {
    let mut out = begin(3, schedulers);
    for prefix in 0..4 {
        out.extend(all(change::PERSISTENCE, prefix | 2 << 3));
        for client in [0x00, 0x11, 0x21, 0x32, 0x43, 0x50, 0x60, 0x01] {
            out.extend(TCP.iter().flat_map(|to| whole(*to, client, SYN)));
            out.extend(UDP.iter().flat_map(|to| whole(*to, client, 0)));
        }
        out.extend(all(change::SERVER, 2 << 2 | prefix & 1));
        out.extend(flows(0x13));
        out.extend([kind::SECONDS, 0, 61]);
        out.extend([kind::SECONDS, 4, 0, kind::SWEEP]);
        out.extend(flows(0x12));
    }
    out
}

/// New flows of clients whose templates name servers that are there, quiesced, and kept.
fn templates() -> Vec<u8> {
    let mut out = begin(11, [0, 3]);
    out.extend(all(change::REMOVAL, 2));
    out.extend(all(change::PERSISTENCE, 1 | 2 << 3));
    for client in [0x00, 0x21, 0x50] {
        out.extend(TCP.iter().flat_map(|to| whole(*to, client, SYN)));
    }
    out.extend(TCP.iter().flat_map(|to| whole(*to, 0x01, SYN)));
    out.extend(all(change::SERVER, 1 << 2));
    out.extend([kind::SECONDS, 0, 62, kind::SWEEP]);
    out.extend(TCP.iter().flat_map(|to| whole(*to, 0x02, SYN)));
    for place in [1, 2] {
        out.extend(all(change::SERVER, 2 << 2 | place));
        out.extend(TCP.iter().flat_map(|to| whole(*to, 0x03 + place, SYN)));
    }
    out
}

/// Thresholds that are reached, and fallen below again.
fn thresholds(schedulers: [u8; 2]) -> Vec<u8> {
    let mut out = begin(11, schedulers);
    out.extend(all(change::FLAGS, 0b1110));
    out.extend(all(change::THRESHOLDS, (2 | 2 << 3) << 2));
    out.extend(all(change::THRESHOLDS, 4 << 2 | 1));
    for client in 0..12 {
        out.extend(TCP.iter().flat_map(|to| whole(*to, client, SYN)));
        out.extend(SCTP.iter().flat_map(|to| whole(*to, client, 0)));
    }
    out.extend(all(change::THRESHOLDS, 0));
    out.extend(flows(0));
    out.extend(all(change::THRESHOLDS, 2 << 2));
    out.extend([kind::SECONDS, 4, 0, kind::SWEEP]);
    for client in 0..9 {
        out.extend(TCP.iter().flat_map(|to| whole(*to, client, SYN)));
    }
    out
}

/// Datagrams that are scheduled one by one, in pieces too.
fn single_packets() -> Vec<u8> {
    let mut out = begin(3, [0, 1]);
    out.extend(all(change::FLAGS, 1));
    for _ in 0..3 {
        out.extend(UDP.iter().flat_map(|to| whole(*to, 0, 0)));
    }
    for number in 0..3 {
        for target in UDP {
            let piece = |piece: u8| frame(target, 0, 0, form::PIECE, &[number << 4 | 4 | piece]);
            out.extend((0..3).flat_map(piece));
        }
    }
    out.extend(TCP.iter().flat_map(|to| whole(*to, 0, SYN)));
    out
}

/// Pieces of packets of all protocols, in order and not, behind extension headers too.
fn pieces() -> Vec<u8> {
    let mut out = begin(3, [0, 0]);
    for target in TCP.into_iter().chain(UDP).chain(SCTP) {
        for which in [0x09, 0x08, 0x09, 0x0a, 0x18, 0x29] {
            out.extend(frame(target, 1, SYN, form::PIECE, &[which]));
        }
        out.extend(frame(target, 1, ACK, form::PIECE_BEHIND, &[0x38, 1, 0]));
        out.extend(frame(target, 1, ACK, form::PIECE_BEHIND, &[0x39, 1, 2]));
    }
    out.extend([kind::SECONDS, 0, 31]);
    out.extend(frame(5, 1, 0, form::PIECE, &[0x09]));
    out
}

/// Errors about flows of both families, that quote much and little.
fn errors() -> Vec<u8> {
    let mut out = begin(3, [0, 3]);
    for target in TCP.into_iter().chain(UDP).chain(SCTP) {
        out.extend(whole(target, 1, SYN));
        for (kind, quoted) in [(0, 28), (1, 60), (2, 4), (3, 255), (6, 60), (0, 24)] {
            out.extend(frame(target, 1, ACK, form::ERROR, &[kind, quoted]));
        }
        for header in [0, 1, 2, 3, 4] {
            out.extend(frame(
                target,
                1,
                ACK,
                form::ERROR_BEHIND,
                &[1, header, 0, 90],
            ));
        }
        out.extend(frame(target, 1, 0, form::ECHO, &[]));
    }
    out
}

/// Extension headers of all kinds, of several, of too many and too long ones.
fn headers() -> Vec<u8> {
    let mut out = begin(3, [0, 0]);
    for target in [0, 4, 5, 8, 14, 15] {
        for header in 0..8 {
            out.extend(frame(target, 1, SYN, form::BEHIND, &[1, header]));
            out.extend(frame(target, 1, ACK, form::BEHIND, &[2, 0, header]));
        }
        for lengths in [[0; 9], [24; 9], [40; 9], [34; 9]] {
            for count in [3, 7, 8, 9] {
                let takes = [&[count], &lengths[..usize::from(count)]].concat();
                out.extend(frame(target, 1, SYN, form::BEHIND, &takes));
            }
        }
    }
    out
}

/// Tags, servers behind other interfaces and VLANs, and packets that come in by another interface.
fn ways() -> Vec<u8> {
    let mut out = begin(0x43, [0, 0]);
    for way in 0..6 {
        for place in 0..3 {
            out.extend(all(change::WAY, way << 2 | place));
        }
        for target in [0, 1, 4, 5, 7, 8, 10, 15] {
            for tag in [0, TAGGED, 2 * TAGGED, 3 * TAGGED] {
                out.extend(frame(target, way, SYN, form::WHOLE | tag, &[]));
                out.extend(frame(target, way, ACK, form::ERROR | tag, &[0, 48]));
            }
        }
        out.extend(changed(change::INGRESS, 0, 0));
    }
    out
}

/// Gates, roles, questions and advertisements of both families.
fn gates() -> Vec<u8> {
    let mut out = begin(3, [0, 0]);
    for state in [1, 2, 0, 4] {
        out.extend(all(change::GATES, state | 8));
        for target in [0, 4, 9, 10, 14, 15] {
            out.extend(frame(target, 1, 0, form::ASKED, &[]));
            out.extend(whole(target, 1, SYN));
            out.extend(frame(target, 1, 0, form::ECHO, &[]));
            out.extend(frame(target, 1, 0, form::PIECE, &[9]));
        }
    }
    for router in 0..3 {
        out.extend(changed(change::ROUTER, router, 3));
    }
    for _ in 0..2 {
        out.extend([kind::ADVERT, 5, 100]);
        // Two addresses, to which a shape's bits 1 to 3 come; other versions, hop limits and routers.
        for (flags, shape) in [(1, 4), (3, 4), (5, 4), (1, 5), (1, 0)] {
            out.extend([kind::FRAME, 4, 0, flags, shape, form::ASKED]);
        }
        for target in [0, 4, 14] {
            out.extend(frame(target, 1, 0, form::ASKED, &[]));
            out.extend(frame(target, 1, 0, form::ECHO, &[]));
        }
        out.extend([kind::SECONDS, 0, 2]);
    }
    out
}

/// What is answered: errors and resets of both families, with and without tags.
fn answers() -> Vec<u8> {
    let mut out = begin(3, [0, 3]);
    out.extend(all(change::REMOVAL, 1));
    for target in TCP.into_iter().chain(UDP).chain(SCTP) {
        for client in [0, 1, 12, 13, 14, 15] {
            out.extend([kind::FRAME, target, client, SYN, 0x21, form::WHOLE | TAGGED]);
        }
        out.extend(whole(target, 0, SYN));
        out.extend(whole(target, 0, ACK));
    }
    for place in 0..3 {
        out.extend(all(change::SERVER, 2 << 2 | place));
    }
    for target in TCP.into_iter().chain(UDP).chain(SCTP) {
        out.extend(whole(target, 0, ACK));
        out.extend(frame(target, 0, ACK, form::BEHIND, &[2, 0, 1]));
        out.extend(whole(target, 0, RST | ACK));
        out.extend(whole(target, 7, SYN));
        out.extend(frame(target, 8, SYN, form::BEHIND | TAGGED, &[2, 0, 1]));
    }
    out
}

/// Inputs that reach far.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        removals(),
        persistence([0, 3]),
        persistence([14, 2]),
        templates(),
        thresholds([0, 13]),
        thresholds([10, 11]),
        single_packets(),
        pieces(),
        errors(),
        headers(),
        ways(),
        gates(),
        answers(),
    ];
    for first in (1..15).step_by(2) {
        // With tables for few flows and for many.
        let sizes = if first & 2 == 0 { 1 } else { 11 };
        seeds.push(story(sizes, [first, first + 1]));
    }
    seeds
}
