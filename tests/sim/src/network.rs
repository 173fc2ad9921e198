//! The link: a switch that delivers frames by their hardware address, through the rules in force.

use std::collections::BTreeSet;
use std::time::Duration;

use evenkeel_wire::{eth, ipv4};

use crate::Time;
use crate::node::Node;
use crate::rule::{self, Rule, Traffic};
use evenkeel_testkit::Dice;

/// What a frame takes from one host to another.
const LATENCY: Duration = Duration::from_micros(50);

/// Which director sent a frame on: its number and that of its boot.
pub type Via = (usize, u64);

/// A frame and what is known of its past.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The director that sent it on last.
    pub via: Option<Via>,
    /// How many directors sent it on.
    pub hops: u8,
}

impl Frame {
    /// A frame that its sender made.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            via: None,
            hops: 0,
        }
    }

    /// What it is.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let kind = self.bytes.get(eth::ETHERTYPE..eth::LEN);
        if kind == Some(&eth::ARP) {
            return Traffic::Arp;
        }
        match self.bytes.get(eth::LEN + ipv4::PROTOCOL) {
            Some(&ipv4::VRRP) => Traffic::Adverts,
            Some(&ipv4::UDP) => Traffic::Sync,
            _ => Traffic::Tcp,
        }
    }

    fn destination(&self) -> [u8; 6] {
        let bytes = self.bytes.get(..6).and_then(|b| b.try_into().ok());
        bytes.unwrap_or_default()
    }
}

/// A frame that arrives.
#[derive(Debug)]
pub struct Arrival {
    /// When.
    pub at: Time,
    /// At whom.
    pub to: Node,
    /// What.
    pub frame: Frame,
    /// It was damaged on the way.
    pub corrupt: bool,
}

/// The link.
#[derive(Debug, Default)]
pub struct Network {
    nodes: Vec<Node>,
    /// Rules with the numbers of the faults that they belong to.
    rules: Vec<(usize, Rule)>,
    /// Hosts whose link is down.
    down: BTreeSet<Node>,
}

impl Network {
    /// A link without rules.
    #[must_use]
    pub fn new(nodes: Vec<Node>) -> Self {
        Self {
            nodes,
            ..Self::default()
        }
    }

    /// Lays rules on the link.
    pub fn lay(&mut self, fault: usize, rules: &[Rule]) {
        self.rules.extend(rules.iter().map(|rule| (fault, *rule)));
    }

    /// Takes the rules of a fault off.
    pub fn lift(&mut self, fault: usize) {
        self.rules.retain(|(of, _)| *of != fault);
    }

    /// Plugs a host in, or out.
    pub fn plug(&mut self, node: Node, up: bool) {
        if up {
            self.down.remove(&node);
        } else {
            self.down.insert(node);
        }
    }

    /// Whether a host is plugged in.
    #[must_use]
    pub fn is_up(&self, node: Node) -> bool {
        !self.down.contains(&node)
    }

    /// Whether advertisements go from one host to the other at once and whole.
    #[must_use]
    pub fn hears(&self, from: Node, to: Node) -> bool {
        let mut rules = self.rules.iter();
        let disturbed = rules.any(|(_, rule)| rule.concerns(from, to, Traffic::Adverts));
        self.is_up(from) && self.is_up(to) && !disturbed
    }

    /// Sends a frame: when it arrives, and where.
    pub fn send(&self, now: Time, from: Node, frame: &Frame, dice: &mut Dice) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        if !self.is_up(from) {
            return arrivals;
        }
        let traffic = frame.traffic();
        let destination = frame.destination();
        let rules = || self.rules.iter().map(|(_, rule)| rule);
        let is_for_all = destination[0] & 1 != 0;
        let one = Node::of_mac(destination);
        let flooded =
            !is_for_all && one.is_some_and(|to| rule::floods(rules(), (from, to, traffic), dice));
        for to in self.nodes.iter().copied().filter(|to| *to != from) {
            if !is_for_all && !flooded && one != Some(to) {
                continue;
            }
            let bits = frame.bytes.len() * 8;
            for delivery in rule::judge(rules(), (from, to, traffic), bits, dice) {
                let mut frame = frame.clone();
                if let Some(bit) = delivery.corrupt {
                    frame.bytes[bit / 8] ^= 1 << (bit % 8);
                }
                arrivals.push(Arrival {
                    at: now + LATENCY + delivery.delay,
                    to,
                    frame,
                    corrupt: delivery.corrupt.is_some(),
                });
            }
        }
        arrivals
    }
}
