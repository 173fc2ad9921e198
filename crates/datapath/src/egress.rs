//! The way out of a packet that goes on to a real server.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{DropReason, Egress, Link, Server};
use evenkeel_wire::{checksum, eth, ipv4, ipv6};

use crate::{Frame, Tables, Verdict};

/// Readies the packet for its server, and says by which interface it leaves.
#[inline(always)]
pub(crate) fn send<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    ingress: &Link,
    server: &Server,
    is_v6: bool,
) -> Result<Verdict, DropReason> {
    let egress = Egress(server.egress.load(Relaxed));
    let mut source = ingress.mac.load(Relaxed);
    let mut verdict = Verdict::Transmit;
    let out = egress.interface();
    if out != 0 && out != tables.ingress() {
        // Whoever is not attached there does not know its MAC address either.
        let link = tables.link(out).ok_or(DropReason::NoWayOut)?;
        source = link.mac.load(Relaxed);
        tables.leave_by(out);
        verdict = Verdict::Redirect(out);
    }
    rewrite(frame, source, server.mac.load(Acquire), is_v6).ok_or(DropReason::Internal)?;
    if egress.names_tag() {
        retag(frame, egress.vlan()).ok_or(DropReason::Internal)?;
    }
    Ok(verdict)
}

/// The packet's TTL, or hop limit.
#[inline(always)]
pub(crate) fn ttl<F: Frame>(frame: &F, is_v6: bool) -> Option<u8> {
    if is_v6 {
        let [_next, hop_limit] = frame.load(eth::LEN + ipv6::NEXT_HEADER)?;
        return Some(hop_limit);
    }
    let [ttl, _protocol] = frame.load(eth::LEN + ipv4::TTL)?;
    Some(ttl)
}

/// Addresses the frame to a server and decrements the TTL, which is not 0.
#[inline(always)]
fn rewrite<F: Frame>(frame: &mut F, source: u64, destination: u64, is_v6: bool) -> Option<()> {
    frame.store(eth::DESTINATION, Server::unpack_mac(destination))?;
    frame.store(eth::SOURCE, Server::unpack_mac(source))?;
    if is_v6 {
        let [next, hop_limit] = frame.load(eth::LEN + ipv6::NEXT_HEADER)?;
        return frame.store(
            eth::LEN + ipv6::NEXT_HEADER,
            [next, hop_limit.wrapping_sub(1)],
        );
    }
    // TTL and protocol share a word, and the checksum follows; in one piece, so that the verifier sees that it is there.
    let [ttl, protocol, high, low] = frame.load(eth::LEN + ipv4::TTL)?;
    let decremented = ttl.wrapping_sub(1);
    let old = u16::from_be_bytes([ttl, protocol]);
    let new = u16::from_be_bytes([decremented, protocol]);
    let sum = checksum::update(u16::from_be_bytes([high, low]), old, new);
    let [high, low] = sum.to_be_bytes();
    frame.store(eth::LEN + ipv4::TTL, [decremented, protocol, high, low])
}

/// Gives the frame the tag of this VLAN, or takes its tag off where that is 0.
#[inline(always)]
fn retag<F: Frame>(frame: &mut F, vlan: u16) -> Option<()> {
    if vlan == 0 {
        if !frame.is_tagged() {
            return Some(());
        }
        let addresses: [u8; eth::ETHERTYPE] = frame.load(0)?;
        frame.shrink_head::<{ eth::TAG_LEN }>()?;
        frame.skip_tag(0);
        return frame.store(0, addresses);
    }
    let [kind, kind_low] = eth::VLAN;
    let [high, low] = vlan.to_be_bytes();
    if frame.is_tagged() {
        // The priority stays.
        let [.., priority, _] = frame.load_tag()?;
        return frame.store_tag([kind, kind_low, (priority & 0xf0) | high, low]);
    }
    let addresses: [u8; eth::ETHERTYPE] = frame.load(0)?;
    frame.grow_head::<{ eth::TAG_LEN }>()?;
    frame.store(0, addresses)?;
    frame.store_tag([kind, kind_low, high, low])
}
