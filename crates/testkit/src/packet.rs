//! Frames for tests, built by a library that is not ours.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use etherparse::checksum::Sum16BitWords;
use etherparse::{IpHeaders, IpNumber, Ipv4Header, PacketBuilder, PacketBuilderStep, TcpHeader};
pub use evenkeel_wire::tcp as flags;
use evenkeel_wire::{checksum, ipv4};

mod crafted;
mod v6;

pub use crafted::{Content, Crafted};
pub use v6::{advert6, as_v6, fragments6, icmp6_error, icmp6_quoting, solicitation, with_headers};

/// MAC address of the router that the clients' packets come from.
pub const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// MAC address of the director's interface.
pub const DIRECTOR: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A TCP segment from a client to a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Client's address and port.
    pub client: SocketAddr,
    /// Virtual address and port, of the same family.
    pub service: SocketAddr,
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
    pub fn new(client: impl Into<SocketAddr>, service: impl Into<SocketAddr>, flags: u8) -> Self {
        Self {
            client: client.into(),
            service: service.into(),
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
        let builder =
            ip_packet(self.destination, self.client, self.service, self.ttl).tcp_header(tcp);
        let mut out = Vec::with_capacity(builder.size(self.payload));
        builder
            .write(&mut out, &vec![0x5a; self.payload])
            .expect("the payload fits a packet");
        out
    }
}

/// A UDP datagram from a client to a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Client's address and port.
    pub client: SocketAddr,
    /// Virtual address and port, of the same family.
    pub service: SocketAddr,
    /// Time to live.
    pub ttl: u8,
    /// Destination MAC address.
    pub destination: [u8; 6],
    /// Bytes of payload.
    pub payload: usize,
}

impl Datagram {
    /// An empty datagram that arrives at the director.
    #[must_use]
    pub fn new(client: impl Into<SocketAddr>, service: impl Into<SocketAddr>) -> Self {
        Self {
            client: client.into(),
            service: service.into(),
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
        let (client, service) = (self.client, self.service);
        let builder = ip_packet(self.destination, client, service, self.ttl)
            .udp(client.port(), service.port());
        let mut out = Vec::with_capacity(builder.size(self.payload));
        builder
            .write(&mut out, &vec![0x5a; self.payload])
            .expect("the payload fits a packet");
        out
    }
}

/// A client's SCTP packet to a service.
#[derive(Clone, Debug)]
pub struct Sctp {
    /// Client's address and port.
    pub client: SocketAddr,
    /// Virtual address and port, of the same family.
    pub service: SocketAddr,
    /// Time to live.
    pub ttl: u8,
    /// Destination MAC address.
    pub destination: [u8; 6],
    /// Its chunks, each as type and length of its value, which is zeros.
    pub chunks: Vec<(u8, u16)>,
}

impl Sctp {
    /// A packet of one chunk that arrives at the director.
    #[must_use]
    pub fn new(client: impl Into<SocketAddr>, service: impl Into<SocketAddr>, kind: u8) -> Self {
        Self {
            client: client.into(),
            service: service.into(),
            ttl: 64,
            destination: DIRECTOR,
            chunks: vec![(kind, 12)],
        }
    }

    /// The frame; its checksum, which no director looks at, is 0.
    ///
    /// # Panics
    ///
    /// If the chunks are too long for a packet.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend(self.client.port().to_be_bytes());
        message.extend(self.service.port().to_be_bytes());
        message.extend([0, 0, 0, 1, 0, 0, 0, 0]);
        for (kind, value) in &self.chunks {
            message.extend([*kind, 0]);
            message.extend((value + 4).to_be_bytes());
            message.resize(message.len() + usize::from(value.next_multiple_of(4)), 0);
        }
        let builder = ip_packet(self.destination, self.client, self.service, self.ttl);
        let mut out = Vec::new();
        builder
            .write(&mut out, IpNumber(ipv4::SCTP), &message)
            .expect("the chunks fit a packet");
        out
    }
}

/// A packet that a router brings.
fn ip_packet(
    destination: [u8; 6],
    from: SocketAddr,
    to: SocketAddr,
    ttl: u8,
) -> PacketBuilderStep<IpHeaders> {
    let builder = PacketBuilder::ethernet2(ROUTER, destination);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => builder.ipv4(from.octets(), to.octets(), ttl),
        (IpAddr::V6(from), IpAddr::V6(to)) => builder.ipv6(from.octets(), to.octets(), ttl),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("addresses of one family")
        }
    }
}

/// An ICMP error that a router or the client sends to a virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Who sends it.
    pub source: Ipv4Addr,
    /// The virtual address.
    pub service: Ipv4Addr,
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Next hop's MTU, where fragmentation is needed.
    pub mtu: u16,
    /// The packet that it quotes, from its IP header on.
    pub quoted: Vec<u8>,
    /// Time to live.
    pub ttl: u8,
}

impl IcmpError {
    /// Fragmentation needed, quoting the first bytes of what the service sent to the client.
    #[must_use]
    pub fn fragmentation_needed(client: SocketAddrV4, service: SocketAddrV4, protocol: u8) -> Self {
        // The other way round than what a client sends.
        let sent = match protocol {
            6 => Segment::new(service, client, flags::ACK).frame(),
            _ => Datagram::new(service, client).frame(),
        };
        Self {
            source: Ipv4Addr::new(192, 0, 2, 77),
            service: *service.ip(),
            kind: 3,
            code: 4,
            mtu: 1000,
            quoted: sent[14..14 + 20 + 8].to_vec(),
            ttl: 64,
        }
    }

    /// The frame.
    ///
    /// # Panics
    ///
    /// If what it quotes is too long for a packet.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let [high, low] = self.mtu.to_be_bytes();
        let builder = PacketBuilder::ethernet2(ROUTER, DIRECTOR)
            .ipv4(self.source.octets(), self.service.octets(), self.ttl)
            .icmpv4_raw(self.kind, self.code, [0, 0, high, low]);
        let mut out = Vec::with_capacity(builder.size(self.quoted.len()));
        builder
            .write(&mut out, &self.quoted)
            .expect("what it quotes fits a packet");
        out
    }
}

/// What the checksum of an advertisement covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covers {
    /// The message alone.
    Message,
    /// The message and a pseudo-header.
    PseudoHeader,
}

/// A VRRP advertisement of another director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Version, 2 or 3; others are written as 3 is.
    pub version: u8,
    /// Number of the virtual router.
    pub virtual_router: u8,
    /// Priority of the sender.
    pub priority: u8,
    /// Seconds in version 2, hundredths in version 3.
    pub interval: u8,
    /// Virtual addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// What the checksum covers.
    pub covers: Covers,
    /// The sender's address.
    pub source: Ipv4Addr,
    /// Its MAC address.
    pub source_mac: [u8; 6],
    /// Where it goes: the frame is addressed to the group's MAC address or the director's.
    pub to: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Bytes of options in the IP header, a multiple of 4 up to 40.
    pub options: usize,
}

impl Advert {
    /// The group of all VRRP routers.
    pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

    /// A good one to the group from 192.0.2.3.
    #[must_use]
    pub fn new(version: u8, virtual_router: u8, addresses: &[Ipv4Addr]) -> Self {
        Self {
            version,
            virtual_router,
            priority: 100,
            interval: 10,
            addresses: addresses.to_vec(),
            covers: if version == 2 {
                Covers::Message
            } else {
                Covers::PseudoHeader
            },
            source: Ipv4Addr::new(192, 0, 2, 3),
            source_mac: ROUTER,
            to: Self::GROUP,
            ttl: 255,
            options: 0,
        }
    }

    /// The message, without the IP header.
    fn message(&self) -> Vec<u8> {
        let count = u8::try_from(self.addresses.len()).expect("the count is a byte");
        let kind = self.version << 4 | 1;
        let mut out = vec![kind, self.virtual_router, self.priority, count];
        out.extend([0, self.interval, 0, 0]);
        out.extend(self.addresses.iter().flat_map(Ipv4Addr::octets));
        if self.version == 2 {
            out.extend([0; 8]);
        }
        let mut sum = Sum16BitWords::new().add_slice(&out);
        if self.covers == Covers::PseudoHeader {
            let len = u16::try_from(out.len()).expect("at most 255 addresses");
            sum = sum
                .add_4bytes(self.source.octets())
                .add_4bytes(self.to.octets())
                .add_2bytes([0, 112])
                .add_2bytes(len.to_be_bytes());
        }
        out[6..8].copy_from_slice(&sum.ones_complement().to_ne_bytes());
        out
    }

    /// The frame.
    ///
    /// # Panics
    ///
    /// If there are more than 255 addresses or more options than a header can have.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let message = self.message();
        let options = vec![1; self.options];
        let len = u16::try_from(message.len()).expect("at most 255 addresses");
        let (source, to) = (self.source.octets(), self.to.octets());
        let mut ip = Ipv4Header::new(len, self.ttl, IpNumber(112), source, to)
            .expect("the message fits a packet");
        ip.options = options.as_slice().try_into().expect("options that fit");
        ip.set_payload_len(message.len())
            .expect("the message fits a packet");
        ip.header_checksum = ip.calc_header_checksum();
        let destination = if self.to == Self::GROUP {
            [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]
        } else {
            DIRECTOR
        };
        let mut out = destination.to_vec();
        out.extend(self.source_mac);
        out.extend([0x08, 0x00]);
        out.extend(ip.to_bytes());
        out.extend(message);
        out
    }
}

/// An ARP request for an address, broadcast.
#[must_use]
pub fn arp_request(target: Ipv4Addr) -> Vec<u8> {
    arp_request_to([0xff; 6], target)
}

/// An ARP request for an address to one MAC address, as caches send it to confirm what they hold.
#[must_use]
pub fn arp_request_to(destination: [u8; 6], target: Ipv4Addr) -> Vec<u8> {
    let mut out = destination.to_vec();
    out.extend(ROUTER);
    out.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    out.extend(ROUTER);
    out.extend([192, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    out.extend(target.octets());
    out
}

/// The frame with an 802.1Q tag.
///
/// # Panics
///
/// If the frame has no two addresses.
#[must_use]
pub fn tagged(frame: &[u8], tag: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &[0x81, 0x00], &tag.to_be_bytes(), rest].concat()
}

/// The frames of an IPv4 packet's fragments, in order, each with at most so many bytes of payload, a multiple of 8.
///
/// # Panics
///
/// If the frame is not one of an IPv4 packet.
#[must_use]
pub fn fragments(frame: &[u8], identification: u16, payload_max: usize) -> Vec<Vec<u8>> {
    let (header, _) = Ipv4Header::from_slice(&frame[14..]).expect("an IPv4 packet");
    let payload = &frame[14 + header.header_len()..14 + usize::from(header.total_len)];
    let pieces = payload.chunks(payload_max);
    let count = pieces.len();
    let piece = |(i, piece): (usize, &[u8])| {
        let mut header = header.clone();
        let offset = u16::try_from(i * payload_max / 8).expect("13 bits");
        header.identification = identification;
        header.dont_fragment = false;
        header.more_fragments = i + 1 < count;
        header.fragment_offset = offset.try_into().expect("13 bits");
        header
            .set_payload_len(piece.len())
            .expect("no longer than it was");
        header.header_checksum = header.calc_header_checksum();
        [&frame[..14], &header.to_bytes(), piece].concat()
    };
    pieces.enumerate().map(piece).collect()
}

/// Writes a word of a frame, and updates the checksums at these places, which cover it.
///
/// # Panics
/// The frame is shorter.
pub fn rewrite(frame: &mut [u8], place: usize, word: [u8; 2], checksums: &[usize]) {
    let at = |place: usize, frame: &[u8]| u16::from_be_bytes([frame[place], frame[place + 1]]);
    let (old, new) = (at(place, frame), u16::from_be_bytes(word));
    for sum in checksums {
        let updated = checksum::update(at(*sum, frame), old, new);
        frame[*sum..][..2].copy_from_slice(&updated.to_be_bytes());
    }
    frame[place..][..2].copy_from_slice(&word);
}
