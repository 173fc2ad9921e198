//! A director's host: data plane, network stack and addresses; all that outlives the daemon.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use evenkeel_datapath::{MemoryFrame, Verdict};
use evenkeel_model::{GateState, Protocol, ServiceKey};
use evenkeel_wire::{arp, eth, ipv4, tcp, vrrp};

use crate::Time;
use crate::clock::Clock;
use crate::frame::{Arp, BROADCAST, Datagram, Segment, address_at, ip_header, of_packet};
use crate::network::Frame;
use crate::node::Node;
use crate::plane::Plane;
use crate::server::Server;
use crate::settings::SYNC_PORT;

/// Advertisements that a socket holds: about the kernel's default of 212,992 bytes.
pub const SOCKET_MAX: usize = 256;

/// How often a packet can be sent on.
const TTL: u8 = 64;

/// What the stack hands up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A VRRP packet, from its IP header on.
    Advert(Vec<u8>),
    /// Connection sync: from whom, and what.
    Sync(SocketAddrV4, Vec<u8>),
    /// A segment to one of the host's own addresses.
    Segment(Segment),
    /// A neighbour has this hardware address.
    Neighbour(Ipv4Addr, [u8; 6]),
}

/// A director's host.
pub struct Host {
    /// Who it is.
    pub node: Node,
    /// The true time.
    pub now: Time,
    /// Its clock.
    pub clock: Clock,
    /// Its boots, by which connections of an earlier one are told apart.
    pub boot: u64,
    /// Whether its interface is up.
    pub link_up: bool,
    /// Its data plane.
    pub plane: Plane,
    /// Virtual addresses on its interface.
    pub addresses: BTreeSet<Ipv4Addr>,
    /// When it gave addresses up last.
    pub released: BTreeMap<Ipv4Addr, Time>,
    /// How long it forwards what still reaches it afterwards, at least.
    pub drains: Duration,
    /// Services that it is a real server of, as the other directors are then.
    pub serves: BTreeSet<SocketAddrV4>,
    /// The real server that it is.
    pub server: Server,
    /// How many directors the packet had passed that had passed most.
    pub longest_way: u8,
    /// Neighbours that the kernel keeps resolved.
    pub watched: BTreeMap<Ipv4Addr, Option<[u8; 6]>>,
    /// What a VRRP socket holds for a daemon that does not read.
    pub socket: VecDeque<Vec<u8>>,
    /// What is to be sent.
    pub out: Vec<Frame>,
    /// What must never happen and did.
    pub wrongs: Vec<String>,
}

impl Host {
    /// Lets time go on for it.
    pub fn tick(&mut self, now: Time) {
        self.now = now;
        self.plane.set_time(self.clock.tick(now));
    }

    /// Whether it answers for an address.
    #[must_use]
    pub fn answers(&self, address: Ipv4Addr) -> bool {
        self.link_up
            && self.addresses.contains(&address)
            && self.plane.gate(address) != GateState::Draining
    }

    /// Takes a frame from the link: the program first, then the stack.
    pub fn receive(&mut self, frame: &Frame, now: Time) -> Option<Received> {
        self.tick(now);
        let mut packet = MemoryFrame::new(&frame.bytes);
        match self.plane.process(&mut packet) {
            Verdict::Pass => self.stack(&frame.bytes),
            Verdict::Drop(_) => None,
            Verdict::Transmit => {
                self.transmit(frame, packet.bytes());
                None
            }
            Verdict::Redirect(interface) => {
                self.wrongs.push(format!("sent to interface {interface}"));
                None
            }
        }
    }

    fn transmit(&mut self, frame: &Frame, bytes: &[u8]) {
        if frame.bytes.get(..6) != Some(&self.node.mac()) {
            let wrong = format!("forwarded what was flooded: {:?}", frame.bytes);
            self.wrongs.push(wrong);
        }
        let mac: Option<[u8; 6]> = bytes.get(..6).and_then(|mac| mac.try_into().ok());
        let to = mac.and_then(Node::of_mac);
        // Directors that are real servers may forward at each other while both have a role, until the TTL is used up.
        let (to_directors, hops_max) = match self.serves.is_empty() {
            true => (false, 0),
            false => (true, TTL),
        };
        // An error or a reset goes back to whoever sent the frame.
        let goes_back = frame.bytes.get(6..12) == bytes.get(..6);
        let is_known = match to {
            _ if goes_back => true,
            Some(Node::Director(_)) => to_directors,
            Some(Node::Server(_) | Node::Client(_)) => true,
            None => false,
        };
        if !is_known {
            self.wrongs.push(format!("forwarded to {to:?}"));
        }
        if frame.hops > hops_max {
            self.wrongs.push("forwarded what directors had".to_owned());
        }
        self.longest_way = self.longest_way.max(frame.hops + 1);
        self.out.push(Frame {
            bytes: bytes.to_vec(),
            via: Some(self.via()),
            hops: frame.hops + 1,
        });
    }

    /// How it is named in what it forwards.
    #[must_use]
    pub fn via(&self) -> (usize, u64) {
        match self.node {
            Node::Director(number) => (number, self.boot),
            Node::Server(_) | Node::Client(_) => unreachable!("a director's host"),
        }
    }

    fn stack(&mut self, bytes: &[u8]) -> Option<Received> {
        let mac: [u8; 6] = bytes.get(..6)?.try_into().ok()?;
        if mac != self.node.mac() && mac[0] & 1 == 0 {
            return None;
        }
        if bytes.get(eth::ETHERTYPE..eth::LEN)? == eth::ARP {
            return self.arp(&Arp::parse(bytes)?);
        }
        let packet = bytes.get(eth::LEN..)?;
        let header = ip_header(packet)?;
        let to = address_at(&header, ipv4::DESTINATION);
        if header[ipv4::PROTOCOL] == ipv4::VRRP {
            let is_for_us = to == Ipv4Addr::from(vrrp::GROUP) || to == self.node.address();
            return is_for_us.then(|| Received::Advert(packet.to_vec()));
        }
        if header[ipv4::PROTOCOL] == ipv4::UDP {
            let datagram = Datagram::parse(bytes)?;
            let is_ours = datagram.to == SocketAddrV4::new(self.node.address(), SYNC_PORT);
            return is_ours.then_some(Received::Sync(datagram.from, datagram.payload));
        }
        let segment = Segment::parse(bytes)?;
        let is_answer = segment.has(tcp::SYN | tcp::ACK) || segment.has(tcp::RST);
        if to == self.node.address() && is_answer {
            return Some(Received::Segment(segment));
        }
        if to == self.node.address() || self.serves.contains(&segment.to) {
            let answer = self.server.receive(&segment);
            if let Some(answer) = answer
                && let Some(to) = Node::of_address(*answer.to.ip())
            {
                self.send(answer.frame(self.node.mac(), to.mac()));
            }
        } else if self.addresses.contains(&to) {
            self.refuse(&segment, bytes);
        } else {
            self.lose(&segment);
        }
        // A host forwards nothing that is for somebody else.
        None
    }

    /// The stack does not have the address; the data plane should have it still where it was given up just now.
    fn lose(&mut self, segment: &Segment) {
        let key = ServiceKey::single(Protocol::Tcp, segment.to.into());
        let released = self.released.get(segment.to.ip());
        let drains = released.is_some_and(|at| self.now < *at + self.drains);
        if drains && self.plane.held(&key).is_some() {
            let wrong = format!("did not drain: {segment:?} went to the stack");
            self.wrongs.push(wrong);
        }
    }

    /// Takes an address from the interface.
    pub fn release(&mut self, address: Ipv4Addr) {
        if self.addresses.remove(&address) {
            self.released.insert(address, self.now);
        }
    }

    /// The stack has the address and no socket there.
    fn refuse(&mut self, segment: &Segment, bytes: &[u8]) {
        let key = ServiceKey::single(Protocol::Tcp, segment.to.into());
        if self.plane.held(&key).is_some() {
            self.wrongs
                .push(format!("the stack was given {segment:?} of a service"));
        }
        let client: Option<[u8; 6]> = bytes.get(6..12).and_then(|mac| mac.try_into().ok());
        if let Some(client) = client
            && !segment.has(tcp::RST)
        {
            let reset = Segment {
                from: segment.to,
                to: segment.from,
                flags: tcp::RST,
                number: segment.number,
            };
            self.send(reset.frame(self.node.mac(), client));
        }
    }

    fn arp(&mut self, arp: &Arp) -> Option<Received> {
        let own = arp.target == self.node.address() || self.addresses.contains(&arp.target);
        if arp.is_request && own && arp.sender != arp.target {
            let reply = Arp {
                is_request: false,
                mac: self.node.mac(),
                sender: arp.target,
                target: arp.sender,
            };
            self.send(reply.frame(arp.mac));
        }
        let known = self.watched.get_mut(&arp.sender)?;
        (known.replace(arp.mac) != Some(arp.mac))
            .then_some(Received::Neighbour(arp.sender, arp.mac))
    }

    /// Asks who has the addresses that are to be kept resolved.
    pub fn resolve(&mut self) {
        let watched: Vec<_> = self.watched.iter().map(|(a, mac)| (*a, *mac)).collect();
        for (target, mac) in watched {
            let request = Arp {
                is_request: true,
                mac: self.node.mac(),
                sender: self.node.address(),
                target,
            };
            self.send(request.frame(mac.unwrap_or(BROADCAST)));
        }
    }

    /// Tells everybody that an address is here, as `evenkeel_net::Announcer` does.
    pub fn announce(&mut self, address: Ipv4Addr) {
        let mac = self.node.mac();
        for operation in [arp::REQUEST, arp::REPLY] {
            let message = arp::gratuitous(operation, mac, address.octets());
            let mut bytes = of_packet(mac, BROADCAST, &message);
            bytes[eth::ETHERTYPE..eth::LEN].copy_from_slice(&eth::ARP);
            self.send(bytes);
        }
    }

    /// Sends a datagram of connection sync; the kernel knows the way.
    pub fn send_sync(&mut self, to: SocketAddr, payload: Vec<u8>) {
        let SocketAddr::V4(to) = to else {
            return;
        };
        let datagram = Datagram {
            from: SocketAddrV4::new(self.node.address(), SYNC_PORT),
            to,
            payload,
        };
        if let Some(node) = Node::of_address(*to.ip()) {
            self.send(datagram.frame(self.node.mac(), node.mac()));
        }
    }

    /// Sends a frame of its own.
    pub fn send(&mut self, bytes: Vec<u8>) {
        if self.link_up {
            self.out.push(Frame::new(bytes));
        }
    }
}
