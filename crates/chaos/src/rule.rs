//! What happens to frames on their way: a list of rules, each with whom it concerns and what it does.
//!
//! Rules are plain data and know nothing of the simulation, so that they can be laid on real links as well.

use std::fmt;
use std::time::Duration;

use crate::dice::Dice;
use crate::node::Node;

/// Whom a rule concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Everybody.
    Anybody,
    /// Every director.
    Directors,
    /// One host.
    One(Node),
}

impl Whom {
    /// Whether it concerns a host.
    #[must_use]
    pub fn is(self, node: Node) -> bool {
        match self {
            Self::Anybody => true,
            Self::Directors => matches!(node, Node::Director(_)),
            Self::One(one) => one == node,
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("anybody"),
            Self::Directors => f.write_str("any director"),
            Self::One(node) => node.fmt(f),
        }
    }
}

/// Kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// All.
    Any,
    /// VRRP.
    Adverts,
    /// ARP.
    Arp,
    /// TCP.
    Tcp,
    /// Connection sync.
    Sync,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Loses so many percent; 100 is a cut.
    Lose(u64),
    /// Delays so many percent by up to so long; later frames overtake them.
    Delay(u64, Duration),
    /// Delivers so many percent twice, the second time up to so much later.
    Duplicate(u64, Duration),
    /// Turns one bit over in so many percent. ARP is spared: nothing in it would show that.
    Corrupt(u64),
    /// Delivers so many percent to everybody, as a switch does that has forgotten an address.
    Flood(u64),
}

/// A rule: frames from one to another are treated so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Sender.
    pub from: Whom,
    /// Receiver.
    pub to: Whom,
    /// Which of their frames.
    pub traffic: Traffic,
    /// What happens to them.
    pub action: Action,
}

impl Rule {
    /// Whether it concerns frames of a kind on this way.
    #[must_use]
    pub fn concerns(&self, from: Node, to: Node, traffic: Traffic) -> bool {
        let kind = self.traffic == Traffic::Any || self.traffic == traffic;
        kind && self.from.is(from) && self.to.is(to)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            traffic,
            action,
        } = self;
        let kind = match traffic {
            Traffic::Any => "frames",
            Traffic::Adverts => "advertisements",
            Traffic::Arp => "ARP",
            Traffic::Tcp => "TCP",
            Traffic::Sync => "sync",
        };
        let way = format_args!("{kind} from {from} to {to}");
        match action {
            Action::Lose(percent) => write!(f, "lose {percent}% of {way}"),
            Action::Delay(percent, most) => {
                write!(f, "delay {percent}% of {way} by up to {most:?}")
            }
            Action::Duplicate(percent, most) => {
                write!(f, "duplicate {percent}% of {way} within {most:?}")
            }
            Action::Corrupt(percent) => write!(f, "corrupt {percent}% of {way}"),
            Action::Flood(percent) => write!(f, "flood {percent}% of {way}"),
        }
    }
}

/// One delivery of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What it takes longer than usual.
    pub delay: Duration,
    /// The bit that is turned over.
    pub corrupt: Option<usize>,
}

impl Delivery {
    /// At once and whole.
    pub const CLEAN: Self = Self {
        delay: Duration::ZERO,
        corrupt: None,
    };
}

/// How often, when and how a frame of so many bits arrives.
pub fn judge<'r>(
    rules: impl Iterator<Item = &'r Rule>,
    (from, to, traffic): (Node, Node, Traffic),
    bits: usize,
    dice: &mut Dice,
) -> Vec<Delivery> {
    let mut deliveries = vec![Delivery::CLEAN];
    for rule in rules.filter(|rule| rule.concerns(from, to, traffic)) {
        match rule.action {
            Action::Lose(percent) => deliveries.retain(|_| !dice.chance(percent)),
            Action::Delay(percent, most) => {
                for delivery in &mut deliveries {
                    if dice.chance(percent) {
                        delivery.delay += dice.time(Duration::ZERO, most);
                    }
                }
            }
            Action::Duplicate(percent, most) => {
                if let Some(first) = deliveries.first().copied()
                    && dice.chance(percent)
                {
                    let delay = first.delay + dice.time(Duration::ZERO, most);
                    deliveries.push(Delivery { delay, ..first });
                }
            }
            Action::Corrupt(percent) => {
                for delivery in &mut deliveries {
                    if traffic != Traffic::Arp && dice.chance(percent) {
                        delivery.corrupt = Some(dice.index(bits));
                    }
                }
            }
            Action::Flood(_) => {}
        }
    }
    deliveries
}

/// Whether a frame to one goes to all.
pub fn floods<'r>(
    mut rules: impl Iterator<Item = &'r Rule>,
    (from, to, traffic): (Node, Node, Traffic),
    dice: &mut Dice,
) -> bool {
    rules.any(|rule| match rule.action {
        Action::Flood(percent) => rule.concerns(from, to, traffic) && dice.chance(percent),
        Action::Lose(_) | Action::Delay(..) | Action::Duplicate(..) | Action::Corrupt(_) => false,
    })
}
