//! A host's own clock, which may run faster or slower than the others.

use std::time::{Duration, Instant};

use evenkeel_abi::Tick;

use crate::Time;

/// Parts of the rate.
const WHOLE: u128 = 1_000_000;

/// A host's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    /// When the rate was set last, and what the clock showed then.
    set: Time,
    shown: Duration,
    /// Millionths of a second that it advances in a second's millionth part.
    rate: u128,
}

impl Clock {
    /// A clock that has run for a while, at the true rate.
    #[must_use]
    pub const fn new(origin: Instant) -> Self {
        Self {
            origin,
            set: Time::ZERO,
            // Tick 0 has meanings of its own.
            shown: Duration::from_secs(1000),
            rate: WHOLE,
        }
    }

    /// Makes it run fast by so many millionths from now on, or slow.
    pub fn drift(&mut self, millionths: i32, now: Time) {
        self.shown = self.reads(now);
        self.set = now;
        let rate = i64::from(millionths) + 1_000_000;
        self.rate = u128::try_from(rate).expect("a clock that goes forward");
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self, now: Time) -> Instant {
        self.origin + self.reads(now)
    }

    /// What packets see of it.
    #[must_use]
    pub fn tick(&self, now: Time) -> Tick {
        Tick::from_ns(nanos(self.reads(now).as_nanos()))
    }

    /// When it will show at least this, and not before `now`.
    #[must_use]
    pub fn when(&self, due: Instant, now: Time) -> Time {
        let shown = due.saturating_duration_since(self.origin);
        let ahead = shown.saturating_sub(self.shown).as_nanos();
        let after = Duration::from_nanos(nanos((ahead * WHOLE).div_ceil(self.rate)));
        (self.set + after).max(now)
    }

    fn reads(&self, now: Time) -> Duration {
        let passed = now.saturating_sub(self.set).as_nanos();
        self.shown + Duration::from_nanos(nanos(passed * self.rate / WHOLE))
    }
}

fn nanos(nanos: u128) -> u64 {
    u64::try_from(nanos).expect("centuries")
}

#[cfg(test)]
mod tests;
