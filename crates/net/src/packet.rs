//! What the senders of ARP and of neighbour discovery share: frames, and addresses of packet sockets.

#![expect(
    unsafe_code,
    reason = "no safe constructor for a `sockaddr_ll` exists in socket2 or nix"
)]

use std::io;

use evenkeel_model::MacAddress;
use evenkeel_wire::{arp, eth};
use socket2::{SockAddr, SockAddrStorage};

const BROADCAST: [u8; 6] = [0xff; 6];

/// Length of an ARP message with its Ethernet header.
pub(crate) const ARP_FRAME_LENGTH: usize = eth::LEN + arp::LEN;

/// The frame that broadcasts an ARP message.
pub(crate) fn arp_frame(source: MacAddress, message: [u8; arp::LEN]) -> [u8; ARP_FRAME_LENGTH] {
    let parts: [&[u8]; 4] = [&BROADCAST, &source.0, &eth::ARP, &message];
    let mut frame = [0; ARP_FRAME_LENGTH];
    for (byte, value) in frame.iter_mut().zip(parts.into_iter().flatten()) {
        *byte = *value;
    }
    frame
}

/// Everybody on the link, for frames of this kind: where to send to, or what to bind to for receiving.
///
/// The frame itself says which MAC address it is for.
pub(crate) fn everybody(link: u32, kind: i32) -> io::Result<SockAddr> {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the `sockaddr_*` types of this platform, as `view_as` asks.
    let to = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    to.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    to.sll_protocol = u16::try_from(kind).map_err(io::Error::other)?.to_be();
    to.sll_ifindex = i32::try_from(link).map_err(io::Error::other)?;
    to.sll_halen = 6;
    let (hardware, _unused) = to.sll_addr.split_at_mut(BROADCAST.len());
    hardware.copy_from_slice(&BROADCAST);
    let length = u32::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: the family is AF_PACKET, and the first `length` bytes are the `sockaddr_ll` made above.
    Ok(unsafe { SockAddr::new(storage, length) })
}
