//! Gratuitous ARP: tells the link which hardware address has an IP address.
//!
//! Sent in both forms (RFC 5944 §4.6): hosts differ in which of them they believe.

#![expect(
    unsafe_code,
    reason = "no safe constructor for a `sockaddr_ll` exists in socket2 or nix"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use evenkeel_model::MacAddress;
use evenkeel_wire::{arp, eth};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

const BROADCAST: [u8; 6] = [0xff; 6];
const FRAME_LENGTH: usize = eth::LEN + arp::LEN;

/// Why an address could not be announced.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// The packet socket was refused.
    #[error("could not open a packet socket; run as root or grant CAP_NET_RAW")]
    Open(#[source] io::Error),
    /// IPv6 is not announced by ARP.
    #[error("address `{0}` is not an IPv4 address; only IPv4 is announced")]
    NotIpv4(IpAddr),
    /// The interface did not take the frame.
    #[error("could not announce `{address}` on interface number {link}; is the interface up?")]
    Send {
        /// The address.
        address: Ipv4Addr,
        /// Index of the interface.
        link: u32,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Sends gratuitous ARP, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Announcer {
    socket: Socket,
}

impl Announcer {
    /// Opens a packet socket that only sends.
    pub fn open() -> Result<Self, AnnounceError> {
        // Protocol 0: the socket receives nothing.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))
            .map_err(AnnounceError::Open)?;
        socket.set_nonblocking(true).map_err(AnnounceError::Open)?;
        Ok(Self { socket })
    }

    /// Broadcasts that `mac` has `address` on the link: one ARP request and one ARP reply.
    pub fn announce(
        &self,
        link: u32,
        mac: MacAddress,
        address: IpAddr,
    ) -> Result<(), AnnounceError> {
        let IpAddr::V4(address) = address else {
            return Err(AnnounceError::NotIpv4(address));
        };
        let failed = |source| AnnounceError::Send {
            address,
            link,
            source,
        };
        let to = broadcast_on(link).map_err(failed)?;
        for operation in [arp::REQUEST, arp::REPLY] {
            self.socket
                .send_to(&frame(operation, mac, address), &to)
                .map_err(failed)?;
        }
        Ok(())
    }
}

fn frame(operation: [u8; 2], mac: MacAddress, address: Ipv4Addr) -> [u8; FRAME_LENGTH] {
    let message = arp::gratuitous(operation, mac.0, address.octets());
    let parts: [&[u8]; 4] = [&BROADCAST, &mac.0, &eth::ARP, &message];
    let mut frame = [0; FRAME_LENGTH];
    for (byte, value) in frame.iter_mut().zip(parts.into_iter().flatten()) {
        *byte = *value;
    }
    frame
}

fn broadcast_on(link: u32) -> io::Result<SockAddr> {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the `sockaddr_*` types of this platform, as `view_as` asks.
    let to = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    to.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    to.sll_protocol = u16::try_from(libc::ETH_P_ARP)
        .map_err(io::Error::other)?
        .to_be();
    to.sll_ifindex = i32::try_from(link).map_err(io::Error::other)?;
    to.sll_halen = 6;
    let (hardware, _unused) = to.sll_addr.split_at_mut(BROADCAST.len());
    hardware.copy_from_slice(&BROADCAST);
    let length = u32::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: the family is AF_PACKET, and the first `length` bytes are the `sockaddr_ll` made above.
    Ok(unsafe { SockAddr::new(storage, length) })
}
