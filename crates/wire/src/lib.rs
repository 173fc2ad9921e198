//! Where things stand in the headers that evenkeel reads and writes, and Internet checksums.
//!
//! Offsets and constants, not views: the data plane reads fields at checked offsets through its
//! own frame, which the BPF verifier must be able to follow. Only messages of VRRP and of connection sync are read and
//! written as a whole, by user space. Nothing here allocates.

#![no_std]
#![forbid(unsafe_code)]

pub mod arp;
pub mod checksum;
pub mod sync;
pub mod vrrp;

/// Ethernet II.
pub mod eth {
    /// Offset of the destination address.
    pub const DESTINATION: usize = 0;
    /// Offset of the source address.
    pub const SOURCE: usize = 6;
    /// Offset of the EtherType.
    pub const ETHERTYPE: usize = 12;
    /// Length of the header.
    pub const LEN: usize = 14;
    /// EtherType of IPv4.
    pub const IPV4: [u8; 2] = [0x08, 0x00];
    /// EtherType of IPv6.
    pub const IPV6: [u8; 2] = [0x86, 0xdd];
    /// EtherType of ARP.
    pub const ARP: [u8; 2] = [0x08, 0x06];
    /// EtherType of an 802.1Q tag.
    pub const VLAN: [u8; 2] = [0x81, 0x00];
    /// Length of an 802.1Q tag, EtherType and tag control information.
    pub const TAG_LEN: usize = 4;
}

/// IPv4, RFC 791; offsets from its header's first byte.
pub mod ipv4 {
    /// Version and header length in words.
    pub const VERSION_IHL: usize = 0;
    /// Total length.
    pub const TOTAL_LENGTH: usize = 2;
    /// Flags and fragment offset.
    pub const FRAGMENT: usize = 6;
    /// Time to live.
    pub const TTL: usize = 8;
    /// Protocol.
    pub const PROTOCOL: usize = 9;
    /// Header checksum.
    pub const CHECKSUM: usize = 10;
    /// Source address.
    pub const SOURCE: usize = 12;
    /// Destination address.
    pub const DESTINATION: usize = 16;
    /// Length of a header without options.
    pub const MIN_LEN: usize = 20;
    /// Bits of [`FRAGMENT`] that are set in any fragment: more fragments, and the offset.
    pub const FRAGMENT_BITS: u16 = 0x3fff;
    /// Bits of [`FRAGMENT`] that hold the offset.
    pub const OFFSET_BITS: u16 = 0x1fff;
    /// Protocol number of ICMP.
    pub const ICMP: u8 = 1;
    /// Protocol number of TCP.
    pub const TCP: u8 = 6;
    /// Protocol number of UDP.
    pub const UDP: u8 = 17;
    /// Protocol number of SCTP.
    pub const SCTP: u8 = 132;
    /// Protocol number of VRRP.
    pub const VRRP: u8 = 112;
}

/// IPv6, RFC 8200; offsets from its header's first byte.
pub mod ipv6 {
    /// Version in the high four bits, traffic class, flow label.
    pub const VERSION: usize = 0;
    /// Length of what follows the header.
    pub const PAYLOAD_LENGTH: usize = 4;
    /// Next header.
    pub const NEXT_HEADER: usize = 6;
    /// Hop limit.
    pub const HOP_LIMIT: usize = 7;
    /// Source address.
    pub const SOURCE: usize = 8;
    /// Destination address.
    pub const DESTINATION: usize = 24;
    /// Length of the header.
    pub const LEN: usize = 40;
    /// Length of the packets that every link carries (RFC 8200 §5).
    pub const MTU_MIN: usize = 1280;
    /// Number of the hop-by-hop options header.
    pub const HOP_BY_HOP: u8 = 0;
    /// Number of the routing header.
    pub const ROUTING: u8 = 43;
    /// Number of the fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Number of ICMPv6.
    pub const ICMP: u8 = 58;
    /// Number of the destination options header.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// Length of the fragment header.
    pub const FRAGMENT_LEN: usize = 8;
    /// Offset of the fragment's offset and flag in the fragment header.
    pub const FRAGMENT_OFFSET: usize = 2;
    /// Offset of the identification in the fragment header.
    pub const IDENTIFICATION: usize = 4;
    /// Bits of [`FRAGMENT_OFFSET`] that are the offset.
    pub const OFFSET_BITS: u16 = 0xfff8;
    /// Bits of [`FRAGMENT_OFFSET`] that are set in any fragment: more fragments, and the offset.
    pub const FRAGMENT_BITS: u16 = 0xfff9;
}

/// TCP, RFC 9293; offsets from its header's first byte.
pub mod tcp {
    /// Sequence number.
    pub const SEQUENCE: usize = 4;
    /// Acknowledgment number.
    pub const ACKNOWLEDGMENT: usize = 8;
    /// Data offset in the high four bits, then the flags.
    pub const OFFSET_FLAGS: usize = 12;
    /// Length of a header without options.
    pub const MIN_LEN: usize = 20;
    /// FIN.
    pub const FIN: u8 = 0x01;
    /// SYN.
    pub const SYN: u8 = 0x02;
    /// RST.
    pub const RST: u8 = 0x04;
    /// ACK.
    pub const ACK: u8 = 0x10;
}

/// UDP, RFC 768; offsets from its header's first byte.
pub mod udp {
    /// Length of header and payload.
    pub const LENGTH: usize = 4;
    /// Length of the header.
    pub const LEN: usize = 8;
}

/// SCTP, RFC 9260; offsets from its header's first byte.
pub mod sctp {
    /// Type of the first chunk and its flags, then its length: header and value, without padding.
    pub const CHUNK: usize = 12;
    /// Length of a chunk's header.
    pub const CHUNK_LEN: usize = 4;
    /// Length of the header and of that of the first chunk, without which a packet means nothing.
    pub const MIN_LEN: usize = CHUNK + CHUNK_LEN;
    /// Type of a chunk: DATA.
    pub const DATA: u8 = 0;
    /// INIT.
    pub const INIT: u8 = 1;
    /// INIT ACK.
    pub const INIT_ACK: u8 = 2;
    /// ABORT.
    pub const ABORT: u8 = 6;
    /// SHUTDOWN.
    pub const SHUTDOWN: u8 = 7;
    /// SHUTDOWN ACK.
    pub const SHUTDOWN_ACK: u8 = 8;
    /// ERROR.
    pub const ERROR: u8 = 9;
    /// COOKIE ECHO.
    pub const COOKIE_ECHO: u8 = 10;
    /// COOKIE ACK.
    pub const COOKIE_ACK: u8 = 11;
    /// SHUTDOWN COMPLETE.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// ICMP, RFC 792.
pub mod icmp {
    /// Length of the header of an error message.
    pub const LEN: usize = 8;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Code of [`UNREACHABLE`]: port.
    pub const PORT: u8 = 3;
    /// Code of [`UNREACHABLE`]: fragmentation needed, and the next hop's MTU (RFC 1191 §4).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Bytes of the payload that an error quotes besides the IP header.
    pub const QUOTED_PAYLOAD: usize = 8;
}

/// ICMPv6, RFC 4443 and RFC 4861.
pub mod icmp6 {
    /// Length of the header of an error message.
    pub const LEN: usize = 8;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Code of [`UNREACHABLE`]: port.
    pub const PORT: u8 = 4;
    /// Packet too big, and the next hop's MTU.
    pub const TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Neighbour solicitation.
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// Offset of the target's address in a neighbour solicitation and advertisement.
    pub const TARGET: usize = 8;
    /// Hop limit of neighbour discovery: a message with another has passed a router (RFC 4861 §7.1).
    pub const HOP_LIMIT: u8 = 255;
}
