//! The machine's timers and their deadlines.

use std::time::Instant;

/// What happens at a deadline, in the order in which those that are due together happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Active: the next advertisement (RFC 9568's Adver_Timer).
    Advert,
    /// Backup: take over (RFC 9568's Active_Down_Timer).
    MasterDown,
    /// Active: it was away, and nobody else has been heard since it came back.
    Silence,
    /// Active: the second burst of gratuitous ARP.
    AnnounceAgain,
    /// Active: announce again, because somebody else was Active too.
    Rival,
    /// Handing over: the preparation takes too long.
    Preparation,
    /// Resigning: say so again, in case that the first time was lost.
    Resign,
    /// Resigning: nobody has taken over.
    Successor,
    /// The gate has drained.
    CloseGate,
    /// A trouble may be over.
    Troubles,
}

impl Timer {
    pub(crate) const ALL: [Self; 10] = [
        Self::Advert,
        Self::MasterDown,
        Self::Silence,
        Self::AnnounceAgain,
        Self::Rival,
        Self::Preparation,
        Self::Resign,
        Self::Successor,
        Self::CloseGate,
        Self::Troubles,
    ];
}

/// A deadline for each timer that runs.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: [Option<Instant>; Timer::ALL.len()],
}

impl Timers {
    pub(crate) const fn get(&self, timer: Timer) -> Option<Instant> {
        self.deadlines[timer as usize]
    }

    pub(crate) const fn runs(&self, timer: Timer) -> bool {
        self.get(timer).is_some()
    }

    pub(crate) const fn set(&mut self, timer: Timer, deadline: Instant) {
        self.deadlines[timer as usize] = Some(deadline);
    }

    pub(crate) fn stop(&mut self, timers: &[Timer]) {
        for timer in timers {
            self.deadlines[*timer as usize] = None;
        }
    }

    /// Stops the timer and returns its deadline, if that has come.
    pub(crate) fn take_due(&mut self, timer: Timer, now: Instant) -> Option<Instant> {
        self.deadlines[timer as usize].take_if(|due| *due <= now)
    }

    /// The first deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.deadlines.iter().flatten().min().copied()
    }
}
