//! A packet's way through the data plane.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{
    DropReason, FlowKey, GateState, Link, Server, ServerFlags, Service, ServiceFlags, ServiceKey,
};
use evenkeel_wire::{eth, ipv4, vrrp};

use crate::answer::answer;
use crate::branchless::is_zero;
use crate::egress::send;
use crate::lookup::{self, Found};
use crate::schedule::{Choice, choose};
use crate::transport::{self, is_balanced};
use crate::{Frame, Tables, Verdict, advert, fragment, gate, icmp};

/// Decides what becomes of a frame, and rewrites it if it is to be transmitted.
#[inline(always)]
pub fn process<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Verdict {
    let Some(head) = frame.load::<{ eth::LEN }>(0) else {
        return Verdict::Pass;
    };
    // Without a branch, for the verifier would follow all that comes after it twice.
    let kind = u16::from_be_bytes([head[eth::ETHERTYPE], head[eth::ETHERTYPE + 1]]);
    frame.skip_tag(is_zero(u64::from(kind ^ u16::from_be_bytes(eth::VLAN))));
    let Some(kind) = frame.load::<2>(eth::ETHERTYPE) else {
        return Verdict::Pass;
    };
    if kind != eth::ARP && kind != eth::IPV4 {
        return Verdict::Pass;
    }
    let Some(link) = tables.link(tables.ingress()) else {
        return Verdict::Pass;
    };
    // Flooded frames are seen too, on veth and by promiscuous interfaces: they are another's.
    let mac = Server::pack_mac([head[0], head[1], head[2], head[3], head[4], head[5]], 0);
    let is_ours = mac == link.mac.load(Relaxed);
    if kind == eth::ARP {
        return gate::arp(frame, tables, is_ours || head[0] & 1 != 0);
    }
    if !is_ours && mac != Server::pack_mac(vrrp::GROUP_MAC, 0) {
        return Verdict::Pass;
    }
    ipv4(frame, tables, link, is_ours)
}

#[inline(always)]
pub(crate) fn dropped<T: Tables>(tables: &T, reason: DropReason) -> Verdict {
    tables.count_drop(reason);
    Verdict::Drop(reason)
}

/// What an IPv4 header says, as far as the data plane is concerned.
#[derive(Clone, Copy)]
pub(crate) struct Ip {
    pub(crate) header_len: usize,
    pub(crate) total_len: usize,
    /// 1 if it is a fragment, else 0: made without a branch, for the verifier would follow all that comes after it twice.
    pub(crate) fragment: u64,
    pub(crate) identification: u16,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) source: u32,
    pub(crate) destination: u32,
}

impl Ip {
    /// What a header says, of which this is the word with the fragment's offset.
    #[inline(always)]
    fn read(h: &[u8; ipv4::MIN_LEN], fragment: u16) -> Self {
        Self {
            header_len: (h[ipv4::VERSION_IHL] & 0x0f) as usize * 4,
            total_len: u16::from_be_bytes([h[ipv4::TOTAL_LENGTH], h[ipv4::TOTAL_LENGTH + 1]])
                as usize,
            fragment: 1 ^ is_zero((fragment & ipv4::FRAGMENT_BITS).into()),
            identification: u16::from_ne_bytes([h[4], h[5]]),
            ttl: h[ipv4::TTL],
            protocol: h[ipv4::PROTOCOL],
            source: u32::from_ne_bytes([h[12], h[13], h[14], h[15]]),
            destination: u32::from_ne_bytes([h[16], h[17], h[18], h[19]]),
        }
    }
}

#[inline(always)]
fn ipv4<F: Frame, T: Tables>(frame: &mut F, tables: &T, link: &Link, is_ours: bool) -> Verdict {
    let Some(h) = frame.load::<{ ipv4::MIN_LEN }>(eth::LEN) else {
        return Verdict::Pass;
    };
    let fragment = u16::from_be_bytes([h[ipv4::FRAGMENT], h[ipv4::FRAGMENT + 1]]);
    let ip = Ip::read(&h, fragment);
    if h[ipv4::VERSION_IHL] >> 4 != 4 || ip.header_len < ipv4::MIN_LEN {
        return Verdict::Pass;
    }
    if ip.protocol == ipv4::VRRP {
        advert::hear(frame, tables, link, &ip);
        return Verdict::Pass;
    }
    if !is_ours {
        return Verdict::Pass;
    }
    if ip.protocol == ipv4::ICMP {
        return icmp::icmp(frame, tables, link, &ip);
    }
    if is_balanced(ip.protocol) == 0 {
        return Verdict::Pass;
    }
    if fragment & ipv4::OFFSET_BITS != 0 {
        return fragment::follow(frame, tables, link, &ip);
    }
    let Some(ports) = frame.load::<4>(eth::LEN + ip.header_len) else {
        return for_an_address(tables, ip.destination, DropReason::Malformed);
    };
    let port = u16::from_ne_bytes([ports[2], ports[3]]);
    let key = ServiceKey::new(ip.destination, port, ip.protocol);
    let Some(found) = lookup::find(tables, key) else {
        if ip.fragment != 0 {
            return for_an_address(tables, ip.destination, DropReason::Fragment);
        }
        return Verdict::Pass;
    };
    let Found { number, slot, .. } = found;
    let gate = tables
        .gate(found.gate)
        .map_or(GateState::CLOSED, |g| g.state.load(Acquire));
    if gate == GateState::CLOSED {
        return Verdict::Pass;
    }
    let by_address = ip.fragment * ServiceFlags::FRAGMENTS_BY_ADDRESS;
    if found.service.flags.load(Relaxed) & by_address != 0 {
        return match transport::read(frame, &ip) {
            Some(_) => fragment::send(frame, tables, link, &ip, true),
            None => dropped(tables, DropReason::Malformed),
        };
    }
    let ports = u32::from_ne_bytes(ports);
    // Not a question of `ip.fragment` itself: what the verifier learned of that it would follow to the end.
    if ip.fragment.wrapping_mul(slot.used.load(Relaxed)) != 0 {
        tables.note_fragment(&ip.fragment_key(), number, ports);
    }
    let key = FlowKey::new(ip.source, ip.destination, ports, ip.protocol);
    match balance(frame, tables, link, (number, found.service), &ip, &key) {
        Ok((choice, verdict)) => {
            tables.count(number, choice.server, ip.total_len as u64, choice.new_flow);
            verdict
        }
        Err(reason) => refuse(frame, tables, link, &ip, reason),
    }
}

/// Drops a packet of a service, and tells its sender where that is due.
#[inline(always)]
fn refuse<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    link: &Link,
    ip: &Ip,
    reason: DropReason,
) -> Verdict {
    tables.count_drop(reason);
    let answered = if matches!(reason, DropReason::ServerGoneReset) {
        frame.reset(link.mac.load(Relaxed), ip.header_len)
    } else {
        answer(frame, tables, reason, ip.header_len)
    };
    match answered {
        Some(()) => Verdict::Transmit,
        None => Verdict::Drop(reason),
    }
}

/// A packet that can't be told to be a service's, but must not reach the stack if its address is virtual.
#[inline(always)]
fn for_an_address<T: Tables>(tables: &T, address: u32, reason: DropReason) -> Verdict {
    if gate::is_closed(tables, address) {
        Verdict::Pass
    } else {
        dropped(tables, reason)
    }
}

/// Checks the transport header, chooses the server and makes the packet ready for it.
#[inline(always)]
fn balance<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    link: &Link,
    service: (u32, &Service),
    ip: &Ip,
    key: &FlowKey,
) -> Result<(Choice, Verdict), DropReason> {
    let transport = transport::read(frame, ip).ok_or(DropReason::Malformed)?;
    let choice = choose(tables, service, key, transport)?;
    let verdict = forward(frame, tables, link, choice.server, ip)?;
    Ok((choice, verdict))
}

/// Sends the packet to its server: up to the stack as it is, or to the server's MAC address with the TTL
/// decremented.
#[inline(always)]
pub(crate) fn forward<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    link: &Link,
    server: u32,
    ip: &Ip,
) -> Result<Verdict, DropReason> {
    let server = tables.server(server).ok_or(DropReason::ServerGone)?;
    let mac = server.mac.load(Acquire);
    let flags = Server::unpack_flags(mac);
    if flags & ServerFlags::PRESENT == 0 {
        return Err(DropReason::ServerGone);
    }
    if flags & ServerFlags::LOCAL != 0 {
        return Ok(Verdict::Pass);
    }
    // Not before, for a local server doesn't mind; IPVS too decrements only what it sends on.
    if ip.ttl <= 1 {
        return Err(DropReason::TtlExceeded);
    }
    send(frame, tables, link, server, ip)
}
