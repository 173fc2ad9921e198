//! Frames as they are on the link: ARP, VRRP, UDP and just enough of TCP.

use std::net::{Ipv4Addr, SocketAddrV4};

use evenkeel_wire::{arp, checksum, eth, ipv4, tcp, udp};

/// Everybody's hardware address.
pub const BROADCAST: [u8; 6] = [0xff; 6];

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sender.
    pub from: SocketAddrV4,
    /// Receiver.
    pub to: SocketAddrV4,
    /// Flags of `evenkeel_wire::tcp`.
    pub flags: u8,
    /// The number of the request or response; no real sequence numbers.
    pub number: u32,
}

impl Segment {
    /// Whether it has all of these flags.
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The frame, between these hardware addresses.
    #[must_use]
    pub fn frame(&self, from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
        let mut out = ethernet(from, to, eth::IPV4);
        let header = header(self.from.ip(), self.to.ip(), ipv4::TCP, tcp::MIN_LEN);
        let mut segment = [0; tcp::MIN_LEN];
        put(&mut segment, 0, &self.from.port().to_be_bytes());
        put(&mut segment, 2, &self.to.port().to_be_bytes());
        put(&mut segment, tcp::SEQUENCE, &self.number.to_be_bytes());
        put(&mut segment, tcp::OFFSET_FLAGS, &[0x50, self.flags]);
        put(&mut segment, 14, &0x7fff_u16.to_be_bytes());
        let check = checksum::finish(sum(&segment, pseudo_header(&header, tcp::MIN_LEN)));
        put(&mut segment, 16, &check.to_be_bytes());
        out.extend(header);
        out.extend(segment);
        out
    }

    /// Reads a frame as a network stack does; `None`: it is no TCP segment, or damaged.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(eth::LEN..)?;
        let header = ip_header(packet)?;
        let len = u16::from_be_bytes([header[2], header[3]]);
        let segment = packet.get(ipv4::MIN_LEN..usize::from(len))?;
        let intact = segment.len() >= tcp::MIN_LEN
            && checksum::finish(sum(segment, pseudo_header(&header, segment.len()))) == 0;
        let segment = Self::peek(frame)?;
        intact.then_some(segment)
    }

    /// The same without a look at checksums, as the data plane reads it.
    #[must_use]
    pub fn peek(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(eth::LEN..)?;
        let is_tcp = frame.get(eth::ETHERTYPE..eth::LEN)? == eth::IPV4
            && *packet.get(ipv4::PROTOCOL)? == ipv4::TCP;
        let word = |at: usize| packet.get(at..at + 4)?.try_into().ok();
        let half = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
        let address = |at: usize| Some(Ipv4Addr::from(word(at)?));
        let at = ipv4::MIN_LEN;
        is_tcp.then_some(Self {
            from: SocketAddrV4::new(address(ipv4::SOURCE)?, half(at)?),
            to: SocketAddrV4::new(address(ipv4::DESTINATION)?, half(at + 2)?),
            flags: *packet.get(at + tcp::OFFSET_FLAGS + 1)?,
            number: u32::from_be_bytes(word(at + tcp::SEQUENCE)?),
        })
    }
}

/// A datagram of UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Sender.
    pub from: SocketAddrV4,
    /// Receiver.
    pub to: SocketAddrV4,
    /// What it brings.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// The frame, between these hardware addresses.
    #[must_use]
    pub fn frame(&self, from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
        let len = udp::LEN + self.payload.len();
        let header = header(self.from.ip(), self.to.ip(), ipv4::UDP, len);
        let mut datagram = vec![0; udp::LEN];
        put(&mut datagram, 0, &self.from.port().to_be_bytes());
        put(&mut datagram, 2, &self.to.port().to_be_bytes());
        let length = u16::try_from(len).expect("a short datagram");
        put(&mut datagram, udp::LENGTH, &length.to_be_bytes());
        datagram.extend(&self.payload);
        let check = checksum::finish(sum(&datagram, pseudo_header(&header, len)));
        put(&mut datagram, 6, &check.to_be_bytes());
        let mut out = ethernet(from, to, eth::IPV4);
        out.extend(header);
        out.extend(datagram);
        out
    }

    /// Reads a frame as a network stack does; `None`: it is no datagram, or damaged.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(eth::LEN..)?;
        let header = ip_header(packet)?;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let datagram = packet.get(ipv4::MIN_LEN..len)?;
        let intact = header[ipv4::PROTOCOL] == ipv4::UDP
            && checksum::finish(sum(datagram, pseudo_header(&header, datagram.len()))) == 0;
        let port = |at: usize| {
            let port = datagram.get(at..at + 2)?.try_into().ok()?;
            Some(u16::from_be_bytes(port))
        };
        let payload = datagram.get(udp::LEN..)?.to_vec();
        intact.then_some(Self {
            from: SocketAddrV4::new(address_at(&header, ipv4::SOURCE), port(0)?),
            to: SocketAddrV4::new(address_at(&header, ipv4::DESTINATION), port(2)?),
            payload,
        })
    }
}

/// An ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Whether it asks.
    pub is_request: bool,
    /// Hardware address of the sender.
    pub mac: [u8; 6],
    /// Address of the sender.
    pub sender: Ipv4Addr,
    /// Address that is asked for, or of who asked.
    pub target: Ipv4Addr,
}

impl Arp {
    /// The frame to this hardware address.
    #[must_use]
    pub fn frame(&self, to: [u8; 6]) -> Vec<u8> {
        let mut out = ethernet(self.mac, to, eth::ARP);
        let operation = if self.is_request {
            arp::REQUEST
        } else {
            arp::REPLY
        };
        let target = if self.is_request { [0; 6] } else { to };
        for part in [
            &arp::ETHERNET_IPV4[..],
            &operation,
            &self.mac,
            &self.sender.octets(),
            &target,
            &self.target.octets(),
        ] {
            out.extend(part);
        }
        out
    }

    /// Reads a frame; `None`: it is something else.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let message = frame.get(eth::LEN..eth::LEN + arp::LEN)?;
        let is_arp = frame.get(eth::ETHERTYPE..eth::LEN)? == eth::ARP
            && message.starts_with(&arp::ETHERNET_IPV4);
        let address = |at: usize| {
            let bytes: Option<[u8; 4]> = message.get(at..at + 4)?.try_into().ok();
            bytes.map(Ipv4Addr::from)
        };
        is_arp.then_some(Self {
            is_request: message.get(arp::OPERATION..arp::OPERATION + 2)? == arp::REQUEST,
            mac: message.get(8..14)?.try_into().ok()?,
            sender: address(14)?,
            target: address(arp::TARGET_ADDRESS)?,
        })
    }
}

/// An IP packet in a frame.
#[must_use]
pub fn of_packet(from: [u8; 6], to: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let mut out = ethernet(from, to, eth::IPV4);
    out.extend(packet);
    out
}

/// The header of an IPv4 packet without options; `None`: damaged, or another one.
#[must_use]
pub fn ip_header(packet: &[u8]) -> Option<[u8; ipv4::MIN_LEN]> {
    let header: [u8; ipv4::MIN_LEN] = packet.get(..ipv4::MIN_LEN)?.try_into().ok()?;
    let is_good = header[ipv4::VERSION_IHL] == 0x45 && checksum::finish(sum(&header, 0)) == 0;
    is_good.then_some(header)
}

/// The address at this place of an IPv4 header.
#[must_use]
pub fn address_at(header: &[u8; ipv4::MIN_LEN], at: usize) -> Ipv4Addr {
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| header[at + i]);
    Ipv4Addr::new(a, b, c, d)
}

/// The header of a packet with so many bytes of payload.
fn header(from: &Ipv4Addr, to: &Ipv4Addr, protocol: u8, len: usize) -> [u8; ipv4::MIN_LEN] {
    let total = u16::try_from(ipv4::MIN_LEN + len).expect("a short packet");
    let mut header = [0; ipv4::MIN_LEN];
    header[ipv4::VERSION_IHL] = 0x45;
    put(&mut header, ipv4::TOTAL_LENGTH, &total.to_be_bytes());
    header[ipv4::TTL] = 64;
    header[ipv4::PROTOCOL] = protocol;
    put(&mut header, ipv4::SOURCE, &from.octets());
    put(&mut header, ipv4::DESTINATION, &to.octets());
    let check = checksum::finish(sum(&header, 0));
    put(&mut header, ipv4::CHECKSUM, &check.to_be_bytes());
    header
}

fn ethernet(from: [u8; 6], to: [u8; 6], kind: [u8; 2]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend(to);
    out.extend(from);
    out.extend(kind);
    out
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

fn pseudo_header(header: &[u8; ipv4::MIN_LEN], len: usize) -> u32 {
    let addresses = sum(&header[ipv4::SOURCE..], 0);
    let len = u16::try_from(len).expect("a short segment");
    checksum::add(
        checksum::add(addresses, u16::from(header[ipv4::PROTOCOL])),
        len,
    )
}

fn sum(bytes: &[u8], start: u32) -> u32 {
    bytes.chunks(2).fold(start, |sum, two| {
        let word = [two[0], two.get(1).copied().unwrap_or(0)];
        checksum::add(sum, u16::from_be_bytes(word))
    })
}
