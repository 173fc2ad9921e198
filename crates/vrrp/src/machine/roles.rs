//! How a director comes to a role and loses it (RFC 9568 §6.4).

use std::time::{Duration, Instant};

use evenkeel_model::{GateState, Role, VirtualRouter, VrrpVersion};

use super::receive::{Heard, same_set};
use super::watch::{Lower, Watch};
use super::{Machine, Stopping};
use crate::timer::Timer;
use crate::{HandoverEnd, Output, Reason};

impl Machine {
    /// Start of the protocol, RFC 9568 §6.4.1.
    pub(super) fn begin(&mut self, reason: Reason, now: Instant) {
        if self.stopping != Stopping::No {
            return;
        }
        if self.is_owner() && self.takes_over() && !self.waits_for_sync {
            self.become_active(Reason::Owner, now);
            return;
        }
        self.begin_watch(now);
        self.change_role(Role::Backup, reason, now);
    }

    /// Takes over if that was only put off.
    pub(super) fn take_what_waits(&mut self, now: Instant) {
        if self.role == Role::Backup && self.takes_over() {
            // Of two that are configured as owners one is enough.
            let other = self.watch.priority;
            let is_alone = other.is_none_or(|other| other < self.priority().get());
            if self.is_owner() && !self.waits_for_sync && is_alone {
                self.become_active(Reason::Owner, now);
            } else if self.watch.ran_out {
                self.become_active(self.why_take_over(now), now);
            }
        }
    }

    /// Takes the addresses. First of all whoever holds them is told, then the gates can take what comes.
    pub(super) fn become_active(&mut self, reason: Reason, now: Instant) {
        self.timers.stop(&[Timer::MasterDown, Timer::CloseGate]);
        self.watch = Watch::new(now);
        self.holds.handed_over = false;
        (self.answered, self.contested) = (None, None);
        self.counters.became_active += 1;
        self.send_advert(self.priority().get());
        self.set_gate(GateState::Open);
        self.outputs.push_back(Output::ClaimAddresses);
        self.announce_twice(now);
        self.timers
            .set(Timer::Advert, now + self.config.advert_interval);
        self.change_role(Role::Active, reason, now);
    }

    fn begin_watch(&mut self, now: Instant) {
        self.watch = Watch::new(now);
        self.restart_watch(self.master_down_interval(), now);
    }

    /// Watches nobody: the timer has run out, and is of use once this director takes over again.
    pub(super) fn watch_in_vain(&mut self, now: Instant) {
        self.watch = Watch::new(now);
        self.watch.ran_out = true;
    }

    /// The Backup's part: an advertisement of whom it watches, RFC 9568 §6.4.2.
    pub(super) fn follow(&mut self, heard: Heard, now: Instant) {
        self.watch.heard = now;
        if heard.priority == 0 {
            self.watch.resigned = Some(heard.source);
            self.watch.priority = None;
            self.restart_watch(self.skew(), now);
            return;
        }
        self.watch.resigned = None;
        let is_lower = heard.priority < self.priority().get();
        self.watch.priority = Some(heard.priority);
        let since = self.watch.lower.map_or(now, |lower| lower.since);
        self.watch.lower = is_lower.then_some(Lower {
            address: heard.source,
            priority: heard.priority,
            since,
            last: now,
        });
        if is_lower && !self.waits_for_sync && self.would_preempt() {
            return;
        }
        if self.config.version == VrrpVersion::V3 {
            self.watch.interval = Some(heard.interval);
        }
        self.restart_watch(self.master_down_interval(), now);
    }

    /// Whether an Active of lower priority is heard, long enough to be preempted.
    pub(super) fn would_preempt(&self) -> bool {
        let by_config = |lower: Lower| {
            let watched = lower.last.saturating_duration_since(lower.since);
            self.config.preempt && watched >= self.config.preempt_delay
        };
        self.takes_over()
            && !self.holds.handed_over
            && self
                .watch
                .lower
                .is_some_and(|lower| by_config(lower) || self.is_owner())
    }

    /// What a Backup whose timer has run out says.
    pub(super) fn why_take_over(&self, now: Instant) -> Reason {
        let Watch { lower, heard, .. } = self.watch;
        let recent = now.checked_sub(self.master_down_interval());
        let lower = lower.filter(|lower| recent.is_none_or(|recent| lower.last > recent));
        match (self.watch.resigned, lower) {
            (Some(address), _) => Reason::ActiveStopped { address },
            (None, Some(lower)) => Reason::Preempted {
                address: lower.address,
                priority: lower.priority,
            },
            (None, None) => Reason::NobodyHeard {
                silence: now.saturating_duration_since(heard),
            },
        }
    }

    /// The Active's part: an advertisement of somebody else, RFC 9568 §6.4.3.
    pub(super) fn contend(&mut self, heard: Heard, now: Instant) {
        let Heard {
            source: address,
            priority,
            ..
        } = heard;
        if let Some(late) = self.away {
            if priority > 0 {
                let reason = Reason::ReplacedWhileAway {
                    address,
                    priority,
                    late,
                };
                self.yield_to(heard, reason, now);
            }
            return;
        }
        let ours = (self.priority().get(), self.source);
        if (priority, address) > ours {
            let reason = Reason::OtherActive { address, priority };
            // The last word, else the winner may never learn that there were two, and those whose neighbour
            // entries are ours would not hear it announce again.
            self.send_advert(self.priority().get());
            self.yield_to(heard, reason, now);
            return;
        }
        self.announce_after_contest(now);
        // Version 2 is silent to a loser (RFC 3768 §6.4.3), who hears the next advertisement in turn.
        if priority == 0 || self.config.version == VrrpVersion::V3 {
            self.answer(priority == 0, now);
        }
    }

    /// Sends an advertisement out of turn, at most one in an interval: two that both believe to have won
    /// would else answer each other without end.
    fn answer(&mut self, restart: bool, now: Instant) {
        let interval = self.config.advert_interval;
        let recently = |at: Instant| now.saturating_duration_since(at) < interval;
        if self.answered.is_some_and(recently) {
            return;
        }
        self.answered = Some(now);
        self.send_advert(self.priority().get());
        if restart {
            self.timers.set(Timer::Advert, now + interval);
        }
    }

    /// Leaves the role to somebody else.
    pub(super) fn yield_to(&mut self, heard: Heard, reason: Reason, now: Instant) {
        if self.stopping != Stopping::No {
            self.drain(now);
            return;
        }
        let handover = self.handover.take();
        self.begin_watch(now);
        self.follow(heard, now);
        self.release(now);
        self.change_role(Role::Backup, reason, now);
        if let Some(handover) = handover {
            self.end_handover(handover.succeeded(heard, now));
        }
    }

    /// Sends no more advertisements in turn, and none of what belongs to them.
    pub(super) fn stop_speaking(&mut self) {
        self.timers.stop(&[
            Timer::Advert,
            Timer::Silence,
            Timer::AnnounceAgain,
            Timer::Rival,
            Timer::Preparation,
            Timer::Resign,
            Timer::Successor,
        ]);
    }

    /// Stops being Active: from here on the successor answers for the addresses, while the gates still
    /// forward what comes from those who have not heard of it.
    pub(super) fn release(&mut self, now: Instant) {
        self.away = None;
        self.stop_speaking();
        self.set_gate(GateState::Draining);
        self.outputs.push_back(Output::ReleaseAddresses);
        let drained = now + self.master_down_interval();
        self.timers.set(Timer::CloseGate, drained);
    }

    pub(super) fn lose_link(&mut self, now: Instant) {
        if self.stopping == Stopping::HandingOver {
            self.drain(now);
            return;
        }
        match self.role {
            Role::Initialize => return,
            Role::Backup => self.timers.stop(&[Timer::MasterDown]),
            Role::Active => self.release(now),
        }
        self.change_role(Role::Initialize, Reason::LinkDown, now);
        self.break_handover(HandoverEnd::LinkDown);
    }

    pub(super) fn reconfigure_backup(
        &mut self,
        before: &VirtualRouter,
        master_down_before: Duration,
        now: Instant,
    ) {
        let becomes_owner = self.is_owner() && before.priority != self.config.priority;
        if becomes_owner && self.takes_over() {
            self.become_active(Reason::Owner, now);
            return;
        }
        self.rewatch(master_down_before, now);
    }

    /// A Backup's timer starts anew where the master-down interval is another one than before.
    pub(super) fn rewatch(&mut self, master_down_before: Duration, now: Instant) {
        let master_down = self.master_down_interval();
        if self.timers.runs(Timer::MasterDown) && master_down != master_down_before {
            self.restart_watch(master_down, now);
        }
    }

    /// Whether it advertises that it is Active.
    pub(super) fn speaks(&self) -> bool {
        self.timers.runs(Timer::Advert)
    }

    pub(super) fn reconfigure_active(&mut self, before: &VirtualRouter, now: Instant) {
        // The partners' timers run by the former interval until they hear of another.
        if let Some(due) = self.timers.get(Timer::Advert) {
            let next = due.min(now + self.config.advert_interval);
            self.timers.set(Timer::Advert, next);
        }
        let moved = !same_set(&self.config.addresses, before.addresses.iter().copied());
        let speaks = self.speaks();
        if speaks && (moved || self.config.priority != before.priority) {
            self.send_advert(self.priority().get());
        }
        if moved {
            self.set_gate(GateState::Open);
            self.outputs.push_back(Output::ClaimAddresses);
            if speaks {
                self.announce();
            }
        }
    }
}
