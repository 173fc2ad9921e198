//! The way out of a packet that goes on to a real server.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{DropReason, Egress, Link, Server};
use evenkeel_wire::{checksum, eth, ipv4};

use crate::process::Ip;
use crate::{Frame, Tables, Verdict};

/// Readies the packet for its server, and says by which interface it leaves.
#[inline(always)]
pub(crate) fn send<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    ingress: &Link,
    server: &Server,
    ip: &Ip,
) -> Result<Verdict, DropReason> {
    let egress = Egress(server.egress.load(Relaxed));
    let mut source = ingress.mac.load(Relaxed);
    let mut verdict = Verdict::Transmit;
    let out = egress.interface();
    if out != 0 && out != tables.ingress() {
        // Whoever is not attached there does not know its MAC address either.
        let link = tables.link(out).ok_or(DropReason::NoWayOut)?;
        source = link.mac.load(Relaxed);
        verdict = Verdict::Redirect(out);
    }
    rewrite(frame, source, server.mac.load(Acquire), ip).ok_or(DropReason::Internal)?;
    if egress.names_tag() {
        retag(frame, egress.vlan()).ok_or(DropReason::Internal)?;
    }
    Ok(verdict)
}

/// Addresses the frame to a server and decrements the TTL.
#[inline(always)]
fn rewrite<F: Frame>(frame: &mut F, source: u64, destination: u64, ip: &Ip) -> Option<()> {
    frame.store(eth::DESTINATION, Server::unpack_mac(destination))?;
    frame.store(eth::SOURCE, Server::unpack_mac(source))?;
    // TTL and protocol share a word, and the checksum follows; in one piece, so that the verifier sees that it is there.
    let [ttl, protocol, high, low] = frame.load(eth::LEN + ipv4::TTL)?;
    let old = u16::from_be_bytes([ttl, protocol]);
    let new = u16::from_be_bytes([ip.ttl - 1, protocol]);
    let sum = checksum::update(u16::from_be_bytes([high, low]), old, new);
    let [high, low] = sum.to_be_bytes();
    frame.store(eth::LEN + ipv4::TTL, [ip.ttl - 1, protocol, high, low])
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
