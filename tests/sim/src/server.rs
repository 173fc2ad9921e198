//! A real server: it has the virtual addresses on `lo`, knows its connections and resets others.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use evenkeel_wire::tcp;

use crate::frame::{Arp, Segment};
use crate::node::Node;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    SynReceived,
    Established,
}

/// A real server.
#[derive(Debug)]
pub struct Server {
    /// Who it is.
    pub node: Node,
    /// Whether it runs.
    pub on: bool,
    /// Its boots: connections end with each.
    pub boot: u64,
    /// It refuses probes, and serves its connections.
    pub ill: bool,
    connections: BTreeMap<(SocketAddrV4, SocketAddrV4), Stage>,
}

impl Server {
    /// One that runs on a host.
    #[must_use]
    pub const fn new(node: Node) -> Self {
        Self {
            node,
            on: true,
            boot: 1,
            ill: false,
            connections: BTreeMap::new(),
        }
    }

    /// Unplugs it, or lets it begin anew.
    pub fn power(&mut self, on: bool) {
        self.on = on;
        self.boot += u64::from(on);
        self.connections.clear();
    }

    /// Whether it knows this connection as established.
    #[must_use]
    pub fn knows(&self, client: SocketAddrV4, service: SocketAddrV4) -> bool {
        self.connections.get(&(client, service)) == Some(&Stage::Established)
    }

    /// Answers an ARP request for its own address, not for those on `lo`.
    #[must_use]
    pub fn arp(&self, arp: &Arp) -> Option<Vec<u8>> {
        let is_own = arp.is_request && arp.target == self.node.address();
        let reply = Arp {
            is_request: false,
            mac: self.node.mac(),
            sender: arp.target,
            target: arp.sender,
        };
        is_own.then(|| reply.frame(arp.mac))
    }

    /// Takes a segment; what it answers.
    pub fn receive(&mut self, segment: &Segment) -> Option<Segment> {
        let answer = |flags| Segment {
            from: segment.to,
            to: segment.from,
            flags,
            number: segment.number,
        };
        if *segment.to.ip() == self.node.address() {
            let flags = if self.ill {
                tcp::RST
            } else {
                tcp::SYN | tcp::ACK
            };
            return segment.has(tcp::SYN).then(|| answer(flags));
        }
        let key = (segment.from, segment.to);
        let known = self.connections.get(&key).copied();
        if segment.has(tcp::RST) {
            self.connections.remove(&key);
            return None;
        }
        if segment.has(tcp::SYN) {
            // One that is established answers an old SYN with a challenge (RFC 9293 §3.10.7.4).
            return match known {
                Some(Stage::Established) => Some(answer(tcp::ACK)),
                Some(Stage::SynReceived) | None => {
                    self.connections.insert(key, Stage::SynReceived);
                    Some(answer(tcp::SYN | tcp::ACK))
                }
            };
        }
        if known.is_none() {
            return Some(answer(tcp::RST));
        }
        if segment.has(tcp::FIN) {
            self.connections.remove(&key);
            return Some(answer(tcp::FIN | tcp::ACK));
        }
        self.connections.insert(key, Stage::Established);
        // A request has a number, a mere acknowledgement has none.
        (segment.number > 0).then(|| answer(tcp::ACK))
    }
}
