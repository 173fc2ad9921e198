//! What operators order, and how it ends.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::span::Span;

/// Longest preparation of a handover where the order names no other time, and at a shutdown always.
pub const PREPARATION_MAX: Duration = Duration::from_secs(10);

/// An order of the operator, for [`Machine::order`].
///
/// The first four hand over where this director is Active, and each gets one answer
/// ([`Output::HandoverEnded`]), unless it joins a handover that goes on: then both get that one's. The
/// others get none.
///
/// [`Machine::order`]: crate::Machine::order
/// [`Output::HandoverEnded`]: crate::Output::HandoverEnded
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Hand over now, and do not preempt until this director was Active again.
    HandOver {
        /// Longest preparation; `None`: [`PREPARATION_MAX`].
        patience: Option<Duration>,
    },
    /// As that, and be everybody's last choice until [`Order::Resume`]: with priority 1, as Active too.
    StandBy {
        /// Longest preparation; `None`: [`PREPARATION_MAX`].
        patience: Option<Duration>,
    },
    /// Hand over now, and take nothing over until [`Order::EndMaintenance`].
    Maintain {
        /// Longest preparation; `None`: [`PREPARATION_MAX`].
        patience: Option<Duration>,
        /// Give the role up even if nobody takes over. Without it, such an order has no effect.
        force: bool,
    },
    /// Hand over to a partner that would preempt and asks for it instead.
    Yield,
    /// Ends what `HandOver` and `StandBy` left: priority and preemption are those of the configuration.
    Resume,
    /// Ends maintenance; what the other orders left stays.
    EndMaintenance,
}

/// Why a director does not take over as its configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// It does.
    Ordinary,
    /// It has handed over by order, and does not preempt.
    HandedOver,
    /// It stands by: it has priority 1.
    Standby,
    /// It takes nothing over.
    Maintenance,
}

/// How an ordered handover ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandoverEnd {
    /// Somebody else is Active.
    Successor {
        /// Its address.
        address: IpAddr,
        /// Its priority.
        priority: u8,
        /// Time from the order until it was heard.
        took: Duration,
    },
    /// There was nothing to hand over.
    NotActive,
    /// Nobody took over: still Active.
    Nobody {
        /// Time from the order on.
        waited: Duration,
    },
    /// The other one was Active too, and stops being that: still Active.
    Rival {
        /// Its address.
        address: IpAddr,
    },
    /// Nobody took over, and the role was given up all the same, as was ordered.
    GivenUp {
        /// Time from the order on.
        waited: Duration,
    },
    /// The preparation took too long: still Active.
    Unprepared {
        /// Time from the order on.
        waited: Duration,
    },
    /// The interface went down.
    LinkDown,
    /// This director was paused meanwhile, and finds out who is Active.
    Away {
        /// How late a timer was.
        late: Duration,
    },
    /// This director stops, and hands over for that.
    Stopping,
}

impl fmt::Display for HandoverEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Successor {
                address,
                priority,
                took,
            } => write!(
                f,
                "{address} (priority {priority}) took over in {}",
                Span(took)
            ),
            Self::NotActive => f.write_str("not Active, there was nothing to hand over"),
            Self::Nobody { waited } => {
                write!(f, "nobody took over in {}: still Active", Span(waited))
            }
            Self::Rival { address } => {
                write!(f, "{address} hands over as well: still Active")
            }
            Self::GivenUp { waited } => write!(
                f,
                "nobody took over in {}, and the role was given up all the same",
                Span(waited)
            ),
            Self::Unprepared { waited } => write!(
                f,
                "the partner was not ready in {}: still Active",
                Span(waited)
            ),
            Self::LinkDown => f.write_str("the interface went down"),
            Self::Away { late } => write!(f, "this director was paused for {}", Span(late)),
            Self::Stopping => f.write_str("this director stops"),
        }
    }
}
