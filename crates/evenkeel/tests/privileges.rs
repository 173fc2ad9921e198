//! The daemon with no more privileges than `packaging/evenkeel.service` gives it, in a lab; needs root.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_lab::{Lab, NodeHandle, Options, Topology};
use serde_json::Value;

const TOPOLOGY: &str = r#"
[lab]
name = "privileges"
network = "198.18.14.0/24"
domain = "example.test"

[[node]]
name = "director"
kind = "director"
address = "198.18.14.10"

[[node]]
name = "web"
kind = "real-server"
address = "198.18.14.12"
virtual = ["198.18.14.146"]
"#;

const CONFIG: &str = r#"
[director]
interface = "eth0"

[tables]
connections = 16384
half-open = 4096

[[service]]
name = "web"
listen = "198.18.14.146:80"
check = { http = "/", every = "200ms", timeout = "200ms" }
servers = [ { address = "198.18.14.12" } ]
"#;

/// The user nobody.
const USER: &str = "65534";

/// CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON and CAP_BPF, as /proc shows them.
const FOUR: &str = "CapEff:\t000000c000003000";

const LOOK_EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a shell's line in the node as root; its output.
fn sh(node: NodeHandle<'_>, line: &str) -> String {
    let output = node.run(&["sh", "-c", line]).unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A command in the node as the user, with the four capabilities and no way to more.
fn as_user(node: NodeHandle<'_>, words: &[&str]) -> Child {
    let capabilities = "-all,+net_admin,+net_raw,+bpf,+perfmon";
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
        .args(["--inh-caps", capabilities, "--ambient-caps", capabilities])
        .args(["--bounding-set", capabilities, "--no-new-privs", "--"])
        .args(words)
        .stdin(Stdio::null());
    node.spawn(command).unwrap()
}

/// The daemon's status, once it is ready.
fn ready(node: NodeHandle<'_>, daemon: &mut Child) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = node.run(&["evenkeel", "status", "--json"]).unwrap();
        if let Ok(status) = serde_json::from_slice::<Value>(&answer.stdout)
            && status["ready"] == true
        {
            return status;
        }
        let ended = daemon.try_wait().unwrap();
        assert!(ended.is_none(), "the daemon ended: {ended:?}");
        assert!(Instant::now() < deadline, "never ready: {answer:?}");
        thread::sleep(LOOK_EVERY);
    }
}

/// A folder that every user may read, with the program and a config file.
fn prepare(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_evenkeel"), folder.join("evenkeel")).unwrap();
    fs::write(folder.join("evenkeel.toml"), CONFIG).unwrap();
}

#[test]
fn daemon_runs_with_four_capabilities() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let options = Options {
        program: Some(folder.path().join("evenkeel")),
        ..Options::default()
    };
    let lab = Lab::start(
        Topology::parse("privileges.toml", TOPOLOGY).unwrap(),
        options,
    )
    .unwrap();
    let director = lab.node("director").unwrap();
    // What the unit's service manager does.
    sh(
        director,
        "chmod 0711 /sys/fs/bpf && for d in /sys/fs/bpf/evenkeel /run/evenkeel; do \
         install -d -o 65534 -g 65534 -m 0700 $d; done",
    );
    let config = folder.path().join("evenkeel.toml");
    let run = ["evenkeel", "run", "--config", config.to_str().unwrap()];

    let mut daemon = as_user(director, &run);
    let status = ready(director, &mut daemon);
    assert_eq!(status["adopted"], false);
    let process = sh(director, &format!("cat /proc/{}/status", status["pid"]));
    assert!(process.contains(FOUR), "{process}");
    assert!(
        process.contains("Uid:\t65534\t65534\t65534\t65534"),
        "{process}"
    );
    sh(director, &format!("kill -KILL {}", status["pid"]));
    daemon.wait().unwrap();

    let mut daemon = as_user(director, &run);
    let status = ready(director, &mut daemon);
    assert_eq!(status["adopted"], true);
    assert_eq!(
        status["services"][0]["servers"][0]["state"], "up",
        "{status}"
    );
    assert!(
        status["problems"].as_array().unwrap().is_empty(),
        "{status}"
    );
    sh(director, &format!("kill -TERM {}", status["pid"]));
    assert!(daemon.wait().unwrap().success());

    let mut purge = as_user(
        director,
        &["evenkeel", "purge", "--config", config.to_str().unwrap()],
    );
    assert!(purge.wait().unwrap().success());
    assert_eq!(sh(director, "ls /sys/fs/bpf/evenkeel"), "");
    assert!(!sh(director, "ip link show dev eth0").contains("xdp"));
}
