//! Waiting until no program reads what was taken from its sight.

#![expect(unsafe_code, reason = "the C library has no wrapper of membarrier")]

use std::thread;
use std::time::{Duration, Instant};

/// A program never runs for as long as this, so what was retired this long ago has no reader.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Blocks until every program that runs at the call has ended, and returns the time of the call.
pub(crate) fn wait() -> Instant {
    let called = Instant::now();
    // SAFETY: the call takes three numbers and touches no memory of ours.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_membarrier,
            libc::c_long::from(libc::MEMBARRIER_CMD_GLOBAL),
            0 as libc::c_long,
            0 as libc::c_long,
        )
    };
    // It is refused where processors run without a tick (`nohz_full`).
    if answer != 0 {
        thread::sleep(GRACE);
    }
    called
}
