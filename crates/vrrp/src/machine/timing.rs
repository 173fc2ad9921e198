//! The intervals, and what happens when they are over.

use std::time::{Duration, Instant};

use evenkeel_model::{GateState, Role, VrrpVersion};

use super::{Machine, Stopping};
use crate::timer::Timer;
use crate::{HandoverEnd, Notice, Output};

/// Shortest time after which a trouble that has not occurred again is over.
const TROUBLE_MEMORY_MIN: Duration = Duration::from_secs(60);

/// Shortest time between two announcements because of another Active.
const CONTEST_MIN: Duration = Duration::from_secs(1);

impl Machine {
    /// Time without advertisements after which a Backup takes over (RFC 9568's Active_Down_Interval):
    /// three intervals and the skew; in version 3 of the interval that the Active advertises.
    #[must_use]
    pub fn master_down_interval(&self) -> Duration {
        self.active_interval() * 3 + self.skew()
    }

    /// The Active's interval, as far as it is known.
    fn active_interval(&self) -> Duration {
        self.watch.interval.unwrap_or(self.config.advert_interval)
    }

    /// What a Backup waits longer for a lower priority: in version 2 a part of a second (RFC 3768 §6.1), in
    /// version 3 of the Active's interval (RFC 9568 §6.1). In full precision: it decides an election.
    pub(super) fn skew(&self) -> Duration {
        let whole = match self.config.version {
            VrrpVersion::V2 => Duration::from_secs(1),
            VrrpVersion::V3 => self.active_interval(),
        };
        whole * (256 - u32::from(self.priority().get())) / 256
    }

    pub(super) fn trouble_memory(&self) -> Duration {
        (self.master_down_interval() * 3).max(TROUBLE_MEMORY_MIN)
    }

    /// Starts the Backup's timer anew.
    pub(super) fn restart_watch(&mut self, wait: Duration, now: Instant) {
        self.watch.ran_out = false;
        self.timers.set(Timer::MasterDown, now + wait);
    }

    /// Whether this event comes so late that others will have acted without us: then listens first.
    pub(super) fn notice_absence(&mut self, now: Instant) {
        let due = match self.role {
            // Who stops does so whatever others do.
            _ if self.stopping != Stopping::No => None,
            Role::Initialize => None,
            Role::Backup => self.timers.get(Timer::MasterDown),
            Role::Active => self
                .timers
                .get(Timer::Advert)
                .or_else(|| self.timers.get(Timer::Silence))
                .or_else(|| self.timers.get(Timer::Resign)),
        };
        let late = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late <= self.master_down_interval() {
            return;
        }
        self.note(Notice::Away { late }, now);
        if self.role == Role::Active {
            self.break_handover(HandoverEnd::Away { late });
            self.stop_speaking();
            self.timers
                .set(Timer::Silence, now + self.config.advert_interval);
            self.away = Some(late);
        } else {
            // The skew lets an advertisement that is sent when the interval ends arrive.
            self.restart_watch(self.active_interval() + self.skew(), now);
        }
    }

    /// Does what a timer was set for.
    pub(super) fn fire(&mut self, timer: Timer, due: Instant, now: Instant) {
        match timer {
            Timer::Advert => self.advertise_in_turn(due, now),
            Timer::MasterDown => {
                if self.takes_over() {
                    self.become_active(self.why_take_over(now), now);
                } else {
                    self.watch.ran_out = true;
                }
            }
            Timer::Silence => {
                self.away = None;
                if self.handover.is_none() {
                    // What it was about to hand over when it was paused had no successor.
                    self.holds.handed_over = false;
                    self.holds.maintenance = false;
                }
                self.send_advert(self.priority().get());
                // The program closes it by itself once the lease has run out and somebody is heard.
                self.set_gate(GateState::Open);
                self.announce_twice(now);
                self.timers
                    .set(Timer::Advert, now + self.config.advert_interval);
            }
            Timer::AnnounceAgain => self.announce(),
            Timer::Rival => {
                self.contested = Some(now);
                self.announce();
            }
            Timer::Resign => {
                self.send_advert(0);
                let again = now + self.config.advert_interval;
                self.timers.set(Timer::Resign, again);
            }
            Timer::Preparation => self.end_preparation(now),
            Timer::Successor => self.wait_in_vain(now),
            Timer::CloseGate => {
                self.set_gate(GateState::Closed);
                if self.stopping == Stopping::Draining {
                    self.finish();
                }
            }
            Timer::Troubles => {
                if let Some(next) = self.troubles.forget(self.trouble_memory(), now) {
                    self.timers.set(Timer::Troubles, next);
                }
            }
        }
    }

    /// Advertises; the next one is due an interval after this one *was*, so that lateness adds up to nothing.
    fn advertise_in_turn(&mut self, due: Instant, now: Instant) {
        self.send_advert(self.priority().get());
        let interval = self.config.advert_interval;
        let next = due + interval;
        let next = if next > now { next } else { now + interval };
        self.timers.set(Timer::Advert, next);
    }

    /// Announces now, and once more if the configuration says so.
    pub(super) fn announce_twice(&mut self, now: Instant) {
        self.announce();
        let again = self.config.announce_again;
        if !again.is_zero() {
            self.timers.set(Timer::AnnounceAgain, now + again);
        }
    }

    /// Announces once the other Active has had an interval to yield: only then is ours the last word.
    pub(super) fn announce_after_contest(&mut self, now: Instant) {
        if !self.timers.runs(Timer::Rival) {
            let yielded = now + self.config.advert_interval;
            let earliest = self.contested.map(|last| last + CONTEST_MIN);
            self.timers
                .set(Timer::Rival, earliest.map_or(yielded, |at| at.max(yielded)));
        }
    }

    /// All done.
    pub(super) fn finish(&mut self) {
        self.stopping = Stopping::Done;
        self.timers.stop(&Timer::ALL);
        self.outputs.push_back(Output::Stopped);
    }
}
