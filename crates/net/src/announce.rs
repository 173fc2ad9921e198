//! Gratuitous ARP and unsolicited neighbour advertisements: tell the link which hardware address has an IP address.
//!
//! ARP is sent in both forms (RFC 5944 §4.6): hosts differ in which of them they believe.

use std::io;
use std::net::IpAddr;

use evenkeel_model::MacAddress;
use evenkeel_wire::arp;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{packet, solicitation};

/// Why an address could not be announced.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// The packet socket was refused.
    #[error("could not open a packet socket; run as root or grant CAP_NET_RAW")]
    Open(#[source] io::Error),
    /// The interface did not take the frame.
    #[error("could not announce `{address}` on interface number {link}; is the interface up?")]
    Send {
        /// The address.
        address: IpAddr,
        /// Index of the interface.
        link: u32,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Sends gratuitous ARP and unsolicited neighbour advertisements, in the network namespace of the thread that opened it.
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

    /// Tells everybody that `mac` has `address` on the link: by one ARP request and one ARP reply, or one unsolicited
    /// neighbour advertisement that overrides (RFC 4861 §7.2.6).
    ///
    /// Never waits; allocates nothing.
    pub fn announce(
        &self,
        link: u32,
        mac: MacAddress,
        address: IpAddr,
    ) -> Result<(), AnnounceError> {
        let failed = |source| AnnounceError::Send {
            address,
            link,
            source,
        };
        let address = match address {
            IpAddr::V6(address) => {
                let to = packet::everybody(link, libc::ETH_P_IPV6).map_err(failed)?;
                let frame = solicitation::advertisement(mac, address);
                return self.socket.send_to(&frame, &to).map(drop).map_err(failed);
            }
            IpAddr::V4(address) => address,
        };
        let to = packet::everybody(link, libc::ETH_P_ARP).map_err(failed)?;
        for operation in [arp::REQUEST, arp::REPLY] {
            let message = arp::gratuitous(operation, mac.0, address.octets());
            self.socket
                .send_to(&packet::arp_frame(mac, message), &to)
                .map_err(failed)?;
        }
        Ok(())
    }
}
