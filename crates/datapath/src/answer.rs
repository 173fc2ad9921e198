//! ICMP errors that the director itself sends, made in the place of the packet that caused them.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{DropReason, Server, high, low, pair};
use evenkeel_wire::{checksum, eth, icmp, ipv4};

use crate::sum::{add_address, add_bytes};
use crate::{Frame, Tables};

/// Errors per second and data plane, as in the kernel's icmp_msgs_per_sec.
const PER_SECOND: u32 = 1000;

/// Length of the headers that stand before the quoted packet, without Ethernet's.
const HEADERS: usize = ipv4::MIN_LEN + icmp::LEN;

/// The longest IP header and the payload that is quoted with it, in steps of 4 bytes.
const QUOTED_MAX: usize = (60 + icmp::QUOTED_PAYLOAD) / 4;

/// Turns the packet into the ICMP error for this reason; `None`: no error is due or possible.
///
/// The frame has its Ethernet and IP headers and at least 8 bytes of payload; `mac` is the word of the sending
/// interface's address.
#[inline(always)]
pub fn answer<F: Frame + ?Sized, T: Tables + ?Sized>(
    frame: &mut F,
    tables: &T,
    reason: DropReason,
    mac: u64,
) -> Option<()> {
    let [version_ihl, _] = frame.load(eth::LEN + ipv4::VERSION_IHL)?;
    let ip_len = (version_ihl & 0x0f) as usize * 4;
    let (kind, code, source) = if matches!(reason, DropReason::TtlExceeded) {
        let own = tables.globals()?.address.load(Relaxed);
        if own == 0 {
            return None;
        }
        (icmp::TIME_EXCEEDED, 0, low(own).to_ne_bytes())
    } else if matches!(reason, DropReason::NoServer) {
        (
            icmp::UNREACHABLE,
            icmp::PORT,
            frame.load(eth::LEN + ipv4::DESTINATION)?,
        )
    } else {
        return None;
    };
    let client: [u8; 4] = frame.load(eth::LEN + ipv4::SOURCE)?;
    if !is_unicast(client) || !may_send(tables) {
        return None;
    }
    let reply_to: [u8; 6] = frame.load(eth::SOURCE)?;
    let quoted = ip_len + icmp::QUOTED_PAYLOAD;
    // Where there is none, the EtherType and the IP header will stand there.
    let tag = frame.load_tag()?;
    frame.truncate(eth::LEN + quoted)?;
    frame.grow_head::<HEADERS>()?;
    frame.store_tag(tag)?;
    frame.store(eth::DESTINATION, reply_to)?;
    frame.store(eth::SOURCE, Server::unpack_mac(mac))?;
    frame.store(eth::ETHERTYPE, eth::IPV4)?;
    store_ip(frame, quoted, source, client)?;
    let icmp = eth::LEN + ipv4::MIN_LEN;
    frame.store(icmp, [kind, code, 0, 0, 0, 0, 0, 0])?;
    let sum = add_bytes::<QUOTED_MAX, F>(
        frame,
        icmp + icmp::LEN,
        quoted,
        checksum::add(0, u16::from_be_bytes([kind, code])),
    )?;
    frame.store(icmp + 2, checksum::finish(sum).to_be_bytes())
}

/// Writes the error's IP header.
#[inline(always)]
fn store_ip<F: Frame + ?Sized>(
    frame: &mut F,
    quoted: usize,
    source: [u8; 4],
    client: [u8; 4],
) -> Option<()> {
    #[expect(clippy::cast_possible_truncation, reason = "at most 96 bytes")]
    let total = (HEADERS + quoted) as u16;
    let [th, tl] = total.to_be_bytes();
    let mut sum = checksum::add(0, 0x4500 | 0xc0);
    sum = checksum::add(sum, total);
    sum = checksum::add(sum, u16::from_be_bytes([64, ipv4::ICMP]));
    sum = add_address(sum, source);
    sum = add_address(sum, client);
    let [ch, cl] = checksum::finish(sum).to_be_bytes();
    // Type of service: internetwork control, as the kernel sends its errors (RFC 1812 §4.3.2.5).
    frame.store(
        eth::LEN,
        [0x45, 0xc0, th, tl, 0, 0, 0, 0, 64, ipv4::ICMP, ch, cl],
    )?;
    frame.store(eth::LEN + ipv4::SOURCE, source)?;
    frame.store(eth::LEN + ipv4::DESTINATION, client)
}

/// Errors go to one host only: not to networks 0 and 127, nor to 224.0.0.0 and above (RFC 1812 §4.3.2.7).
#[inline(always)]
const fn is_unicast(address: [u8; 4]) -> bool {
    address[0] != 0 && address[0] != 127 && address[0] < 224
}

/// Takes one of this second's errors.
#[inline(always)]
pub(crate) fn may_send<T: Tables + ?Sized>(tables: &T) -> bool {
    let Some(state) = tables.state() else {
        return false;
    };
    // 64 ticks are 1.07 s.
    let second = low(tables.now().0 >> 6);
    let seen = state.icmp.load(Relaxed);
    let sent = if high(seen) == second { low(seen) } else { 0 };
    sent < PER_SECOND
        && state
            .icmp
            .compare_exchange(seen, pair(sent + 1, second), Relaxed, Relaxed)
            .is_ok()
}
