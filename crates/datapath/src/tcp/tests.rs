use evenkeel_abi::ConnState;
use evenkeel_abi::conn::state_is_active;
use evenkeel_wire::tcp::{ACK, FIN, RST, SYN};

use super::*;

fn parse(cell: &str) -> u8 {
    let names = [
        "NO", "ES", "SS", "SR", "FW", "TW", "CL", "CW", "LA", "LI", "SA",
    ];
    u8::try_from(names.iter().position(|n| *n == cell).unwrap()).unwrap()
}

/// The tables as the kernel's source prints them.
#[test]
fn transitions_are_those_of_the_kernels_tables() {
    let tables = [
        (
            Seen::Input,
            [
                (SYN, "SR ES ES SR SR SR SR SR SR SR SR"),
                (FIN, "CL CW SS TW TW TW CL CW LA LI TW"),
                (ACK, "ES ES SS ES FW TW CL CW CL LI ES"),
                (RST, "CL CL CL SR CL CL CL CL LA LI SR"),
            ],
        ),
        (
            Seen::Output,
            [
                (SYN, "SS ES SS SR SS SS SS SS SS LI SR"),
                (FIN, "TW FW SS TW FW TW CL TW LA LI TW"),
                (ACK, "ES ES SS ES FW TW CL CW LA ES ES"),
                (RST, "CL CL SS CL CL TW CL CL CL CL CL"),
            ],
        ),
        (
            Seen::InputOnly,
            [
                (SYN, "SR ES ES SR SR SR SR SR SR SR SR"),
                (FIN, "CL FW SS TW FW TW CL CW LA LI TW"),
                (ACK, "ES ES SS ES FW TW CL CW CL LI ES"),
                (RST, "CL CL CL SR CL CL CL CL LA LI CL"),
            ],
        ),
    ];
    for (seen, rows) in tables {
        for (flags, row) in rows {
            assert_eq!(row.split(' ').count(), 11);
            for (state, cell) in row.split(' ').enumerate() {
                let state = u8::try_from(state).unwrap();
                assert_eq!(
                    next_state(seen, state, flags),
                    parse(cell),
                    "{seen:?}, state {state}, flags {flags:#x}"
                );
            }
        }
    }
}

/// A connection that is masqueraded, from SYN to the last ACK.
#[test]
fn a_connection_that_is_seen_from_both_sides_ends_in_time_wait() {
    let steps = [
        (Seen::Input, SYN, ConnState::SynRecv),
        (Seen::Output, SYN | ACK, ConnState::SynRecv),
        (Seen::Input, ACK, ConnState::Established),
        (Seen::Output, ACK, ConnState::Established),
        (Seen::Input, FIN | ACK, ConnState::CloseWait),
        (Seen::Output, FIN | ACK, ConnState::TimeWait),
        (Seen::Input, ACK, ConnState::TimeWait),
    ];
    let mut state = ConnState::None as u8;
    for (seen, flags, next) in steps {
        state = next_state(seen, state, flags);
        assert_eq!(state, next as u8, "{seen:?}, flags {flags:#x}");
    }
}

#[test]
fn flags_are_tested_in_the_order_rst_syn_fin_ack() {
    let es = ConnState::Established as u8;
    assert_eq!(
        next_state(Seen::InputOnly, es, RST | SYN | FIN | ACK),
        ConnState::Close as u8
    );
    assert_eq!(
        next_state(Seen::InputOnly, es, SYN | FIN | ACK),
        ConnState::Established as u8
    );
    assert_eq!(
        next_state(Seen::InputOnly, es, FIN | ACK),
        ConnState::FinWait as u8
    );
    assert_eq!(next_state(Seen::InputOnly, es, 0), ConnState::Close as u8);
}

#[test]
fn timeouts_are_the_kernels() {
    let secs = [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, 300];
    for (state, secs) in secs.into_iter().enumerate() {
        assert_eq!(TIMEOUTS[state], Tick::in_secs(secs), "state {state}");
    }
}

#[test]
fn active_states_are_the_kernels() {
    let active = [
        false, true, true, true, false, false, false, false, false, false, true, false,
    ];
    for (state, active) in active.into_iter().enumerate() {
        assert_eq!(
            state_is_active(u8::try_from(state).unwrap()),
            active,
            "state {state}"
        );
    }
}

#[test]
fn udp_has_one_state_that_no_packet_leaves() {
    let udp = ConnState::Udp as u8;
    for flags in 0..32 {
        assert_eq!(
            next_state(Seen::InputOnly, udp, flags),
            udp,
            "flags {flags:#x}"
        );
    }
    assert!(!is_reusable(udp));
}

#[test]
fn only_a_syn_alone_asks_for_a_connection() {
    for flags in 0..=u8::MAX {
        let alone = flags & (SYN | ACK | RST | FIN) == SYN;
        assert_eq!(asks(flags), u64::from(alone), "flags {flags:#x}");
    }
}

/// The table for packets of one side as the kernel's source prints it, less the states that it never leads to; then how
/// the states live.
#[test]
fn sctp_goes_by_the_kernels_table_for_the_clients_side() {
    let columns = ["I1", "IN", "CE", "ES", "SR", "CL"];
    let states = [
        Init1,
        Init,
        CookieEchoed,
        ConnState::Established,
        ShutdownReceived,
        ConnState::Close,
    ];
    let rows = [
        (0, "I1 IN CE ES SR CL"),
        (1, "IN IN CE ES SR IN"),
        (2, "CE CE CE ES SR CL"),
        (3, "I1 IN CE ES SR CL"),
        (6, "CL CL CL CL CL CL"),
        (7, "I1 IN CE SR SR CL"),
        (8, "IN IN CE CL SR CL"),
        (9, "I1 IN CE ES SR CL"),
        (10, "ES ES CE ES SR CL"),
        (11, "I1 IN ES ES SR CL"),
        (14, "CL CL CE ES CL CL"),
        (15, "I1 IN CE ES SR CL"),
    ];
    for (kind, row) in rows {
        for (state, cell) in states.into_iter().zip(row.split(' ')) {
            let next = columns.iter().position(|name| *name == cell).unwrap();
            assert_eq!(
                next_state(Seen::InputOnly, state as u8, flags_of_chunk(kind)),
                states[next] as u8,
                "{state:?} with chunk {kind}"
            );
        }
    }
    let seconds = [4, 61, 61, 900, 61, 61];
    for (state, seconds) in states.into_iter().zip(seconds) {
        assert_eq!(
            SCTP_TIMEOUTS[state as usize],
            Tick::in_secs(seconds),
            "{state:?}"
        );
        assert_eq!(
            state_is_active(state as u8),
            state == ConnState::Established
        );
        assert_eq!(is_reusable(state as u8), state == ConnState::Close);
    }
}
