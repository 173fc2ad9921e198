//! What a round may have broken, and what it may not.
//!
//! Pure: it knows what was played and what came of the connections, and no lab.

use evenkeel_chaos::fault::{Fault, Planned};
use evenkeel_chaos::node::Node;

use crate::crowd::Outcome;
use crate::paper::chaos::cluster::Edit;

/// What came of one connection that stood before the round.
pub(super) struct Held {
    /// The number of its real server; `None`: it is none of the cluster's.
    pub(super) server: Option<usize>,
    pub(super) outcome: Outcome,
}

/// How many connections broke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Broken {
    /// With their real server.
    pub(super) with_server: u32,
    /// In a round that may break connections.
    pub(super) excused: u32,
    /// Without an excuse.
    pub(super) unexcused: u32,
}

/// Counts what broke in a round in which that was played.
pub(super) fn broken(held: &[Held], played: &[Planned<Edit>]) -> Broken {
    let mut broken = Broken::default();
    let excused = may_break(played);
    for connection in held {
        let died = |planned: &Planned<Edit>| matches!(planned.fault, Fault::ServerOff(server) if connection.server == Some(server));
        if connection.outcome == Outcome::Answered {
            continue;
        }
        if played.iter().any(died) {
            broken.with_server += 1;
        } else if excused {
            broken.excused += 1;
        } else {
            broken.unexcused += 1;
        }
    }
    broken
}

/// Whether a round may break connections whose servers live: a director lost its tables, and something else
/// befell its partner or the frames between hosts, so that nobody may have held them all.
pub(super) fn may_break(played: &[Planned<Edit>]) -> bool {
    let off = played.iter().enumerate().filter_map(|(number, planned)| {
        if let Fault::PowerOff(director) = planned.fault {
            Some((number, director))
        } else {
            None
        }
    });
    off.into_iter().any(|(number, director)| {
        let mut others = played
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number);
        others.any(|(_, planned)| match planned.fault {
            Fault::Rules(_)
            | Fault::Unplug(Node::Director(_))
            | Fault::Pause(_)
            | Fault::Busy(_)
            | Fault::Freeze(_)
            | Fault::Kill(_)
            | Fault::Stop(_)
            | Fault::Drift(..) => true,
            Fault::PowerOff(other) => other != director,
            Fault::Unplug(Node::Server(_) | Node::Client(_))
            | Fault::ServerOff(_)
            | Fault::ServerIll(_)
            | Fault::TakeAddresses(_)
            | Fault::HandOver(_)
            | Fault::StandBy(_)
            | Fault::Configure(_) => false,
        })
    })
}

#[cfg(test)]
mod tests;
