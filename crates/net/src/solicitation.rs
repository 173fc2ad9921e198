//! Neighbour discovery's messages as frames (RFC 4861 §4.3, §4.4).

use std::net::Ipv6Addr;

use evenkeel_model::MacAddress;
use evenkeel_wire::{checksum, eth, icmp6, ipv6};

/// Length of a message of either kind with its one option, Ethernet and IPv6 headers included.
pub(crate) const FRAME_LENGTH: usize = eth::LEN + ipv6::LEN + MESSAGE;
/// Header, target, and one option of a link-layer address.
const MESSAGE: usize = icmp6::TARGET + 16 + OPTION;
const OPTION: usize = 8;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// "Override", in the first byte of an advertisement's flags.
const OVERRIDE: u8 = 0x20;
/// Type of the option with the target's link-layer address.
const TARGET_LINK_LAYER: u8 = 2;

/// The frame that tells everybody that `mac` has `address`, against what they know (RFC 4861 §7.2.6).
pub(crate) fn advertisement(mac: MacAddress, address: Ipv6Addr) -> [u8; FRAME_LENGTH] {
    let mut message = [0; MESSAGE];
    message[0] = icmp6::NEIGHBOUR_ADVERTISEMENT;
    message[4] = OVERRIDE;
    let (_, rest) = message.split_at_mut(icmp6::TARGET);
    let (target, option) = rest.split_at_mut(16);
    target.copy_from_slice(&address.octets());
    option.copy_from_slice(&link_layer(mac));
    frame(mac, address, ALL_NODES, &message)
}

/// The frame that asks who has `address`, by a host that has none itself (RFC 4862 §5.4.2).
pub(crate) fn question(mac: MacAddress, address: Ipv6Addr) -> [u8; FRAME_LENGTH - OPTION] {
    let mut message = [0; MESSAGE - OPTION];
    message[0] = icmp6::NEIGHBOUR_SOLICITATION;
    let (_, target) = message.split_at_mut(icmp6::TARGET);
    target.copy_from_slice(&address.octets());
    frame(mac, Ipv6Addr::UNSPECIFIED, group_of(address), &message)
}

/// The host that says in this frame that the address is its own: by an advertisement, or by another message from it.
pub(crate) fn claimant(frame: &[u8], address: Ipv6Addr) -> Option<MacAddress> {
    let (ethernet, packet) = frame.split_at_checked(eth::LEN)?;
    let (header, message) = packet.split_at_checked(ipv6::LEN)?;
    let is_discovery = ethernet.ends_with(&eth::IPV6)
        && header.get(ipv6::NEXT_HEADER) == Some(&ipv6::ICMP)
        && header.get(ipv6::HOP_LIMIT) == Some(&icmp6::HOP_LIMIT);
    let is_its_target = message.get(icmp6::TARGET..)?.starts_with(&address.octets());
    let is_claim = message.first() == Some(&icmp6::NEIGHBOUR_ADVERTISEMENT) && is_its_target
        || header.get(ipv6::SOURCE..ipv6::DESTINATION) == Some(&address.octets());
    let source = ethernet.get(eth::SOURCE..eth::ETHERTYPE)?;
    (is_discovery && is_claim).then_some(MacAddress(source.try_into().ok()?))
}

/// The group that questions for an address go to (RFC 4291 §2.7.1).
fn group_of(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low)
}

fn link_layer(mac: MacAddress) -> [u8; OPTION] {
    let [a, b, c, d, e, f] = mac.0;
    [TARGET_LINK_LAYER, 1, a, b, c, d, e, f]
}

/// A message with its headers and checksum; as long as both are.
fn frame<const LENGTH: usize>(
    mac: MacAddress,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    message: &[u8],
) -> [u8; LENGTH] {
    let length = u16::try_from(message.len()).unwrap_or(0);
    let [high, low] = length.to_be_bytes();
    let [.., a, b, c, d] = destination.octets();
    let (source, destination) = (source.octets(), destination.octets());
    let pseudo_header = checksum::add(length.into(), ipv6::ICMP.into());
    let sum = [&source[..], &destination, message]
        .into_iter()
        .flat_map(|bytes| bytes.as_chunks::<2>().0)
        .map(|word| u16::from_be_bytes(*word))
        .fold(pseudo_header, checksum::add);
    let [sum_high, sum_low] = checksum::finish(sum).to_be_bytes();
    let parts: [&[u8]; 8] = [
        &[0x33, 0x33, a, b, c, d],
        &mac.0,
        &eth::IPV6,
        &[0x60, 0, 0, 0, high, low, ipv6::ICMP, icmp6::HOP_LIMIT],
        &source,
        &destination,
        message.get(..2).unwrap_or_default(),
        &[sum_high, sum_low],
    ];
    let rest = message.get(4..).unwrap_or_default();
    let bytes = parts.into_iter().flatten().chain(rest);
    let mut out = [0; LENGTH];
    for (place, byte) in out.iter_mut().zip(bytes) {
        *place = *byte;
    }
    out
}
