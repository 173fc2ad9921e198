//! ICMP for virtual addresses: errors follow the flow that they quote to its real server, without which
//! direct routing would know no path MTU (RFC 1191); echo requests pass to the stack while this director
//! holds the address.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{DropReason, FlowKey, Link, ServiceKey, Word, low};
use evenkeel_wire::{eth, icmp, ipv4};

use crate::bucket;
use crate::established;
use crate::half_open::bucket_of;
use crate::hash::flow_hash;
use crate::lookup::{self, Found};
use crate::process::{Ip, dropped, forward};
use crate::scheduler::by_hash;
use crate::transport::is_balanced;
use crate::{Frame, Tables, Verdict, gate};

/// Decides what becomes of an ICMP message that was sent to us.
#[inline(always)]
pub(crate) fn icmp<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    link: &Link,
    ip: &Ip,
) -> Verdict {
    if gate::is_closed(tables, ip.destination) {
        return Verdict::Pass;
    }
    if ip.fragment != 0 {
        return dropped(tables, DropReason::Fragment);
    }
    // Two bytes: of a comparison for one, the verifier does not see that it is there.
    let Some([kind, _code]) = frame.load(eth::LEN + ip.header_len) else {
        return dropped(tables, DropReason::Malformed);
    };
    if kind == icmp::ECHO_REQUEST {
        return match gate::is_silent_for(tables, ip.destination) {
            true => dropped(tables, DropReason::GateDraining),
            false => Verdict::Pass,
        };
    }
    if kind != icmp::UNREACHABLE && kind != icmp::TIME_EXCEEDED && kind != icmp::PARAMETER_PROBLEM {
        return Verdict::Pass;
    }
    match follow(frame, tables, link, ip) {
        Ok(verdict) => verdict,
        Err(reason) => dropped(tables, reason),
    }
}

/// Sends an error to the real server whose packet it quotes; it passes if that is no service's.
#[inline(always)]
fn follow<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    link: &Link,
    ip: &Ip,
) -> Result<Verdict, DropReason> {
    let (protocol, ports) = quoted(frame, ip)?;
    if is_balanced(protocol) == 0 {
        return Ok(Verdict::Pass);
    }
    // The packet went from the service to the client.
    let [service_high, service_low, client_high, client_low] = ports.ports;
    let port = u16::from_ne_bytes([service_high, service_low]);
    let key = ServiceKey::new(ip.destination, port, protocol);
    let Some(Found { number, .. }) = lookup::find(tables, key) else {
        return Ok(Verdict::Pass);
    };
    let ports_of_flow = u32::from_ne_bytes([client_high, client_low, service_high, service_low]);
    let flow = FlowKey::new(ports.client, ip.destination, ports_of_flow, protocol);
    let server = tables
        .server_of_flow(number, &flow)
        .ok_or(DropReason::NoServer)?;
    let verdict = forward(frame, tables, link, server, ip)?;
    tables.count(number, server, ip.total_len as u64, false);
    Ok(verdict)
}

/// Whom the quoted packet went to, and its ports.
struct Quoted {
    client: u32,
    ports: [u8; 4],
}

/// Reads the packet that an error quotes: its protocol, and the rest.
#[inline(always)]
fn quoted<F: Frame>(frame: &F, ip: &Ip) -> Result<(u8, Quoted), DropReason> {
    let at = eth::LEN + ip.header_len + icmp::LEN;
    let end = eth::LEN + ip.total_len;
    let read = |bytes: Option<[u8; ipv4::MIN_LEN]>| bytes.ok_or(DropReason::Malformed);
    let h = read(frame.load(at))?;
    let header_len = (h[ipv4::VERSION_IHL] & 0x0f) as usize * 4;
    // Before the lengths are compared: LLVM would leave the check against the packet's end to them, and the
    // verifier does not see that.
    let ports = frame.load(at + header_len).ok_or(DropReason::Malformed)?;
    let source = u32::from_ne_bytes([h[12], h[13], h[14], h[15]]);
    let is_ours = h[ipv4::VERSION_IHL] >> 4 == 4
        && header_len >= ipv4::MIN_LEN
        && source == ip.destination
        && at + header_len + 4 <= end
        && end <= frame.len();
    if !is_ours {
        return Err(DropReason::Malformed);
    }
    let fragment = u16::from_be_bytes([h[ipv4::FRAGMENT], h[ipv4::FRAGMENT + 1]]);
    // One that does not begin its packet has no ports.
    if fragment & ipv4::OFFSET_BITS != 0 {
        return Err(DropReason::Fragment);
    }
    let quoted = Quoted {
        client: u32::from_ne_bytes([h[16], h[17], h[18], h[19]]),
        ports,
    };
    Ok((h[ipv4::PROTOCOL], quoted))
}

/// The real server of a flow, without a trace of the question: from its entry, else by the consistent hash.
///
/// `None`: there is none.
#[must_use]
#[inline(always)]
pub fn server_of_flow<T: Tables + ?Sized>(tables: &T, service: u32, key: &FlowKey) -> Option<u32> {
    let now = tables.now();
    let globals = tables.globals()?;
    if let Some((word, _)) = entry_of(tables, key)
        && word.expiry() > now
    {
        return Some(word.server());
    }
    let slot = tables.service(service)?;
    let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
    by_hash(tables, globals, service, &service.hash_all, key).ok()
}

/// The word of a flow's entry, expired or not, and whether it is a half-open one; no trace of the question stays.
#[must_use]
#[inline(always)]
pub fn entry_of<T: Tables + ?Sized>(tables: &T, key: &FlowKey) -> Option<(Word, bool)> {
    let globals = tables.globals()?;
    let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
    if let Some(place) = established::find(tables, globals, key, hash) {
        return Some((place.way.word, false));
    }
    let way = bucket::find(bucket_of(tables, globals, hash)?, key)?;
    Some((way.word, true))
}
