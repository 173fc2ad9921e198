//! The machine of one virtual router: what comes in and what goes out.
//!
//! `machine/receive.rs` judges advertisements, `machine/roles.rs` changes roles, `machine/orders.rs` hands
//! them over, `machine/timing.rs` has the intervals and what happens when they are over, `machine/watch.rs` what a Backup
//! knows.

mod orders;
mod receive;
mod roles;
mod timing;
mod watch;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_model::{AdvertChecksum, GateState, Role, VirtualRouter, VrrpVersion};
use evenkeel_wire::vrrp::{self, Coverage, Outgoing, Version, WriteError};

use self::orders::{Handover, Holds, Stage};
use self::watch::Watch;
use crate::notice::Troubles;
use crate::timer::{Timer, Timers};
use crate::{Counters, HandoverEnd, Notice, Order, Output, Partner, Reason, View};

/// More than one event orders, so that the queue never grows.
const OUTPUTS_MAX: usize = 16;

/// How a machine begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The shell has drained the gates and taken the addresses away, if they were there.
    Backup,
    /// Restarted: this director was Active, its lease has not run out and nobody else has been heard.
    Active,
    /// As `Backup`, but the interface is down.
    LinkDown,
}

/// An IPv4 packet of protocol 112.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// Its time to live.
    pub ttl: u8,
    /// The VRRP message: from the end of the header to the total length.
    pub payload: &'a [u8],
}

/// One virtual router, as one director sees it.
///
/// ```text
///                        +------------+   start, link up
///       link down,   +-->| Initialize |------------------+
///       shut down    |   +------------+                  |
///                    |      ^       | owner              |
///                    |      |       v                    v
///                +--------+ | link  timer ran out,  +--------+
///                |        | | down, preempts, owner |        |
///                | Active |<-+----------------------| Backup |
///                |        | +---------------------->|        |
///                +--------+  higher priority heard  +--------+
/// ```
///
/// # How to drive it
/// - A, questions: [`view`](Self::view), [`config`](Self::config), [`poll_timeout`](Self::poll_timeout),
///   [`master_down_interval`](Self::master_down_interval), [`write_advert`](Self::write_advert).
/// - B, events: `handle_*`. C, orders of the operator: [`may_take_over`](Self::may_take_over),
///   [`reconfigure`](Self::reconfigure), [`order`](Self::order), [`prepared`](Self::prepared),
///   [`shut_down`](Self::shut_down).
/// - D, outputs: [`poll_output`](Self::poll_output).
///
/// After each call of B or C, obey `poll_output` until it returns `None`, in order, then arm one timer
/// for `poll_timeout`. `now` must not run backwards; early and late calls of
/// [`handle_timeout`](Self::handle_timeout) do no harm. **Every packet that is queued must be handed in
/// before `handle_timeout` and before C**: after a pause, the queue tells who took over meanwhile.
///
/// # Beyond the RFCs
/// - **First checks.** Until `may_take_over`, it neither takes over nor preempts: any advertisement
///   starts the timer anew, and a timer that runs out is remembered. Only [`Start::Active`] is exempt.
/// - **Away.** An event that finds the timer of the role late by more than a master-down interval means
///   that this director was paused. An Active then sends nothing for one interval: an advertisement of any
///   priority makes it a Backup, none leaves it Active, and it asserts itself again. A Backup waits for
///   one interval more.
/// - **Two Actives.** RFC 9568's owner ignores advertisements; here two owners settle by address, as any
///   two of the same priority. The winner announces again, since the loser's ARP may have come last; the
///   loser sends a last advertisement before it yields, for else the winner might never learn of it.
/// - **Handing over.** `shut_down` and orders keep addresses and gates until a successor is heard, at most
///   one master-down interval (an order: a second at least); the notice is repeated meanwhile. Where nobody
///   takes over, an ordered handover ends with this director Active as before. Before the notice the shell
///   is asked to prepare.
/// - **Asking.** While it is held back by `wait_for_sync` alone, [`Output::Wants`] has the shell ask the Active to
///   hand over ([`Order::Yield`]) once nothing is lacking, so that both forward during the switch.
/// - **Standing back.** Who has handed over by order does not preempt until it was Active again; in standby
///   it has priority 1; in maintenance its timer that runs out is remembered, as before the first checks.
/// - **Preempt delay.** Counts from the first advertisement of lower priority since a higher one was
///   heard, or since this director became Backup. The owner has none, and always preempts.
///
/// An Active's gates are open and it has the addresses; who loses the role drains for one master-down
/// interval, then closes them. The steady state allocates nothing.
#[derive(Debug)]
pub struct Machine {
    config: VirtualRouter,
    source: IpAddr,
    role: Role,
    reason: Reason,
    since: Instant,
    link_up: bool,
    may_take_over: bool,
    stopping: Stopping,
    holds: Holds,
    /// It does not preempt, for it lacks connections that the Active has, or the Active is to hand over.
    waits_for_sync: bool,
    /// As last told: only `waits_for_sync` keeps it from preempting.
    wants: bool,
    /// It is Active, or was until it said that it stops; `None`: it hands nothing over.
    handover: Option<Handover>,
    /// As last ordered. The addresses are claimed while it is open, and only then.
    gate: GateState,
    watch: Watch,
    /// How late an Active was that has been away and listens now; `None`: it speaks.
    away: Option<Duration>,
    /// When an advertisement was last answered out of turn.
    answered: Option<Instant>,
    /// When the addresses were last announced because of another Active.
    contested: Option<Instant>,
    timers: Timers,
    partner: Option<Partner>,
    counters: Counters,
    troubles: Troubles,
    outputs: VecDeque<Output>,
}

/// How far [`Machine::shut_down`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    /// It was not called.
    No,
    /// It was Active, and hands over.
    HandingOver,
    /// The gates drain.
    Draining,
    /// All done.
    Done,
}

impl Machine {
    /// Makes a machine that sends from `source`; it may not take over yet.
    #[must_use]
    pub fn new(config: VirtualRouter, source: IpAddr, start: Start, now: Instant) -> Self {
        let mut machine = Self {
            config,
            source,
            role: Role::Initialize,
            reason: Reason::LinkDown,
            since: now,
            link_up: start != Start::LinkDown,
            may_take_over: false,
            stopping: Stopping::No,
            holds: Holds::default(),
            waits_for_sync: false,
            wants: false,
            handover: None,
            gate: GateState::Draining,
            watch: Watch::new(now),
            away: None,
            answered: None,
            contested: None,
            timers: Timers::default(),
            partner: None,
            counters: Counters::default(),
            troubles: Troubles::default(),
            outputs: VecDeque::with_capacity(OUTPUTS_MAX),
        };
        let drained = now + machine.master_down_interval();
        machine.timers.set(Timer::CloseGate, drained);
        match start {
            Start::Backup => machine.begin(Reason::Started, now),
            Start::Active => machine.become_active(Reason::RestartedWithinLease, now),
            Start::LinkDown => {}
        }
        machine.check_invariants();
        machine
    }

    /// Takes a packet in: judges and counts it, and acts.
    pub fn handle_packet(&mut self, packet: &Packet<'_>, now: Instant) {
        self.notice_absence(now);
        if let Some(heard) = self.receive(packet, now) {
            match self.role {
                Role::Initialize => self.hear_successor(heard, now),
                Role::Backup => self.follow(heard, now),
                Role::Active if self.is_resigning() => self.hear_successor(heard, now),
                Role::Active => self.contend(heard, now),
            }
        }
        self.settle();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_absence(now);
        for timer in Timer::ALL {
            if let Some(due) = self.timers.take_due(timer, now) {
                self.fire(timer, due, now);
            }
        }
        self.settle();
    }

    /// Takes in that the interface is up or down; what is known already has no effect.
    pub fn handle_link(&mut self, up: bool, now: Instant) {
        self.notice_absence(now);
        if self.link_up != up {
            self.link_up = up;
            match up {
                true => self.begin(Reason::LinkUp, now),
                false => self.lose_link(now),
            }
        }
        self.settle();
    }

    /// Holds preemption back while this director lacks connections that the Active has, or while the Active is asked to
    /// hand over, or no longer. If nobody is Active, it takes over all the same. [`Output::Wants`] tells that it
    /// would preempt.
    pub fn wait_for_sync(&mut self, wait: bool, now: Instant) {
        self.notice_absence(now);
        self.waits_for_sync = wait;
        if !wait && self.is_owner() {
            self.take_what_waits(now);
        }
        self.settle();
    }

    /// Tells that the first round of checks is complete; further calls have no effect.
    pub fn may_take_over(&mut self, now: Instant) {
        self.notice_absence(now);
        self.may_take_over = true;
        self.take_what_waits(now);
        self.settle();
    }

    /// Takes another configuration of the same virtual router; one of another number or version needs
    /// another machine and has no effect, nor has any after [`shut_down`](Self::shut_down).
    ///
    /// An Active sends an advertisement at once if priority or addresses changed, and claims and announces
    /// new addresses; a Backup's timer starts anew if the master-down interval changed. A Backup that
    /// becomes owner takes over at once.
    pub fn reconfigure(&mut self, config: VirtualRouter, now: Instant) {
        let fits = config.id == self.config.id && config.version == self.config.version;
        if fits && self.stopping == Stopping::No {
            self.notice_absence(now);
            let master_down = self.master_down_interval();
            let before = std::mem::replace(&mut self.config, config);
            match self.role {
                Role::Initialize => {}
                Role::Backup => self.reconfigure_backup(&before, master_down, now),
                Role::Active => self.reconfigure_active(&before, now),
            }
        }
        self.settle();
    }

    /// Obeys an operator; after [`shut_down`](Self::shut_down) it only answers.
    pub fn order(&mut self, order: Order, now: Instant) {
        self.notice_absence(now);
        match self.stopping {
            Stopping::No => self.obey(order, now),
            Stopping::HandingOver | Stopping::Draining | Stopping::Done => match order {
                Order::HandOver { .. }
                | Order::StandBy { .. }
                | Order::Maintain { .. }
                | Order::Yield => {
                    self.end_handover(HandoverEnd::Stopping);
                }
                Order::Resume | Order::EndMaintenance => {}
            },
        }
        self.settle();
    }

    /// Tells that [`Output::PrepareHandover`] is obeyed: the partner can take over. Has no effect where no
    /// handover is being prepared.
    pub fn prepared(&mut self, now: Instant) {
        self.notice_absence(now);
        let prepares = |handover: Handover| handover.stage == Stage::Preparing;
        if self.handover.is_some_and(prepares) {
            self.resign(now);
        }
        self.settle();
    }

    /// Gives the role up for good: an Active hands over, which takes up to two master-down intervals from
    /// [`prepared`](Self::prepared) on, all others finish as soon as the gates have drained.
    /// [`Output::Stopped`] tells the end.
    pub fn shut_down(&mut self, now: Instant) {
        self.notice_absence(now);
        if self.stopping == Stopping::No {
            self.stop(now);
        }
        self.settle();
    }

    /// Returns the next output; to be called until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due; may change with every call of B or C.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Returns how things stand.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            role: self.role,
            priority: self.config.priority,
            priority_in_force: self.priority(),
            stance: self.holds.stance(),
            waits_for_sync: self.waits_for_sync,
            handing_over: self.handover.is_some(),
            reason: self.reason,
            since: self.since,
            may_take_over: self.may_take_over,
            stopping: self.stopping != Stopping::No,
            partner: self.partner,
            counters: self.counters,
            troubles: self.troubles.present().collect(),
        }
    }

    /// Returns the configuration in force.
    #[must_use]
    pub const fn config(&self) -> &VirtualRouter {
        &self.config
    }

    /// Writes the advertisement of [`Output::SendAdvert`] as an IPv4 packet with its header, and returns
    /// the packet's length.
    ///
    /// # Errors
    /// A buffer of less than [`vrrp::PACKET_LEN_MAX`] may be too short; a validated configuration fits.
    pub fn write_advert(
        &self,
        priority: u8,
        destination: IpAddr,
        buffer: &mut [u8],
    ) -> Result<usize, WriteError> {
        let advert = Outgoing {
            source: self.source,
            destination,
            version: match self.config.version {
                VrrpVersion::V2 => Version::V2,
                VrrpVersion::V3 => Version::V3,
            },
            virtual_router: self.config.id.get(),
            priority,
            interval: self.config.advert_interval,
            addresses: &self.config.addresses,
            coverage: match self.config.checksum {
                AdvertChecksum::PseudoHeader => Coverage::PseudoHeader,
                AdvertChecksum::Rfc9568 => Coverage::Message,
            },
        };
        vrrp::write(&advert, buffer)
    }

    /// The end of every event.
    fn settle(&mut self) {
        self.tell_wish();
        self.check_invariants();
    }

    /// Tells whether only `waits_for_sync` keeps it from preempting, if that has changed.
    fn tell_wish(&mut self) {
        let wants = self.waits_for_sync && self.role == Role::Backup && self.would_preempt();
        if self.wants != wants {
            self.wants = wants;
            self.outputs.push_back(Output::Wants(wants));
        }
    }

    fn send_advert(&mut self, priority: u8) {
        self.counters.sent += 1;
        self.counters.resignations_sent += u64::from(priority == 0);
        self.outputs.push_back(Output::SendAdvert { priority });
    }

    fn set_gate(&mut self, gate: GateState) {
        self.gate = gate;
        self.outputs.push_back(Output::SetGate(gate));
    }

    fn announce(&mut self) {
        let count = self.config.announcements;
        self.outputs.push_back(Output::Announce { count });
    }

    fn change_role(&mut self, to: Role, reason: Reason, now: Instant) {
        let from = std::mem::replace(&mut self.role, to);
        (self.reason, self.since) = (reason, now);
        self.tell_wish();
        let change = Output::StateChanged { from, to, reason };
        self.outputs.push_back(change);
    }

    /// Counts a trouble, and tells it if there was none of its kind of late.
    fn note(&mut self, notice: Notice, now: Instant) {
        self.counters.troubles[notice.trouble() as usize] += 1;
        if self.troubles.note(notice, now) {
            self.outputs.push_back(Output::Noticed(notice));
        }
        if !self.timers.runs(Timer::Troubles) {
            let over = now + self.trouble_memory();
            self.timers.set(Timer::Troubles, over);
        }
    }

    #[cfg(debug_assertions)]
    fn check_invariants(&self) {
        let runs = |timer| self.timers.runs(timer);
        let holds = self.gate == GateState::Open;
        let speaks = runs(Timer::Advert);
        let active = self.role == Role::Active;
        let resigning = self.is_resigning();
        let stops = self.stopping == Stopping::HandingOver;
        assert_eq!(holds, active || stops, "{self:?}");
        assert_eq!(
            runs(Timer::CloseGate),
            self.gate == GateState::Draining,
            "{self:?}"
        );
        assert_eq!(
            active && !resigning,
            speaks != runs(Timer::Silence),
            "{self:?}"
        );
        assert_eq!(runs(Timer::Silence), self.away.is_some(), "{self:?}");
        assert_eq!(runs(Timer::Resign), resigning, "{self:?}");
        assert_eq!(runs(Timer::Successor), resigning, "{self:?}");
        let waits = runs(Timer::MasterDown);
        let prepares = self.handover.is_some() && !resigning;
        assert_eq!(runs(Timer::Preparation), prepares, "{self:?}");
        assert!(self.handover.is_none() || active || stops, "{self:?}");
        assert!(!stops || self.handover.is_some(), "{self:?}");
        let kept_from = self.holds.handed_over || self.holds.maintenance;
        let ends = self.handover.is_some() || self.away.is_some();
        assert!(!active || !kept_from || ends, "{self:?}");
        let held = self.watch.ran_out && !self.takes_over();
        let backup = self.role == Role::Backup;
        assert_eq!(backup, waits || backup && held, "{self:?}");
        assert!(active || !runs(Timer::AnnounceAgain), "{self:?}");
        assert!(active || !runs(Timer::Rival), "{self:?}");
        assert!(
            self.stopping == Stopping::No || self.role == Role::Initialize || prepares,
            "{self:?}"
        );
        assert!(self.link_up || self.role == Role::Initialize, "{self:?}");
    }

    #[cfg(not(debug_assertions))]
    const fn check_invariants(&self) {}
}
