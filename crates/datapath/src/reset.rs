//! TCP resets that the director itself sends, made in the place of the packet that caused them.

use evenkeel_abi::Server;
use evenkeel_wire::{checksum, eth, ipv4, ipv6, tcp};

use crate::Frame;
use crate::answer6::store_addresses;
use crate::ip::address_at;
use crate::sum::{add_address, add_address6};

/// Turns an acknowledging packet into the reset that ends its connection (RFC 9293 §3.10.7.1); `None`: none is due.
///
/// Its headers have been checked; `mac` is the word of the sending interface's address.
/// It is not longer than the packet, and there is one for each, as a host that knows no connection would send: so
/// their number has no other limit.
#[inline(always)]
pub fn reset<F: Frame + ?Sized>(frame: &mut F, mac: u64) -> Option<()> {
    let [version_ihl, _] = frame.load(eth::LEN + ipv4::VERSION_IHL)?;
    let at = eth::LEN + (version_ihl & 0x0f) as usize * 4;
    let ports: [u8; 4] = frame.load(at)?;
    let acknowledged: [u8; 4] = frame.load(at + tcp::ACKNOWLEDGMENT)?;
    let [_offset, flags] = frame.load(at + tcp::OFFSET_FLAGS)?;
    if flags & tcp::RST != 0 || flags & tcp::ACK == 0 {
        return None;
    }
    let reply_to: [u8; 6] = frame.load(eth::SOURCE)?;
    let client: [u8; 4] = frame.load(eth::LEN + ipv4::SOURCE)?;
    let source: [u8; 4] = frame.load(eth::LEN + ipv4::DESTINATION)?;
    frame.truncate(eth::LEN + ipv4::MIN_LEN + tcp::MIN_LEN)?;
    frame.store(eth::DESTINATION, reply_to)?;
    frame.store(eth::SOURCE, Server::unpack_mac(mac))?;
    let addresses = add_address(add_address(0, source), client);
    let mut sum = checksum::add(addresses, 0x4500);
    sum = checksum::add(sum, LEN);
    sum = checksum::add(sum, DONT_FRAGMENT);
    sum = checksum::add(sum, u16::from_be_bytes([64, ipv4::TCP]));
    let [ch, cl] = checksum::finish(sum).to_be_bytes();
    let [dh, dl] = DONT_FRAGMENT.to_be_bytes();
    let [lh, ll] = LEN.to_be_bytes();
    frame.store(
        eth::LEN,
        [0x45, 0, lh, ll, 0, 0, dh, dl, 64, ipv4::TCP, ch, cl],
    )?;
    frame.store(eth::LEN + ipv4::SOURCE, source)?;
    frame.store(eth::LEN + ipv4::DESTINATION, client)?;
    store_tcp(
        frame,
        eth::LEN + ipv4::MIN_LEN,
        ports,
        acknowledged,
        addresses,
    )
}

/// As [`reset`], of an IPv6 packet.
#[inline(always)]
pub fn reset6<F: Frame + ?Sized>(frame: &mut F, mac: u64) -> Option<()> {
    let [next, _] = frame.load(eth::LEN + ipv6::NEXT_HEADER)?;
    let at = eth::LEN + frame.skip_headers(next, ipv6::LEN).offset();
    let ports: [u8; 4] = frame.load(at)?;
    let acknowledged: [u8; 4] = frame.load(at + tcp::ACKNOWLEDGMENT)?;
    let [_offset, flags] = frame.load(at + tcp::OFFSET_FLAGS)?;
    if flags & tcp::RST != 0 || flags & tcp::ACK == 0 {
        return None;
    }
    let reply_to: [u8; 6] = frame.load(eth::SOURCE)?;
    let client = address_at(frame, ipv6::SOURCE)?;
    let source = address_at(frame, ipv6::DESTINATION)?;
    frame.truncate(eth::LEN + ipv6::LEN + tcp::MIN_LEN)?;
    frame.store(eth::DESTINATION, reply_to)?;
    frame.store(eth::SOURCE, Server::unpack_mac(mac))?;
    #[expect(clippy::cast_possible_truncation, reason = "20 bytes")]
    const LEN: u8 = tcp::MIN_LEN as u8;
    frame.store(eth::LEN, [0x60, 0, 0, 0, 0, LEN, ipv4::TCP, 64])?;
    store_addresses(frame, source, client)?;
    let pseudo_header = add_address6(add_address6(0, source), client);
    store_tcp(
        frame,
        eth::LEN + ipv6::LEN,
        ports,
        acknowledged,
        pseudo_header,
    )
}

/// Writes the TCP header of a reset that answers a packet with these ports; the sum is of the addresses.
#[inline(always)]
fn store_tcp<F: Frame + ?Sized>(
    frame: &mut F,
    at: usize,
    ports: [u8; 4],
    acknowledged: [u8; 4],
    addresses: u32,
) -> Option<()> {
    let [sport_high, sport_low, dport_high, dport_low] = ports;
    let offset_flags = [0x50, tcp::RST];
    let mut sum = add_address(addresses, acknowledged);
    sum = add_address(sum, ports);
    sum = checksum::add(sum, u16::from_be_bytes(offset_flags));
    sum = checksum::add(sum, ipv4::TCP.into());
    sum = checksum::add(sum, LEN - 20);
    let [ch, cl] = checksum::finish(sum).to_be_bytes();
    frame.store(at, [dport_high, dport_low, sport_high, sport_low])?;
    frame.store(at + tcp::SEQUENCE, acknowledged)?;
    frame.store(at + tcp::ACKNOWLEDGMENT, [0; 4])?;
    let [offset, flags] = offset_flags;
    frame.store(at + tcp::OFFSET_FLAGS, [offset, flags, 0, 0, ch, cl, 0, 0])
}

/// Length of the IPv4 packet.
#[expect(clippy::cast_possible_truncation, reason = "40 bytes")]
const LEN: u16 = (ipv4::MIN_LEN + tcp::MIN_LEN) as u16;

/// The flag in the word of the fragment's offset.
const DONT_FRAGMENT: u16 = 0x4000;
