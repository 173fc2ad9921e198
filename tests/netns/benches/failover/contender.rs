//! Who is compared, and how each is started and ended on a director.

use std::time::Duration;

use evenkeel_api::Role;
use evenkeel_netns_tests::cluster::{DIRECTOR, PARTNER, VIP};
use evenkeel_netns_tests::keepalived::Instance;
use evenkeel_netns_tests::texts::{ECHO, config, maglev, router, service, udp};
use evenkeel_netns_tests::{Daemon, Director, Keepalived};

const FRONT: &str = "front";
const ID: u8 = 51;

/// Who answers the probe behind whose virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    /// evenkeel forwards it to a real server.
    Forwarding,
    /// evenkeel has no service there: the Active answers by itself.
    OwnEcho,
    /// keepalived's Active answers by itself.
    Keepalived,
}

impl Contender {
    pub(crate) const ALL: [Self; 3] = [Self::Forwarding, Self::OwnEcho, Self::Keepalived];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forwarding => "evenkeel, forwarding",
            Self::OwnEcho => "evenkeel, own echo",
            Self::Keepalived => "keepalived, own echo",
        }
    }

    /// For programs.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Forwarding => "evenkeel_forwarding",
            Self::OwnEcho => "evenkeel_own_echo",
            Self::Keepalived => "keepalived_own_echo",
        }
    }

    /// Starts it on a director, which is to have that priority.
    pub(crate) fn start(self, director: Director<'_>, priority: u8, adverts: Duration) -> Running {
        let instance = Instance {
            version: 3,
            id: ID,
            priority,
            adverts,
            address: VIP.into(),
            unicast: None,
        };
        match self {
            Self::Keepalived => Running::Keepalived(Keepalived::start(director, &instance)),
            Self::Forwarding | Self::OwnEcho => {
                let more = format!("adverts = \"{}ms\"", adverts.as_millis());
                let mut tables = vec![router(FRONT, ID, &[VIP], priority, &more)];
                if self == Self::Forwarding {
                    let check = "check = { tcp = true, port = 80, every = \"500ms\", timeout = \"250ms\", fall = 3, rise = 1 }";
                    tables.push(udp(&maglev(&service("echo", ECHO, &[1, 2], check))));
                }
                Running::Evenkeel(director.start_daemon(&config(&tables)))
            }
        }
    }
}

/// A director's program.
#[derive(Debug)]
pub(crate) enum Running {
    Evenkeel(Daemon),
    Keepalived(Keepalived),
}

impl Running {
    /// Whether it says that it has that role, and is ready for the next one.
    pub(crate) fn is(&self, role: Role, director: Director<'_>) -> bool {
        match self {
            Self::Evenkeel(_) => {
                let router = director.router(FRONT);
                router.is_some_and(|r| r.role == role && r.may_take_over) && director.is_ready()
            }
            Self::Keepalived(it) => it.is_active() == Some(role == Role::Active),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        match self {
            Self::Evenkeel(it) => it.kill(),
            Self::Keepalived(it) => drop(it.kill()),
        }
    }

    /// SIGTERM; it has ended when this returns.
    pub(crate) fn stop(self) {
        match self {
            Self::Evenkeel(it) => {
                let status = it.terminate();
                assert!(status.success(), "evenkeel ended with {status}");
            }
            Self::Keepalived(it) => drop(it.terminate()),
        }
    }

    /// Waits until it has died with its host.
    pub(crate) fn reap(self) {
        match self {
            Self::Evenkeel(it) => drop(it.wait()),
            Self::Keepalived(it) => it.wait(),
        }
    }
}

/// The names and addresses of the directors: the one with the higher priority, and the other.
pub(crate) const PLACES: [(&str, std::net::Ipv4Addr, u8); 2] =
    [("director", DIRECTOR, 200), ("partner", PARTNER, 100)];
