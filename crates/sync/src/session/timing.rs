//! Deadlines, and what happens when they have come.

use std::time::{Duration, Instant};

use super::Session;
use crate::timer::Timer;
use crate::{Loss, State};

/// How long a peer may be silent. In sync it is said to be no longer much earlier; a session is dear to begin anew.
const SILENCE: Duration = Duration::from_secs(3);
/// How long an offered session waits for its confirmation.
const OFFER: Duration = Duration::from_secs(1);

impl Session {
    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        for timer in Timer::ALL {
            if self.deadline(timer).is_some_and(|due| due <= self.now) {
                self.fire(timer);
            }
        }
        self.settle();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = Timer::ALL
            .into_iter()
            .filter_map(|timer| self.deadline(timer));
        deadlines.min()
    }

    fn deadline(&self, timer: Timer) -> Option<Instant> {
        let current = self.current.as_ref();
        match timer {
            Timer::Silence => Some(current?.heard + SILENCE),
            Timer::Offer => Some(self.pending.as_ref()?.since + OFFER),
            Timer::Greet => self.greets().then_some(self.greet),
            Timer::Heartbeat => {
                let lives = current.into_iter().chain(&self.pending);
                lives.map(|live| live.heartbeat.due).min()
            }
            Timer::Acknowledge => current?.acknowledge.due,
            Timer::Flush => current?.outbox.flush_due(),
            Timer::Resend => {
                let live = current?;
                live.outbox
                    .resend_due(|doublings| live.round_trip.resend_after(doublings))
            }
            Timer::Lag => self.lags_at(),
            Timer::Troubles => self.troubles.due(),
        }
    }

    /// When a direction that was told to be in sync is so no longer.
    fn lags_at(&self) -> Option<Instant> {
        let live = self.current.as_ref()?;
        let bound = self.config.lag_bound;
        let outgoing = (self.told.outgoing == State::InSync).then(|| live.outgoing_lags_at(bound));
        let incoming = match self.told.incoming {
            State::InSync => live.incoming_lags_at(bound),
            State::Down | State::Snapshot | State::Lagging => None,
        };
        outgoing.into_iter().chain(incoming).min()
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Silence => self.end(Loss::Silence),
            Timer::Offer => {
                self.pending = None;
                self.greet = self.now;
            }
            Timer::Acknowledge => {
                if let Some(live) = &mut self.current {
                    live.acknowledge.now = true;
                    live.acknowledge.due = None;
                }
            }
            Timer::Flush => {
                if let Some(live) = &mut self.current {
                    live.outbox.close();
                }
            }
            Timer::Resend => {
                if let Some(live) = &mut self.current {
                    live.outbox.probe();
                }
            }
            Timer::Troubles => self.troubles.forget(self.now),
            // `poll_output` sends what is due, and the state is told after every event.
            Timer::Greet | Timer::Heartbeat | Timer::Lag => {}
        }
    }
}
