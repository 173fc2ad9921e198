//! ICMPv6 errors that the director itself sends, made in the place of the packet that caused them.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{DropReason, Server};
use evenkeel_wire::{checksum, eth, icmp6, ipv6};

use crate::answer::may_send;
use crate::ip::address_at;
use crate::sum::{add_address6, add_bytes};
use crate::{Frame, Tables};

/// Length of the headers that stand before the quoted packet, without Ethernet's.
const HEADERS: usize = ipv6::LEN + icmp6::LEN;

/// Most bytes that are quoted, so that the error passes every link (RFC 4443 §2.4 (c)).
const QUOTED_MAX: usize = ipv6::MTU_MIN - HEADERS;

/// Turns the packet into the ICMPv6 error for this reason; `None`: no error is due or possible.
///
/// The frame has its Ethernet and IPv6 headers; `mac` is the word of the sending interface's address.
#[inline(always)]
pub fn answer6<F: Frame + ?Sized, T: Tables + ?Sized>(
    frame: &mut F,
    tables: &T,
    reason: DropReason,
    mac: u64,
) -> Option<()> {
    let (kind, code, source) = if matches!(reason, DropReason::TtlExceeded) {
        let [first, second] = &tables.globals()?.address6;
        let own = [first.load(Relaxed), second.load(Relaxed)];
        (icmp6::TIME_EXCEEDED, 0, own)
    } else if matches!(reason, DropReason::NoServer) {
        let address = address_at(frame, ipv6::DESTINATION)?;
        (icmp6::UNREACHABLE, icmp6::PORT, address)
    } else {
        return None;
    };
    let client = address_at(frame, ipv6::SOURCE)?;
    if source == [0, 0] || !is_unicast(client) || !may_send(tables) {
        return None;
    }
    let reply_to: [u8; 6] = frame.load(eth::SOURCE)?;
    let [high, low] = frame.load(eth::LEN + ipv6::PAYLOAD_LENGTH)?;
    let all = ipv6::LEN + usize::from(u16::from_be_bytes([high, low]));
    // In steps of 4 bytes, as they are summed; the packet may end with padding of its link.
    let quoted = all.min(frame.len().wrapping_sub(eth::LEN)).min(QUOTED_MAX) & !3;
    // Where there is none, the EtherType and the IP header will stand there.
    let tag = frame.load_tag()?;
    frame.truncate(eth::LEN + quoted)?;
    frame.grow_head::<HEADERS>()?;
    frame.store_tag(tag)?;
    frame.store(eth::DESTINATION, reply_to)?;
    frame.store(eth::SOURCE, Server::unpack_mac(mac))?;
    frame.store(eth::ETHERTYPE, eth::IPV6)?;
    #[expect(clippy::cast_possible_truncation, reason = "at most 1240 bytes")]
    let len = (icmp6::LEN + quoted) as u16;
    let [len_high, len_low] = len.to_be_bytes();
    frame.store(eth::LEN, [0x60, 0, 0, 0, len_high, len_low, ipv6::ICMP, 64])?;
    store_addresses(frame, source, client)?;
    let icmp = eth::LEN + ipv6::LEN;
    frame.store(icmp, [kind, code, 0, 0, 0, 0, 0, 0])?;
    let mut sum = add_address6(add_address6(0, source), client);
    sum = checksum::add(sum, len);
    sum = checksum::add(sum, ipv6::ICMP.into());
    sum = checksum::add(sum, u16::from_be_bytes([kind, code]));
    let sum = add_bytes::<{ QUOTED_MAX / 4 }, F>(frame, icmp + icmp6::LEN, quoted, sum)?;
    frame.store(icmp + 2, checksum::finish(sum).to_be_bytes())
}

/// Writes source and destination into an IPv6 header.
#[inline(always)]
pub(crate) fn store_addresses<F: Frame + ?Sized>(
    frame: &mut F,
    source: [u64; 2],
    destination: [u64; 2],
) -> Option<()> {
    let offset = eth::LEN + ipv6::SOURCE;
    frame.store(offset, source[0].to_ne_bytes())?;
    frame.store(offset + 8, source[1].to_ne_bytes())?;
    frame.store(offset + 16, destination[0].to_ne_bytes())?;
    frame.store(offset + 24, destination[1].to_ne_bytes())
}

/// Errors go to one host only: not to groups, nor to the unspecified or loopback address (RFC 4443 §2.4 (e)).
#[inline(always)]
const fn is_unicast([first, second]: [u64; 2]) -> bool {
    first.to_ne_bytes()[0] != 0xff && (first != 0 || u64::from_be(second) > 1)
}
