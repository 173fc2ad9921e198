//! The raw sockets of VRRP over IPv4 and IPv6: on one interface, whole packets out.
//!
//! They neither read nor write VRRP messages; headers of IPv4 are taken apart on receipt only.

use std::cell::RefCell;
use std::io::{self, IoSliceMut, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use evenkeel_wire::{ipv4, ipv6, vrrp};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

#[cfg(test)]
mod tests;

/// VRRP's multicast groups.
const GROUP: Ipv4Addr = Ipv4Addr::from_octets(vrrp::GROUP);
const GROUP6: Ipv6Addr = Ipv6Addr::from_octets(vrrp::GROUP6);

/// The version of IP that a socket is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// That of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// VRRP's group.
    #[must_use]
    pub const fn group(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(GROUP),
            Self::V6 => IpAddr::V6(GROUP6),
        }
    }
}

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
        "could not join {group} on interface `{name}`; it needs MULTICAST (`ip link`), and an MTU of \
         at least 68, or with IPv6 of at least 1280 and `disable_ipv6` 0"
    )]
    Join {
        /// VRRP's group.
        group: IpAddr,
        /// The interface.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// A received packet of VRRP's protocol number.
///
/// The kernel has checked the header, so that all fields are true; of a packet that is cut short, what
/// is missing is zero or left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'b> {
    /// Source address.
    pub source: IpAddr,
    /// Destination: the group, or one of our addresses.
    pub destination: IpAddr,
    /// Time to live or hop limit, as it arrived.
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
    family: Family,
    link: u32,
    /// Where the kernel puts what belongs to a packet of IPv6.
    ancillary: RefCell<Vec<u8>>,
}

impl VrrpSocket {
    /// Opens the socket on the interface with this index and name, and joins VRRP's group there.
    ///
    /// The interface may be down. The membership belongs to it: it survives that the interface goes
    /// down and up (the kernel takes the group out of the hardware's filter and puts it back) and that
    /// it is renamed. An interface that is made anew is another one, even under the same name: open
    /// another socket.
    pub fn open(family: Family, link: u32, name: &str) -> Result<Self, VrrpSocketError> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket = Socket::new(
            domain,
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
        set_options(&socket, family).map_err(VrrpSocketError::Option)?;
        let opened = Self {
            socket,
            family,
            link,
            ancillary: RefCell::new(nix::cmsg_space!(libc::in6_pktinfo, libc::c_int)),
        };
        opened.join().map_err(|source| VrrpSocketError::Join {
            group: family.group(),
            name: name.to_owned(),
            source,
        })?;
        Ok(opened)
    }

    /// The version of IP that it is of.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Takes the oldest packet that waits; `None` where none does.
    ///
    /// A packet longer than the buffer loses its end; without IPv4 options none that is good is longer
    /// than [`vrrp::PACKET_LEN_MAX`].
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<Received<'b>>> {
        if self.family == Family::V6 {
            return self.receive6(buffer);
        }
        match (&self.socket).read(buffer) {
            Ok(length) => Ok(Some(take_apart(buffer.get(..length).unwrap_or_default()))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The kernel hands IPv6's header over in pieces, beside what follows it.
    fn receive6<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<Received<'b>>> {
        let mut ancillary = self.ancillary.borrow_mut();
        let (length, source, destination, ttl) = {
            let mut place = [IoSliceMut::new(buffer)];
            let received = recvmsg::<SockaddrIn6>(
                self.socket.as_raw_fd(),
                &mut place,
                Some(&mut *ancillary),
                MsgFlags::empty(),
            );
            let received = match received {
                Ok(received) => received,
                Err(Errno::EWOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
            let (mut destination, mut ttl) = (Ipv6Addr::UNSPECIFIED, 0);
            for message in received.cmsgs()? {
                if let ControlMessageOwned::Ipv6PacketInfo(info) = message {
                    destination = info.ipi6_addr.s6_addr.into();
                } else if let ControlMessageOwned::Ipv6HopLimit(limit) = message {
                    ttl = u8::try_from(limit).unwrap_or(0);
                }
            }
            let source = received
                .address
                .map_or(Ipv6Addr::UNSPECIFIED, |from| from.ip());
            (received.bytes, source, destination, ttl)
        };
        Ok(Some(Received {
            source: source.into(),
            destination: destination.into(),
            ttl,
            payload: buffer.get(..length).unwrap_or_default(),
        }))
    }

    /// Sends a whole packet to its header's destination, which must be on the link.
    ///
    /// The header goes out as it is, but for the total length and the checksum, which the kernel writes
    /// itself. No copy of a multicast packet comes back to this host. Fails where the interface is down
    /// (ENETUNREACH or ENETDOWN), and with `InvalidInput` where the header is cut short or names no
    /// source: the kernel would choose one.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let ends = match self.family {
            Family::V4 => ends4(packet),
            Family::V6 => ends6(packet),
        };
        let Some((_, destination)) = ends.filter(|(source, _)| !source.is_unspecified()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the packet has no IP header with a source address",
            ));
        };
        let to = match destination {
            IpAddr::V4(destination) => SocketAddrV4::new(destination, 0).into(),
            IpAddr::V6(destination) => SocketAddrV6::new(destination, 0, 0, self.link).into(),
        };
        self.socket.send_to(packet, &to).map(drop)
    }

    /// Joins the group again, which also tells the switches.
    ///
    /// Worth doing when the interface comes up: where its MTU was below 68 for a moment, or it was in
    /// another namespace, the kernel has forgotten the membership and the socket does not know it.
    pub fn rejoin(&self) -> io::Result<()> {
        let left = match self.family {
            Family::V4 => {
                let interface = InterfaceIndexOrAddress::Index(self.link);
                self.socket.leave_multicast_v4_n(&GROUP, &interface)
            }
            Family::V6 => self.socket.leave_multicast_v6(&GROUP6, self.link),
        };
        match left {
            // EADDRNOTAVAIL: an earlier attempt left it and could not join.
            Err(error) if error.raw_os_error() != Some(libc::EADDRNOTAVAIL) => Err(error),
            Ok(()) | Err(_) => self.join(),
        }
    }

    fn join(&self) -> io::Result<()> {
        match self.family {
            Family::V4 => {
                let interface = InterfaceIndexOrAddress::Index(self.link);
                self.socket.join_multicast_v4_n(&GROUP, &interface)
            }
            Family::V6 => self.socket.join_multicast_v6(&GROUP6, self.link),
        }
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Multicast leaves by the interface that the socket is bound to, so IP_MULTICAST_IF would add nothing
/// (raw_sendmsg asks for it only where the socket is not bound), and no route is needed.
fn set_options(socket: &Socket, family: Family) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    match family {
        Family::V4 => {
            socket.set_header_included_v4(true)?;
            socket.set_multicast_loop_v4(false)?;
        }
        Family::V6 => {
            socket.set_header_included_v6(true)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_recv_hoplimit_v6(true)?;
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
    }
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
        source: address(packet, ipv4::SOURCE).unwrap_or(unspecified).into(),
        destination: address(packet, ipv4::DESTINATION)
            .unwrap_or(unspecified)
            .into(),
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

/// Source and destination of an IPv4 packet.
fn ends4(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let source = address(packet, ipv4::SOURCE)?;
    let destination = address(packet, ipv4::DESTINATION)?;
    Some((source.into(), destination.into()))
}

/// Source and destination of an IPv6 packet.
fn ends6(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let address = |at: usize| packet.get(at..)?.first_chunk::<16>().copied();
    let source = Ipv6Addr::from_octets(address(ipv6::SOURCE)?);
    let destination = Ipv6Addr::from_octets(address(ipv6::DESTINATION)?);
    Some((source.into(), destination.into()))
}
