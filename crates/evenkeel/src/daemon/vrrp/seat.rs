//! One virtual router on the VRRP thread: its machine, its gates and its addresses.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use evenkeel_bpf::RouterGates;
use evenkeel_model::{GateState, Role, VirtualRouter};
use evenkeel_net::{AddressError, AddressSocket};
use evenkeel_vrrp::{HandoverEnd, Machine, Order, Output, Packet, Start, View};

use super::News;
use super::tools::Tools;

/// Time until addresses that could not be added or removed are tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What an event loop hands over of a virtual router.
pub(crate) struct Place {
    pub(crate) config: VirtualRouter,
    pub(crate) gates: RouterGates,
    /// The director takes nothing over.
    pub(crate) maintenance: bool,
    /// It takes this over only where nobody else is there.
    pub(crate) standby: bool,
    /// Connections are synchronised: preemptions and handovers wait for them.
    pub(crate) syncs: bool,
}

impl Place {
    /// Whether the director was Active, its lease lasts still, and it heard nobody else since.
    pub(super) fn goes_on(&self) -> bool {
        let standing = self.gates.standing();
        !self.maintenance
            && standing.open
            && standing.lease_alive
            && !standing.foreign_since_renewal
            && !standing.yielded
    }

    /// Drains the addresses and takes them from the interface.
    pub(super) fn give_up(
        &self,
        addresses: &mut AddressSocket,
        link: u32,
    ) -> Result<(), AddressError> {
        if self.gates.standing().open {
            self.gates.set(GateState::Draining);
        }
        self.gates.end_lease();
        let mut result = Ok(());
        for address in &self.config.addresses {
            if let Err(error) = addresses.remove(link, *address) {
                result = Err(error);
            }
        }
        result
    }
}

/// A virtual router that this director takes part in.
pub(super) struct Seat {
    machine: Machine,
    gates: RouterGates,
    /// The gate's state as last set; `None`: as it was found.
    gate: Option<GateState>,
    /// The gate drains until the addresses are gone: closed, it would let this host answer for them.
    closes_once_free: bool,
    /// Whether the addresses are to be on the interface.
    claimed: bool,
    /// Addresses that stand on the interface: those that were added, and those that could not be.
    held: Vec<IpAddr>,
    /// When what failed is tried again.
    retry_at: Option<Instant>,
    /// Whether the addresses are not as they should be, which was told.
    ailing: bool,
    /// Whether the last advertisement could not be sent, which was told.
    mute: bool,
    stopped: bool,
    /// Whoever is heard from then on, once this director was told to stop, is Active in its place.
    succeeded_from: Option<Instant>,
    /// Ordered handovers that are over, and how the last one ended.
    handovers: u64,
    last_end: Option<HandoverEnd>,
    /// The event loop says when a handover is prepared.
    syncs: bool,
}

/// How an order to hand over began.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Begun {
    /// It goes on; its end is news of this number.
    GoesOn(u64),
    /// It is over.
    Ended(HandoverEnd),
    /// It was an order that has no end to wait for.
    Obeyed,
}

/// A seat as `status` shows it.
#[derive(Clone, Debug)]
pub(crate) struct SeatView {
    pub(crate) config: VirtualRouter,
    pub(crate) machine: View,
    pub(crate) master_down: Duration,
}

impl Seat {
    /// Takes part in a virtual router from now on: Active at once where it goes on, else drained and without
    /// the addresses.
    pub(super) fn take(place: Place, tools: &mut Tools, now: Instant) -> Self {
        let goes_on = tools.link_up && place.goes_on();
        let given_up = if goes_on {
            Ok(())
        } else {
            place.give_up(&mut tools.addresses, tools.link)
        };
        let Place {
            config,
            gates,
            maintenance,
            standby,
            syncs,
        } = place;
        let start = match (tools.link_up, goes_on) {
            (false, _) => Start::LinkDown,
            (true, true) => Start::Active,
            (true, false) => Start::Backup,
        };
        // Where the config gives none, the interface's own was put there.
        let source = config.source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let held = if goes_on || given_up.is_err() {
            config.addresses.clone()
        } else {
            Vec::new()
        };
        let mut seat = Self {
            machine: Machine::new(config, source, start, now),
            gates,
            gate: None,
            closes_once_free: false,
            claimed: goes_on,
            held,
            retry_at: None,
            ailing: false,
            mute: false,
            stopped: false,
            succeeded_from: None,
            handovers: 0,
            last_end: None,
            syncs,
        };
        // Until the event loop knows better.
        seat.machine.wait_for_sync(syncs, now);
        if let Err(error) = given_up {
            seat.failed(tools, now, &error);
        }
        seat.obey(tools, now);
        let patience = None;
        if standby {
            let _begun = seat.order(Order::StandBy { patience }, tools, now);
        }
        if maintenance {
            let force = false;
            let _begun = seat.order(Order::Maintain { patience, force }, tools, now);
        }
        seat
    }

    pub(super) const fn config(&self) -> &VirtualRouter {
        self.machine.config()
    }

    pub(super) const fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether another director was Active when this one stopped.
    pub(super) fn is_succeeded(&self) -> bool {
        let partner = self.machine.view().partner;
        let heard = partner.filter(|partner| partner.priority > 0);
        let heard = heard.map(|partner| partner.last_heard);
        self.succeeded_from.is_some_and(|from| heard >= Some(from))
    }

    pub(super) fn view(&self) -> SeatView {
        SeatView {
            config: self.machine.config().clone(),
            machine: self.machine.view(),
            master_down: self.machine.master_down_interval(),
        }
    }

    /// When [`Self::handle_time`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.machine.poll_timeout(), self.retry_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// When the machine's next timer is due.
    pub(super) fn timer(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    pub(super) fn handle_packet(&mut self, packet: &Packet<'_>, tools: &mut Tools, now: Instant) {
        self.machine.handle_packet(packet, now);
        self.obey(tools, now);
    }

    pub(super) fn handle_time(&mut self, tools: &mut Tools, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.settle_addresses(tools, now);
        }
        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.machine.handle_timeout(now);
            self.obey(tools, now);
        }
    }

    pub(super) fn handle_link(&mut self, tools: &mut Tools, now: Instant) {
        self.machine.handle_link(tools.link_up, now);
        self.obey(tools, now);
    }

    /// The partner has all connections, so that it can take over.
    pub(super) fn prepared(&mut self, tools: &mut Tools, now: Instant) {
        self.machine.prepared(now);
        self.obey(tools, now);
    }

    /// Connections of the Active are lacking, or no longer.
    pub(super) fn wait_for_sync(&mut self, wait: bool, tools: &mut Tools, now: Instant) {
        self.machine.wait_for_sync(wait, now);
        self.obey(tools, now);
    }

    pub(super) fn may_take_over(&mut self, tools: &mut Tools, now: Instant) {
        self.machine.may_take_over(now);
        self.obey(tools, now);
    }

    pub(super) fn shut_down(&mut self, tools: &mut Tools, now: Instant) {
        self.succeeded_from = match self.machine.view().role {
            Role::Active => Some(now),
            Role::Backup => now.checked_sub(self.machine.master_down_interval()),
            Role::Initialize => None,
        };
        self.machine.shut_down(now);
        self.obey(tools, now);
    }

    /// Obeys an operator.
    pub(super) fn order(&mut self, order: Order, tools: &mut Tools, now: Instant) -> Begun {
        self.last_end = None;
        self.machine.order(order, now);
        self.obey(tools, now);
        match (order, self.last_end) {
            (Order::Resume | Order::EndMaintenance, _) => Begun::Obeyed,
            (_, Some(end)) => Begun::Ended(end),
            (_, None) => Begun::GoesOn(self.handovers + 1),
        }
    }

    /// Somebody removed one of the addresses.
    pub(super) fn address_lost(&mut self, address: IpAddr, tools: &mut Tools, now: Instant) {
        if self.claimed && self.config().addresses.contains(&address) {
            tools.tell(News::Trouble {
                router: self.config().id,
                what: format!("address {address} was removed by somebody else; added again"),
            });
            self.settle_addresses(tools, now);
            self.announce(tools, self.config().announcements);
        }
    }

    /// Takes another configuration of the same virtual router, and its gates.
    pub(super) fn reconfigure(&mut self, place: Place, tools: &mut Tools, now: Instant) {
        self.gates = place.gates;
        if let Some(gate) = self.gate {
            self.gates.set(gate);
        }
        if self.machine.config() != &place.config {
            self.machine.reconfigure(place.config, now);
            self.obey(tools, now);
        }
    }

    /// Gives up addresses that another configuration does not have.
    pub(super) fn retire_addresses(&mut self, retired: &[IpAddr], tools: &mut Tools, now: Instant) {
        for address in retired {
            if self.held.contains(address)
                && let Err(error) = tools.addresses.remove(tools.link, *address)
            {
                self.failed(tools, now, &error);
                continue;
            }
            self.held.retain(|held| held != address);
        }
    }

    /// Leaves the virtual router at once.
    pub(super) fn leave(mut self, tools: &mut Tools, now: Instant) {
        if self.machine.view().role == Role::Active {
            self.advertise(tools, 0);
        }
        self.claimed = false;
        self.gates.end_lease();
        self.set_gate(GateState::Draining);
        self.settle_addresses(tools, now);
        self.set_gate(GateState::Closed);
    }

    /// Executes what the machine orders.
    fn obey(&mut self, tools: &mut Tools, now: Instant) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::SendAdvert { priority } => self.advertise(tools, priority),
                Output::SetGate(state) => self.set_gate(state),
                Output::ClaimAddresses => {
                    self.claimed = true;
                    self.settle_addresses(tools, now);
                }
                Output::ReleaseAddresses => {
                    self.claimed = false;
                    self.gates.end_lease();
                    self.settle_addresses(tools, now);
                }
                Output::Announce { count } => self.announce(tools, count),
                Output::StateChanged { from, to, reason } => tools.tell(News::Role {
                    router: self.config().id,
                    from,
                    to,
                    reason: reason.to_string(),
                }),
                Output::PrepareHandover if self.syncs => tools.tell(News::Preparing {
                    router: self.config().id,
                }),
                Output::Wants(wants) => tools.tell(News::Wants {
                    router: self.config().id,
                    wants,
                }),
                // A partner gets nothing from this director that it would lack.
                Output::PrepareHandover => self.machine.prepared(now),
                Output::HandoverEnded(end) => {
                    self.handovers += 1;
                    self.last_end = Some(end);
                    tools.tell(News::HandoverEnded {
                        router: self.config().id,
                        number: self.handovers,
                        end,
                    });
                }
                Output::Noticed(notice) => tools.tell(News::Trouble {
                    router: self.config().id,
                    what: notice.to_string(),
                }),
                Output::Stopped => self.stopped = true,
            }
        }
    }

    /// Sets the gate, but does not close it while an address is still there.
    fn set_gate(&mut self, state: GateState) {
        self.closes_once_free = state == GateState::Closed && !self.held.is_empty();
        if !self.closes_once_free {
            self.gate = Some(state);
            self.gates.set(state);
        }
    }

    /// Sends an advertisement; one that says that this director is Active renews its lease.
    fn advertise(&mut self, tools: &mut Tools, priority: u8) {
        let sent = tools.advertise(&self.machine, priority);
        match sent {
            Ok(()) => {
                if priority > 0 {
                    self.gates.renew(self.machine.master_down_interval());
                } else {
                    // The data plane may yield as soon as the successor is heard.
                    self.gates.end_lease();
                }
                self.mute = false;
            }
            Err(error) => {
                if !self.mute {
                    self.mute = true;
                    tools.tell(News::Trouble {
                        router: self.config().id,
                        what: format!("advertisements can't be sent: {error}"),
                    });
                }
            }
        }
    }

    fn announce(&self, tools: &mut Tools, count: u8) {
        let mut failed = None;
        for address in &self.machine.config().addresses {
            // One that fails keeps nobody from hearing of the others.
            if let Err(error) = tools.announce(*address, count) {
                failed = Some(error);
            }
        }
        if let Some(error) = failed {
            tools.tell(News::Trouble {
                router: self.config().id,
                what: error.to_string(),
            });
        }
    }

    /// Adds or removes addresses until the interface has those that it should have.
    fn settle_addresses(&mut self, tools: &mut Tools, now: Instant) {
        let wanted: &[IpAddr] = if self.claimed {
            &self.machine.config().addresses
        } else {
            &[]
        };
        let mut failure = None;
        for address in wanted {
            let added = tools.addresses.add(tools.link, *address);
            // Somebody else's stands there as well.
            let stands = matches!(added, Ok(()) | Err(AddressError::Taken { .. }));
            if stands && !self.held.contains(address) {
                self.held.push(*address);
            }
            failure = added.err().or(failure);
        }
        self.held.retain(|address| {
            if wanted.contains(address) {
                return true;
            }
            match tools.addresses.remove(tools.link, *address) {
                Ok(()) => false,
                Err(error) => {
                    failure = Some(error);
                    true
                }
            }
        });
        match failure {
            Some(error) => self.failed(tools, now, &error),
            None => {
                self.retry_at = None;
                self.ailing = false;
                if self.closes_once_free {
                    self.set_gate(GateState::Closed);
                }
            }
        }
    }

    fn failed(&mut self, tools: &mut Tools, now: Instant, error: &dyn std::error::Error) {
        self.retry_at = Some(now + RETRY_AFTER);
        if std::mem::replace(&mut self.ailing, true) {
            return;
        }
        let cause = error
            .source()
            .map_or_else(String::new, |c| format!(": {c}"));
        tools.tell(News::Trouble {
            router: self.machine.config().id,
            what: format!("{error}{cause}; trying again"),
        });
    }
}
