//! A packet's way through the data plane.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{
    DropReason, FlowKey, GateState, Link, Server, ServerFlags, Service, ServiceKey, ServiceSlot,
    low,
};
use evenkeel_wire::{arp, checksum, eth, ipv4, tcp};

use crate::answer::answer;
use crate::schedule::{Packet, choose};
use crate::{Frame, Tables, Verdict};

/// Decides what becomes of a frame, and rewrites it if it is to be transmitted.
#[inline(always)]
pub fn process<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Verdict {
    let Some(head) = frame.load::<{ eth::LEN }>(0) else {
        return Verdict::Pass;
    };
    let kind = [head[eth::ETHERTYPE], head[eth::ETHERTYPE + 1]];
    if kind == eth::ARP {
        return arp(frame, tables, head[0]);
    }
    if kind != eth::IPV4 {
        return Verdict::Pass;
    }
    let Some(link) = tables.link() else {
        return Verdict::Pass;
    };
    // Flooded frames are seen too, on veth and by promiscuous interfaces: they are another's.
    let mac = Server::pack_mac([head[0], head[1], head[2], head[3], head[4], head[5]], 0);
    if mac != link.mac.load(Relaxed) {
        return Verdict::Pass;
    }
    ipv4(frame, tables, link)
}

/// Drops requests for an address whose gate is draining: its next holder answers them.
#[inline(always)]
fn arp<F: Frame, T: Tables>(frame: &F, tables: &T, first: u8) -> Verdict {
    let Some(head) = frame.load::<{ arp::ETHERNET_IPV4.len() }>(eth::LEN) else {
        return Verdict::Pass;
    };
    let Some(operation) = frame.load::<2>(eth::LEN + arp::OPERATION) else {
        return Verdict::Pass;
    };
    let is_request = head == arp::ETHERNET_IPV4 && operation == arp::REQUEST;
    let is_group = first & 1 != 0;
    if !is_request || !is_group {
        return Verdict::Pass;
    }
    let Some(target) = frame.load::<4>(eth::LEN + arp::TARGET_ADDRESS) else {
        return Verdict::Pass;
    };
    match gate_state(tables, u32::from_ne_bytes(target)) {
        GateState::DRAINING => dropped(tables, DropReason::GateDraining),
        _ => Verdict::Pass,
    }
}

/// State of an address's gate; closed if it is no virtual address.
#[inline(always)]
fn gate_state<T: Tables>(tables: &T, address: u32) -> u64 {
    let Some(gate) = tables.gate_of(address) else {
        return GateState::CLOSED;
    };
    tables
        .gate(gate)
        .map_or(GateState::CLOSED, |g| g.state.load(Acquire))
}

#[inline(always)]
fn dropped<T: Tables>(tables: &T, reason: DropReason) -> Verdict {
    tables.count_drop(reason);
    Verdict::Drop(reason)
}

/// What an IPv4 header says, as far as the data plane is concerned.
#[derive(Clone, Copy)]
struct Ip {
    header_len: usize,
    total_len: usize,
    ttl: u8,
    source: u32,
    destination: u32,
}

#[inline(always)]
fn ipv4<F: Frame, T: Tables>(frame: &mut F, tables: &T, link: &Link) -> Verdict {
    let Some(h) = frame.load::<{ ipv4::MIN_LEN }>(eth::LEN) else {
        return Verdict::Pass;
    };
    let ip = Ip {
        header_len: (h[ipv4::VERSION_IHL] & 0x0f) as usize * 4,
        total_len: u16::from_be_bytes([h[ipv4::TOTAL_LENGTH], h[ipv4::TOTAL_LENGTH + 1]]) as usize,
        ttl: h[ipv4::TTL],
        source: u32::from_ne_bytes([h[12], h[13], h[14], h[15]]),
        destination: u32::from_ne_bytes([h[16], h[17], h[18], h[19]]),
    };
    if h[ipv4::VERSION_IHL] >> 4 != 4
        || ip.header_len < ipv4::MIN_LEN
        || h[ipv4::TTL + 1] != ipv4::TCP
    {
        return Verdict::Pass;
    }
    let fragment = u16::from_be_bytes([h[ipv4::FRAGMENT], h[ipv4::FRAGMENT + 1]]);
    if fragment & ipv4::FRAGMENT_BITS != 0 {
        return for_an_address(tables, ip.destination, DropReason::Fragment);
    }
    let Some(ports) = frame.load::<4>(eth::LEN + ip.header_len) else {
        return for_an_address(tables, ip.destination, DropReason::Malformed);
    };
    let port = u16::from_ne_bytes([ports[2], ports[3]]);
    let key = ServiceKey::new(ip.destination, port, ipv4::TCP);
    let Some((number, slot)) = find_service(tables, key) else {
        return Verdict::Pass;
    };
    let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
    let gate = tables
        .gate(low(service.gate.load(Relaxed)))
        .map_or(GateState::CLOSED, |g| g.state.load(Acquire));
    if gate == GateState::CLOSED {
        return Verdict::Pass;
    }
    let key = FlowKey::new(
        ip.source,
        ip.destination,
        u32::from_ne_bytes(ports),
        ipv4::TCP,
    );
    match tcp(frame, tables, service, ip, &key) {
        Ok((server, new_flow)) => {
            if rewrite(frame, tables, link, server, ip.ttl).is_none() {
                return dropped(tables, DropReason::ServerGone);
            }
            tables.count(number, server, ip.total_len as u64, new_flow);
            Verdict::Transmit
        }
        Err(reason) => {
            tables.count_drop(reason);
            match answer(frame, tables, reason, ip.header_len) {
                Some(()) => Verdict::Transmit,
                None => Verdict::Drop(reason),
            }
        }
    }
}

/// Finds a service: the hint saves the hash look-up where it is right, which its slot tells.
#[inline(always)]
fn find_service<T: Tables>(tables: &T, key: ServiceKey) -> Option<(u32, &ServiceSlot)> {
    let hint = low(tables.service_hint(key.hint())?.load(Relaxed)).wrapping_sub(1);
    if let Some(slot) = tables.service(hint)
        && slot.used.load(Acquire) != 0
        && slot.key.load(Relaxed) == key.packed()
    {
        return Some((hint, slot));
    }
    let number = tables.service_of(&key)?;
    Some((number, tables.service(number)?))
}

/// A packet that can't be told to be a service's, but must not reach the stack if its address is virtual.
#[inline(always)]
fn for_an_address<T: Tables>(tables: &T, address: u32, reason: DropReason) -> Verdict {
    match gate_state(tables, address) {
        GateState::CLOSED => Verdict::Pass,
        _ => dropped(tables, reason),
    }
}

/// Checks the TCP header and chooses the server.
#[inline(always)]
fn tcp<F: Frame, T: Tables>(
    frame: &F,
    tables: &T,
    service: &Service,
    ip: Ip,
    key: &FlowKey,
) -> Result<(u32, bool), DropReason> {
    let [offset, flags] = frame
        .load::<2>(eth::LEN + ip.header_len + tcp::OFFSET_FLAGS)
        .ok_or(DropReason::Malformed)?;
    let tcp_len = (offset >> 4) as usize * 4;
    let is_whole = tcp_len >= tcp::MIN_LEN
        && ip.header_len + tcp_len <= ip.total_len
        && eth::LEN + ip.total_len <= frame.len();
    if !is_whole {
        return Err(DropReason::Malformed);
    }
    if ip.ttl <= 1 {
        return Err(DropReason::TtlExceeded);
    }
    let choice = choose(
        tables,
        service,
        &Packet {
            key,
            flags,
            now: tables.now(),
        },
    )?;
    Ok((choice.server, choice.new_flow))
}

/// Addresses the frame to a server and decrements the TTL; `None` if the server is not there.
#[inline(always)]
fn rewrite<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    link: &Link,
    server: u32,
    ttl: u8,
) -> Option<()> {
    let mac = tables.server(server)?.mac.load(Acquire);
    if Server::unpack_flags(mac) & ServerFlags::PRESENT == 0 {
        return None;
    }
    frame.store(eth::DESTINATION, Server::unpack_mac(mac))?;
    frame.store(eth::SOURCE, Server::unpack_mac(link.mac.load(Relaxed)))?;
    let sum = u16::from_be_bytes(frame.load(eth::LEN + ipv4::CHECKSUM)?);
    // TTL and protocol share a word.
    let old = u16::from_be_bytes([ttl, ipv4::TCP]);
    let new = u16::from_be_bytes([ttl - 1, ipv4::TCP]);
    frame.store(eth::LEN + ipv4::TTL, [ttl - 1])?;
    frame.store(
        eth::LEN + ipv4::CHECKSUM,
        checksum::update(sum, old, new).to_be_bytes(),
    )
}
