//! One virtual router on a daemon's VRRP thread: its machine, its gates and its addresses.
//!
//! Does step for step what the daemon's own seat does, without the errors of a kernel.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use evenkeel_model::{GateState, Role, VirtualRouter, VirtualRouterId};
use evenkeel_vrrp::{HandoverEnd, Machine, Order, Output, Packet, Start};
use evenkeel_wire::vrrp;

use crate::frame::of_packet;
use crate::host::Host;
use crate::node::Node;

/// What the VRRP thread tells the event loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A role changed.
    Role {
        /// Of which virtual router.
        router: VirtualRouterId,
        /// From what.
        from: Role,
        /// To what.
        to: Role,
        /// Why.
        reason: String,
    },
    /// Only waiting for connection sync keeps it from preempting, or no longer.
    Wants {
        /// In which virtual router.
        router: VirtualRouterId,
        /// Whether it would.
        wants: bool,
    },
    /// A handover begins, and waits until it is prepared.
    Preparing {
        /// Of which virtual router.
        router: VirtualRouterId,
    },
    /// An ordered handover is over.
    HandoverEnded {
        /// Of which virtual router.
        router: VirtualRouterId,
        /// How it ended.
        end: HandoverEnd,
    },
    /// Something that people should know.
    Trouble {
        /// About which virtual router.
        router: VirtualRouterId,
        /// What.
        what: String,
    },
}

/// A virtual router that a director takes part in.
pub struct Seat {
    machine: Machine,
    /// The gate's state as last set; `None`: as it was found.
    gate: Option<GateState>,
    closes_once_free: bool,
    claimed: bool,
    held: Vec<Ipv4Addr>,
    stopped: bool,
    /// Connections are synchronised: preemptions and handovers wait for them.
    syncs: bool,
}

/// An address of the cluster, which has IPv4 only.
#[must_use]
pub fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!("the cluster has IPv4 only"),
    }
}

/// Drains the addresses of a virtual router and takes them from the interface.
pub fn give_up(config: &VirtualRouter, host: &mut Host) {
    if host.plane.standing(config.id).open {
        host.plane.set_router(config.id, GateState::Draining);
    }
    host.plane.end_lease(config.id);
    for address in &config.addresses {
        host.release(v4(*address));
    }
}

impl Seat {
    /// Takes part in a virtual router from now on.
    pub fn take(
        config: VirtualRouter,
        syncs: bool,
        host: &mut Host,
        news: &mut Vec<News>,
        now: Instant,
    ) -> Self {
        let goes_on = host.link_up && host.plane.standing(config.id).goes_on;
        if !goes_on {
            give_up(&config, host);
        }
        let start = match (host.link_up, goes_on) {
            (false, _) => Start::LinkDown,
            (true, true) => Start::Active,
            (true, false) => Start::Backup,
        };
        let held = match goes_on {
            true => config.addresses.iter().copied().map(v4).collect(),
            false => Vec::new(),
        };
        let own = IpAddr::V4(host.node.address());
        let source = config.source.unwrap_or(own);
        let mut seat = Self {
            machine: Machine::new(config, source, start, now),
            gate: None,
            closes_once_free: false,
            claimed: goes_on,
            held,
            stopped: false,
            syncs,
        };
        // Until the event loop knows better.
        seat.machine.wait_for_sync(syncs, now);
        seat.obey(host, news);
        seat
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &VirtualRouter {
        self.machine.config()
    }

    /// The machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Whether it has shut down.
    #[must_use]
    pub const fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// Takes a packet in.
    pub fn handle_packet(
        &mut self,
        packet: &Packet<'_>,
        host: &mut Host,
        news: &mut Vec<News>,
        now: Instant,
    ) {
        self.machine.handle_packet(packet, now);
        self.obey(host, news);
    }

    /// Does what is due.
    pub fn handle_time(&mut self, host: &mut Host, news: &mut Vec<News>, now: Instant) {
        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.machine.handle_timeout(now);
            self.obey(host, news);
        }
    }

    /// Takes in that the interface is up or down.
    pub fn handle_link(&mut self, up: bool, host: &mut Host, news: &mut Vec<News>, now: Instant) {
        self.machine.handle_link(up, now);
        self.obey(host, news);
    }

    /// Lets it take over.
    pub fn may_take_over(&mut self, host: &mut Host, news: &mut Vec<News>, now: Instant) {
        self.machine.may_take_over(now);
        self.obey(host, news);
    }

    /// Lets it preempt, or not.
    pub fn wait_for_sync(
        &mut self,
        wait: bool,
        host: &mut Host,
        news: &mut Vec<News>,
        now: Instant,
    ) {
        self.machine.wait_for_sync(wait, now);
        self.obey(host, news);
    }

    /// What a partner needs for a handover is told.
    pub fn prepared(&mut self, host: &mut Host, news: &mut Vec<News>, now: Instant) {
        self.machine.prepared(now);
        self.obey(host, news);
    }

    /// An operator orders something.
    pub fn order(&mut self, order: Order, host: &mut Host, news: &mut Vec<News>, now: Instant) {
        self.machine.order(order, now);
        self.obey(host, news);
    }

    /// Gives the role up for good.
    pub fn shut_down(&mut self, host: &mut Host, news: &mut Vec<News>, now: Instant) {
        self.machine.shut_down(now);
        self.obey(host, news);
    }

    /// Somebody removed one of the addresses.
    pub fn address_lost(&mut self, address: Ipv4Addr, host: &mut Host, news: &mut Vec<News>) {
        if self.claimed && self.config().addresses.contains(&address.into()) {
            news.push(News::Trouble {
                router: self.config().id,
                what: format!("address {address} was removed by somebody else; added again"),
            });
            self.settle_addresses(host);
            self.announce(host, self.config().announcements);
        }
    }

    /// Takes another configuration of the same virtual router.
    pub fn reconfigure(
        &mut self,
        config: VirtualRouter,
        host: &mut Host,
        news: &mut Vec<News>,
        now: Instant,
    ) {
        if let Some(gate) = self.gate {
            host.plane.set_router(config.id, gate);
        }
        if self.machine.config() != &config {
            self.machine.reconfigure(config, now);
            self.obey(host, news);
        }
    }

    /// Gives up addresses that another configuration does not have.
    pub fn retire_addresses(&mut self, retired: &[Ipv4Addr], host: &mut Host) {
        for address in retired.iter().filter(|a| self.held.contains(a)) {
            host.release(*address);
        }
        self.held.retain(|held| !retired.contains(held));
    }

    /// Leaves the virtual router at once.
    pub fn leave(mut self, host: &mut Host) {
        if self.machine.view().role == Role::Active {
            self.advertise(host, 0);
        }
        self.claimed = false;
        host.plane.end_lease(self.config().id);
        self.set_gate(host, GateState::Draining);
        self.settle_addresses(host);
        self.set_gate(host, GateState::Closed);
    }

    fn obey(&mut self, host: &mut Host, news: &mut Vec<News>) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::SendAdvert { priority } => self.advertise(host, priority),
                Output::SetGate(state) => self.set_gate(host, state),
                Output::ClaimAddresses => {
                    self.claimed = true;
                    self.settle_addresses(host);
                }
                Output::ReleaseAddresses => {
                    self.claimed = false;
                    host.plane.end_lease(self.config().id);
                    self.settle_addresses(host);
                }
                Output::Announce { count } => self.announce(host, count),
                Output::StateChanged { from, to, reason } => news.push(News::Role {
                    router: self.config().id,
                    from,
                    to,
                    reason: reason.to_string(),
                }),
                Output::Noticed(notice) => news.push(News::Trouble {
                    router: self.config().id,
                    what: notice.to_string(),
                }),
                Output::PrepareHandover if self.syncs => news.push(News::Preparing {
                    router: self.config().id,
                }),
                Output::PrepareHandover => self.machine.prepared(host.clock.now(host.now)),
                Output::Wants(wants) => news.push(News::Wants {
                    router: self.config().id,
                    wants,
                }),
                Output::HandoverEnded(end) => news.push(News::HandoverEnded {
                    router: self.config().id,
                    end,
                }),
                Output::Stopped => self.stopped = true,
            }
        }
    }

    /// Sets the gate, but does not close it while an address is still there.
    fn set_gate(&mut self, host: &Host, state: GateState) {
        self.closes_once_free = state == GateState::Closed && !self.held.is_empty();
        if !self.closes_once_free {
            self.gate = Some(state);
            host.plane.set_router(self.config().id, state);
        }
    }

    fn advertise(&self, host: &mut Host, priority: u8) {
        // Nothing can be sent then, and the lease is not renewed.
        if !host.link_up {
            return;
        }
        let group = [IpAddr::from(vrrp::GROUP)];
        let peers = &self.config().peers;
        let destinations = if peers.is_empty() { &group[..] } else { peers };
        for destination in destinations {
            let mut packet = vec![0; vrrp::PACKET_LEN_MAX];
            let len = self
                .machine
                .write_advert(priority, *destination, &mut packet);
            packet.truncate(len.expect("the buffer holds any advertisement"));
            let mac = match v4(*destination).octets() {
                vrrp::GROUP => vrrp::GROUP_MAC,
                [.., number] => Node::Director(usize::from(number) - 1).mac(),
            };
            host.send(of_packet(host.node.mac(), mac, &packet));
        }
        if priority > 0 {
            let lasts = self.machine.master_down_interval();
            host.plane.renew(self.config().id, lasts);
        } else {
            host.plane.end_lease(self.config().id);
        }
    }

    fn announce(&self, host: &mut Host, count: u8) {
        for address in &self.config().addresses {
            for _ in 0..count {
                host.announce(v4(*address));
            }
        }
    }

    /// Adds or removes addresses until the interface has those that it should have.
    fn settle_addresses(&mut self, host: &mut Host) {
        let addresses = self.machine.config().addresses.iter().copied().map(v4);
        let wanted: Vec<Ipv4Addr> = addresses.filter(|_| self.claimed).collect();
        for address in &wanted {
            host.addresses.insert(*address);
        }
        for address in self.held.iter().filter(|held| !wanted.contains(held)) {
            host.release(*address);
        }
        self.held = wanted;
        if self.closes_once_free {
            self.set_gate(host, GateState::Closed);
        }
    }
}
