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

/// The INPUT-ONLY rows as the kernel's source prints them.
#[test]
fn transitions_are_those_of_the_kernels_input_only_table() {
    for (flags, row) in [
        (SYN, "SR ES ES SR SR SR SR SR SR SR SR"),
        (FIN, "CL FW SS TW FW TW CL CW LA LI TW"),
        (ACK, "ES ES SS ES FW TW CL CW CL LI ES"),
        (RST, "CL CL CL SR CL CL CL CL LA LI CL"),
    ] {
        for (state, cell) in row.split(' ').enumerate() {
            let state = u8::try_from(state).unwrap();
            assert_eq!(
                next_state(state, flags),
                parse(cell),
                "state {state}, flags {flags:#x}"
            );
        }
    }
}

#[test]
fn flags_are_tested_in_the_order_rst_syn_fin_ack() {
    let es = ConnState::Established as u8;
    assert_eq!(
        next_state(es, RST | SYN | FIN | ACK),
        ConnState::Close as u8
    );
    assert_eq!(
        next_state(es, SYN | FIN | ACK),
        ConnState::Established as u8
    );
    assert_eq!(next_state(es, FIN | ACK), ConnState::FinWait as u8);
    assert_eq!(next_state(es, 0), ConnState::Close as u8);
}

#[test]
fn timeouts_are_the_kernels() {
    let secs = [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, 300];
    for (state, secs) in secs.into_iter().enumerate() {
        assert_eq!(
            timeout(u8::try_from(state).unwrap()),
            Tick::in_secs(secs),
            "state {state}"
        );
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
        assert_eq!(next_state(udp, flags), udp, "flags {flags:#x}");
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
