//! The same with FRR, which knows multicast only.

use crate::{Kind, Who, equal, roles};

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v3_evenkeel_is_higher() {
    roles::play_with(Kind::Frr, "t-f3e", 3, false, Who::Evenkeel);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v3_frr_is_higher() {
    roles::play_with(Kind::Frr, "t-f3f", 3, false, Who::Peer);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v2_evenkeel_is_higher() {
    roles::play_with(Kind::Frr, "t-f2e", 2, false, Who::Evenkeel);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v2_frr_is_higher() {
    roles::play_with(Kind::Frr, "t-f2f", 2, false, Who::Peer);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v3_equal_the_higher_address_is_evenkeels() {
    equal::play_with(Kind::Frr, "t-f3me", 3, false, Who::Evenkeel);
}

#[test]
#[ignore = "one of those that `cargo xtask interop` adds"]
fn v3_equal_the_higher_address_is_frrs() {
    equal::play_with(Kind::Frr, "t-f3mf", 3, false, Who::Peer);
}
