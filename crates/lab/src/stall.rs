//! Notes when this machine itself stood still: then whatever is measured measures the machine.
//!
//! One thread per processor, each bound to it, ticks every millisecond. With real-time priority, which
//! they take where they may, they are late only when the processor was not there at all (a hypervisor
//! took it, interrupts were off), and not because other programs kept it busy: what the measured
//! programs do to each other is theirs, and no excuse.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::error::LabError;
use crate::realtime;

/// Time from one tick to the next.
const TICK: Duration = Duration::from_millis(1);

/// A longer time between two ticks is a stall.
pub const STALL_MIN: Duration = Duration::from_millis(5);

/// A time in which a processor did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The last tick before it.
    pub began: Instant,
    /// Until the next tick.
    pub length: Duration,
}

impl Stall {
    /// Whether any of it is from `from` to `to`.
    #[must_use]
    pub fn touches(&self, from: Instant, to: Instant) -> bool {
        self.began <= to && self.began + self.length >= from
    }
}

/// The running monitor; dropping it ends it.
#[derive(Debug)]
pub struct StallMonitor {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    stalls: Arc<Mutex<Vec<Stall>>>,
    realtime: bool,
}

impl StallMonitor {
    /// Starts to watch every processor that this process may run on.
    ///
    /// # Errors
    /// No thread could be started or bound to its processor.
    pub fn start() -> Result<Self, LabError> {
        let starting = |source| LabError::Start {
            what: "the watch over this machine",
            source,
        };
        let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(|err| starting(err.into()))?;
        let mut monitor = Self {
            threads: Vec::new(),
            stop: Arc::default(),
            stalls: Arc::default(),
            realtime: true,
        };
        for cpu in (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true)) {
            let realtime = monitor.watch(cpu).map_err(starting)?;
            monitor.realtime &= realtime;
        }
        Ok(monitor)
    }

    /// Whether it has real-time priority; without, busy programs look like a stall.
    #[must_use]
    pub const fn is_realtime(&self) -> bool {
        self.realtime
    }

    /// The stalls that touch the time from `from` to `to`, which must be over.
    #[must_use]
    pub fn stalls(&self, from: Instant, to: Instant) -> Vec<Stall> {
        let stalls = self.stalls.lock().unwrap_or_else(PoisonError::into_inner);
        let touching = stalls.iter().filter(|stall| stall.touches(from, to));
        touching.copied().collect()
    }

    /// Starts the thread of one processor; whether it got its priority.
    fn watch(&mut self, cpu: usize) -> io::Result<bool> {
        let stop = Arc::clone(&self.stop);
        let stalls = Arc::clone(&self.stalls);
        let (ready, started) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(format!("stalls-{cpu}"))
            .spawn(move || {
                let mut own = CpuSet::new();
                let bound = own
                    .set(cpu)
                    .and_then(|()| sched_setaffinity(Pid::from_raw(0), &own));
                let failed = bound.is_err();
                let realtime = realtime::enter().is_ok();
                // Whoever started this waits for it.
                let _told = ready.send(bound.map(|()| realtime));
                if !failed {
                    note_stalls(&stop, &stalls);
                }
            })?;
        self.threads.push(thread);
        Ok(started.recv().map_err(io::Error::other)??)
    }
}

impl Drop for StallMonitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic was reported when it happened.
            let _ended = thread.join();
        }
    }
}

fn note_stalls(stop: &AtomicBool, stalls: &Mutex<Vec<Stall>>) {
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(TICK);
        let now = Instant::now();
        let length = now.saturating_duration_since(last);
        if length > STALL_MIN {
            let stall = Stall {
                began: last,
                length,
            };
            let mut stalls = stalls.lock().unwrap_or_else(PoisonError::into_inner);
            stalls.push(stall);
        }
        last = now;
    }
}

#[cfg(test)]
mod tests;
