//! A packet's way through the data plane.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{DropReason, FlowKey, GateState, Link, Server, ServerFlags, ServiceFlags};
use evenkeel_wire::{eth, ipv4, vrrp};

use crate::branchless::is_zero;
use crate::ip::Ip;
use crate::lookup::{self, Found};
use crate::schedule::{Choice, choose};
use crate::transport::{self, is_balanced};
use crate::{Frame, Tables, Verdict, egress, fragment, gate, icmp, ipv6};

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
    if kind != eth::IPV4 && kind != eth::IPV6 && kind != eth::ARP {
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
    let read = if kind == eth::IPV6 {
        ipv6::read(frame, tables, link, is_ours, head[0] & 1 != 0)
    } else if is_ours || mac == Server::pack_mac(vrrp::GROUP_MAC, 0) {
        ipv4(frame, tables, link, is_ours)
    } else {
        Err(Verdict::Pass)
    };
    match read {
        Ok(ip) => packet(frame, tables, link, &ip),
        Err(verdict) => verdict,
    }
}

/// Decides what becomes of packets that are rare, ICMP messages and fragments placed by addresses or after their first,
/// which [`process`] found to be for a virtual address and to us.
#[inline(always)]
pub fn rare<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Verdict {
    let Some(link) = tables.link(tables.ingress()) else {
        return Verdict::Pass;
    };
    let ip = match read(frame, tables, link) {
        Ok(ip) => ip,
        Err(verdict) => return verdict,
    };
    let placed = if icmp::is_icmp(&ip) {
        icmp::place(frame, tables, &ip)
    } else {
        fragment::place(frame, tables, &ip)
    };
    match placed.and_then(|placed| send(frame, tables, &ip, placed)) {
        Ok(verdict) => verdict,
        // Nobody is told: errors are about neither errors nor later fragments (RFC 1122 §3.2.2).
        Err(reason) => dropped(tables, reason),
    }
}

/// Where a rare packet goes.
#[derive(Clone, Copy)]
pub(crate) enum Placed {
    /// Up to the stack.
    Up,
    /// To a server, and counts for a service: their numbers.
    At(u32, u32),
}

/// Sends a rare packet where it is placed.
#[inline(always)]
fn send<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    ip: &Ip,
    placed: Placed,
) -> Result<Verdict, DropReason> {
    let Placed::At(service, server) = placed else {
        return Ok(Verdict::Pass);
    };
    // Looked up again, for the stack has no room for it until here.
    let link = tables.link(tables.ingress()).ok_or(DropReason::Internal)?;
    let verdict = forward(frame, tables, link, server, ip.is_v6)?;
    tables.count(service, server, ip.total_len as u64, false);
    Ok(verdict)
}

/// Reads the headers of a packet again that was found to be for a virtual address and to us.
#[inline(always)]
pub(crate) fn read<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    link: &Link,
) -> Result<Ip, Verdict> {
    let kind: Option<[u8; 2]> = frame.load(eth::ETHERTYPE);
    if kind == Some(eth::IPV6) {
        ipv6::read(frame, tables, link, true, false)
    } else {
        ipv4(frame, tables, link, true)
    }
}

#[inline(always)]
pub(crate) fn dropped<T: Tables>(tables: &T, reason: DropReason) -> Verdict {
    tables.count_drop(reason);
    Verdict::Drop(reason)
}

/// Reads an IPv4 packet's header, as far as it is for us; otherwise what becomes of it.
#[inline(always)]
fn ipv4<F: Frame, T: Tables>(
    frame: &F,
    tables: &T,
    link: &Link,
    is_ours: bool,
) -> Result<Ip, Verdict> {
    let h = frame.load::<{ ipv4::MIN_LEN }>(eth::LEN);
    let h = h.ok_or(Verdict::Pass)?;
    let ip = Ip::v4(&h);
    if h[ipv4::VERSION_IHL] >> 4 != 4 || ip.header_len < ipv4::MIN_LEN {
        return Err(Verdict::Pass);
    }
    if ip.protocol == ipv4::VRRP {
        frame.hear(tables, link.mac.load(Relaxed));
        return Err(Verdict::Pass);
    }
    if is_ours { Ok(ip) } else { Err(Verdict::Pass) }
}

/// Decides what becomes of an IP packet to us.
#[inline(always)]
fn packet<F: Frame, T: Tables>(frame: &mut F, tables: &T, link: &Link, ip: &Ip) -> Verdict {
    if icmp::is_icmp(ip) {
        return frame.rare(tables);
    }
    if is_balanced(ip.protocol) == 0 {
        return Verdict::Pass;
    }
    if ip.follows {
        return frame.rare(tables);
    }
    let Some(ports) = frame.load::<4>(eth::LEN + ip.header_len) else {
        return for_an_address(tables, ip, DropReason::Malformed);
    };
    let port = u16::from_ne_bytes([ports[2], ports[3]]);
    let Some(found) = lookup::find(tables, ip.service_key(port)) else {
        if ip.fragment != 0 {
            return for_an_address(tables, ip, DropReason::Fragment);
        }
        return Verdict::Pass;
    };
    let Found { at, slot, .. } = found;
    let gate = tables
        .gate(at.gate())
        .map_or(GateState::CLOSED, |g| g.state.load(Acquire));
    if gate == GateState::CLOSED {
        return Verdict::Pass;
    }
    let by_address = ip.fragment * ServiceFlags::FRAGMENTS_BY_ADDRESS;
    if found.service.flags.load(Relaxed) & by_address != 0 {
        return frame.rare(tables);
    }
    let ports = u32::from_ne_bytes(ports);
    // Not a question of `ip.fragment` itself: what the verifier learned of that it would follow to the end.
    if ip.fragment.wrapping_mul(slot.used.load(Relaxed)) != 0 {
        frame.note_first(tables, at.service(), ports);
    }
    let key = ip.key(ports);
    match balance(frame, tables, link, &found, ip, &key) {
        Ok((choice, verdict)) => {
            tables.count(
                at.service(),
                choice.server,
                ip.total_len as u64,
                choice.new_flow,
            );
            verdict
        }
        Err(reason) => refuse(frame, tables, link, key.is_v6(), reason),
    }
}

/// Drops a packet of a service, and tells its sender where that is due.
#[inline(always)]
fn refuse<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    link: &Link,
    is_v6: bool,
    reason: DropReason,
) -> Verdict {
    tables.count_drop(reason);
    let mac = link.mac.load(Relaxed);
    let answered = match (is_v6, matches!(reason, DropReason::ServerGoneReset)) {
        (false, true) => frame.reset(mac),
        (true, true) => frame.reset6(mac),
        (false, false) => frame.answer(tables, reason, mac),
        (true, false) => frame.answer6(tables, reason, mac),
    };
    match answered {
        Some(()) => Verdict::Transmit,
        None => Verdict::Drop(reason),
    }
}

/// A packet that can't be told to be a service's, but must not reach the stack if its address is virtual.
#[inline(always)]
fn for_an_address<T: Tables>(tables: &T, ip: &Ip, reason: DropReason) -> Verdict {
    if gate::is_closed(tables, ip.gate(tables)) {
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
    found: &Found<'_>,
    ip: &Ip,
    key: &FlowKey,
) -> Result<(Choice, Verdict), DropReason> {
    let transport = transport::read(frame, ip).ok_or(DropReason::Malformed)?;
    let choice = choose(frame, tables, found, key, transport)?;
    let verdict = forward(frame, tables, link, choice.server, key.is_v6())?;
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
    is_v6: bool,
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
    if egress::ttl(frame, is_v6).ok_or(DropReason::Internal)? <= 1 {
        return Err(DropReason::TtlExceeded);
    }
    egress::send(frame, tables, link, server, is_v6)
}
