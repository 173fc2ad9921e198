//! The other VRRP director.

use evenkeel_netns_tests::keepalived::{self, Instance};
use evenkeel_netns_tests::watch::Mac;
use evenkeel_netns_tests::{Director, Frr, Keepalived, frr};

use crate::ID;

/// Which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Keepalived,
    Frr,
}

impl Kind {
    /// Whether it is installed; says so where not.
    pub(crate) fn is_there(self) -> bool {
        match self {
            Self::Keepalived => keepalived::is_there(),
            Self::Frr => frr::is_there(),
        }
    }

    pub(crate) fn start(self, director: Director<'_>, instance: &Instance) -> Peer {
        match self {
            Self::Keepalived => Peer::Keepalived(Keepalived::start(director, instance)),
            Self::Frr => Peer::Frr(Frr::start(director, instance)),
        }
    }

    /// From where it answers ARP.
    pub(crate) fn mac(self, director: Director<'_>) -> Mac {
        match self {
            Self::Keepalived => director.mac(),
            Self::Frr => frr::mac(ID),
        }
    }

    /// What its log has where an advertisement or a socket is not good.
    pub(crate) const fn complaints(self) -> &'static [&'static str] {
        match self {
            Self::Keepalived => &["nvalid", "ogus", "hecksum", "ismatch", "rror"],
            Self::Frr => &["Datagram", "Bad ", "Failed to", "is a bug"],
        }
    }
}

/// A running one.
#[derive(Debug)]
pub(crate) enum Peer {
    Keepalived(Keepalived),
    Frr(Frr),
}

impl Peer {
    /// What it has logged so far, in all its lives.
    pub(crate) fn log(&self) -> String {
        match self {
            Self::Keepalived(it) => it.log(),
            Self::Frr(it) => it.log(),
        }
    }

    /// Whether it says that it is Active; `None`: it has said nothing of its state yet.
    pub(crate) fn is_active(&self) -> Option<bool> {
        match self {
            Self::Keepalived(it) => it.is_active(),
            Self::Frr(it) => it.is_active(),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        let _when = match self {
            Self::Keepalived(it) => it.kill(),
            Self::Frr(it) => it.kill(),
        };
    }

    /// SIGTERM; it has ended when this returns.
    pub(crate) fn terminate(self) {
        let _when = match self {
            Self::Keepalived(it) => it.terminate(),
            Self::Frr(it) => it.terminate(),
        };
    }
}
