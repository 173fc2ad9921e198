//! Frames for tests, built by a library that is not ours.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{PacketBuilder, TcpHeader};
pub use evenkeel_wire::tcp as flags;

/// MAC address of the router that the clients' packets come from.
pub const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// MAC address of the director's interface.
pub const DIRECTOR: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A TCP segment from a client to a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Client's address and port.
    pub client: SocketAddrV4,
    /// Virtual address and port.
    pub service: SocketAddrV4,
    /// Flags; see [`flags`].
    pub flags: u8,
    /// Time to live.
    pub ttl: u8,
    /// Destination MAC address.
    pub destination: [u8; 6],
    /// Bytes of payload.
    pub payload: usize,
}

impl Segment {
    /// A segment that arrives at the director.
    #[must_use]
    pub const fn new(client: SocketAddrV4, service: SocketAddrV4, flags: u8) -> Self {
        Self {
            client,
            service,
            flags,
            ttl: 64,
            destination: DIRECTOR,
            payload: 0,
        }
    }

    /// The frame.
    ///
    /// # Panics
    ///
    /// If the payload is too long for a packet.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut tcp = TcpHeader::new(self.client.port(), self.service.port(), 1000, 64_240);
        tcp.fin = self.flags & flags::FIN != 0;
        tcp.syn = self.flags & flags::SYN != 0;
        tcp.rst = self.flags & flags::RST != 0;
        tcp.ack = self.flags & flags::ACK != 0;
        let builder = PacketBuilder::ethernet2(ROUTER, self.destination)
            .ipv4(
                self.client.ip().octets(),
                self.service.ip().octets(),
                self.ttl,
            )
            .tcp_header(tcp);
        let mut out = Vec::with_capacity(builder.size(self.payload));
        builder
            .write(&mut out, &vec![0x5a; self.payload])
            .expect("the payload fits a packet");
        out
    }
}

/// An ARP request for an address, broadcast.
#[must_use]
pub fn arp_request(target: Ipv4Addr) -> Vec<u8> {
    let mut out = vec![0xff; 6];
    out.extend(ROUTER);
    out.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    out.extend(ROUTER);
    out.extend([192, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    out.extend(target.octets());
    out
}
