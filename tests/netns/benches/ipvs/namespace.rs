//! Network namespaces, which vanish with this process.

use std::fs::{self, File};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, ensure};
use nix::sched::{CloneFlags, setns, unshare};

/// Leaves the interfaces of this thread's namespace behind.
pub(crate) fn enter_new() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    // The sink counts all frames, so there must be no others; where there is no IPv6, there are none.
    let _absent = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    Ok(())
}

/// Another namespace than that of the process's threads.
pub(crate) struct Namespace(File);

impl Namespace {
    pub(crate) fn new() -> anyhow::Result<Self> {
        on_a_thread(|| {
            enter_new()?;
            Ok(Self(File::open("/proc/thread-self/ns/net")?))
        })
    }

    /// Does `work` on a thread in there.
    pub(crate) fn inside<T: Send>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        on_a_thread(|| {
            setns(&self.0, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    let joined = thread::scope(|scope| scope.spawn(work).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a command, its words apart by spaces, in this thread's namespace; what it prints.
pub(crate) fn command(line: &str) -> anyhow::Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().context("no command")?;
    let output = Command::new(program)
        .args(words)
        .output()
        .with_context(|| format!("starting `{program}`"))?;
    ensure!(
        output.status.success(),
        "`{line}`: {}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(String::from_utf8(output.stdout)?)
}
