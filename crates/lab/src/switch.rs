//! The switch of a lab and the nodes at it: everything that only the keeper's switch thread does.
//!
//! That thread lives in a network namespace of its own, which holds the bridge and one port per node. It
//! also starts the nodes' first processes: the kernel kills them when the thread that started them ends.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use evenkeel_bpf::PassProgram;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::entry;
use crate::error::LabError;
use crate::link::Netlink;
use crate::namespace::Namespaces;
use crate::node_init::{NodeSpec, READY};
use crate::offload;
use crate::topology::NodeKind;

/// The bridge's namespace and the running nodes.
pub(crate) struct Switch {
    netns: File,
    netlink: Netlink,
    bridge: u32,
    /// The program that nodes run.
    program: PathBuf,
    running: BTreeMap<String, Running>,
    /// What nodes without power left. To clear a network namespace takes locks of the whole kernel for
    /// many milliseconds, in which the other nodes wait, as no machine waits for one that lost its
    /// power; so it is cleared when the node is powered on.
    remains: BTreeMap<String, Namespaces>,
}

struct Running {
    child: Child,
    /// What keeps the port's XDP program attached.
    _port_program: Option<PassProgram>,
}

/// What a node is to be when it boots.
pub(crate) struct Boot {
    pub(crate) spec: NodeSpec,
    pub(crate) kind: NodeKind,
    /// Appended to.
    pub(crate) log: PathBuf,
}

impl Switch {
    /// Moves the calling thread into a new network namespace and makes the bridge there.
    pub(crate) fn new(program: PathBuf) -> Result<Self, LabError> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| LabError::Namespaces(errno.into()))?;
        let netns = File::open("/proc/thread-self/ns/net")
            .map_err(|err| at_switch(String::from("open the namespace"), err))?;
        // Where IPv6 is not built in there is nothing to silence.
        let _absent = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        let netlink =
            Netlink::open().map_err(|err| at_switch(String::from("open netlink"), err))?;
        let bridge = netlink.add_bridge().map_err(|err| {
            lacking(err, "network bridge", "CONFIG_BRIDGE", || {
                String::from("make the bridge")
            })
        })?;
        Ok(Self {
            netns,
            netlink,
            bridge,
            program,
            running: BTreeMap::new(),
            remains: BTreeMap::new(),
        })
    }

    /// Another handle of the switch's network namespace.
    pub(crate) fn netns(&self) -> io::Result<File> {
        self.netns.try_clone()
    }

    /// Boots a node that is off; its first process, once its commands are started.
    pub(crate) fn power_on(&mut self, boot: &Boot) -> Result<u32, LabError> {
        self.clear(&boot.spec.name)?;
        let mut child = spawn_init(&self.program, boot)?;
        match self.connect_and_boot(boot, &mut child) {
            Ok(port_program) => {
                let pid = child.id();
                let running = Running {
                    child,
                    _port_program: port_program,
                };
                self.running.insert(boot.spec.name.clone(), running);
                Ok(pid)
            }
            Err(err) => {
                kill(&mut child);
                // The pair went with the namespace or was never made.
                let _absent = self.netlink.delete(&boot.spec.name);
                Err(err)
            }
        }
    }

    /// Takes the link down and kills every process of the node; when its link went down.
    pub(crate) fn power_off(&mut self, name: &str) -> Result<Instant, LabError> {
        // Without a link, nothing that dying processes send leaves the node.
        let when = self.set_link(name, false)?;
        if let Some(mut running) = self.running.remove(name) {
            if let Ok(remains) = Namespaces::open(running.child.id()) {
                self.remains.insert(name.to_owned(), remains);
            }
            kill(&mut running.child);
        }
        Ok(when)
    }

    /// Removes what the node's last life left: the port's name must be free.
    fn clear(&mut self, name: &str) -> Result<(), LabError> {
        // The kernel clears the namespaces in its own time.
        drop(self.remains.remove(name));
        match self.netlink.delete(name) {
            Err(err) if err.raw_os_error() != Some(libc::ENODEV) => {
                Err(at_switch(format!("remove the port of `{name}`"), err))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Takes a node's link up or down; when that was done.
    pub(crate) fn set_link(&self, name: &str, up: bool) -> Result<Instant, LabError> {
        let failed = |err| {
            let to = if up { "up" } else { "down" };
            at_switch(format!("take the link of `{name}` {to}"), err)
        };
        if up {
            self.netlink.set_up(name, true).map_err(failed)?;
            return Ok(Instant::now());
        }
        self.netlink.cut(name).map_err(failed)?;
        let when = Instant::now();
        self.netlink.set_up(name, false).map_err(failed)?;
        Ok(when)
    }

    fn connect_and_boot(
        &self,
        boot: &Boot,
        child: &mut Child,
    ) -> Result<Option<PassProgram>, LabError> {
        let name = &boot.spec.name;
        let port = self
            .netlink
            .add_port(name, self.bridge, boot.spec.address, child.id())
            .map_err(|err| {
                lacking(err, "virtual Ethernet pair", "CONFIG_VETH", || {
                    format!("make the port of `{name}`")
                })
            })?;
        let port_program = match boot.kind {
            // What native XDP on the other end sends arrives only where this end has a program too.
            NodeKind::Director => {
                let attached = evenkeel_bpf::attach_pass(name, port, evenkeel_bpf::Mode::Native);
                Some(attached.map_err(|source| LabError::PortProgram {
                    node: name.clone(),
                    source: Box::new(source),
                })?)
            }
            NodeKind::RealServer | NodeKind::Client => None,
        };
        // After the program: attaching one switches merging on.
        offload::switch_off(name)
            .map_err(|err| at_switch(format!("set the offloads of `{name}`"), err))?;
        self.set_link(name, true)?;
        tell(&boot.spec, child).map_err(|reason| LabError::Boot {
            node: name.clone(),
            reason,
        })?;
        Ok(port_program)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        for running in self.running.values_mut() {
            // All at once; they are waited for below.
            if let Err(err) = running.child.kill() {
                tracing::debug!(%err, "kill failed");
            }
        }
        for running in self.running.values_mut() {
            kill(&mut running.child);
        }
    }
}

/// Starts a node's first process in new namespaces, as PID 1 of its own.
fn spawn_init(program: &PathBuf, boot: &Boot) -> Result<Child, LabError> {
    let starting = |source| LabError::Start {
        what: "a node",
        source,
    };
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&boot.log)
        .map_err(starting)?;
    let own_pids = File::open("/proc/thread-self/ns/pid").map_err(starting)?;
    let mut command = Command::new(program);
    command
        .arg(entry::NODE_INIT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    let prepare = || {
        // A session of its own: Ctrl-C at the keeper's terminal is the keeper's alone.
        nix::unistd::setsid()?;
        set_pdeathsig(Signal::SIGKILL)?;
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only: it neither allocates nor
    // takes a lock.
    unsafe { command.pre_exec(prepare) };
    // Only children of this thread are affected, and the thread makes no other before it is set back.
    unshare(CloneFlags::CLONE_NEWPID).map_err(|errno| LabError::Namespaces(errno.into()))?;
    let child = command.spawn();
    setns(own_pids.as_fd(), CloneFlags::CLONE_NEWPID)
        .map_err(|errno| LabError::Namespaces(errno.into()))?;
    child.map_err(|err| match err.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EINVAL | Errno::ENOSYS) => LabError::Namespaces(err),
        _ => starting(err),
    })
}

/// Hands a first process its spec and waits for its word.
fn tell(spec: &NodeSpec, child: &mut Child) -> Result<(), String> {
    let mut line = serde_json::to_string(spec).map_err(|err| err.to_string())?;
    line.push('\n');
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(String::from("its first process has no pipes"));
    };
    input
        .write_all(line.as_bytes())
        .map_err(|err| format!("its first process does not listen: {err}"))?;
    let mut answer = String::new();
    BufReader::new(output)
        .read_line(&mut answer)
        .map_err(|err| format!("its first process does not speak: {err}"))?;
    match answer.trim_end() {
        READY => Ok(()),
        "" => Err(String::from(
            "its first process ended at once; is the program one that `lab` knows?",
        )),
        reason => Err(reason.to_owned()),
    }
}

/// Kills a node's first process; its whole pid namespace is empty when this returns.
fn kill(child: &mut Child) {
    let ended = child.kill().and_then(|()| child.wait());
    if let Err(err) = ended {
        tracing::warn!(pid = child.id(), %err, "a node's first process could not be ended");
    }
}

fn at_switch(action: String, source: io::Error) -> LabError {
    LabError::Switch { action, source }
}

fn lacking(
    source: io::Error,
    what: &'static str,
    option: &'static str,
    action: impl FnOnce() -> String,
) -> LabError {
    if source.raw_os_error() == Some(libc::EOPNOTSUPP) {
        LabError::KernelLacks {
            what,
            option,
            source,
        }
    } else {
        at_switch(action(), source)
    }
}
