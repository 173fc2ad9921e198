//! What goes wrong in a run, and when.

use std::fmt;
use std::time::Duration;

use crate::dice::Dice;
use crate::node::Node;
use crate::rule::{Action, Rule, Traffic, Whom};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What can be drawn for a cluster.
pub trait Cluster {
    /// What an operator changes.
    type Edit;

    /// How many directors there are, 1 at least.
    fn directors(&self) -> usize;

    /// How many real servers there are, 1 at least.
    fn servers(&self) -> usize;

    /// Whether directors tell each other their connections.
    fn has_sync(&self) -> bool {
        false
    }

    /// A change that chance makes.
    fn any_edit(&self, dice: &mut Dice) -> Self::Edit;

    /// Whether a fault can be played here; another one is drawn instead.
    fn can(&self, _fault: &Fault<Self::Edit>) -> bool {
        true
    }
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// Rules on the link.
    Rules(Vec<Rule>),
    /// A host's cable is out.
    Unplug(Node),
    /// A director's daemon is stopped by SIGSTOP.
    Pause(usize),
    /// A director's event loop is busy; its VRRP thread is not.
    Busy(usize),
    /// A director's virtual machine stands still, and its clock jumps afterwards.
    Freeze(usize),
    /// SIGKILL; a new daemon starts afterwards and finds the pins.
    Kill(usize),
    /// SIGTERM; a new daemon starts afterwards, or when the old one has ended.
    Stop(usize),
    /// A director loses its power: nothing is left when it boots.
    PowerOff(usize),
    /// A real server loses its power.
    ServerOff(usize),
    /// A real server refuses probes and serves its connections.
    ServerIll(usize),
    /// A director's clock runs fast by so many millionths.
    Drift(usize, i32),
    /// Somebody removes the virtual addresses of a director.
    TakeAddresses(usize),
    /// An operator has a director hand over.
    HandOver(usize),
    /// An operator has a director stand by.
    StandBy(usize),
    /// Another configuration, which the directors read one after the other.
    Configure(E),
}

/// A fault, when it begins and how long it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned<E> {
    /// When it begins, since the run began.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What happens.
    pub fault: Fault<E>,
}

impl<E: fmt::Debug> fmt::Display for Planned<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_secs_f64();
        write!(f, "at {at:.3} for {:.3} s: ", self.lasts.as_secs_f64())?;
        let Fault::Rules(rules) = &self.fault else {
            return write!(f, "{:?}", self.fault);
        };
        let rules: Vec<String> = rules.iter().map(Rule::to_string).collect();
        f.write_str(&rules.join("; "))
    }
}

/// Faults that chance makes, from `begin` on and over at `end`.
pub fn any_plan<C: Cluster>(
    cluster: &C,
    begin: Duration,
    end: Duration,
    dice: &mut Dice,
) -> Vec<Planned<C::Edit>> {
    let most = if dice.chance(15) { 16 } else { 6 };
    let count = 2 + dice.below(most);
    let mut plan = Vec::new();
    for _ in 0..count {
        let at = dice.time(begin, end);
        let most = dice.pick(&[ms(60), ms(400), ms(1500), ms(5000)]);
        let lasts = dice.time(ms(5), most).min(end - at);
        plan.push(Planned {
            at,
            lasts,
            fault: playable_fault(cluster, dice),
        });
    }
    plan.sort_by_key(|planned| planned.at);
    plan
}

fn playable_fault<C: Cluster>(cluster: &C, dice: &mut Dice) -> Fault<C::Edit> {
    loop {
        let fault = any_fault(cluster, dice);
        if cluster.can(&fault) {
            return fault;
        }
    }
}

fn any_fault<C: Cluster>(cluster: &C, dice: &mut Dice) -> Fault<C::Edit> {
    let director = dice.index(cluster.directors());
    let server = dice.index(cluster.servers());
    let kinds = if cluster.has_sync() { 23 } else { 20 };
    match dice.below(kinds) {
        0..=4 => Fault::Rules(vec![any_rule(cluster, dice)]),
        5 | 6 => Fault::Rules(partition(director, cluster, dice)),
        7 => Fault::Unplug(match dice.chance(70) {
            true => Node::Director(director),
            false => Node::Server(server),
        }),
        8 => Fault::Pause(director),
        9 => Fault::Busy(director),
        10 => Fault::Freeze(director),
        11 | 12 => Fault::Kill(director),
        13 => Fault::Stop(director),
        14 => Fault::PowerOff(director),
        15 => Fault::ServerOff(server),
        16 => Fault::ServerIll(server),
        17 => Fault::Drift(director, dice.pick(&[-5000, -300, 300, 5000])),
        18 => match dice.chance(30) {
            true => Fault::TakeAddresses(director),
            false => Fault::Configure(cluster.any_edit(dice)),
        },
        19 => Fault::Configure(cluster.any_edit(dice)),
        20 => Fault::StandBy(director),
        _ => Fault::HandOver(director),
    }
}

fn any_node(cluster: &impl Cluster, dice: &mut Dice) -> Node {
    match dice.below(4) {
        0 => Node::Server(dice.index(cluster.servers())),
        1 => Node::Client(0),
        _ => Node::Director(dice.index(cluster.directors())),
    }
}

fn any_rule(cluster: &impl Cluster, dice: &mut Dice) -> Rule {
    let from = match dice.below(3) {
        0 => Whom::Anybody,
        1 => Whom::Directors,
        _ => Whom::One(any_node(cluster, dice)),
    };
    let to = match dice.below(3) {
        0 => Whom::Anybody,
        1 => Whom::Directors,
        _ => Whom::One(any_node(cluster, dice)),
    };
    let traffic = match dice.below(if cluster.has_sync() { 8 } else { 5 }) {
        0 | 1 => Traffic::Any,
        2 => Traffic::Adverts,
        3 => Traffic::Arp,
        4 => Traffic::Tcp,
        _ => Traffic::Sync,
    };
    let percent = dice.pick(&[2, 10, 30, 60]);
    let most = dice.pick(&[ms(1), ms(20), ms(150), ms(900)]);
    let action = match dice.below(6) {
        0 => Action::Lose(percent),
        1 => Action::Lose(100),
        2 => Action::Delay(percent, most),
        3 => Action::Duplicate(percent, most),
        4 => Action::Corrupt(percent),
        _ => Action::Flood(percent),
    };
    Rule {
        from,
        to,
        traffic,
        action,
    }
}

/// A director and the others don't reach each other, and perhaps it reaches nobody, or is not reached.
fn partition(director: usize, cluster: &impl Cluster, dice: &mut Dice) -> Vec<Rule> {
    let one = Whom::One(Node::Director(director));
    let cut = |from, to| Rule {
        from,
        to,
        traffic: Traffic::Any,
        action: Action::Lose(100),
    };
    match dice.below(4) {
        0 => vec![cut(one, Whom::Directors), cut(Whom::Directors, one)],
        1 => vec![cut(one, Whom::Anybody), cut(Whom::Anybody, one)],
        2 => vec![cut(one, Whom::One(any_node(cluster, dice)))],
        _ => vec![cut(Whom::Anybody, one)],
    }
}
