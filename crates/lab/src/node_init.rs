//! The first process of a node: makes the node's mounts, name and network, starts its commands, and then
//! only reaps. It ends when the keeper kills it or dies, and everything in the node ends with it.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, sethostname};
use serde::{Deserialize, Serialize};

use crate::link::{NODE_LINK, Netlink};
use crate::offload;

/// A node's private folder, on its own /run.
pub(crate) const NODE_FOLDER: &str = "/run/lab";

/// Said on standard output once the node stands.
pub(crate) const READY: &str = "ready";

/// What a node's first process is told, as one line of JSON on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodeSpec {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) virtual_addresses: Vec<Ipv4Addr>,
    /// Text of /etc/hosts.
    pub(crate) hosts: String,
    /// The program that `evenkeel` and `ipvsadm` are in this node.
    pub(crate) program: PathBuf,
    /// Files by their name in [`NODE_FOLDER`].
    pub(crate) files: Vec<(String, String)>,
    /// Those of them that nobody but root may read.
    pub(crate) secrets: Vec<String>,
    /// Started in this order.
    pub(crate) commands: Vec<Vec<String>>,
}

/// PATH inside a node: its own programs first.
pub(crate) fn node_path() -> String {
    let inherited = std::env::var("PATH").unwrap_or_default();
    let rest = if inherited.is_empty() {
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    } else {
        &inherited
    };
    format!("{NODE_FOLDER}/bin:{rest}")
}

/// Runs the node; returns only on failure.
pub(crate) fn run() -> ExitCode {
    let booted = read_spec().and_then(|spec| boot(&spec));
    let answer = match &booted {
        Ok(()) => READY.to_owned(),
        Err(err) => err.replace('\n', " "),
    };
    let told = writeln!(io::stdout(), "{answer}");
    if booted.is_err() || told.is_err() {
        return ExitCode::FAILURE;
    }
    reap_for_ever()
}

fn read_spec() -> Result<NodeSpec, String> {
    let mut line = String::new();
    let length = io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|err| format!("standard input: {err}"))?;
    if length == 0 {
        return Err(String::from("the keeper is gone"));
    }
    serde_json::from_str(&line).map_err(|err| format!("what the keeper said: {err}"))
}

fn boot(spec: &NodeSpec) -> Result<(), String> {
    make_mounts(spec)?;
    sethostname(&spec.name).map_err(|err| format!("host name: {err}"))?;
    configure_network(spec)?;
    // Children are reaped by signal, so it must be blocked before there are any.
    child_signal()
        .thread_block()
        .map_err(|err| format!("signal mask: {err}"))?;
    for command in &spec.commands {
        start(command)?;
    }
    Ok(())
}

fn make_mounts(spec: &NodeSpec) -> Result<(), String> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|err| format!("private mounts: {err}"))?;
    mount_new("tmpfs", "/run", Some("mode=755"))?;
    mount_new("proc", "/proc", None)?;
    mount_new("sysfs", "/sys", None)?;
    mount_new("bpf", "/sys/fs/bpf", Some("mode=700"))?;

    let folder = Path::new(NODE_FOLDER);
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).map_err(|err| format!("{}: {err}", bin.display()))?;
    for name in ["evenkeel", "ipvsadm"] {
        symlink(&spec.program, bin.join(name)).map_err(|err| format!("link {name}: {err}"))?;
    }
    let hosts = (String::from("hosts"), spec.hosts.clone());
    let resolver = (String::from("resolv.conf"), String::new());
    for (name, text) in spec.files.iter().chain([&hosts, &resolver]) {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|err| format!("{}: {err}", path.display()))?;
        if spec.secrets.contains(name) {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                .map_err(|err| format!("{}: {err}", path.display()))?;
        }
    }
    put_over(&folder.join("hosts"), Path::new("/etc/hosts"))?;
    put_over(&folder.join("resolv.conf"), Path::new("/etc/resolv.conf"))
}

fn mount_new(kind: &str, target: &str, options: Option<&str>) -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(kind), target, Some(kind), flags, options)
        .map_err(|err| format!("mount {kind} on {target}: {err}"))
}

/// Binds `source` over `target`, which may be a link into /run, where this node has nothing yet.
fn put_over(source: &Path, target: &Path) -> Result<(), String> {
    let failed = |err: &dyn std::fmt::Display| format!("{}: {err}", target.display());
    if let Ok(link) = fs::read_link(target) {
        let end = target.parent().unwrap_or_else(|| Path::new("/")).join(link);
        if !end.exists() {
            let folder = end.parent().unwrap_or_else(|| Path::new("/"));
            fs::create_dir_all(folder).map_err(|err| failed(&err))?;
            fs::write(&end, "").map_err(|err| failed(&err))?;
        }
    }
    let none = None::<&str>;
    mount(Some(source), target, none, MsFlags::MS_BIND, none).map_err(|err| failed(&err))
}

fn configure_network(spec: &NodeSpec) -> Result<(), String> {
    set_sysctls(spec)?;
    let netlink = Netlink::open().map_err(|err| format!("netlink: {err}"))?;
    let step = |what: &str, result: io::Result<()>| result.map_err(|err| format!("{what}: {err}"));
    step("lo", netlink.set_up("lo", true))?;
    for address in &spec.virtual_addresses {
        step("address on lo", netlink.add_address("lo", *address, 32))?;
    }
    step("offloads of eth0", offload::switch_off(NODE_LINK))?;
    step(
        "address of eth0",
        netlink.add_address(NODE_LINK, spec.address, spec.prefix),
    )?;
    step("eth0", netlink.set_up(NODE_LINK, true))
}

fn set_sysctls(spec: &NodeSpec) -> Result<(), String> {
    // A new network namespace inherits IPv4 settings from the host, so those that matter are set.
    let mut settings = vec![
        ("ip_forward", "0"),
        ("conf/all/rp_filter", "0"),
        ("conf/eth0/rp_filter", "0"),
    ];
    if !spec.virtual_addresses.is_empty() {
        settings.push(("conf/all/arp_ignore", "1"));
        settings.push(("conf/all/arp_announce", "2"));
    }
    for (name, value) in settings {
        let path = format!("/proc/sys/net/ipv4/{name}");
        fs::write(&path, value).map_err(|err| format!("{path}: {err}"))?;
    }
    Ok(())
}

fn start(command: &[String]) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("an empty command")?;
    let failed = |err: io::Error| format!("start `{program}`: {err}");
    let output = || io::stderr().as_fd().try_clone_to_owned().map(Stdio::from);
    Command::new(program)
        .args(arguments)
        .env("PATH", node_path())
        .stdin(Stdio::null())
        .stdout(output().map_err(failed)?)
        .stderr(output().map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    Ok(())
}

fn child_signal() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals
}

fn reap_for_ever() -> ! {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => {
                // An error can only be an interruption, after which there may be something to reap.
                let _signal = child_signal().wait();
            }
            Ok(WaitStatus::Exited(pid, status)) => note(pid, &format!("exit status {status}")),
            Ok(WaitStatus::Signaled(pid, signal, _)) => note(pid, signal.as_str()),
            Ok(_) | Err(_) => {}
        }
    }
}

fn note(pid: Pid, end: &str) {
    // The log is all there is to write to.
    let _unheard = writeln!(io::stderr(), "lab: process {pid} ended: {end}");
}
