//! A client: it finds out who has a virtual address, opens connections, sends requests, stays idle, closes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use evenkeel_wire::tcp;

use crate::Time;
use crate::frame::{Arp, BROADCAST, Segment};
use crate::node::Node;
use evenkeel_testkit::Dice;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Time after which a neighbour that nothing was heard of is asked again.
const REACHABLE: Duration = ms(1500);

/// Time between two questions, and how many are asked of the neighbour alone before it is forgotten.
const ASK_EVERY: Duration = ms(300);
const ASK_ALONE: u32 = 3;

/// Time until a segment is sent again, doubled each time, and how often.
const AGAIN: Duration = ms(250);
const TRIES: u32 = 7;

/// Connections at once.
const CONNECTIONS: usize = 10;

/// A neighbour entry.
#[derive(Clone, Copy, Debug)]
struct Neighbour {
    mac: [u8; 6],
    confirmed: Time,
    asked: Time,
    questions: u32,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A SYN is out.
    Opening,
    /// Nothing is out.
    Idle,
    /// A request is out.
    Asking,
    /// A FIN is out.
    Closing,
}

/// A connection of a client.
#[derive(Clone, Debug)]
struct Connection {
    service: SocketAddrV4,
    stage: Stage,
    /// Number of the last request.
    number: u32,
    /// When to act next.
    at: Time,
    tries: u32,
    /// It is kept, and asks a request at once.
    is_trial: bool,
}

/// What became of a client's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Opened.
    pub opened: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Reset by somebody while they were established.
    pub reset: u64,
    /// Given up for want of an answer.
    pub unanswered: u64,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Who it is.
    pub node: Node,
    /// What became of its connections.
    pub tally: Tally,
    /// Connections that it has begun to close, by port.
    pub closing: BTreeSet<u16>,
    /// Services that answered a trial.
    pub answered_trials: BTreeSet<SocketAddrV4>,
    neighbours: BTreeMap<Ipv4Addr, Neighbour>,
    asked: BTreeMap<Ipv4Addr, Time>,
    connections: BTreeMap<u16, Connection>,
    next_port: u16,
    /// Whether it opens connections by itself.
    pub opens: bool,
    out: Vec<Vec<u8>>,
}

impl Client {
    /// One that knows nobody.
    #[must_use]
    pub const fn new(number: usize) -> Self {
        Self {
            node: Node::Client(number),
            tally: Tally {
                opened: 0,
                answered: 0,
                reset: 0,
                unanswered: 0,
            },
            closing: BTreeSet::new(),
            answered_trials: BTreeSet::new(),
            neighbours: BTreeMap::new(),
            asked: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_port: 1024,
            opens: true,
            out: Vec::new(),
        }
    }

    /// Whom it takes for the holder of an address.
    #[must_use]
    pub fn holder(&self, address: Ipv4Addr) -> Option<Node> {
        let neighbour = self.neighbours.get(&address)?;
        Node::of_mac(neighbour.mac)
    }

    /// How many connections are established.
    #[must_use]
    pub fn established(&self) -> usize {
        let all = self.connections.values();
        all.filter(|c| matches!(c.stage, Stage::Idle | Stage::Asking))
            .count()
    }

    /// Frames that it sends.
    pub fn take_out(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.out)
    }

    /// Opens a connection that sends a request at once.
    pub fn open(&mut self, service: SocketAddrV4, is_trial: bool, now: Time) {
        let port = self.next_port;
        self.next_port = self.next_port.checked_add(1).expect("a short life");
        let connection = Connection {
            service,
            stage: Stage::Opening,
            number: 0,
            at: now,
            tries: 0,
            is_trial,
        };
        self.connections.insert(port, connection);
        self.tally.opened += 1;
    }

    /// Is never heard of again.
    pub fn leave(&mut self) {
        self.connections.clear();
        self.opens = false;
    }

    /// Has every idle connection send a request.
    pub fn ask_all(&mut self, now: Time) {
        for connection in self.connections.values_mut() {
            if connection.stage == Stage::Idle {
                connection.number += 1;
                (connection.stage, connection.at, connection.tries) = (Stage::Asking, now, 0);
            }
        }
    }

    /// Does what is due, and perhaps opens a connection to one of the services.
    pub fn act(&mut self, services: &[SocketAddrV4], dice: &mut Dice, now: Time) {
        if self.opens
            && !services.is_empty()
            && self.connections.len() < CONNECTIONS
            && dice.chance(20)
        {
            let service = dice.pick(services);
            self.open(service, false, now);
        }
        let due: Vec<u16> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.at <= now)
            .map(|(port, _)| *port)
            .collect();
        for port in due {
            self.act_on(port, dice, now);
        }
    }

    fn act_on(&mut self, port: u16, dice: &mut Dice, now: Time) {
        let Some(mut connection) = self.connections.remove(&port) else {
            return;
        };
        if connection.tries > TRIES {
            self.tally.unanswered += u64::from(connection.stage != Stage::Closing);
            self.closing.insert(port);
            return;
        }
        if connection.stage == Stage::Idle {
            connection.tries = 0;
            if connection.number == 0 || dice.chance(80) || !self.opens {
                connection.stage = Stage::Asking;
                connection.number += 1;
            } else {
                connection.stage = Stage::Closing;
                self.closing.insert(port);
            }
        }
        let (flags, number) = match connection.stage {
            Stage::Opening => (tcp::SYN, 0),
            Stage::Idle | Stage::Asking => (tcp::ACK, connection.number),
            Stage::Closing => (tcp::FIN | tcp::ACK, 0),
        };
        match self.holder_of(*connection.service.ip(), now) {
            Some(mac) => {
                self.send(port, connection.service, flags, number, mac);
                connection.at = now + AGAIN * 2_u32.pow(connection.tries.min(3));
                connection.tries += 1;
            }
            // The kernel keeps a segment or two for a neighbour that it asks for.
            None => connection.at = now + ms(40),
        }
        self.connections.insert(port, connection);
    }

    fn send(&mut self, port: u16, service: SocketAddrV4, flags: u8, number: u32, to: [u8; 6]) {
        let segment = Segment {
            from: SocketAddrV4::new(self.node.address(), port),
            to: service,
            flags,
            number,
        };
        self.out.push(segment.frame(self.node.mac(), to));
    }

    /// The hardware address of an address, which is asked for if need be.
    fn holder_of(&mut self, address: Ipv4Addr, now: Time) -> Option<[u8; 6]> {
        let Some(neighbour) = self.neighbours.get_mut(&address) else {
            let asked = self.asked.get(&address).copied();
            if asked.is_none_or(|asked| asked + ASK_EVERY <= now) {
                self.asked.insert(address, now);
                self.ask(address, BROADCAST);
            }
            return None;
        };
        let mac = neighbour.mac;
        if neighbour.confirmed + REACHABLE <= now && neighbour.asked + ASK_EVERY <= now {
            if neighbour.questions == ASK_ALONE {
                self.neighbours.remove(&address);
                return None;
            }
            neighbour.questions += 1;
            neighbour.asked = now;
            self.ask(address, mac);
        }
        Some(mac)
    }

    fn ask(&mut self, address: Ipv4Addr, to: [u8; 6]) {
        let request = Arp {
            is_request: true,
            mac: self.node.mac(),
            sender: self.node.address(),
            target: address,
        };
        self.out.push(request.frame(to));
    }

    /// Learns from ARP: answers to its questions, and of those that it knows also what nobody asked for.
    pub fn arp(&mut self, arp: &Arp, now: Time) {
        let is_answer = !arp.is_request && arp.target == self.node.address();
        if is_answer || self.neighbours.contains_key(&arp.sender) {
            let neighbour = Neighbour {
                mac: arp.mac,
                confirmed: now,
                asked: now,
                questions: 0,
            };
            self.neighbours.insert(arp.sender, neighbour);
            self.asked.remove(&arp.sender);
        }
    }

    /// Takes a segment of a service.
    pub fn receive(&mut self, segment: &Segment, dice: &mut Dice, now: Time) {
        let port = segment.to.port();
        let mut connection = match self.connections.remove(&port) {
            Some(connection) if connection.service == segment.from => connection,
            Some(other) => {
                self.connections.insert(port, other);
                return;
            }
            None => return,
        };
        if segment.has(tcp::RST) {
            let was = matches!(connection.stage, Stage::Idle | Stage::Asking);
            self.tally.reset += u64::from(was);
            self.closing.insert(port);
            return;
        }
        // Progress tells that the neighbour is there.
        if let Some(neighbour) = self.neighbours.get_mut(segment.from.ip()) {
            neighbour.confirmed = now;
            neighbour.questions = 0;
        }
        let settled = match connection.stage {
            Stage::Opening if segment.has(tcp::SYN | tcp::ACK) => {
                if let Some(mac) = self.holder_of(*connection.service.ip(), now) {
                    self.send(port, connection.service, tcp::ACK, 0, mac);
                }
                true
            }
            Stage::Asking if segment.number == connection.number => {
                self.tally.answered += 1;
                if connection.is_trial {
                    self.answered_trials.insert(connection.service);
                }
                true
            }
            Stage::Closing if segment.has(tcp::FIN) => return,
            Stage::Opening | Stage::Idle | Stage::Asking | Stage::Closing => false,
        };
        if settled {
            connection.stage = Stage::Idle;
            // Some are idle for long.
            let most = if dice.chance(20) { ms(8000) } else { ms(600) };
            let rest = dice.time(ms(1), most);
            connection.at = now + if connection.is_trial { ms(1) } else { rest };
        }
        self.connections.insert(port, connection);
    }
}
