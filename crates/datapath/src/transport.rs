//! What a TCP, UDP or SCTP header says.

use evenkeel_abi::{ConnState, Service};
use evenkeel_wire::{eth, ipv4, sctp, tcp, udp};

use crate::Frame;
use crate::branchless::{is_zero, select};
use crate::ip::Ip;
use crate::tcp::{OTHER_CHUNK, asks, flags_of_chunk, flags_of_segment, timeout};

/// 1 if services can have this protocol, else 0.
#[inline(always)]
pub(crate) const fn is_balanced(protocol: u8) -> u64 {
    is_zero((protocol ^ ipv4::TCP) as u64) | is_udp_or_sctp(protocol)
}

#[inline(always)]
const fn is_udp_or_sctp(protocol: u8) -> u64 {
    is_zero((protocol ^ ipv4::UDP) as u64) | is_zero((protocol ^ ipv4::SCTP) as u64)
}

/// 1 if the protocol is UDP, 0 if it is TCP or SCTP; it is one of them.
///
/// UDP's number is odd and the others' are not. LLVM would make a branch of a comparison.
#[inline(always)]
const fn is_udp(protocol: u8) -> u64 {
    const { assert!(ipv4::UDP & 1 == 1 && (ipv4::TCP | ipv4::SCTP) & 1 == 0) };
    (protocol & 1) as u64
}

/// 1 if the protocol is SCTP, 0 if it is TCP or UDP; as [`is_udp`].
#[inline(always)]
const fn is_sctp(protocol: u8) -> u64 {
    const { assert!(ipv4::SCTP >> 7 == 1 && (ipv4::TCP | ipv4::UDP) >> 7 == 0) };
    (protocol >> 7) as u64
}

/// What a TCP, UDP or SCTP header says, as far as connections are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// TCP's flags, or what stands for SCTP's chunk; with UDP any, for no packet changes its only state.
    pub(crate) flags: u8,
    /// 1 if the packet may begin a flow: a SYN, an INIT, or any of UDP.
    pub(crate) begins: u64,
    /// 1 if the packet is a first fragment.
    pub(crate) fragment: u64,
    /// Number of a new flow's state.
    pub(crate) opening: u8,
    /// How long a new flow's entry lives without a further packet, in ticks; 0 until [`Transport::living`].
    pub(crate) lifetime: u64,
}

impl Transport {
    /// The same with the lifetime that the service gives a new flow.
    #[inline(always)]
    pub(crate) fn living(self, service: &Service) -> Self {
        Self {
            lifetime: timeout(service, self.opening),
            ..self
        }
    }

    /// All of it in one word.
    #[must_use]
    #[inline(always)]
    pub const fn packed(self) -> u64 {
        self.flags as u64
            | (self.opening as u64) << 8
            | (self.begins | self.fragment << 1) << 16
            | self.lifetime << 24
    }

    /// What such a word holds.
    #[must_use]
    #[inline(always)]
    pub const fn unpacked(word: u64) -> Self {
        let [flags, opening, kinds, ..] = word.to_le_bytes();
        Self {
            flags,
            begins: kinds as u64 & 1,
            fragment: kinds as u64 >> 1,
            opening,
            lifetime: word >> 24,
        }
    }
}

/// Reads the header; `None` if it is not whole, or the packet shorter than it says.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "each is one of two numbers that fit"
)]
pub(crate) fn read<F: Frame>(frame: &F, ip: &Ip) -> Option<Transport> {
    let (udp, sctp) = (is_udp(ip.protocol), is_sctp(ip.protocol));
    let [first, second] = whole(frame, ip)?;
    let begins = select(
        sctp,
        is_zero((first ^ sctp::INIT).into()),
        udp | asks(second),
    );
    let opening = select(udp, ConnState::Udp as u64, ConnState::SynRecv as u64);
    let flags = if sctp == 0 {
        flags_of_segment(second)
    } else {
        flags_of_chunk(frame.chunk_of_sctp(ip.header_len, ip.total_len))
    };
    Some(Transport {
        flags,
        begins,
        fragment: ip.fragment,
        opening: select(sctp, ConnState::Init1 as u64, opening) as u8,
        lifetime: 0,
    })
}

/// The length and flags of a TCP header, the length of a UDP datagram, or type and flags of SCTP's first chunk, if the
/// header is whole, and the packet no shorter than it says.
///
/// By arithmetic: were the protocol known on each side of a branch, the verifier would follow all that
/// comes after it twice.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "each is one of two numbers that fit"
)]
pub(crate) fn whole<F: Frame>(frame: &F, ip: &Ip) -> Option<[u8; 2]> {
    let (udp, sctp) = (is_udp(ip.protocol), is_sctp(ip.protocol));
    const {
        assert!(
            tcp::OFFSET_FLAGS == sctp::CHUNK,
            "so one load does for both"
        )
    };
    let at = select(udp, udp::LENGTH as u64, tcp::OFFSET_FLAGS as u64) as usize;
    let [first, second] = frame.load(eth::LEN + ip.header_len + at)?;
    let udp_len = u64::from(u16::from_be_bytes([first, second]));
    let len = select(udp, udp_len, u64::from(first >> 4) * 4);
    let len = select(sctp, sctp::MIN_LEN as u64, len) as usize;
    let least = select(udp, udp::LEN as u64, tcp::MIN_LEN as u64);
    let least = select(sctp, sctp::MIN_LEN as u64, least) as usize;
    // The rest of a datagram comes with later fragments, but all of a TCP header has to be in the first.
    let within = select(udp & ip.fragment, least as u64, len as u64) as usize;
    let is_whole = len >= least
        && ip.header_len + within <= ip.total_len
        && eth::LEN + ip.total_len <= frame.len();
    is_whole.then_some([first, second])
}

/// The type of the chunk that the state of an SCTP packet goes by, which has a header of that length and that many
/// bytes: the first one, or an ABORT behind a COOKIE ECHO or COOKIE ACK (`set_sctp_state` in
/// net/netfilter/ipvs/ip_vs_proto_sctp.c); 15 for all types from there on, and where it is not there.
#[must_use]
#[inline(always)]
pub fn chunk_of_sctp<F: Frame + ?Sized>(frame: &F, header_len: usize, total_len: usize) -> u8 {
    chunk(frame, header_len, total_len).unwrap_or(OTHER_CHUNK)
}

#[inline(always)]
fn chunk<F: Frame + ?Sized>(frame: &F, header_len: usize, total_len: usize) -> Option<u8> {
    let at = header_len + sctp::CHUNK;
    let [first, _flags] = frame.load(eth::LEN + at)?;
    if first == sctp::COOKIE_ECHO || first == sctp::COOKIE_ACK {
        let len = usize::from(u16::from_be_bytes(frame.load(eth::LEN + at + 2)?));
        let next = at + ((len + 3) & !3);
        if len >= sctp::CHUNK_LEN && next + sctp::CHUNK_LEN <= total_len {
            let [kind, _flags] = frame.load(eth::LEN + next)?;
            if kind == sctp::ABORT {
                return Some(sctp::ABORT);
            }
        }
    }
    Some(first.min(OTHER_CHUNK))
}
