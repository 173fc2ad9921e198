//! VRRP advertisements of other directors, as far as the gate needs them; the stack gets them all.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use evenkeel_abi::{ROUTERS6, Router, Server, high, low};
use evenkeel_wire::{checksum, eth, ipv4, ipv6, vrrp};

use crate::branchless::select;
use crate::ip::{Ip, address_at};
use crate::sum::{add_address, add_address6, add_bytes};
use crate::{Frame, Tables};

/// The longest IP header and the longest message, in steps of 4 bytes.
const HEADER_MAX: usize = 60 / 4;
const MESSAGE_MAX: usize = (vrrp::ADDRESSES + 4 * 255 + vrrp::AUTHENTICATION_LEN) / 4;
const MESSAGE6_MAX: usize = (vrrp::ADDRESSES + 16 * 255) / 4;

/// Notes that another director advertises one of our virtual routers; `None`: it does not.
///
/// A director that can't renew its lease, its daemon being dead or stopped, yields by this alone.
///
/// `mac` is the word of the interface's address.
#[inline(always)]
pub fn hear<F: Frame + ?Sized, T: Tables + ?Sized>(frame: &F, tables: &T, mac: u64) -> Option<()> {
    let header = frame.load::<{ ipv4::MIN_LEN }>(eth::LEN)?;
    let ip = &Ip::v4(&header);
    let head: [u8; vrrp::CHECKSUM] = frame.load(eth::LEN + ip.header_len)?;
    let router = tables.router(u32::from(head[vrrp::VIRTUAL_ROUTER]))?;
    let is_foreign = is_foreign(frame, mac, router)?;
    if is_foreign && ip.ttl == vrrp::TTL && is_good(frame, ip, head)? {
        note(tables, router);
    }
    Some(())
}

/// The same of IPv6, whose message follows its header at once; `mac` is the word of the interface's address.
#[inline(always)]
pub fn hear6<F: Frame + ?Sized, T: Tables + ?Sized>(frame: &F, tables: &T, mac: u64) -> Option<()> {
    let at = eth::LEN + ipv6::LEN;
    let head: [u8; vrrp::CHECKSUM] = frame.load(at)?;
    let router = tables.router(ROUTERS6 + u32::from(head[vrrp::VIRTUAL_ROUTER]))?;
    let [high, low, _next, hop_limit] = frame.load(eth::LEN + ipv6::PAYLOAD_LENGTH)?;
    let payload = u16::from_be_bytes([high, low]);
    let len = usize::from(payload);
    let interval = u16::from_be_bytes([head[vrrp::INTERVAL_V3], head[vrrp::INTERVAL_V3 + 1]]);
    let count = usize::from(head[vrrp::COUNT]);
    let is_whole = head[vrrp::VERSION_TYPE] == vrrp::ADVERTISEMENT_V3
        && hop_limit == vrrp::TTL
        && count != 0
        && interval & vrrp::INTERVAL_V3_BITS != 0
        && len == vrrp::ADDRESSES + 16 * count
        && at + len <= frame.len();
    if !is_whole || !is_foreign(frame, mac, router)? {
        return None;
    }
    let source = address_at(frame, ipv6::SOURCE)?;
    let destination = address_at(frame, ipv6::DESTINATION)?;
    let mut sum = add_address6(add_address6(0, source), destination);
    sum = checksum::add(sum, payload);
    sum = checksum::add(sum, u16::from(ipv4::VRRP));
    let sum = add_bytes::<MESSAGE6_MAX, F>(frame, at, len, sum)?;
    if checksum::finish(sum) == 0 {
        note(tables, router);
    }
    Some(())
}

/// Whether an advertisement is of a virtual router of ours and not by us.
#[inline(always)]
fn is_foreign<F: Frame + ?Sized>(frame: &F, mac: u64, router: &Router) -> Option<bool> {
    // Our own, which a switch may send back, carry this address whatever their source is.
    let sender = Server::pack_mac(frame.load(eth::SOURCE)?, 0);
    Some(router.used.load(Acquire) == 1 && sender != mac)
}

#[inline(always)]
fn note<T: Tables + ?Sized>(tables: &T, router: &Router) {
    let now = tables.now().0;
    router.heard.store(now, Relaxed);
    if router.lease.load(Acquire) < now {
        router.yielded.store(1, Release);
    }
}

/// Whether user space will find the message well-formed too: see `evenkeel_wire::vrrp::parse`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a length below 9")]
fn is_good<F: Frame + ?Sized>(frame: &F, ip: &Ip, head: [u8; vrrp::CHECKSUM]) -> Option<bool> {
    let kind = head[vrrp::VERSION_TYPE];
    if kind != vrrp::ADVERTISEMENT_V2 && kind != vrrp::ADVERTISEMENT_V3 {
        return Some(false);
    }
    // By arithmetic, for the verifier would follow each version's loops on its own.
    let is_v3 = u64::from(kind >> 4) & 1;
    let rest = select(is_v3, 0, vrrp::AUTHENTICATION_LEN as u64);
    let bits = select(is_v3, u64::from(vrrp::INTERVAL_V3_BITS), 0x00ff);
    let interval = u16::from_be_bytes([head[vrrp::INTERVAL_V3], head[vrrp::INTERVAL_V3 + 1]]);
    let count = usize::from(head[vrrp::COUNT]);
    let len = vrrp::ADDRESSES + 4 * count + rest as usize;
    let is_whole = count != 0
        && u64::from(interval) & bits != 0
        && ip.fragment == 0
        && ip.header_len + len == ip.total_len
        && eth::LEN + ip.total_len <= frame.len();
    if !is_whole {
        return Some(false);
    }
    let message = add_bytes::<MESSAGE_MAX, F>(frame, eth::LEN + ip.header_len, len, 0)?;
    // What the stack will drop because its header is damaged, user space will not hear.
    let header = add_bytes::<HEADER_MAX, F>(frame, eth::LEN, ip.header_len, 0)?;
    let is_intact = checksum::finish(message) == 0
        || kind == vrrp::ADVERTISEMENT_V3 && checksum::finish(pseudo_header(message, ip)) == 0;
    Some(checksum::finish(header) == 0 && is_intact)
}

/// Adds the pseudo-header that version 3's checksum may cover (RFC 9568 §5.2.8).
#[inline(always)]
fn pseudo_header(sum: u32, ip: &Ip) -> u32 {
    let sum = add_address(sum, low(ip.addresses).to_ne_bytes());
    let sum = add_address(sum, high(ip.addresses).to_ne_bytes());
    let sum = checksum::add(sum, u16::from(ipv4::VRRP));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the difference of a field of 16 bits and a smaller one"
    )]
    checksum::add(sum, (ip.total_len - ip.header_len) as u16)
}
