//! What a TCP, UDP or SCTP header says.

use evenkeel_abi::{ConnState, Service};
use evenkeel_wire::{eth, ipv4, sctp, tcp, udp};

use crate::Frame;
use crate::branchless::{is_below, is_zero, select};
use crate::ip::Ip;
use crate::tcp::{asks, flags_of_chunk, flags_of_segment, timeout};

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
///
/// By arithmetic: were the protocol known on each side of a branch, the verifier would follow all that
/// comes after it twice.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "each is one of two numbers that fit"
)]
pub(crate) fn read<F: Frame>(frame: &F, ip: &Ip) -> Option<Transport> {
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
    if !is_whole {
        return None;
    }
    let chunk = chunk(frame, ip, sctp, first)?;
    let flags = select(
        sctp,
        flags_of_chunk(chunk).into(),
        flags_of_segment(second).into(),
    );
    let begins = select(
        sctp,
        is_zero((first ^ sctp::INIT).into()),
        udp | asks(second),
    );
    let opening = select(udp, ConnState::Udp as u64, ConnState::SynRecv as u64);
    Some(Transport {
        flags: flags as u8,
        begins,
        fragment: ip.fragment,
        opening: select(sctp, ConnState::Init1 as u64, opening) as u8,
        lifetime: 0,
    })
}

/// The type of the chunk that a packet's state goes by, where `sctp` is 1: the first one, or an ABORT behind a COOKIE ECHO
/// or COOKIE ACK (`set_sctp_state` in net/netfilter/ipvs/ip_vs_proto_sctp.c); 15 for all types from there on.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "15 at most")]
fn chunk<F: Frame>(frame: &F, ip: &Ip, sctp: u64, first: u8) -> Option<u8> {
    let cookie =
        is_zero((first ^ sctp::COOKIE_ECHO).into()) | is_zero((first ^ sctp::COOKIE_ACK).into());
    let at = select(sctp, sctp::CHUNK as u64 + 2, 0) as usize;
    let len = u16::from_be_bytes(frame.load(eth::LEN + ip.header_len + at)?);
    let next = sctp::CHUNK as u64 + ((u64::from(len) + 3) & !3);
    let is_within = is_below(
        ip.header_len as u64 + next + sctp::CHUNK_LEN as u64,
        ip.total_len as u64 + 1,
    );
    let is_followed = sctp & cookie & is_within & is_below(sctp::CHUNK_LEN as u64 - 1, len.into());
    let at = select(is_followed, next, 0) as usize;
    let [kind, _] = frame.load(eth::LEN + ip.header_len + at)?;
    let aborts = is_followed & is_zero((kind ^ sctp::ABORT).into());
    let kind = select(aborts, sctp::ABORT.into(), first.into());
    Some(select(is_below(kind, 15), kind, 15) as u8)
}
