//! Who is Active by priority: the higher joins, dies, comes back, ends, and the lower comes and goes.

use std::time::Instant;

use crate::{Case, Kind, Pair, Who};

const HIGH: u8 = 200;
const LOW: u8 = 100;

fn play(name: &str, version: u8, unicast: bool, higher: Who) {
    play_with(Kind::Keepalived, name, version, unicast, higher);
}

pub(crate) fn play_with(peer: Kind, name: &str, version: u8, unicast: bool, higher: Who) {
    if !peer.is_there() {
        return;
    }
    let priorities = match higher {
        Who::Evenkeel => [HIGH, LOW],
        Who::Peer => [LOW, HIGH],
    };
    let case = Case {
        peer,
        version,
        unicast,
        above: Who::Evenkeel,
        priorities,
    };
    let mut pair = Pair::boot(name, case);
    let lower = higher.other();

    // The lower is alone; the higher joins.
    pair.start(lower);
    pair.settles(lower);
    let joined = pair.start(higher);
    pair.settles(higher);
    pair.assert_one_holder(joined);
    assert_preempted(&pair, higher, lower);

    // The higher dies and comes back.
    let killed = pair.kill(higher);
    pair.is_active_by_its_adverts(lower);
    pair.assert_waited(lower, killed, case.master_down(lower));
    if higher == Who::Evenkeel {
        // Its data plane yields without it; the others' kernel goes on answering.
        pair.settles(lower);
        pair.assert_one_holder(killed);
    } else {
        assert!(pair.reason().starts_with("no Active heard for"));
    }
    let back = pair.start(higher);
    pair.settles(higher);
    pair.assert_one_holder(back);
    assert_preempted(&pair, higher, lower);

    // It is stopped in good order and comes back.
    let stopped = pair.stop(higher);
    pair.settles(lower);
    pair.assert_waited(lower, stopped, case.skew(lower));
    pair.assert_one_holder(stopped);
    if lower == Who::Evenkeel {
        assert!(pair.reason().ends_with("stopped (priority 0)"));
    }
    pair.start(higher);
    pair.settles(higher);

    // What the lower does is nothing to the higher.
    let unmoved = Instant::now();
    let _killed = pair.kill(lower);
    pair.start(lower);
    pair.settles(higher);
    let _stopped = pair.stop(lower);
    pair.start(lower);
    pair.settles(higher);
    let (_, address) = case.place(lower);
    assert_eq!(pair.adverts(unmoved).adverts(address), []);
    pair.assert_one_holder(unmoved);
    pair.assert_understood();
}

/// evenkeel's word on why the higher is Active.
fn assert_preempted(pair: &Pair, higher: Who, lower: Who) {
    let reason = pair.reason();
    let (_, address) = pair.case.place(Who::Peer);
    let priority = pair.case.priority(Who::Peer);
    let expected = match (higher, lower) {
        (Who::Evenkeel, _) => format!("preempted {address} (priority {priority})"),
        (Who::Peer, _) => format!("{address} (priority {priority}) is Active"),
    };
    assert_eq!(reason, expected);
}

#[test]
fn v3_multicast_evenkeel_is_higher() {
    play("t-i3me", 3, false, Who::Evenkeel);
}

#[test]
fn v3_unicast_keepalived_is_higher() {
    play("t-i3uk", 3, true, Who::Peer);
}

#[test]
fn v2_multicast_keepalived_is_higher() {
    play("t-i2mk", 2, false, Who::Peer);
}

#[test]
fn v2_unicast_evenkeel_is_higher() {
    play("t-i2ue", 2, true, Who::Evenkeel);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v3_multicast_keepalived_is_higher() {
    play("t-i3mk", 3, false, Who::Peer);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v3_unicast_evenkeel_is_higher() {
    play("t-i3ue", 3, true, Who::Evenkeel);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v2_multicast_evenkeel_is_higher() {
    play("t-i2me", 2, false, Who::Evenkeel);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v2_unicast_keepalived_is_higher() {
    play("t-i2uk", 2, true, Who::Peer);
}
