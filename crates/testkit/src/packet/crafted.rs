//! Well-formed packets of every shape.

use std::net::SocketAddrV4;

use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Type, IpDscp, IpEcn, IpNumber, Ipv4Header, TcpHeader,
    UdpHeader, ip_number,
};

use super::{DIRECTOR, ROUTER};

/// What an IP packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A TCP segment.
    Tcp {
        /// NS, CWR, ECE, URG, ACK, PSH, RST, SYN and FIN, the last in the lowest bit.
        flags: u16,
        /// Words of options, at most 10.
        options: usize,
    },
    /// A UDP datagram.
    Udp {
        /// Whether it has a checksum.
        checksum: bool,
    },
    /// An ICMP message, whose payload is the packet's.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The second word of the header.
        word: [u8; 4],
    },
}

/// A packet that any parser accepts; ports are of no meaning with ICMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crafted {
    /// Sender's address and port.
    pub from: SocketAddrV4,
    /// Receiver's address and port.
    pub to: SocketAddrV4,
    /// What it carries.
    pub content: Content,
    /// Time to live.
    pub ttl: u8,
    /// Type of service.
    pub type_of_service: u8,
    /// Identification.
    pub identification: u16,
    /// "Don't fragment".
    pub dont_fragment: bool,
    /// Words of options in the IP header, at most 10.
    pub options: usize,
    /// Payload.
    pub payload: Vec<u8>,
    /// Bytes behind the packet, as Ethernet adds to short ones.
    pub padding: usize,
}

impl Crafted {
    /// A plain one without payload.
    #[must_use]
    pub const fn new(from: SocketAddrV4, to: SocketAddrV4, content: Content) -> Self {
        Self {
            from,
            to,
            content,
            ttl: 64,
            type_of_service: 0,
            identification: 1,
            dont_fragment: true,
            options: 0,
            payload: Vec::new(),
            padding: 0,
        }
    }

    /// The packet, from its IP header on.
    ///
    /// # Panics
    ///
    /// If options or payload are too long.
    #[must_use]
    pub fn packet(&self) -> Vec<u8> {
        let (protocol, header) = self.transport_header();
        let len = header.len() + self.payload.len();
        let (from, to) = (self.from.ip().octets(), self.to.ip().octets());
        let mut ip = Ipv4Header::new(0, self.ttl, protocol, from, to).expect("no payload yet");
        ip.dscp = IpDscp::try_new(self.type_of_service >> 2).expect("six bits");
        ip.ecn = IpEcn::try_new(self.type_of_service & 3).expect("two bits");
        ip.identification = self.identification;
        ip.dont_fragment = self.dont_fragment;
        ip.options = vec![1; self.options * 4]
            .as_slice()
            .try_into()
            .expect("at most 10 words of options");
        ip.set_payload_len(len).expect("the payload fits a packet");
        ip.header_checksum = ip.calc_header_checksum();
        let mut out = ip.to_bytes().to_vec();
        out.extend(header);
        out.extend(&self.payload);
        out
    }

    fn transport_header(&self) -> (IpNumber, Vec<u8>) {
        let (from, to) = (self.from.ip().octets(), self.to.ip().octets());
        match self.content {
            Content::Tcp { flags, options } => {
                let mut tcp = self.tcp(flags);
                tcp.set_options_raw(&vec![1; options * 4])
                    .expect("at most 10 words of options");
                tcp.checksum = tcp
                    .calc_checksum_ipv4_raw(from, to, &self.payload)
                    .expect("the payload fits a packet");
                (ip_number::TCP, tcp.to_bytes().to_vec())
            }
            Content::Udp { checksum } => {
                let (source, destination) = (self.from.port(), self.to.port());
                let mut udp =
                    UdpHeader::without_ipv4_checksum(source, destination, self.payload.len())
                        .expect("the payload fits a packet");
                if checksum {
                    udp.checksum = udp
                        .calc_checksum_ipv4_raw(from, to, &self.payload)
                        .expect("the payload fits a packet");
                }
                (ip_number::UDP, udp.to_bytes().to_vec())
            }
            Content::Icmp { kind, code, word } => {
                let icmp_type = match (kind, code) {
                    (8, 0) => Icmpv4Type::EchoRequest(IcmpEchoHeader::from_bytes(word)),
                    _ => Icmpv4Type::Unknown {
                        type_u8: kind,
                        code_u8: code,
                        bytes5to8: word,
                    },
                };
                let icmp = Icmpv4Header::with_checksum(icmp_type, &self.payload);
                (ip_number::ICMP, icmp.to_bytes().to_vec())
            }
        }
    }

    fn tcp(&self, flags: u16) -> TcpHeader {
        let has = |bit: u32| flags >> bit & 1 != 0;
        let mut tcp = TcpHeader::new(self.from.port(), self.to.port(), 1000, 64_240);
        tcp.fin = has(0);
        tcp.syn = has(1);
        tcp.rst = has(2);
        tcp.psh = has(3);
        tcp.ack = has(4);
        tcp.urg = has(5);
        tcp.ece = has(6);
        tcp.cwr = has(7);
        tcp.ns = has(8);
        tcp
    }

    /// The frame in which it arrives at the director.
    ///
    /// # Panics
    ///
    /// If options or payload are too long.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut out = DIRECTOR.to_vec();
        out.extend(ROUTER);
        out.extend([0x08, 0x00]);
        out.extend(self.packet());
        out.resize(out.len() + self.padding, 0);
        out
    }
}
