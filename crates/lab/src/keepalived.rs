//! keepalived on a director's node, in a virtual router of its own or with evenkeel.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::LabError;
use crate::lab::is_installed;
use crate::node::NodeHandle;
use crate::node_init::NODE_FOLDER;

/// What it is told of its virtual router.
#[derive(Clone, Debug)]
pub struct Instance {
    /// 2 or 3.
    pub version: u8,
    /// Number of the virtual router.
    pub id: u8,
    /// Priority.
    pub priority: u8,
    /// Time between advertisements.
    pub adverts: Duration,
    /// The virtual address; one of IPv6 comes behind the link-local fe80::1:51.
    pub address: IpAddr,
    /// Its own address and the other director's, for unicast.
    pub unicast: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl Instance {
    fn config(&self) -> String {
        let Self {
            version,
            id,
            priority,
            address,
            ..
        } = self;
        let adverts = self.adverts.as_secs_f64();
        let mut text = format!(
            "global_defs {{\n  vrrp_version {version}\n}}\nvrrp_instance front {{\n  state BACKUP\n  \
             interface eth0\n  virtual_router_id {id}\n  priority {priority}\n  advert_int {adverts}\n"
        );
        if let Some((own, peer)) = self.unicast {
            text += &format!("  unicast_src_ip {own}\n  unicast_peer {{\n    {peer}\n  }}\n");
        }
        let addresses = match address {
            IpAddr::V4(address) => format!("    {address}/32 dev eth0\n"),
            IpAddr::V6(address) => {
                format!("    fe80::1:51/64 dev eth0\n    {address}/128 dev eth0\n")
            }
        };
        text + &format!("  virtual_ipaddress {{\n{addresses}  }}\n}}\n")
    }
}

/// Where it and its child write their numbers.
const PID_FILES: [&str; 2] = ["/run/keepalived.pid", "/run/vrrp.pid"];

/// A running keepalived; dropping it kills it.
#[derive(Debug)]
pub struct Keepalived {
    child: Child,
    log: PathBuf,
    /// Where the log of this life begins.
    began: usize,
}

impl Keepalived {
    /// The program.
    pub const PROGRAM: &str = "keepalived";

    /// Whether it is installed.
    #[must_use]
    pub fn is_there() -> bool {
        is_installed(Self::PROGRAM)
    }

    /// Starts it on a node, with `log` for the file to which every life of it appends.
    ///
    /// # Errors
    /// The node is off, it is not installed, or the log can't be written to.
    pub fn start(node: NodeHandle<'_>, log: &Path, instance: &Instance) -> Result<Self, LabError> {
        let failed = |source| LabError::Spawn {
            node: node.name().to_owned(),
            program: String::from(Self::PROGRAM),
            source,
        };
        let config = format!("{NODE_FOLDER}/keepalived.conf");
        fs::write(node.path(&config)?, instance.config()).map_err(failed)?;
        for file in PID_FILES {
            // Those of a life before may name a process that nobody has waited for yet: it would not start.
            let _gone = fs::remove_file(node.path(file)?);
        }
        let began = log.metadata().map_or(0, |log| log.len());
        let output = OpenOptions::new().create(true).append(true).open(log);
        let mut command = Command::new(Self::PROGRAM);
        // VRRP alone, in the foreground, told on standard error.
        command
            .args(["-P", "-n", "-l", "-D", "-f"])
            .arg(&config)
            .args(["-p", PID_FILES[0], "-r", PID_FILES[1]])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output.map_err(failed)?);
        Ok(Self {
            child: node.spawn(command)?,
            log: log.to_owned(),
            began: usize::try_from(began).unwrap_or(usize::MAX),
        })
    }

    /// What it has logged so far, in all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it says that it is Active; `None`: it has said nothing of its state in this life yet.
    #[must_use]
    pub fn is_active(&self) -> Option<bool> {
        let log = self.log();
        let mut states = log.get(self.began..)?.lines().rev().filter_map(|line| {
            let (_, state) = line.split_once("Entering ")?;
            Some(state.starts_with("MASTER "))
        });
        states.next()
    }

    /// Sends a signal to the process that was started and to those that it started, in this order: killed
    /// last, it would start another child.
    pub fn signal(&self, signal: Signal) {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|c| c.parse().ok());
        for pid in i32::try_from(own).into_iter().chain(children) {
            // It may have ended with its parent.
            let _ended = kill(Pid::from_raw(pid), signal);
        }
    }

    /// SIGTERM: it hands over and ends, some time later.
    pub fn terminate(&self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may have ended by itself.
            let _ended = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn wait(&mut self) -> io::Result<()> {
        self.child.wait().map(drop)
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        // A pid that was waited for may be another process's.
        if !self.has_ended().unwrap_or(true) {
            self.signal(Signal::SIGKILL);
            drop(self.child.wait());
        }
    }
}
