//! What can be drawn for the lab's cluster, and who its hosts are.

use std::net::Ipv4Addr;

use evenkeel_chaos::Dice;
use evenkeel_chaos::fault::{self, Fault};
use evenkeel_chaos::node::Node;
use evenkeel_chaos::rule::{Action, Rule, Whom};

use crate::cuts::Cut;
use crate::paper::crowd::plan::{SERVICE, service_address};
use crate::paper::setup::Setup;

/// What an operator changes, and changes back when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// A real server gets another weight, by `ipvsadm` on both directors.
    Weigh(usize, u16),
    /// A real server is drained on both directors.
    Drain(usize),
    /// A director is in maintenance.
    Maintain(usize),
}

/// The hosts that faults befall.
pub(super) struct Hosts {
    pub(super) directors: [String; 2],
    pub(super) servers: Vec<String>,
    /// Every node, with its address.
    pub(super) nodes: Vec<(String, Ipv4Addr, Option<Node>)>,
    server_addresses: Vec<Ipv4Addr>,
    /// Whether frames can be lost.
    pub(super) can_cut: bool,
}

impl Hosts {
    pub(super) fn of(setup: &Setup, can_cut: bool) -> Self {
        let directors = [setup.director.clone(), setup.partner.clone()];
        let servers: Vec<String> = setup.servers.iter().map(|s| s.node.clone()).collect();
        let role = |name: &String| {
            let place = |names: &[String]| names.iter().position(|known| known == name);
            let director = place(&directors).map(Node::Director);
            let server = place(&servers).map(Node::Server);
            let client = (*name == setup.client).then_some(Node::Client(0));
            director.or(server).or(client)
        };
        let nodes = setup.topology.nodes.iter();
        let nodes = nodes.map(|node| (node.name.clone(), node.address, role(&node.name)));
        Self {
            nodes: nodes.collect(),
            server_addresses: setup.servers.iter().map(|server| server.ip).collect(),
            directors,
            servers,
            can_cut,
        }
    }

    /// A host's name.
    pub(super) fn name(&self, node: Node) -> Option<&str> {
        let mut nodes = self.nodes.iter();
        let found = nodes.find(|(_, _, role)| *role == Some(node))?;
        Some(&found.0)
    }

    /// What the switch's ports have to lose for a rule.
    pub(super) fn cuts(&self, rule: &Rule) -> Vec<Cut> {
        let concerned = |whom: Whom, role: &Option<Node>| match (whom, role) {
            (Whom::Anybody, _) => true,
            (_, Some(node)) => whom.is(*node),
            (_, None) => false,
        };
        let from: Vec<Option<Ipv4Addr>> = match rule.from {
            Whom::Anybody => vec![None],
            from @ (Whom::Directors | Whom::One(_)) => {
                let nodes = self.nodes.iter();
                let those = nodes.filter(|(_, _, role)| concerned(from, role));
                those.map(|(_, address, _)| Some(*address)).collect()
            }
        };
        let to = self
            .nodes
            .iter()
            .filter(|(_, _, role)| concerned(rule.to, role));
        let cuts = to.flat_map(|(node, _, _)| {
            from.iter().map(|from| Cut {
                node: node.clone(),
                from: *from,
                rule: *rule,
            })
        });
        cuts.collect()
    }

    /// The commands of an edit, or of the end of one, by the director on which they are given.
    pub(super) fn commands(&self, edit: Edit, begins: bool) -> Vec<(usize, Vec<String>)> {
        let words = |text: String| text.split(' ').map(String::from).collect::<Vec<_>>();
        let address = |server: usize| {
            let address = self.server_addresses.get(server).copied();
            address.unwrap_or(Ipv4Addr::UNSPECIFIED)
        };
        let service = service_address();
        let text = match (edit, begins) {
            (Edit::Weigh(server, weight), _) => {
                let weight = if begins { weight } else { 1 };
                let server = address(server);
                let port = service.port();
                format!("ipvsadm -e -t {service} -r {server}:{port} -g -w {weight}")
            }
            (Edit::Drain(server), true) => format!("evenkeel drain {SERVICE}/{}", address(server)),
            (Edit::Drain(server), false) => format!("evenkeel ready {SERVICE}/{}", address(server)),
            (Edit::Maintain(director), begins) => {
                let state = if begins { "on --timeout 1s" } else { "off" };
                return vec![(director, words(format!("evenkeel maintenance {state}")))];
            }
        };
        vec![(0, words(text.clone())), (1, words(text))]
    }
}

impl fault::Cluster for Hosts {
    type Edit = Edit;

    fn directors(&self) -> usize {
        self.directors.len()
    }

    fn servers(&self) -> usize {
        self.servers.len()
    }

    fn has_sync(&self) -> bool {
        true
    }

    fn any_edit(&self, dice: &mut Dice) -> Edit {
        let server = dice.index(self.servers.len());
        match dice.below(3) {
            0 => Edit::Weigh(server, dice.pick(&[0, 2, 3])),
            1 => Edit::Drain(server),
            _ => Edit::Maintain(dice.index(2)),
        }
    }

    /// Frames are lost, and not delayed, doubled, corrupted or flooded; no part of a daemon stands still alone,
    /// and no clock drifts.
    fn can(&self, fault: &Fault<Edit>) -> bool {
        match fault {
            Fault::Rules(rules) => {
                let mut rules = rules.iter();
                self.can_cut && rules.all(|rule| matches!(rule.action, Action::Lose(_)))
            }
            Fault::Busy(_) | Fault::Freeze(_) | Fault::ServerIll(_) | Fault::Drift(..) => false,
            Fault::Unplug(_)
            | Fault::Pause(_)
            | Fault::Kill(_)
            | Fault::Stop(_)
            | Fault::PowerOff(_)
            | Fault::ServerOff(_)
            | Fault::TakeAddresses(_)
            | Fault::HandOver(_)
            | Fault::StandBy(_)
            | Fault::Configure(_) => true,
        }
    }
}
