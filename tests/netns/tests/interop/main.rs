//! evenkeel and keepalived, or FRR, in one virtual router: roles as the RFCs say, whichever of them is which.
//!
//! A covering part of the combinations with keepalived runs with all other tests, the rest and those with FRR
//! with `cargo xtask interop`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod equal;
mod frr;
mod handover;
mod pair;
mod peer;
mod roles;

use std::time::Duration;

use evenkeel_netns_tests::cluster::{DIRECTOR, PARTNER};

use crate::pair::Pair;
use crate::peer::Kind;

/// The virtual router's number.
const ID: u8 = 51;

/// What a busy machine may be late.
const SLACK: Duration = Duration::from_millis(250);

/// What the others' timers may be early.
const EARLY: Duration = Duration::from_millis(20);

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Evenkeel,
    Peer,
}

impl Who {
    const fn other(self) -> Self {
        match self {
            Self::Evenkeel => Self::Peer,
            Self::Peer => Self::Evenkeel,
        }
    }
}

/// What the two have in common.
#[derive(Clone, Copy, Debug)]
struct Case {
    peer: Kind,
    version: u8,
    unicast: bool,
    /// Who has the higher address.
    above: Who,
    /// Priorities of evenkeel and the other.
    priorities: [u8; 2],
}

impl Case {
    /// Time between advertisements: version 2 knows whole seconds only.
    const fn adverts(&self) -> Duration {
        match self.version {
            2 => Duration::from_secs(1),
            _ => Duration::from_millis(100),
        }
    }

    const fn priority(&self, who: Who) -> u8 {
        match who {
            Who::Evenkeel => self.priorities[0],
            Who::Peer => self.priorities[1],
        }
    }

    /// The node and its address.
    fn place(&self, who: Who) -> (&'static str, std::net::Ipv4Addr) {
        if who == self.above {
            ("director", DIRECTOR)
        } else {
            ("partner", PARTNER)
        }
    }

    /// What a Backup waits longer for its priority (RFC 9568 §6.1, RFC 3768 §6.1; the latter's is a part of
    /// a second, which is the interval).
    fn skew(&self, who: Who) -> Duration {
        self.adverts() * (256 - u32::from(self.priority(who))) / 256
    }

    fn master_down(&self, who: Who) -> Duration {
        self.adverts() * 3 + self.skew(who)
    }
}
