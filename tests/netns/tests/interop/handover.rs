//! `evenkeel failover` with another VRRP director as the partner.

use crate::{Case, Kind, Pair, Who};

pub(crate) fn play(name: &str, peer: Kind, version: u8, unicast: bool) {
    if !peer.is_there() {
        return;
    }
    let case = Case {
        peer,
        version,
        unicast,
        above: Who::Evenkeel,
        priorities: [200, 100],
    };
    let mut pair = Pair::boot(name, case);
    pair.start(Who::Peer);
    pair.settles(Who::Peer);
    pair.start(Who::Evenkeel);
    pair.settles(Who::Evenkeel);

    let ordered = std::time::Instant::now();
    let told = pair.director(Who::Evenkeel).evenkeel(&["failover"]);
    let told = told.succeeded();
    let (_, address) = case.place(Who::Peer);
    let expected = format!("virtual router front: {address} (priority 100) took over in ");
    assert!(told.starts_with(&expected), "{told}");
    pair.settles(Who::Peer);
    pair.assert_waited(Who::Peer, ordered, case.skew(Who::Peer));
    pair.assert_one_holder(ordered);
    // The higher priority stays away, well beyond the time after which it would preempt.
    pair.advertises_on(Who::Peer, 8);
    pair.settles(Who::Peer);
    assert!(pair.reason().ends_with("by command"), "{}", pair.reason());

    // It hands back by stopping, and after that all is as it was.
    let stopped = pair.stop(Who::Peer);
    pair.settles(Who::Evenkeel);
    pair.assert_waited(Who::Evenkeel, stopped, case.skew(Who::Evenkeel));
    pair.start(Who::Peer);
    pair.settles(Who::Evenkeel);
    pair.assert_one_holder(ordered);
    pair.assert_understood();
}

#[test]
fn v3_multicast_keepalived_takes_over() {
    play("t-h3mk", Kind::Keepalived, 3, false);
}

#[test]
fn v2_unicast_keepalived_takes_over() {
    play("t-h2uk", Kind::Keepalived, 2, true);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v3_frr_takes_over() {
    play("t-hf3", Kind::Frr, 3, false);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v2_frr_takes_over() {
    play("t-hf2", Kind::Frr, 2, false);
}
