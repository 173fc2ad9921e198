//! Real-time priority for the threads that measure, so that they are late only when the machine is.

use std::io;

/// Above all that is measured.
const PRIORITY: libc::c_int = 60;

/// Gives the calling thread real-time priority.
///
/// Such a thread must sleep most of the time.
///
/// # Errors
/// It may not have it: no CAP_SYS_NICE, or a container without a real-time share.
pub(crate) fn enter() -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: PRIORITY,
    };
    // SAFETY: 0 is the calling thread, and the call only reads `parameters`, which outlives it.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
