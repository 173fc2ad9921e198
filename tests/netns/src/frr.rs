//! FRR's vrrpd on a director's node, in a virtual router with evenkeel.
//!
//! It leaves the address to the kernel: it stands on a macvlan interface with the virtual router's own hardware
//! address, which zebra holds down while vrrpd is Backup.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::cluster::{LOOK_EVERY, PATIENCE};
use crate::director::Director;
use crate::keepalived::{Instance, are_there, terminate};
use crate::watch::Mac;

const ZEBRA: &str = "/usr/lib/frr/zebra";
const VRRPD: &str = "/usr/lib/frr/vrrpd";

/// A running vrrpd with its zebra; dropping it kills both. The interface and its address stay.
#[derive(Debug)]
pub struct Frr {
    zebra: Child,
    vrrpd: Child,
    log: PathBuf,
    /// Where the log of this life begins.
    began: usize,
}

/// Whether it is installed; says so where not.
#[must_use]
pub fn is_there() -> bool {
    are_there(&[ZEBRA, VRRPD, "tshark"], "frr tshark")
}

/// The hardware address from which an Active advertises and answers ARP (RFC 9568 §7.3).
#[must_use]
pub const fn mac(id: u8) -> Mac {
    [0, 0, 0x5e, 0, 1, id]
}

impl Frr {
    /// Starts it on a node; it takes part in the virtual router when this returns.
    ///
    /// # Panics
    /// Where it is not installed, or is told to use unicast, which it does not know.
    #[must_use]
    pub fn start(director: Director<'_>, instance: &Instance) -> Self {
        make_interface(director, instance);
        let folder = director.folder();
        fs::write(folder.join("vrrpd.conf"), config(instance)).expect("the folder is ours");
        let log = folder.join("vrrpd.log");
        let began = log.metadata().map_or(0, |log| log.len());

        // vrrpd, if it comes too early, tries again only after ten seconds.
        let socket = folder.join("zebra.api");
        let _absent = fs::remove_file(&socket);
        let zebra = spawn(director, ZEBRA, Path::new("/dev/null"), "zebra");
        wait_until("zebra listens", || socket.exists());
        let vrrpd = spawn(director, VRRPD, &folder.join("vrrpd.conf"), "vrrpd");
        let frr = Self {
            zebra,
            vrrpd,
            log,
            began: usize::try_from(began).expect("the log is short"),
        };
        wait_until("vrrpd has a state", || frr.is_active().is_some());
        frr
    }

    /// What vrrpd has logged so far, in all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it says that it is Active; `None`: it has said nothing of its state yet.
    #[must_use]
    pub fn is_active(&self) -> Option<bool> {
        let log = self.log();
        let mut states = log.get(self.began..)?.lines().rev().filter_map(|line| {
            let (_, states) = line.split_once("[IPv4] ")?;
            let (_, state) = states.split_once(" -> ")?;
            Some(state == "Master")
        });
        states.next()
    }

    /// SIGKILL to both; they are gone when this returns.
    pub fn kill(mut self) -> Instant {
        let when = Instant::now();
        self.kill_all();
        when
    }

    fn kill_all(&mut self) {
        // zebra first: it would learn of vrrpd's end. Either may have ended by itself.
        for child in [&mut self.zebra, &mut self.vrrpd] {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// SIGTERM; when that was. Both are gone when this returns.
    ///
    /// # Panics
    /// If they do not end.
    pub fn terminate(mut self) -> Instant {
        let when = terminate(&mut self.vrrpd, "vrrpd");
        // vrrpd needs it to take the interface down: where both end at once the interface stays up.
        let _later = terminate(&mut self.zebra, "zebra");
        when
    }
}

impl Drop for Frr {
    fn drop(&mut self) {
        self.kill_all();
    }
}

fn config(instance: &Instance) -> String {
    let Instance {
        version,
        id,
        priority,
        address,
        ..
    } = instance;
    let adverts = instance.adverts.as_millis();
    // Only its debugging tells of advertisements that it refuses.
    format!(
        "log stdout debugging\ndebug vrrp protocol\ninterface eth0\n vrrp {id} version {version}\n \
         vrrp {id} priority {priority}\n vrrp {id} advertisement-interval {adverts}\n vrrp {id} ip {address}\n"
    )
}

/// Makes the interface that vrrpd looks for when it starts, where it is not there yet.
fn make_interface(director: Director<'_>, instance: &Instance) {
    let Instance { id, address, .. } = instance;
    assert!(instance.unicast.is_none(), "FRR knows no unicast");
    let name = format!("vrrp{id}");
    let shown = director.tell(&["ip", "link", "show", "dev", &name]);
    if shown.code == Some(0) {
        return;
    }
    let mac = mac(*id).map(|byte| format!("{byte:02x}")).join(":");
    // Interfaces must not answer for each other's addresses, and nobody for the virtual one before vrrpd runs.
    // What FRR leaves under /var/tmp, if it is killed, goes with the node.
    let script = format!(
        "mount -t tmpfs tmpfs /var/tmp && echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore && \
         ip link add {name} link eth0 address {mac} type macvlan mode bridge && \
         ip address add {address}/32 dev {name} && ip link set {name} protodown on up"
    );
    let _nothing = director.tell(&["sh", "-c", &script]).succeeded();
}

/// Starts one of its daemons in the foreground, with a log of its own.
fn spawn(director: Director<'_>, program: &str, config: &Path, name: &str) -> Child {
    let folder = director.folder();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(format!("{name}.log")))
        .expect("the folder is ours");
    let mut command = Command::new(program);
    // FRR's own user can't enter the folder; whoever it runs as has to be in the group `frrvty`.
    command
        .args(["-u", "root", "-g", "frrvty", "-P", "0", "-f"])
        .arg(config)
        .arg("-z")
        .arg(folder.join("zebra.api"))
        .arg("-i")
        .arg(folder.join(format!("{name}.pid")))
        .arg("--vty_socket")
        .arg(&folder)
        .stdin(Stdio::null())
        .stderr(log.try_clone().expect("files are left"))
        .stdout(log);
    director.node().spawn(command).expect("it is installed")
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(LOOK_EVERY);
    }
}
