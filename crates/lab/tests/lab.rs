//! Real labs, booted as root. Nodes run the example program `lab`, the least that knows the hidden
//! subcommands.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "helpers of tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_lab::load::{self, OpenLoad, Ports, Target};
use evenkeel_lab::{Lab, LabError, NodeHandle, Options, ProcessId, Topology, WebServer, command};

const THREE: &str = r#"
[lab]
name = "three"
network = "198.18.14.0/24"
domain = "example.test"

[[node]]
name = "client"
kind = "client"
address = "198.18.14.1"

[[node]]
name = "web1"
kind = "real-server"
address = "198.18.14.12"
virtual = ["198.18.14.146"]

[[node]]
name = "web2"
kind = "real-server"
address = "198.18.14.13"
virtual = ["198.18.14.146"]
"#;

/// The example program, which `cargo test` builds next to the tests.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().unwrap().with_file_name("examples/lab");
    assert!(program.exists(), "build the example `lab` first");
    program
}

fn topology() -> Topology {
    Topology::parse("three.toml", THREE).unwrap()
}

fn options(name: &str) -> Options {
    Options {
        name: Some(name.to_owned()),
        program: Some(program()),
        ..Options::default()
    }
}

fn start(name: &str) -> Lab {
    Lab::start(topology(), options(name)).unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn target(server: NodeHandle<'_>) -> Target {
    Target {
        address: server.http().unwrap(),
        path: String::from("/"),
        deadline: Duration::from_secs(2),
    }
}

fn fetch(lab: &Lab, server: &str, ports: &Arc<Ports>) -> Result<String, String> {
    let target = target(lab.node(server).unwrap());
    let mut records = load::sequential(lab.node("client").unwrap(), &target, ports, 1).unwrap();
    records.remove(0).outcome
}

fn serves(lab: &Lab, server: &str, ports: &Arc<Ports>) {
    eventually("the web server answers", || {
        fetch(lab, server, ports) == Ok(server.to_owned())
    });
}

fn mac(node: NodeHandle<'_>) -> String {
    text(&node.run(&["cat", "/sys/class/net/eth0/address"]).unwrap())
}

/// Every network namespace that some process is in.
fn network_namespaces() -> BTreeSet<PathBuf> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path().join("ns/net")).ok())
        .collect()
}

fn namespaces_of(lab: &evenkeel_lab::LabState) -> Vec<PathBuf> {
    lab.nodes
        .values()
        .filter_map(|node| node.process)
        .map(|process| fs::read_link(format!("/proc/{}/ns/net", process.pid)).unwrap())
        .collect()
}

fn links() -> BTreeSet<String> {
    fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn is_gone(process: ProcessId) -> bool {
    match fs::read_to_string(format!("/proc/{}/stat", process.pid)) {
        Ok(stat) => !stat.contains(&format!(" {} ", process.start)) || stat.contains(") Z "),
        Err(_) => true,
    }
}

#[test]
fn http_crosses_the_switch_and_the_server_is_known_by_its_name() {
    let lab = start("t-http");
    let ports = Arc::new(Ports::new());
    serves(&lab, "web1", &ports);
    serves(&lab, "web2", &ports);
}

#[test]
fn a_node_that_was_off_comes_back_with_its_mac_and_nothing_else() {
    let lab = start("t-power");
    let ports = Arc::new(Ports::new());
    let node = lab.node("web1").unwrap();
    serves(&lab, "web1", &ports);
    let before = mac(node);
    assert_eq!(before, "02:00:c6:12:0e:0c\n");
    text(&node.run(&["touch", "/run/mark"]).unwrap());
    let process = lab.state().nodes["web1"].process.unwrap();

    lab.power_off("web1").unwrap();
    assert!(is_gone(process));
    assert!(matches!(node.run(&["true"]), Err(LabError::NodeOff { .. })));
    assert!(matches!(
        lab.power_off("web1"),
        Err(LabError::NodeOff { .. })
    ));
    assert!(fetch(&lab, "web1", &ports).is_err());

    lab.power_on("web1").unwrap();
    assert!(matches!(lab.power_on("web1"), Err(LabError::NodeOn { .. })));
    serves(&lab, "web1", &ports);
    assert_eq!(mac(node), before);
    assert!(!node.run(&["ls", "/run/mark"]).unwrap().status.success());
}

#[test]
fn nothing_that_dying_processes_send_leaves_a_node_that_is_powered_off() {
    let lab = start("t-silence");
    let ports = Arc::new(Ports::new());
    serves(&lab, "web1", &ports);
    let hang = Target {
        path: String::from("/hang"),
        ..target(lab.node("web1").unwrap())
    };
    let client = lab.node("client").unwrap();
    let under_way = Arc::clone(&ports);
    let request = client
        .task(move || async move { load::request(&hang, &under_way).await })
        .unwrap();
    eventually("the connection stands", || {
        text(&client.run(&["cat", "/proc/net/tcp"]).unwrap()).contains(" 01 ")
    });
    lab.power_off("web1").unwrap();
    // A reset or an end of stream would have ended it sooner, in other words.
    let outcome = request.join().unwrap().outcome;
    assert_eq!(outcome, Err(String::from("deadline passed")));
}

#[test]
fn a_link_that_is_down_carries_nothing_until_it_is_up() {
    let lab = start("t-link");
    let ports = Arc::new(Ports::new());
    serves(&lab, "web1", &ports);
    lab.set_link("web1", false).unwrap();
    assert!(fetch(&lab, "web1", &ports).is_err());
    assert!(!lab.state().nodes["web1"].link_up);
    lab.set_link("web1", true).unwrap();
    serves(&lab, "web1", &ports);
}

#[test]
fn a_node_has_its_own_names_mounts_and_programs() {
    let lab = start("t-own");
    let node = lab.node("web1").unwrap();
    let run = |words: &[&str]| text(&node.run(words).unwrap());
    assert_eq!(run(&["cat", "/proc/sys/kernel/hostname"]), "web1\n");
    assert_eq!(run(&["cat", "/etc/resolv.conf"]), "");
    assert!(run(&["cat", "/etc/hosts"]).contains("198.18.14.13 web2.example.test web2\n"));
    assert_eq!(
        run(&["sh", "-c", "command -v ipvsadm"]),
        "/run/lab/bin/ipvsadm\n"
    );
    let mounts = run(&["cat", "/proc/mounts"]);
    assert!(mounts.contains("bpf /sys/fs/bpf bpf "), "{mounts}");
    assert_eq!(
        run(&["cat", "/proc/sys/net/ipv4/conf/all/arp_ignore"]),
        "1\n"
    );
    assert_eq!(
        run(&["cat", "/proc/sys/net/ipv4/conf/all/arp_announce"]),
        "2\n"
    );
    assert!(run(&["cat", "/proc/net/fib_trie"]).contains("198.18.14.146"));
    // PID 1 is the node's own; the shell that asks has entered from outside.
    assert!(run(&["cat", "/proc/1/cmdline"]).contains("lab-init"));
    assert!(!Path::new("/run/lab").exists());
    assert!(
        !fs::read_to_string("/etc/hosts")
            .unwrap()
            .contains("web2.example.test")
    );
}

#[test]
fn orphans_in_a_node_are_reaped() {
    let lab = start("t-reap");
    let node = lab.node("client").unwrap();
    let orphan = "sh -c 'echo $$ >/run/orphan; exec true' &";
    text(&node.run(&["sh", "-c", orphan]).unwrap());
    let gone = "p=$(cat /run/orphan) && [ -n \"$p\" ] && [ ! -e /proc/$p ]";
    eventually("the orphan is reaped", || {
        node.run(&["sh", "-c", gone]).unwrap().status.success()
    });
}

#[test]
fn an_open_loop_does_not_wait_for_its_failures() {
    let lab = start("t-load");
    let ports = Arc::new(Ports::new());
    serves(&lab, "web1", &ports);
    let aim = target(lab.node("web1").unwrap());
    let every = Duration::from_millis(5);
    let load = OpenLoad::start(lab.node("client").unwrap(), &aim, &ports, every).unwrap();
    eventually("100 requests went out", || load.sent() >= 100);
    let fault = lab.power_off("web1").unwrap();
    let then = load.sent();
    eventually("100 more went out", || load.sent() >= then + 100);
    let records = load.stop().unwrap();
    let mut client_ports = BTreeSet::new();
    for record in &records {
        assert!(client_ports.insert(record.client_port), "{record:?}");
        // An answer that came before the fault may be read after it.
        let fits = match record.outcome {
            Ok(_) => record.started < fault,
            Err(_) => record.finished >= fault,
        };
        assert!(fits, "{record:?}");
    }
    assert!(records.len() >= 200);
    assert!(load::longest_gap(&records) >= Duration::from_millis(500));
}

#[test]
fn two_labs_side_by_side_do_not_meet() {
    let unnamed = || Options {
        program: Some(program()),
        ..Options::default()
    };
    let first = Lab::start(topology(), unnamed()).unwrap();
    let second = Lab::start(topology(), unnamed()).unwrap();
    assert_eq!(first.state().name, "three");
    assert_eq!(second.state().name, "three-2");
    let taken = Lab::start(topology(), options("three")).err().unwrap();
    assert!(matches!(taken, LabError::NameTaken { .. }), "{taken}");
    let ports = Arc::new(Ports::new());
    second.power_off("web1").unwrap();
    serves(&first, "web1", &ports);
    assert!(fetch(&second, "web1", &ports).is_err());
}

#[test]
fn a_lab_that_was_ended_leaves_nothing() {
    let links_before = links();
    let lab = start("t-end");
    let state = lab.state();
    let namespaces = namespaces_of(&state);
    assert_eq!(namespaces.len(), 3);
    let folder = lab.folder().to_owned();
    drop(lab);
    assert!(!folder.exists());
    for process in state.nodes.values().filter_map(|node| node.process) {
        assert!(is_gone(process));
    }
    let left = network_namespaces();
    assert!(namespaces.iter().all(|namespace| !left.contains(namespace)));
    assert_eq!(links(), links_before);
}

#[test]
fn a_panic_in_the_keeper_ends_its_lab() {
    let (told, state) = std::sync::mpsc::channel();
    let keeper = thread::spawn(move || {
        let lab = start("t-panic");
        told.send(lab.state()).unwrap();
        panic!("on purpose");
    });
    assert!(keeper.join().is_err());
    for process in state
        .recv()
        .unwrap()
        .nodes
        .values()
        .filter_map(|node| node.process)
    {
        assert!(is_gone(process));
    }
}

#[test]
fn a_kernel_kills_the_lab_of_a_keeper_that_was_killed() {
    let file = TopologyFile::new("t-killed");
    let mut keeper = Command::new(program())
        .arg(&file.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lab = stands("t-killed");
    let namespaces = namespaces_of(&lab);
    let links_before = links();

    keeper.kill().unwrap();
    keeper.wait().unwrap();
    for process in lab.nodes.values().filter_map(|node| node.process) {
        eventually("the node is gone", || is_gone(process));
    }
    eventually("no process is in its namespaces", || {
        let left = network_namespaces();
        namespaces.iter().all(|namespace| !left.contains(namespace))
    });
    assert_eq!(links(), links_before);
    // The next command, whichever it is, removes the folder.
    let folder = Path::new(evenkeel_lab::STATE_ROOT).join("t-killed");
    assert!(
        command::list()
            .unwrap()
            .iter()
            .all(|lab| lab.name != "t-killed")
    );
    assert!(!folder.exists());
}

#[test]
fn ctrl_c_and_sigterm_tear_the_lab_down() {
    for (name, signal) in [("t-int", libc::SIGINT), ("t-term", libc::SIGTERM)] {
        let file = TopologyFile::new(name);
        let mut keeper = Command::new(program())
            .arg(&file.0)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let lab = stands(name);
        let pid = nix::unistd::Pid::from_raw(i32::try_from(keeper.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::try_from(signal).unwrap()).unwrap();
        let status = keeper.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(0), None));
        for process in lab.nodes.values().filter_map(|node| node.process) {
            assert!(is_gone(process));
        }
        assert!(!Path::new(evenkeel_lab::STATE_ROOT).join(name).exists());
    }
}

#[test]
fn a_detached_lab_obeys_other_processes_until_it_is_taken_down() {
    let file = TopologyFile::new("t-detached");
    let run = |words: &[&str]| Command::new(program()).args(words).output().unwrap();
    assert_eq!(
        text(&run(&["--detach", file.0.to_str().unwrap()])),
        "t-detached\n"
    );
    let lab = Some("t-detached");

    let exec = |words: &[&str]| {
        let mut wanted = Command::new(words[0]);
        wanted.args(&words[1..]);
        command::exec(lab, "web1", wanted)
    };
    assert_eq!(exec(&["sh", "-c", "exit 7"]).unwrap().code(), Some(7));
    assert!(matches!(
        exec(&["no-such-program"]),
        Err(LabError::Spawn { .. })
    ));
    command::link(lab, "web1", false).unwrap();
    assert_eq!(
        exec(&["grep", "-q", "0", "/sys/class/net/eth0/carrier"])
            .unwrap()
            .code(),
        Some(0)
    );
    command::link(lab, "web1", true).unwrap();
    command::power(lab, "web1", false).unwrap();
    assert!(matches!(exec(&["true"]), Err(LabError::NodeOff { .. })));
    let again = command::power(lab, "web1", false).unwrap_err();
    assert_eq!(
        again.to_string(),
        "node `web1` is off; `lab power on web1` boots it"
    );
    command::power(lab, "web1", true).unwrap();
    assert!(exec(&["true"]).unwrap().success());
    let unknown = command::power(lab, "web9", true).unwrap_err();
    assert!(
        unknown
            .to_string()
            .contains("its nodes: client, web1, web2"),
        "{unknown}"
    );

    let state = stands("t-detached");
    command::down(lab).unwrap();
    assert!(is_gone(state.keeper) || !Path::new("/run/evenkeel-lab/t-detached").exists());
    for process in state.nodes.values().filter_map(|node| node.process) {
        assert!(is_gone(process));
    }
    let gone = command::down(lab).unwrap_err();
    assert!(
        matches!(gone, LabError::NoLab | LabError::UnknownLab { .. }),
        "{gone}"
    );
}

#[test]
fn nginx_serves_where_it_is_installed() {
    let with_nginx = Options {
        web_server: WebServer::Nginx,
        ..options("t-nginx")
    };
    let lab = match Lab::start(topology(), with_nginx) {
        Ok(lab) => lab,
        Err(LabError::NoNginx) => return,
        Err(err) => panic!("{err}"),
    };
    let ports = Arc::new(Ports::new());
    serves(&lab, "web1", &ports);
    let ps = text(
        &lab.node("web1")
            .unwrap()
            .run(&["cat", "/run/nginx.pid"])
            .unwrap(),
    );
    assert!(ps.trim().parse::<u32>().is_ok());
}

/// A topology file in a folder of its own, removed on drop.
struct TopologyFile(PathBuf);

impl TopologyFile {
    fn new(lab: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{lab}-{}.toml", std::process::id()));
        fs::write(&path, THREE.replace("\"three\"", &format!("\"{lab}\""))).unwrap();
        Self(path)
    }
}

impl Drop for TopologyFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// Waits until a lab of another process has all its nodes.
fn stands(name: &str) -> evenkeel_lab::LabState {
    let mut found = None;
    eventually("the lab stands", || {
        found = command::list()
            .unwrap()
            .into_iter()
            .find(|lab| lab.name == name)
            .filter(|lab| !lab.nodes.is_empty())
            .filter(|lab| lab.nodes.values().all(|node| node.process.is_some()))
            .filter(|_| {
                Path::new("/run/evenkeel-lab")
                    .join(name)
                    .join("control.sock")
                    .exists()
            });
        found.is_some()
    });
    found.unwrap()
}
