//! ICMP and ICMPv6 for virtual addresses: errors follow the flow that they quote to its real server, without which
//! direct routing would know no path MTU (RFC 1191, RFC 8201); echo requests pass to the stack while this director
//! holds the address.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{DropReason, FlowKey, ServiceKey, Word, high, low, pair};
use evenkeel_wire::{eth, icmp, icmp6, ipv4, ipv6};

use crate::bucket;
use crate::established;
use crate::half_open::bucket_of;
use crate::hash::flow_hash;
use crate::ip::{Flow, Ip, address_at, folded};
use crate::lookup::{self, Found};
use crate::process::Placed;
use crate::scheduler::by_hash;
use crate::transport::is_balanced;
use crate::{Frame, Tables, gate};

/// Whether a packet is a message of ICMP, or of ICMPv6 with IPv6.
#[inline(always)]
pub(crate) const fn is_icmp(ip: &Ip) -> bool {
    ip.protocol == if ip.is_v6 { ipv6::ICMP } else { ipv4::ICMP }
}

/// Where an ICMP message goes that was sent to us.
#[inline(always)]
pub(crate) fn place<F: Frame, T: Tables>(
    frame: &F,
    tables: &T,
    ip: &Ip,
) -> Result<Placed, DropReason> {
    let gate = ip.gate(tables);
    if gate::is_closed(tables, gate) {
        return Ok(Placed::Up);
    }
    if ip.fragment != 0 {
        return Err(DropReason::Fragment);
    }
    // Two bytes: of a comparison for one, the verifier does not see that it is there.
    let [kind, _code] = frame
        .load(eth::LEN + ip.header_len)
        .ok_or(DropReason::Malformed)?;
    let is_error = if ip.is_v6 {
        // 128 and above are no errors (RFC 4443 §2.1).
        (icmp6::UNREACHABLE..=icmp6::PARAMETER_PROBLEM).contains(&kind)
    } else {
        kind == icmp::UNREACHABLE || kind == icmp::TIME_EXCEEDED || kind == icmp::PARAMETER_PROBLEM
    };
    let echo = if ip.is_v6 {
        icmp6::ECHO_REQUEST
    } else {
        icmp::ECHO_REQUEST
    };
    if kind == echo && gate::is_silent_at(tables, gate) {
        return Err(DropReason::GateDraining);
    }
    if is_error {
        follow(frame, tables, ip)
    } else {
        Ok(Placed::Up)
    }
}

/// Places an error at the real server whose packet it quotes; it passes if that is no service's.
#[inline(always)]
fn follow<F: Frame, T: Tables>(frame: &F, tables: &T, ip: &Ip) -> Result<Placed, DropReason> {
    let quoted = if ip.is_v6 {
        quoted6(frame, tables, ip)
    } else {
        quoted4(frame, ip)
    };
    let Quoted {
        service,
        key,
        placed_by,
    } = quoted?;
    if is_balanced(key.protocol()) == 0 {
        return Ok(Placed::Up);
    }
    let Some(Found { at, .. }) = lookup::find(tables, service) else {
        return Ok(Placed::Up);
    };
    let server = tables
        .server_of_flow(at.service(), &Flow::new(key, placed_by))
        .ok_or(DropReason::NoServer)?;
    Ok(Placed::At(at.service(), server))
}

/// The flow of the packet that an error quotes.
struct Quoted {
    service: ServiceKey,
    key: FlowKey,
    /// The addresses that it is placed by.
    placed_by: u64,
}

impl Quoted {
    /// Of what the header says as the answers to the packet would have it, and of its ports; it went from the service
    /// to the client.
    #[inline(always)]
    fn new(answer: &Ip, ports: [u8; 4], placed_by: u64) -> Self {
        let [service_high, service_low, client_high, client_low] = ports;
        let ports = u32::from_ne_bytes([client_high, client_low, service_high, service_low]);
        Self {
            service: answer.service_key(u16::from_ne_bytes([service_high, service_low])),
            key: answer.key(ports),
            placed_by,
        }
    }
}

/// Reads the IPv4 packet that an error quotes.
#[inline(always)]
fn quoted4<F: Frame>(frame: &F, ip: &Ip) -> Result<Quoted, DropReason> {
    let at = eth::LEN + ip.header_len + icmp::LEN;
    let end = eth::LEN + ip.total_len;
    let read = |bytes: Option<[u8; ipv4::MIN_LEN]>| bytes.ok_or(DropReason::Malformed);
    let h = read(frame.load(at))?;
    let of = Ip::v4(&h);
    // Before the lengths are compared: LLVM would leave the check against the packet's end to them, and the
    // verifier does not see that.
    let ports = frame
        .load(at + of.header_len)
        .ok_or(DropReason::Malformed)?;
    let is_ours = h[ipv4::VERSION_IHL] >> 4 == 4
        && of.header_len >= ipv4::MIN_LEN
        && low(of.addresses) == ip.target
        && at + of.header_len + 4 <= end
        && end <= frame.len();
    if !is_ours {
        return Err(DropReason::Malformed);
    }
    // One that does not begin its packet has no ports.
    if of.follows {
        return Err(DropReason::Fragment);
    }
    let addresses = pair(high(of.addresses), low(of.addresses));
    let answer = Ip {
        addresses,
        target: ip.target,
        ..of
    };
    Ok(Quoted::new(&answer, ports, addresses))
}

/// Reads the IPv6 packet that an error quotes.
#[inline(always)]
fn quoted6<F: Frame, T: Tables>(frame: &F, tables: &T, ip: &Ip) -> Result<Quoted, DropReason> {
    let at = ip.header_len + icmp6::LEN;
    let end = eth::LEN + ip.total_len;
    let read = |bytes: Option<[u8; ipv6::SOURCE]>| bytes.ok_or(DropReason::Malformed);
    let head = read(frame.load(eth::LEN + at))?;
    let address = |offset| address_at(frame, at + offset).ok_or(DropReason::Malformed);
    let (source, client) = (address(ipv6::SOURCE)?, address(ipv6::DESTINATION)?);
    let upper = frame.skip_headers(head[ipv6::NEXT_HEADER], at + ipv6::LEN);
    let ports = frame
        .load(eth::LEN + upper.offset())
        .ok_or(DropReason::Malformed)?;
    let is_ours = head[ipv6::VERSION] >> 4 == 6
        && upper.is_whole()
        && tables.gate_of6(&source) == Some(ip.target)
        && eth::LEN + upper.offset() + 4 <= end
        && end <= frame.len();
    if !is_ours {
        return Err(DropReason::Malformed);
    }
    if upper.follows() {
        return Err(DropReason::Fragment);
    }
    let answer = Ip {
        protocol: upper.protocol(),
        addresses: tables.digest(client, source),
        ..*ip
    };
    let placed_by = pair(folded(client), folded(source));
    Ok(Quoted::new(&answer, ports, placed_by))
}

/// The real server of a flow, without a trace of the question: from its entry, else by the consistent hash.
///
/// `None`: there is none.
#[must_use]
#[inline(always)]
pub fn server_of_flow<T: Tables + ?Sized>(tables: &T, service: u32, flow: &Flow) -> Option<u32> {
    let now = tables.now();
    let globals = tables.globals()?;
    if let Some((word, _)) = entry_of(tables, &flow.key)
        && word.expiry() > now
    {
        return Some(word.server());
    }
    let slot = tables.service(service)?;
    let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
    by_hash(tables, globals, service, &service.hash_all, &flow.placing).ok()
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
