//! Equal priorities: the first stays; of two Actives, the higher address.

use std::time::Instant;

use crate::{Case, Kind, Pair, Who};

fn play(name: &str, version: u8, unicast: bool, above: Who) {
    play_with(Kind::Keepalived, name, version, unicast, above);
}

pub(crate) fn play_with(peer: Kind, name: &str, version: u8, unicast: bool, above: Who) {
    if !peer.is_there() {
        return;
    }
    let case = Case {
        peer,
        version,
        unicast,
        above,
        priorities: [100, 100],
    };
    let mut pair = Pair::boot(name, case);
    for first in [Who::Evenkeel, Who::Peer] {
        pair.start(first);
        pair.settles(first);
        let joined = pair.start(first.other());
        if first.other() == Who::Evenkeel {
            pair.is_warm();
        }
        pair.settles(first);
        let (_, address) = case.place(first.other());
        assert_eq!(pair.adverts(joined).adverts(address), []);

        // They don't hear each other, and then do.
        let _when = pair.cluster.part_directors(true);
        pair.both_are_active();
        let healed = pair.cluster.part_directors(false);
        if (peer, above) == (Kind::Frr, Who::Evenkeel) {
            // FRR yields without a word, as RFC 9568 has it. If it heard evenkeel first, evenkeel knows of no
            // other Active and does not announce for its sake: the client's entry stays FRR's hardware address
            // until evenkeel announces anyway or the client asks anew. Meanwhile FRR's kernel, which takes
            // packets even on an interface that is held down, refuses connections.
            pair.is_found_again();
        }
        pair.settles(above);
        pair.assert_one_holder(healed);
        let settled = Instant::now();
        pair.settles(above);
        let (_, below) = case.place(above.other());
        assert_eq!(pair.adverts(settled).adverts(below), []);
        pair.assert_understood();

        let _stopped = pair.stop(Who::Evenkeel);
        let _stopped = pair.stop(Who::Peer);
    }
}

#[test]
fn v3_multicast_the_higher_address_is_evenkeels() {
    play("t-e3me", 3, false, Who::Evenkeel);
}

#[test]
fn v2_unicast_the_higher_address_is_keepaliveds() {
    play("t-e2uk", 2, true, Who::Peer);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v3_multicast_the_higher_address_is_keepaliveds() {
    play("t-e3mk", 3, false, Who::Peer);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v3_unicast_the_higher_address_is_evenkeels() {
    play("t-e3ue", 3, true, Who::Evenkeel);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v3_unicast_the_higher_address_is_keepaliveds() {
    play("t-e3uk", 3, true, Who::Peer);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v2_multicast_the_higher_address_is_evenkeels() {
    play("t-e2me", 2, false, Who::Evenkeel);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v2_multicast_the_higher_address_is_keepaliveds() {
    play("t-e2mk", 2, false, Who::Peer);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v2_unicast_the_higher_address_is_evenkeels() {
    play("t-e2ue", 2, true, Who::Evenkeel);
}
