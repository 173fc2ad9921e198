//! Why a role changed.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::span::Span;

/// Why a director has the role that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It started: a Backup until it knows better.
    Started,
    /// It was Active before a restart, and its lease had not run out.
    RestartedWithinLease,
    /// It has priority 255.
    Owner,
    /// The timer for the Active's next advertisement ran out.
    NobodyHeard {
        /// Time without an advertisement.
        silence: Duration,
    },
    /// The Active said that it stops (priority 0).
    ActiveStopped {
        /// Its address.
        address: IpAddr,
    },
    /// The Active has a lower priority.
    Preempted {
        /// Its address.
        address: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// Somebody else is Active, with a higher priority, or the same and a higher address.
    OtherActive {
        /// Its address.
        address: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// Somebody became Active while this director was paused.
    ReplacedWhileAway {
        /// Its address.
        address: IpAddr,
        /// Its priority.
        priority: u8,
        /// How late this director's own timer was.
        late: Duration,
    },
    /// This director was told to hand over, and somebody took over.
    HandedOver {
        /// Its address.
        address: IpAddr,
        /// Its priority.
        priority: u8,
        /// It asked for that, and no operator.
        asked: bool,
    },
    /// This director was told to give the role up, and nobody took over.
    GaveUp,
    /// The interface went down.
    LinkDown,
    /// The interface came up.
    LinkUp,
    /// It was told to stop.
    Stopping,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Started => f.write_str("started"),
            Self::RestartedWithinLease => f.write_str("restarted within its lease"),
            Self::Owner => f.write_str("owner of the addresses (priority 255)"),
            Self::NobodyHeard { silence } => {
                write!(f, "no Active heard for {}", Span(silence))
            }
            Self::ActiveStopped { address } => {
                write!(f, "the Active, {address}, stopped (priority 0)")
            }
            Self::Preempted { address, priority } => {
                write!(f, "preempted {address} (priority {priority})")
            }
            Self::OtherActive { address, priority } => {
                write!(f, "{address} (priority {priority}) is Active")
            }
            Self::ReplacedWhileAway {
                address,
                priority,
                late,
            } => write!(
                f,
                "{address} (priority {priority}) is Active since this director was away for {}",
                Span(late)
            ),
            Self::HandedOver {
                address,
                priority,
                asked,
            } => {
                let why = if asked { "as it asked" } else { "by command" };
                write!(f, "handed over to {address} (priority {priority}) {why}")
            }
            Self::GaveUp => f.write_str("given up by command, nobody took over"),
            Self::LinkDown => f.write_str("link down"),
            Self::LinkUp => f.write_str("link up"),
            Self::Stopping => f.write_str("stopping"),
        }
    }
}
