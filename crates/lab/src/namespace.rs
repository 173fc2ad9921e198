//! Entering the namespaces of a node, always on a thread or in a process made for it.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns};

use crate::node_init::node_path;

/// A running node's namespaces, held open.
#[derive(Debug)]
pub(crate) struct Namespaces {
    net: File,
    mnt: File,
    pid: File,
    uts: File,
}

impl Namespaces {
    /// Opens those of the process with that pid.
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        let open = |kind: &str| File::open(format!("/proc/{pid}/ns/{kind}"));
        Ok(Self {
            net: open("net")?,
            mnt: open("mnt")?,
            pid: open("pid")?,
            uts: open("uts")?,
        })
    }

    /// Starts a command inside, with the node's PATH and, where the node has it, the caller's folder.
    pub(crate) fn spawn(self, mut command: Command) -> io::Result<Child> {
        let folder = std::env::current_dir()
            .ok()
            .and_then(|folder| CString::new(folder.into_os_string().into_vec()).ok());
        command.env("PATH", node_path());
        let Self { net, mnt, pid, uts } = self;
        let enter = move || {
            setns(net.as_fd(), CloneFlags::CLONE_NEWNET)?;
            setns(uts.as_fd(), CloneFlags::CLONE_NEWUTS)?;
            // Entering mounts also moves the current folder to their root.
            setns(mnt.as_fd(), CloneFlags::CLONE_NEWNS)?;
            if let Some(folder) = &folder {
                // The root stays the current folder where the node does not have this one.
                let _absent = nix::unistd::chdir(folder.as_c_str());
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes system calls only: it neither allocates
        // (nix passes a `CStr` on as it is) nor takes a lock.
        unsafe { command.pre_exec(enter) };
        // A pid namespace is entered by the children of the thread that asks for it; the thread ends here.
        thread::scope(|scope| {
            let starter = scope.spawn(move || {
                setns(pid.as_fd(), CloneFlags::CLONE_NEWPID)?;
                command.spawn()
            });
            joined(starter.join())
        })
    }

    /// The network namespace.
    pub(crate) fn into_net(self) -> File {
        self.net
    }
}

/// A thread inside a network namespace.
#[derive(Debug)]
pub struct NetnsThread<T>(JoinHandle<io::Result<T>>);

impl<T> NetnsThread<T> {
    /// Waits for the thread's result.
    ///
    /// # Errors
    /// The kernel refused to let the thread enter.
    ///
    /// # Panics
    /// Where the thread panicked, with its panic.
    pub fn join(self) -> io::Result<T> {
        joined(self.0.join())
    }

    /// Whether its work is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Runs `work` on a new thread that has entered the network namespace `net`.
///
/// Sockets opened there stay there. Mounts and names are still the host's.
pub(crate) fn thread_in<T: Send + 'static>(
    net: File,
    name: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<NetnsThread<T>> {
    let worker = thread::Builder::new().name(name).spawn(move || {
        setns(net.as_fd(), CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    })?;
    Ok(NetnsThread(worker))
}

/// The result of a thread; its panic goes on in the caller.
pub(crate) fn joined<T>(result: thread::Result<T>) -> T {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
