use std::time::Duration;

use evenkeel_chaos::fault::{Fault, Planned};

use super::{Broken, Held, broken, may_break};
use crate::crowd::Outcome;
use crate::paper::chaos::cluster::Edit;

fn played(faults: &[Fault<Edit>]) -> Vec<Planned<Edit>> {
    let planned = faults.iter().map(|fault| Planned {
        at: Duration::ZERO,
        lasts: Duration::from_secs(1),
        fault: fault.clone(),
    });
    planned.collect()
}

#[test]
fn one_power_off_excuses_nothing_and_a_second_fault_does() {
    assert!(!may_break(&played(&[Fault::PowerOff(0)])));
    assert!(!may_break(&played(&[
        Fault::PowerOff(0),
        Fault::ServerOff(1)
    ])));
    assert!(!may_break(&played(&[Fault::Kill(0), Fault::Kill(1)])));
    assert!(may_break(&played(&[
        Fault::PowerOff(0),
        Fault::PowerOff(1)
    ])));
    assert!(may_break(&played(&[Fault::Pause(1), Fault::PowerOff(0)])));
}

#[test]
fn a_dead_server_excuses_its_own_connections_alone() {
    let lost = |server| Held {
        server: Some(server),
        outcome: Outcome::Reset,
    };
    let whole = Held {
        server: Some(0),
        outcome: Outcome::Answered,
    };
    let found = broken(&[lost(1), lost(0), whole], &played(&[Fault::ServerOff(1)]));
    let expected = Broken {
        with_server: 1,
        excused: 0,
        unexcused: 1,
    };
    assert_eq!(found, expected);
}
