//! The program's clock: jiffies, which cost a packet nothing to read.
//!
//! Jiffies and `CLOCK_MONOTONIC_COARSE` advance in the same timer tick of the kernel (`tick_do_update_jiffies64` in
//! kernel/time/tick-sched.c), so user space reads the latter and adds what the program's clock is ahead.

use std::time::Duration;

use aya::Ebpf;
use aya::programs::TestRun as _;
use aya::{TestRunAttrs, TestRunOptions};
use evenkeel_abi::{Globals, Tick};
use nix::time::{ClockId, clock_getres, clock_gettime};
use std::sync::atomic::Ordering::Relaxed;

use crate::error::{StartError, failed};
use crate::object::{self, CLOCK};

/// Runs of the program that reads both clocks: a timer tick may come between the two readings of one.
const READINGS: usize = 3;

/// What the program's clock is ahead of `CLOCK_MONOTONIC_COARSE`, in nanoseconds; wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock(u64);

impl Clock {
    /// Tells the program how long a jiffy is, and compares its clock with ours.
    pub(crate) fn start(ebpf: &mut Ebpf, globals: &Globals) -> Result<Self, StartError> {
        // The coarse clock's resolution is a jiffy (KTIME_LOW_RES in include/linux/hrtimer_defs.h).
        let jiffy = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)
            .map(|time| nanoseconds(Duration::from(time)))
            .map_err(|error| failed("read the resolution of the coarse clock", error))?;
        globals.jiffy_ns.store(jiffy, Relaxed);
        let mut ahead = [0; READINGS];
        for reading in &mut ahead {
            let (jiffies, coarse) = read(ebpf)?;
            *reading = jiffies.wrapping_mul(jiffy).wrapping_sub(coarse);
        }
        ahead.sort_unstable();
        Ok(Self(ahead[READINGS / 2]))
    }

    /// The tick that packets see now.
    pub(crate) fn now(self) -> Tick {
        // The clock is there since Linux 2.6.32; at tick 0 nothing has expired.
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE);
        let coarse = time.map_or(0, |time| nanoseconds(Duration::from(time)));
        Tick::from_ns(coarse.wrapping_add(self.0))
    }

    /// The first tick at which so much time has passed for certain.
    pub(crate) fn after(self, duration: Duration) -> Tick {
        let ticks = duration.as_nanos().div_ceil(1 << Tick::SHIFT);
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        // The present tick began some time ago.
        Tick(self.now().0.saturating_add(ticks).saturating_add(1))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Jiffies, and the coarse clock in nanoseconds, as the program sees them.
fn read(ebpf: &mut Ebpf) -> Result<(u64, u64), StartError> {
    let mut out = [0; 64];
    let options = TestRunOptions {
        data_in: Some(&[0; 64]),
        data_out: Some(&mut out),
        attrs: TestRunAttrs::new(),
        ..TestRunOptions::default()
    };
    let program = object::program(ebpf, CLOCK)?;
    program
        .test_run(options)
        .map_err(|error| failed("read the program's clock", error))?;
    let [a, b, ..] = *out.as_chunks::<8>().0 else {
        return Ok((0, 0));
    };
    Ok((u64::from_ne_bytes(a), u64::from_ne_bytes(b)))
}
