//! keepalived on a director's node, in a virtual router of its own or with evenkeel.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::{LOOK_EVERY, PATIENCE};
use crate::director::Director;

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
            write!(
                text,
                "  unicast_src_ip {own}\n  unicast_peer {{\n    {peer}\n  }}\n"
            )
            .expect("text takes text");
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

/// A running keepalived; dropping it kills it.
#[derive(Debug)]
pub struct Keepalived {
    child: Child,
    log: PathBuf,
}

/// Whether it is installed; says so where not.
#[must_use]
pub fn is_there() -> bool {
    are_there(&["keepalived", "tshark"], "keepalived tshark")
}

/// Whether these programs, of those packages, are installed; says so where not.
#[expect(clippy::print_stdout, reason = "a test that can't run says why")]
pub(crate) fn are_there(programs: &[&str], packages: &str) -> bool {
    let mut missing = programs.iter().filter(|program| {
        let found = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        found.is_err()
    });
    match missing.next() {
        Some(program) => {
            println!("skipped: `{program}` is not installed (`apt-get install {packages}`)");
            false
        }
        None => true,
    }
}

/// SIGTERM to a program; when that was. It has ended when this returns.
pub(crate) fn terminate(child: &mut Child, name: &str) -> Instant {
    let pid = i32::try_from(child.id()).expect("pids are small");
    let when = Instant::now();
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it is our child");
    let deadline = when + PATIENCE;
    while child.try_wait().expect("it is our child").is_none() {
        assert!(Instant::now() < deadline, "{name} does not end");
        thread::sleep(LOOK_EVERY);
    }
    when
}

impl Keepalived {
    /// Starts it on a node.
    ///
    /// # Panics
    /// Where it is not installed.
    #[must_use]
    pub fn start(director: Director<'_>, instance: &Instance) -> Self {
        let folder = director.folder();
        let config = folder.join("keepalived.conf");
        fs::write(&config, instance.config()).expect("the folder is ours");
        let log_path = folder.join("keepalived.log");
        let log = OpenOptions::new().create(true).append(true).open(&log_path);
        let mut command = Command::new("keepalived");
        // VRRP alone, in the foreground, told on standard error.
        command
            .args(["-P", "-n", "-l", "-D", "-f"])
            .arg(&config)
            .args(["-p", "/run/keepalived.pid", "-r", "/run/vrrp.pid"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the folder is ours"));
        let child = director.node().spawn(command);
        Self {
            child: child.expect("keepalived starts"),
            log: log_path,
        }
    }

    /// What it has logged so far, in all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it says that it is Active; `None`: it has said nothing of its state yet.
    #[must_use]
    pub fn is_active(&self) -> Option<bool> {
        let log = self.log();
        let mut states = log.lines().rev().filter_map(|line| {
            let (_, state) = line.split_once("Entering ")?;
            Some(state.starts_with("MASTER "))
        });
        states.next()
    }

    /// SIGKILL to both its processes; they are gone when this returns.
    pub fn kill(mut self) -> Instant {
        let when = Instant::now();
        self.kill_all();
        when
    }

    fn kill_all(&mut self) {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        // The parent first: it would start another child.
        drop(self.child.kill());
        for child in children.split_whitespace().filter_map(|c| c.parse().ok()) {
            // It may have ended with its parent.
            let _ended = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        drop(self.child.wait());
    }

    /// Waits until it has ended, killed by somebody else.
    pub fn wait(mut self) {
        drop(self.child.wait());
    }

    /// SIGTERM; when that was. It is gone when this returns.
    ///
    /// # Panics
    /// If it does not end.
    pub fn terminate(mut self) -> Instant {
        terminate(&mut self.child, "keepalived")
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        self.kill_all();
    }
}
