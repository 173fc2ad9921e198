//! What a TCP or UDP header says.

use evenkeel_abi::{ConnState, Service};
use evenkeel_wire::{eth, ipv4, tcp, udp};

use crate::Frame;
use crate::branchless::{is_zero, select};
use crate::ip::Ip;
use crate::tcp::{asks, timeout};

/// 1 if services can have this protocol, else 0.
#[inline(always)]
pub(crate) const fn is_balanced(protocol: u8) -> u64 {
    is_zero((protocol ^ ipv4::TCP) as u64) | is_zero((protocol ^ ipv4::UDP) as u64)
}

/// 1 if the protocol is UDP, 0 if it is TCP; it is one of them.
///
/// UDP's number is odd and TCP's is not. LLVM would make a branch of a comparison.
#[inline(always)]
const fn is_udp(protocol: u8) -> u64 {
    const { assert!(ipv4::UDP & 1 == 1 && ipv4::TCP & 1 == 0) };
    (protocol & 1) as u64
}

/// What a TCP or UDP header says, as far as connections are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// TCP's flags; with UDP any, for no packet changes its only state.
    pub(crate) flags: u8,
    /// 1 if the packet may begin a flow: a SYN, or any of UDP.
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
    let udp = is_udp(ip.protocol);
    let at = select(udp, udp::LENGTH as u64, tcp::OFFSET_FLAGS as u64) as usize;
    let [first, second] = frame.load(eth::LEN + ip.header_len + at)?;
    let udp_len = u64::from(u16::from_be_bytes([first, second]));
    let len = select(udp, udp_len, u64::from(first >> 4) * 4) as usize;
    let least = select(udp, udp::LEN as u64, tcp::MIN_LEN as u64) as usize;
    // The rest of a datagram comes with later fragments, but all of a TCP header has to be in the first.
    let within = select(udp & ip.fragment, least as u64, len as u64) as usize;
    let is_whole = len >= least
        && ip.header_len + within <= ip.total_len
        && eth::LEN + ip.total_len <= frame.len();
    if !is_whole {
        return None;
    }
    Some(Transport {
        flags: second,
        begins: udp | asks(second),
        fragment: ip.fragment,
        opening: select(udp, ConnState::Udp as u64, ConnState::SynRecv as u64) as u8,
        lifetime: 0,
    })
}
