//! TCP states as IPVS follows them: `tcp_states` and `tcp_timeouts` in net/netfilter/ipvs/ip_vs_proto_tcp.c.
//!
//! UDP's only state is a further column, which no packet leaves, so that one path serves both.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{ConnState, Service, Tick};
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

use ConnState::{
    Close as Cl, CloseWait as Cw, Established as Es, FinWait as Fw, LastAck as La, Listen as Li,
    SynRecv as Sr, SynSent as Ss, TimeWait as Tw,
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

/// The row of a direction for each combination of the flags FIN, SYN, RST and ACK.
///
/// A table and not a chain of tests: the verifier would follow every branch on its own.
const fn table(seen: Seen) -> [u64; 32] {
    let mut rows = [ON_NOTHING; 32];
    let mut flags = 0;
    while flags < rows.len() {
        rows[flags] = row_of(seen, flags);
        flags += 1;
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

static INPUT: [u64; 32] = table(Seen::Input);
static OUTPUT: [u64; 32] = table(Seen::Output);
static INPUT_ONLY: [u64; 32] = table(Seen::InputOnly);

/// How long an entry lives without a packet, in seconds, by state; UDP's is `udp_timeouts` of
/// net/netfilter/ipvs/ip_vs_proto_udp.c.
const TIMEOUT_SECS: [u32; ConnState::ALL.len()] =
    [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, 300];

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

/// The state's number after a packet with these flags; one without any of them closes, as in IPVS.
#[must_use]
#[inline(always)]
pub fn next_state(seen: Seen, state: u8, flags: u8) -> u8 {
    let rows = match seen {
        Seen::Input => &INPUT,
        Seen::Output => &OUTPUT,
        Seen::InputOnly => &INPUT_ONLY,
    };
    let row = rows[(flags & (FIN | SYN | RST | ACK)) as usize];
    ((row >> (u32::from(state & 0xf) * 4)) & 0xf) as u8
}

/// How long an entry of the service lives in this state without a packet, in ticks.
#[inline(always)]
pub(crate) fn timeout(service: &Service, state: u8) -> u64 {
    service.timeouts[(state & 0xf) as usize].load(Relaxed)
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
