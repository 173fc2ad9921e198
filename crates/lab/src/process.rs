//! Processes named so that a reused pid is not mistaken for them.

use std::fs;
use std::io;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its pid.
    pub pid: u32,
    /// When it started, in the kernel's clock ticks since boot.
    pub start: u64,
}

impl ProcessId {
    /// The process that has this pid now.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let start = start_time(&stat)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no start time in stat"))?;
        Ok(Self { pid, start })
    }

    /// This process.
    pub(crate) fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Whether it is still there (a zombie is).
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid).is_ok_and(|found| found == self)
    }

    /// Kills it, where it is still there.
    pub(crate) fn kill(self) {
        if self.is_alive()
            && let Ok(pid) = i32::try_from(self.pid)
            && let Err(err) = kill(Pid::from_raw(pid), Signal::SIGKILL)
        {
            tracing::debug!(pid, %err, "kill failed");
        }
    }
}

/// Field 22 of `/proc/PID/stat` (proc(5)); the name before it may hold spaces and parentheses.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests;
