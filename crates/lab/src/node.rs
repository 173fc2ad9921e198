//! A node of a lab that this process keeps, and work inside it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::error::LabError;
use crate::lab::Lab;
use crate::namespace::{Namespaces, NetnsThread, thread_in};
use crate::process::ProcessId;
use crate::topology::Node;

/// A node of a lab.
#[derive(Clone, Copy)]
pub struct NodeHandle<'lab> {
    lab: &'lab Lab,
    node: &'lab Node,
}

impl<'lab> NodeHandle<'lab> {
    pub(crate) fn new(lab: &'lab Lab, node: &'lab Node) -> Self {
        Self { lab, node }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// Address of its eth0.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.node.address
    }

    /// Where its web server listens; `None`: it has none.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        let port = self.node.http?;
        Some(SocketAddrV4::new(self.node.address, port).into())
    }

    /// Starts a command in the node's namespaces, with the node's PATH.
    ///
    /// Powering the node off kills it, and lasts until the caller has waited for it.
    ///
    /// # Errors
    /// The node is off, or the program can't be started.
    pub fn spawn(&self, command: Command) -> Result<Child, LabError> {
        let process = self.lab.first_process(self.node)?;
        spawn_in(&self.node.name, process, command)
    }

    /// Starts a program with its arguments in the node, as [`spawn`](Self::spawn) does, and keeps its output for the caller.
    pub(crate) fn begin(&self, words: &[&str]) -> Result<Child, LabError> {
        let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.spawn(command)
    }

    /// Runs a program with its arguments in the node; its exit status and output.
    ///
    /// # Errors
    /// The node is off, or the program can't be started.
    pub fn run(&self, words: &[&str]) -> Result<Output, LabError> {
        let output = self.begin(words)?.wait_with_output();
        output.map_err(|source| LabError::Spawn {
            node: self.node.name.clone(),
            program: words.first().copied().unwrap_or("true").to_owned(),
            source,
        })
    }

    /// A file of the node as this process reaches it; /run is the node's own, and gone once it is off.
    ///
    /// # Errors
    /// The node is off.
    pub fn path(&self, path: &str) -> Result<PathBuf, LabError> {
        let process = self.lab.first_process(self.node)?;
        let root = PathBuf::from(format!("/proc/{}/root", process.pid));
        Ok(root.join(path.trim_start_matches('/')))
    }

    /// TCP segments that the node sent again so far.
    ///
    /// # Errors
    /// The node is off, or the kernel does not count them.
    pub fn retransmitted(&self) -> Result<u64, LabError> {
        let process = self.lab.first_process(self.node)?;
        let text = fs::read_to_string(format!("/proc/{}/net/snmp", process.pid));
        let count = text.and_then(|text| {
            counter(&text, "Tcp:", "RetransSegs").ok_or_else(|| io::ErrorKind::InvalidData.into())
        });
        count.map_err(|source| LabError::Start {
            what: "a look at the node's counters",
            source,
        })
    }

    /// Runs `work` on a new thread in the node's network namespace.
    ///
    /// Sockets opened there stay there; mounts and names are still the host's.
    ///
    /// # Errors
    /// The node is off.
    pub fn thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<NetnsThread<T>, LabError> {
        let process = self.lab.first_process(self.node)?;
        Namespaces::open(process.pid)
            .and_then(|namespaces| thread_in(namespaces.into_net(), self.node.name.clone(), work))
            .map_err(|source| LabError::Start {
                what: "a thread in the node's namespace",
                source,
            })
    }

    /// Runs a future on a new thread in the node's network namespace, on a runtime of its own.
    ///
    /// # Errors
    /// The node is off, or no runtime could be made.
    pub fn task<F: Future>(
        &self,
        task: impl FnOnce() -> F + Send + 'static,
    ) -> Result<NetnsThread<F::Output>, LabError>
    where
        F::Output: Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| LabError::Start {
                what: "a runtime",
                source,
            })?;
        self.thread(move || runtime.block_on(task()))
    }
}

/// A counter in the shape of /proc/net/snmp: a line of names, a line of values.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let (_name, value) = pairs.find(|(known, _value)| *known == name)?;
    value.parse().ok()
}

/// Starts a command in the namespaces of a node's first process.
pub(crate) fn spawn_in(
    node: &str,
    process: ProcessId,
    command: Command,
) -> Result<Child, LabError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let namespaces = Namespaces::open(process.pid);
    // Only what is still that process after the opening was it during the opening.
    if !process.is_alive() {
        return Err(LabError::NodeOff {
            node: node.to_owned(),
        });
    }
    namespaces
        .and_then(|namespaces| namespaces.spawn(command))
        .map_err(|source| LabError::Spawn {
            node: node.to_owned(),
            program,
            source,
        })
}

#[cfg(test)]
mod tests;
