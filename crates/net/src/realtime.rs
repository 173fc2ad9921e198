//! Real-time priority and locked memory for the thread that must not be late.

#![expect(
    unsafe_code,
    reason = "nix has no sched_setscheduler, and its mlock takes a pointer"
)]

use std::hint::black_box;
use std::io;
use std::ptr::NonNull;

use nix::sys::mman::{MlockAllFlags, mlock, mlockall};

/// Stack in bytes that is faulted in beforehand: far more than the thread uses.
const STACK: usize = 128 * 1024;

/// What a thread got of what it asked for. It runs in any case, only less punctually.
#[derive(Debug)]
pub struct Realtime {
    /// SCHED_FIFO. EPERM where neither RLIMIT_RTPRIO nor CAP_SYS_NICE allows it.
    pub scheduler: io::Result<()>,
    /// No page that the process has now is ever taken away. ENOMEM where RLIMIT_MEMLOCK is below the
    /// process's whole address space and CAP_IPC_LOCK is missing, EPERM where the limit is 0; then the
    /// thread's stack alone is locked if the limit has room for it.
    pub memory: io::Result<()>,
}

/// Gives the calling thread a real-time priority, 1 to 99, and locks the process's memory.
///
/// Call it once everything is allocated: memory that is mapped later is not locked, because within a
/// finite limit that would let allocations fail. Threads and processes that the thread starts later
/// are ordinary again.
pub fn enter(priority: u8) -> Realtime {
    let memory = mlockall(MlockAllFlags::MCL_CURRENT).map_err(io::Error::from);
    touch_stack(memory.is_err());
    Realtime {
        scheduler: set_scheduler(priority),
        memory,
    }
}

fn set_scheduler(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority.into(),
    };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the kernel only reads `parameters`, which lives until the call returns; thread 0 is the
    // calling one.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Uses the stack once, so that no later call has to wait for a page of it.
#[inline(never)]
fn touch_stack(lock: bool) {
    let mut room = black_box([0_u8; STACK]);
    if lock {
        let start = NonNull::from(&mut room).cast();
        // SAFETY: the range is `room`, which is mapped; locking pages changes nothing in them, and
        // that they stay locked after `room` is the point.
        if let Err(error) = unsafe { mlock(start, STACK) } {
            tracing::debug!(%error, "the stack is not locked either");
        }
    }
    black_box(&room);
}
