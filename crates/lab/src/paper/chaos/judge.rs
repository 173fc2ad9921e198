//! What a round may have broken, and what it may not.
//!
//! Pure: it knows what was played and what came of the connections, and no lab.

use std::time::Duration;

use evenkeel_chaos::fault::{Fault, Planned};
use evenkeel_chaos::node::Node;
use evenkeel_chaos::rule::Traffic;

use crate::crowd::Outcome;
use crate::paper::chaos::cluster::Edit;

/// How long before a power-off the partner has to have been in sync to have everything: the usual bound of the
/// lag, and a second for a loaded machine.
const SETTLING: Duration = Duration::from_millis(1100);

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
    /// Of the latter two, those that were reset.
    pub(super) reset: u32,
    /// Those that another server answered.
    pub(super) answered_by_another: u32,
}

/// What befell the cluster in a round; times are since the round's faults began.
#[derive(Default)]
pub(super) struct Course {
    /// When each fault really began, and how long it lasted.
    pub(super) played: Vec<Planned<Edit>>,
    /// When both directors were seen in sync, in order.
    pub(super) whole: Vec<Duration>,
}

impl Course {
    /// When both directors were seen in sync again after a fault; [`Duration::MAX`]: not in this round.
    fn recovered(&self, planned: &Planned<Edit>) -> Duration {
        let over = planned.at + planned.lasts;
        let mut whole = self.whole.iter().copied();
        whole.find(|seen| *seen >= over).unwrap_or(Duration::MAX)
    }

    /// Whether the round may break connections whose servers live: a director lost its tables, and its partner
    /// may not have held all of them then, or lost some before they were told back.
    pub(super) fn may_break(&self) -> bool {
        self.played.iter().any(|off| {
            let Fault::PowerOff(director) = off.fault else {
                return false;
            };
            let begin = off.at.saturating_sub(SETTLING);
            let end = self.recovered(off);
            self.played.iter().any(|other| {
                hurts_the_copy(&other.fault, director)
                    && other.at <= end
                    && self.recovered(other) >= begin
            })
        })
    }
}

/// Whether a fault may keep the partner of a director from having its connections.
fn hurts_the_copy(fault: &Fault<Edit>, director: usize) -> bool {
    let [own, partner] = [director, 1 - director.min(1)].map(Node::Director);
    let ways = [(own, partner), (partner, own)];
    match fault {
        Fault::Rules(rules) => rules.iter().any(|rule| {
            let kinds = [Traffic::Sync, Traffic::Arp];
            let mut each = ways
                .iter()
                .flat_map(|way| kinds.map(|traffic| (*way, traffic)));
            each.any(|((from, to), traffic)| rule.concerns(from, to, traffic))
        }),
        Fault::Unplug(node) => matches!(node, Node::Director(_)),
        Fault::Pause(of)
        | Fault::Busy(of)
        | Fault::Freeze(of)
        | Fault::Kill(of)
        | Fault::Stop(of)
        | Fault::PowerOff(of)
        | Fault::Drift(of, _) => *of != director,
        Fault::ServerOff(_)
        | Fault::ServerIll(_)
        | Fault::TakeAddresses(_)
        | Fault::HandOver(_)
        | Fault::StandBy(_)
        | Fault::Configure(_) => false,
    }
}

/// Counts what broke in a round.
pub(super) fn broken(held: &[Held], course: &Course) -> Broken {
    let mut broken = Broken::default();
    let excused = course.may_break();
    for connection in held {
        let died = |planned: &Planned<Edit>| matches!(planned.fault, Fault::ServerOff(server) if connection.server == Some(server));
        if connection.outcome == Outcome::Answered {
            continue;
        }
        if course.played.iter().any(died) {
            broken.with_server += 1;
            continue;
        }
        match connection.outcome {
            Outcome::Reset => broken.reset += 1,
            Outcome::OtherServer => broken.answered_by_another += 1,
            Outcome::Answered | Outcome::Unanswered => {}
        }
        match excused {
            true => broken.excused += 1,
            false => broken.unexcused += 1,
        }
    }
    broken
}

#[cfg(test)]
mod tests;
