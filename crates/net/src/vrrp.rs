//! The raw socket of VRRP over IPv4: whole packets in and out on one interface.
//!
//! It neither reads nor writes VRRP messages; headers of IPv4 are taken apart on receipt only.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

use evenkeel_wire::{ipv4, vrrp};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

#[cfg(test)]
mod tests;

/// VRRP's multicast group.
const GROUP: Ipv4Addr = Ipv4Addr::from_octets(vrrp::GROUP);

/// Bytes that may wait for us. The kernel doubles it and counts about 800 for an advertisement: room for
/// more than two thousand, or fifty virtual routers at ten a second while we are stopped for 4 s.
const RECEIVE_BUFFER: usize = 1 << 20;

/// TC_PRIO_CONTROL (linux/pkt_sched.h): before all other traffic in the interface's own queue.
const QUEUE_PRIORITY: i32 = 6;

/// Why the VRRP socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum VrrpSocketError {
    /// The raw socket was refused.
    #[error("could not open a raw socket for VRRP; run as root or grant CAP_NET_RAW")]
    Open(#[source] io::Error),
    /// An option of the socket was refused.
    #[error("could not set up the raw socket for VRRP")]
    Option(#[source] io::Error),
    /// The interface can't be used.
    #[error("could not bind the VRRP socket to interface `{name}`")]
    Bind {
        /// The interface.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Another interface has the name by now.
    #[error(
        "interface `{name}` was made anew meanwhile: number {found}, not {expected}; try again"
    )]
    OtherLink {
        /// The interface.
        name: String,
        /// Index that was asked for.
        expected: u32,
        /// Index of the interface of this name.
        found: u32,
    },
    /// The multicast group could not be joined.
    #[error(
        "could not join 224.0.0.18 on interface `{name}`; it needs MULTICAST (`ip link`) and an MTU of \
         at least 68"
    )]
    Join {
        /// The interface.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// A received IPv4 packet of VRRP's protocol number.
///
/// The kernel has checked the header, so that all fields are true; of a packet that is cut short, what
/// is missing is zero or left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'b> {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination: the group, or one of our addresses.
    pub destination: Ipv4Addr,
    /// Time to live, as it arrived.
    pub ttl: u8,
    /// The VRRP message: what follows the header and its options, within the total length.
    pub payload: &'b [u8],
}

/// Receives every VRRP packet of one interface, multicast and unicast, and sends there.
///
/// It lives in the network namespace of the thread that opened it. It never waits, and allocates
/// nothing once it is open.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    link: u32,
}

impl VrrpSocket {
    /// Opens the socket on the interface with this index and name, and joins VRRP's group there.
    ///
    /// The interface may be down. The membership belongs to it: it survives that the interface goes
    /// down and up (the kernel takes the group out of the hardware's filter and puts it back) and that
    /// it is renamed. An interface that is made anew is another one, even under the same name: open
    /// another socket.
    pub fn open(link: u32, name: &str) -> Result<Self, VrrpSocketError> {
        let socket = Socket::new(
            Domain::IPV4,
            Type::RAW,
            Some(Protocol::from(i32::from(ipv4::VRRP))),
        )
        .map_err(VrrpSocketError::Open)?;
        let bind = |source| VrrpSocketError::Bind {
            name: name.to_owned(),
            source,
        };
        // First of all: until then packets of other interfaces come in.
        socket.bind_device(Some(name.as_bytes())).map_err(bind)?;
        let found = if_nametoindex(name).map_err(|errno| bind(errno.into()))?;
        if found != link {
            return Err(VrrpSocketError::OtherLink {
                name: name.to_owned(),
                expected: link,
                found,
            });
        }
        set_options(&socket).map_err(VrrpSocketError::Option)?;
        let opened = Self { socket, link };
        opened.join().map_err(|source| VrrpSocketError::Join {
            name: name.to_owned(),
            source,
        })?;
        Ok(opened)
    }

    /// Takes the oldest packet that waits; `None` where none does.
    ///
    /// A packet longer than the buffer loses its end; without IPv4 options none that is good is longer
    /// than [`vrrp::PACKET_LEN_MAX`].
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<Received<'b>>> {
        match (&self.socket).read(buffer) {
            Ok(length) => Ok(Some(take_apart(buffer.get(..length).unwrap_or_default()))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a whole IPv4 packet to its header's destination, which must be on the link.
    ///
    /// The header goes out as it is, but for the total length and the checksum, which the kernel writes
    /// itself. No copy of a multicast packet comes back to this host. Fails where the interface is down
    /// (ENETUNREACH or ENETDOWN), and with `InvalidInput` where the header is cut short or names no
    /// source: the kernel would choose one.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let source = address(packet, ipv4::SOURCE).unwrap_or(Ipv4Addr::UNSPECIFIED);
        let destination = address(packet, ipv4::DESTINATION);
        let Some(destination) = destination.filter(|_| !source.is_unspecified()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the packet has no IPv4 header with a source address",
            ));
        };
        let to = SocketAddrV4::new(destination, 0).into();
        self.socket.send_to(packet, &to).map(drop)
    }

    /// Joins the group again, which also tells the switches.
    ///
    /// Worth doing when the interface comes up: where its MTU was below 68 for a moment, or it was in
    /// another namespace, the kernel has forgotten the membership and the socket does not know it.
    pub fn rejoin(&self) -> io::Result<()> {
        let interface = InterfaceIndexOrAddress::Index(self.link);
        match self.socket.leave_multicast_v4_n(&GROUP, &interface) {
            // EADDRNOTAVAIL: an earlier attempt left it and could not join.
            Err(error) if error.raw_os_error() != Some(libc::EADDRNOTAVAIL) => Err(error),
            Ok(()) | Err(_) => self.join(),
        }
    }

    fn join(&self) -> io::Result<()> {
        let interface = InterfaceIndexOrAddress::Index(self.link);
        self.socket.join_multicast_v4_n(&GROUP, &interface)
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Multicast leaves by the interface that the socket is bound to, so IP_MULTICAST_IF would add nothing
/// (raw_sendmsg asks for it only where the socket is not bound), and no route is needed.
fn set_options(socket: &Socket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_header_included_v4(true)?;
    socket.set_multicast_loop_v4(false)?;
    setsockopt(socket, sockopt::Priority, &QUEUE_PRIORITY)?;
    // Beyond net.core.rmem_max with CAP_NET_ADMIN only; without it as far as that goes.
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    Ok(())
}

fn take_apart(packet: &[u8]) -> Received<'_> {
    let unspecified = Ipv4Addr::UNSPECIFIED;
    let words = packet.first().map_or(0, |first| first & 0x0f);
    let header = (usize::from(words) * 4).max(ipv4::MIN_LEN);
    let length = packet
        .get(ipv4::TOTAL_LENGTH..ipv4::TOTAL_LENGTH + 2)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, |bytes| usize::from(u16::from_be_bytes(bytes)));
    Received {
        source: address(packet, ipv4::SOURCE).unwrap_or(unspecified),
        destination: address(packet, ipv4::DESTINATION).unwrap_or(unspecified),
        ttl: packet.get(ipv4::TTL).copied().unwrap_or_default(),
        payload: packet
            .get(header..length.min(packet.len()))
            .unwrap_or_default(),
    }
}

fn address(packet: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}
