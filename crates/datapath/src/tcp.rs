//! TCP states as IPVS follows them: `tcp_states` and `tcp_timeouts` in net/netfilter/ipvs/ip_vs_proto_tcp.c.
//!
//! UDP's only state is a further column, which no packet leaves, and SCTP's chunks are further rows
//! (`sctp_states` in net/netfilter/ipvs/ip_vs_proto_sctp.c), so that one path serves all.

use core::hint::black_box;
use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{ConnState, Service, Tick};
use evenkeel_wire::sctp;
use evenkeel_wire::tcp::{ACK, FIN, RST, SYN};

use crate::branchless::is_zero;

/// A row of the transition table: the next state's number for each present TCP state, four bits each.
const fn row(next: [ConnState; 11]) -> u64 {
    let mut packed = (ConnState::Udp as u64) << (ConnState::Udp as u32 * 4);
    let mut i = 0;
    while i < next.len() {
        packed |= (next[i] as u64) << (i * 4);
        i += 1;
    }
    packed
}

/// The row of an SCTP chunk, for the states INIT1, INIT, COOKIE_ECHOED, ESTABLISHED, SHUTDOWN_RECEIVED and CLOSED.
const fn sctp_row(next: [ConnState; 6]) -> u64 {
    let states = [Init1, Init, CookieEchoed, Es, ShutdownReceived, Cl];
    let mut packed = (ConnState::Udp as u64) << (ConnState::Udp as u32 * 4);
    let mut i = 0;
    while i < states.len() {
        packed |= (next[i] as u64) << (states[i] as u32 * 4);
        i += 1;
    }
    packed
}

/// The rows of SCTP's chunks by their type, of the client's packets alone; types that are not named, and those beyond,
/// change nothing.
const SCTP_ROWS: [u64; 16] = {
    use ConnState::{CookieEchoed as Ce, Init as In, Init1 as I1, ShutdownReceived as Sr};
    let mut rows = [sctp_row([I1, In, Ce, Es, Sr, Cl]); 16];
    rows[sctp::INIT as usize] = sctp_row([In, In, Ce, Es, Sr, In]);
    rows[sctp::INIT_ACK as usize] = sctp_row([Ce, Ce, Ce, Es, Sr, Cl]);
    rows[sctp::COOKIE_ECHO as usize] = sctp_row([Es, Es, Ce, Es, Sr, Cl]);
    rows[sctp::COOKIE_ACK as usize] = sctp_row([I1, In, Es, Es, Sr, Cl]);
    rows[sctp::SHUTDOWN as usize] = sctp_row([I1, In, Ce, Sr, Sr, Cl]);
    rows[sctp::SHUTDOWN_ACK as usize] = sctp_row([In, In, Ce, Cl, Sr, Cl]);
    rows[sctp::SHUTDOWN_COMPLETE as usize] = sctp_row([Cl, Cl, Ce, Es, Cl, Cl]);
    rows[sctp::ABORT as usize] = sctp_row([Cl, Cl, Cl, Cl, Cl, Cl]);
    rows
};

/// Tells what stands for a chunk from TCP's flags, where it is CWR and means nothing here.
const CHUNK: u8 = 0x80;

/// Stands for the types of chunks that change nothing.
pub(crate) const OTHER_CHUNK: u8 = 15;

/// Stands for TCP's flags in a packet whose chunk is of this type, 15 at most.
#[inline(always)]
pub(crate) const fn flags_of_chunk(kind: u8) -> u8 {
    CHUNK | kind & OTHER_CHUNK
}

/// The flags of a TCP packet that may mean something to its state.
#[inline(always)]
pub(crate) const fn flags_of_segment(flags: u8) -> u8 {
    flags & !CHUNK
}

use ConnState::{
    Close as Cl, CloseWait as Cw, CookieEchoed, Established as Es, FinWait as Fw, Init, Init1,
    LastAck as La, Listen as Li, ShutdownReceived, SynRecv as Sr, SynSent as Ss, TimeWait as Tw,
};

/// Which packets of a connection the director sees, and whose this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The client's, of a connection whose server's packets are seen too, as masquerading does.
    Input,
    /// The server's.
    Output,
    /// The client's, of a connection whose server answers past the director, as direct routing does.
    InputOnly,
}

/// The rows of a direction for SYN, FIN, ACK and RST.
const fn rows_of(seen: Seen) -> [u64; 4] {
    match seen {
        Seen::Input => [
            row([Sr, Es, Es, Sr, Sr, Sr, Sr, Sr, Sr, Sr, Sr]),
            row([Cl, Cw, Ss, Tw, Tw, Tw, Cl, Cw, La, Li, Tw]),
            row([Es, Es, Ss, Es, Fw, Tw, Cl, Cw, Cl, Li, Es]),
            row([Cl, Cl, Cl, Sr, Cl, Cl, Cl, Cl, La, Li, Sr]),
        ],
        Seen::Output => [
            row([Ss, Es, Ss, Sr, Ss, Ss, Ss, Ss, Ss, Li, Sr]),
            row([Tw, Fw, Ss, Tw, Fw, Tw, Cl, Tw, La, Li, Tw]),
            row([Es, Es, Ss, Es, Fw, Tw, Cl, Cw, La, Es, Es]),
            row([Cl, Cl, Ss, Cl, Cl, Tw, Cl, Cl, Cl, Cl, Cl]),
        ],
        Seen::InputOnly => [
            row([Sr, Es, Es, Sr, Sr, Sr, Sr, Sr, Sr, Sr, Sr]),
            row([Cl, Fw, Ss, Tw, Fw, Tw, Cl, Cw, La, Li, Tw]),
            row([Es, Es, Ss, Es, Fw, Tw, Cl, Cw, Cl, Li, Es]),
            row([Cl, Cl, Cl, Sr, Cl, Cl, Cl, Cl, La, Li, Cl]),
        ],
    }
}

const ON_NOTHING: u64 = row([Cl; 11]);

/// The row of a direction for each combination of TCP's flags, and for each SCTP chunk.
///
/// As many as a byte has values: LLVM would leave out a mask that it knows to change nothing, and the verifier not know.
/// A table and not a chain of tests: the verifier would follow every branch on its own.
const fn table(seen: Seen) -> [u64; 256] {
    let mut rows = [ON_NOTHING; 256];
    let mut flags = 0;
    while flags < rows.len() {
        rows[flags] = row_of(seen, flags);
        flags += 1;
    }
    let mut kind = 0;
    while kind < 16 {
        rows[flags_of_chunk(kind) as usize] = SCTP_ROWS[kind as usize];
        kind += 1;
    }
    rows
}

/// Tests the flags in IPVS's order: RST, SYN, FIN, ACK.
const fn row_of(seen: Seen, flags: usize) -> u64 {
    let [syn, fin, ack, rst] = rows_of(seen);
    if flags & RST as usize != 0 {
        rst
    } else if flags & SYN as usize != 0 {
        syn
    } else if flags & FIN as usize != 0 {
        fin
    } else if flags & ACK as usize != 0 {
        ack
    } else {
        ON_NOTHING
    }
}

static INPUT: [u64; 256] = table(Seen::Input);
static OUTPUT: [u64; 256] = table(Seen::Output);
static INPUT_ONLY: [u64; 256] = table(Seen::InputOnly);

/// How long an entry lives without a packet, in seconds, by state; UDP's is `udp_timeouts` of
/// net/netfilter/ipvs/ip_vs_proto_udp.c.
const TIMEOUT_SECS: [u32; ConnState::ALL.len()] = [
    2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, 300, 4, 61, 61, 61,
];

/// How long an entry of a service without timeouts of its own lives without a packet, in ticks, by the number of its
/// state.
pub const TIMEOUTS: [u64; 16] = {
    let mut ticks = [0; 16];
    let mut state = 0;
    while state < TIMEOUT_SECS.len() {
        ticks[state] = Tick::in_secs(TIMEOUT_SECS[state]);
        state += 1;
    }
    ticks
};

/// The same of a service of SCTP (`sctp_timeouts` of net/netfilter/ipvs/ip_vs_proto_sctp.c).
pub const SCTP_TIMEOUTS: [u64; 16] = {
    let mut ticks = TIMEOUTS;
    ticks[Cl as usize] = Tick::in_secs(61);
    ticks
};

/// The state's number after a packet with these flags, or those that stand for its chunk; a TCP packet without any
/// closes, as in IPVS.
#[must_use]
#[inline(always)]
pub fn next_state(seen: Seen, state: u8, flags: u8) -> u8 {
    let rows = match seen {
        Seen::Input => &INPUT,
        Seen::Output => &OUTPUT,
        Seen::InputOnly => &INPUT_ONLY,
    };
    let row = rows[usize::from(flags)];
    ((row >> (u32::from(state & 0xf) * 4)) & 0xf) as u8
}

/// How long an entry of the service lives in this state without a packet, in ticks.
#[inline(always)]
pub(crate) fn timeout(service: &Service, state: u8) -> u64 {
    // LLVM would leave the mask out, and the verifier of 6.1 does not see that there is no need of it.
    service.timeouts[black_box(state) as usize & 0xf].load(Relaxed)
}

/// Whether a SYN that meets an entry in this state starts a new connection: TIME_WAIT, CLOSE and,
/// since only one side is seen, FIN_WAIT (`is_new_conn_expected` with conn_reuse_mode 3).
#[must_use]
#[inline(always)]
pub const fn is_reusable(state: u8) -> bool {
    const STATES: u16 = 1 << Tw as u8 | 1 << Cl as u8 | 1 << Fw as u8;
    (STATES >> (state & 0xf)) & 1 != 0
}

/// 1 if a packet with these flags asks for a connection, else 0.
#[inline(always)]
pub(crate) const fn asks(flags: u8) -> u64 {
    is_zero(((flags & (SYN | ACK | RST | FIN)) ^ SYN) as u64)
}

#[cfg(test)]
mod tests;
