//! Handing over in good order: by command, to a partner that asks, and at a shutdown.
//!
//! One path: *preparing* ([`Output::PrepareHandover`], until the shell calls `prepared`, bounded), then
//! *resigning* (priority 0, until a successor is heard, bounded). Everything is held and served until then.

use std::time::{Duration, Instant};

use evenkeel_model::{GateState, Priority, Role};

use super::receive::Heard;
use super::{Machine, Stopping};
use crate::timer::Timer;
use crate::{HandoverEnd, Order, Output, PREPARATION_MAX, Reason, Stance};

/// Shortest wait for a successor after an order: at short intervals, one that runs on a busy machine.
const SUCCESSOR_MIN: Duration = Duration::from_secs(1);

/// What orders have left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holds {
    /// Handed over by order, and not Active since.
    pub(super) handed_over: bool,
    pub(super) standby: bool,
    pub(super) maintenance: bool,
}

impl Holds {
    pub(super) const fn stance(self) -> Stance {
        match self {
            Self {
                maintenance: true, ..
            } => Stance::Maintenance,
            Self { standby: true, .. } => Stance::Standby,
            Self {
                handed_over: true, ..
            } => Stance::HandedOver,
            Self { .. } => Stance::Ordinary,
        }
    }
}

/// A handover that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover {
    since: Instant,
    /// The role is given up even if nobody takes over.
    force: bool,
    /// A partner asked for it, and no operator.
    pub(super) asked: bool,
    pub(super) stage: Stage,
}

impl Handover {
    pub(super) fn succeeded(self, heard: Heard, now: Instant) -> HandoverEnd {
        HandoverEnd::Successor {
            address: heard.source,
            priority: heard.priority,
            took: now.saturating_duration_since(self.since),
        }
    }
}

/// How far a handover has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Active as ever, while the shell sees that the partner has what it needs.
    Preparing,
    /// It said that it stops, and holds everything until somebody else is heard.
    Resigning,
}

impl Machine {
    /// The priority that counts: that of the configuration, or in standby the lowest. While it is about to
    /// hand over it keeps its own, for else a partner might preempt before all is prepared.
    pub(super) fn priority(&self) -> Priority {
        match self.holds.standby && self.handover.is_none() {
            true => Priority::LOWEST,
            false => self.config.priority,
        }
    }

    /// Whether it owns the addresses, and nobody told it to leave them to others.
    pub(super) fn is_owner(&self) -> bool {
        self.priority() == Priority::OWNER && self.holds == Holds::default()
    }

    /// Whether it takes over where nobody else is there.
    pub(super) const fn takes_over(&self) -> bool {
        self.may_take_over && !self.holds.maintenance
    }

    pub(super) fn is_resigning(&self) -> bool {
        self.handover
            .is_some_and(|handover| handover.stage == Stage::Resigning)
    }

    /// Obeys an operator.
    pub(super) fn obey(&mut self, order: Order, now: Instant) {
        match order {
            Order::HandOver { patience } => {
                self.holds.handed_over |= self.role == Role::Active;
                self.hand_over(patience, false, now);
            }
            Order::Yield => self.yield_as_asked(now),
            Order::StandBy { patience } => {
                let master_down = self.master_down_interval();
                self.holds.standby = true;
                self.hand_over(patience, false, now);
                self.rewatch(master_down, now);
            }
            Order::Maintain { patience, force } => {
                self.holds.maintenance = true;
                self.hand_over(patience, force, now);
            }
            Order::Resume => {
                let (before, master_down) = (self.priority(), self.master_down_interval());
                self.holds.handed_over = false;
                self.holds.standby = false;
                if self.speaks() && self.priority() != before {
                    self.send_advert(self.priority().get());
                }
                self.rewatch(master_down, now);
                self.take_what_waits(now);
            }
            Order::EndMaintenance => {
                self.holds.maintenance = false;
                if let Some(handover) = &mut self.handover {
                    handover.force = false;
                }
                self.take_what_waits(now);
            }
        }
    }

    /// Begins a handover, or joins the one that goes on; without the role there is nothing to do.
    fn hand_over(&mut self, patience: Option<Duration>, force: bool, now: Instant) {
        match &mut self.handover {
            Some(handover) => {
                handover.force |= force;
                handover.asked = false;
            }
            None if self.role == Role::Active => self.prepare(patience, force, now),
            None => self.end_handover(HandoverEnd::NotActive),
        }
    }

    /// Begins a handover for a partner, or joins the one that goes on.
    fn yield_as_asked(&mut self, now: Instant) {
        if self.handover.is_some() {
            return;
        }
        self.hand_over(None, false, now);
        if let Some(handover) = &mut self.handover {
            handover.asked = true;
        }
    }

    /// The first stage. **Here whatever the partner must have is waited for**: the shell calls `prepared`.
    pub(super) fn prepare(&mut self, patience: Option<Duration>, force: bool, now: Instant) {
        self.handover = Some(Handover {
            since: now,
            force,
            asked: false,
            stage: Stage::Preparing,
        });
        let latest = now + patience.unwrap_or(PREPARATION_MAX);
        self.timers.set(Timer::Preparation, latest);
        self.outputs.push_back(Output::PrepareHandover);
    }

    /// The preparation takes too long: a shutdown does without, an order is not obeyed.
    pub(super) fn end_preparation(&mut self, now: Instant) {
        match self.handover {
            Some(handover) if !handover.force => {
                let waited = now.saturating_duration_since(handover.since);
                self.stay(HandoverEnd::Unprepared { waited }, now);
            }
            Some(_) | None => self.resign(now),
        }
    }

    /// The second stage: says that it stops, and holds everything until a successor is heard.
    pub(super) fn resign(&mut self, now: Instant) {
        let Some(handover) = &mut self.handover else {
            return;
        };
        handover.stage = Stage::Resigning;
        self.away = None;
        self.send_advert(0);
        self.stop_speaking();
        let again = now + self.config.advert_interval;
        self.timers.set(Timer::Resign, again);
        let by_order = self.stopping == Stopping::No;
        let wait = if by_order {
            self.master_down_interval().max(SUCCESSOR_MIN)
        } else {
            self.master_down_interval()
        };
        self.timers.set(Timer::Successor, now + wait);
        if !by_order {
            self.change_role(Role::Initialize, Reason::Stopping, now);
        }
    }

    /// Somebody speaks while this director resigns: the successor, or another who stops being Active, who
    /// will be none.
    pub(super) fn hear_successor(&mut self, heard: Heard, now: Instant) {
        let address = heard.source;
        if heard.priority > 0 {
            let priority = heard.priority;
            let asked = self.handover.is_some_and(|handover| handover.asked);
            let reason = Reason::HandedOver {
                address,
                priority,
                asked,
            };
            self.yield_to(heard, reason, now);
        } else if self.stopping == Stopping::No {
            self.miss_successor(HandoverEnd::Rival { address }, now);
        }
    }

    /// Nobody took over within the time that a successor has.
    pub(super) fn wait_in_vain(&mut self, now: Instant) {
        if let Some(handover) = self.handover {
            let waited = now.saturating_duration_since(handover.since);
            self.miss_successor(HandoverEnd::Nobody { waited }, now);
        }
    }

    /// Nobody takes over, for this reason.
    fn miss_successor(&mut self, end: HandoverEnd, now: Instant) {
        let Some(handover) = self.handover else {
            return;
        };
        if self.stopping != Stopping::No {
            self.drain(now);
        } else if handover.force {
            self.handover = None;
            self.watch_in_vain(now);
            self.release(now);
            self.change_role(Role::Backup, Reason::GaveUp, now);
            let waited = now.saturating_duration_since(handover.since);
            self.end_handover(HandoverEnd::GivenUp { waited });
        } else {
            self.stay(end, now);
        }
    }

    /// Goes on as Active: nothing was given up.
    fn stay(&mut self, end: HandoverEnd, now: Instant) {
        let Some(handover) = self.handover.take() else {
            return;
        };
        self.timers
            .stop(&[Timer::Preparation, Timer::Resign, Timer::Successor]);
        self.holds.handed_over = false;
        self.holds.maintenance = false;
        if handover.stage == Stage::Resigning {
            self.send_advert(self.priority().get());
            // The program yields by itself once the lease has run out and somebody is heard.
            self.set_gate(GateState::Open);
            self.announce();
            self.timers
                .set(Timer::Advert, now + self.config.advert_interval);
        }
        self.end_handover(end);
    }

    /// Ends the handover that goes on, if one does; what becomes of the role is told apart.
    pub(super) fn break_handover(&mut self, end: HandoverEnd) {
        self.timers
            .stop(&[Timer::Preparation, Timer::Resign, Timer::Successor]);
        if self.handover.take().is_some() && self.stopping == Stopping::No {
            self.end_handover(end);
        }
    }

    pub(super) fn end_handover(&mut self, end: HandoverEnd) {
        self.outputs.push_back(Output::HandoverEnded(end));
    }

    /// Begins to stop: an Active hands over first.
    pub(super) fn stop(&mut self, now: Instant) {
        match self.role {
            Role::Initialize => {}
            Role::Backup => {
                self.timers.stop(&[Timer::MasterDown]);
                self.change_role(Role::Initialize, Reason::Stopping, now);
            }
            Role::Active => {
                let goes_on = self.handover;
                if goes_on.is_some() {
                    self.end_handover(HandoverEnd::Stopping);
                }
                self.stopping = Stopping::HandingOver;
                match goes_on.map(|handover| handover.stage) {
                    None => self.prepare(None, true, now),
                    Some(Stage::Preparing) => {
                        self.handover = goes_on.map(|it| Handover { force: true, ..it });
                    }
                    Some(Stage::Resigning) => self.resign(now),
                }
                return;
            }
        }
        match self.gate {
            GateState::Open | GateState::Draining => self.stopping = Stopping::Draining,
            GateState::Closed => self.finish(),
        }
    }

    /// The end of a shutdown's handover.
    pub(super) fn drain(&mut self, now: Instant) {
        self.handover = None;
        self.stopping = Stopping::Draining;
        self.release(now);
        if self.role != Role::Initialize {
            self.change_role(Role::Initialize, Reason::Stopping, now);
        }
    }
}
