//! A lab with one director, whose daemon the test starts and ends.
//!
//! Everything here panics where it fails: a test is over then. Dropping a [`Cluster`] ends all of it.

use std::fs::{self, OpenOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_api::{Client, Connections, ServerStatus, ServiceStatus, Services, Status};
use evenkeel_lab::load::{self, Ports, Record, Target};
use evenkeel_lab::{Lab, NodeHandle, Options, Topology};
use evenkeel_net::{LinkInfo, Netlink};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The virtual address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 146);
/// The node that sends requests, `client`.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 1);
/// The node with the daemon, `director`.
pub const DIRECTOR: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 10);
/// Port of the real servers' own web server.
pub const WEB: u16 = 80;

/// Where pins are, in the director's own file system.
pub const PINS: &str = "/sys/fs/bpf/evenkeel";

/// Longest wait for something that takes well below a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Lines of the daemon's log in a failure.
const LOG_LINES: usize = 15;

/// Name of the real server with that number, 1 at least.
#[must_use]
pub fn server(number: u8) -> String {
    format!("web{number}")
}

/// Address of the real server with that number.
#[must_use]
pub const fn server_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 14, 11 + number)
}

/// A client, a director and real servers, each with a web server on [`WEB`]; no daemon yet.
pub struct Cluster {
    pub lab: Lab,
    pub ports: Arc<Ports>,
    servers: u8,
    folder: TempDir,
    runtime: Runtime,
    patience: Duration,
}

impl Cluster {
    /// Boots a lab with that many real servers, named as given or, where that is taken, a little longer.
    #[must_use]
    pub fn boot(name: &str, servers: u8) -> Self {
        Self::boot_from(&topology(name, servers), servers)
    }

    /// Boots a lab from the text of a topology that [`topology`] made and the test changed.
    #[must_use]
    pub fn boot_from(text: &str, servers: u8) -> Self {
        let topology = Topology::parse("test.toml", text).expect("the topology is good");
        let options = Options {
            program: Some(program()),
            ..Options::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            lab: Lab::start(topology, options).expect("the lab starts; root is needed"),
            ports: Arc::new(Ports::new()),
            servers,
            folder: TempDir::new().expect("a folder for config and log"),
            runtime: runtime.expect("a runtime"),
            patience: PATIENCE,
        }
    }

    /// Waits that long for everything, on a slow machine.
    pub const fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> NodeHandle<'_> {
        self.lab.node(name).expect("the node is in the topology")
    }

    /// Runs a command in a node; its standard output, where it succeeds.
    #[must_use]
    pub fn run(&self, node: &str, words: &[&str]) -> String {
        let output = self.node(node).run(words).expect("the command starts");
        assert!(output.status.success(), "{words:?} in {node}: {output:?}");
        String::from_utf8(output.stdout).expect("its output is text")
    }

    /// Runs `evenkeel` in the director's node, to its end.
    #[must_use]
    pub fn evenkeel(&self, words: &[&str]) -> Told {
        // A daemon that should have refused to start must not hang the test.
        let words = [&["timeout", "-k", "1", "60", "evenkeel"], words].concat();
        self.node("director")
            .run(&words)
            .expect("`timeout` is there")
            .into()
    }

    /// Writes the config file; the daemon reads it when it starts or is told to.
    pub fn write_config(&self, text: &str) {
        fs::write(self.config_path(), text).expect("the folder is ours");
    }

    /// The config file's path.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("evenkeel.toml")
    }

    /// Arguments of `evenkeel` with the config file's path after them.
    #[must_use]
    pub fn evenkeel_with_config(&self, command: &str) -> Told {
        let path = self.config_path();
        let path = path.to_str().expect("the path is text");
        self.evenkeel(&[command, "--config", path])
    }

    /// Starts the daemon with that config.
    #[must_use]
    pub fn start_daemon(&self, config: &str) -> Daemon {
        self.write_config(config);
        self.start_daemon_from(Path::new("evenkeel"))
    }

    /// Starts that program as the daemon, with the config as it is.
    #[must_use]
    pub fn start_daemon_from(&self, program: &Path) -> Daemon {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path());
        let mut command = Command::new(program);
        command
            .args(["run", "--config"])
            .arg(self.config_path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the folder is ours"));
        let child = self.node("director").spawn(command);
        Daemon(child.expect("the daemon starts"))
    }

    /// What the daemons have logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("daemon.log")
    }

    /// A client of the daemon's API; its socket is in the director's own /run.
    fn api(&self) -> Client {
        let state = self.lab.state();
        let director = state.nodes.get("director").and_then(|node| node.process);
        let pid = director.expect("the director is on").pid;
        Client::new(format!("/proc/{pid}/root{}", evenkeel_api::DEFAULT_SOCKET))
    }

    /// The daemon's status; `None`: it does not answer.
    #[must_use]
    pub fn try_status(&self) -> Option<Status> {
        self.runtime.block_on(self.api().status()).ok()
    }

    /// The daemon's status.
    #[must_use]
    pub fn status(&self) -> Status {
        let status = self.runtime.block_on(self.api().status());
        status.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// A service as `status` has it.
    #[must_use]
    pub fn service(&self, port: u16) -> ServiceStatus {
        let services = self.status().services;
        let found = services
            .into_iter()
            .find(|service| service.address == vip(port));
        found.expect("the service is configured")
    }

    /// A server of a service as `status` has it.
    #[must_use]
    pub fn server_of(&self, port: u16, number: u8) -> ServerStatus {
        let servers = self.service(port).servers;
        let address = IpAddr::from(server_address(number));
        let found = servers
            .into_iter()
            .find(|server| server.address.ip() == address);
        found.expect("the server is configured")
    }

    /// What `ipvsadm -L` is made from.
    #[must_use]
    pub fn services(&self) -> Services {
        self.runtime
            .block_on(self.api().services())
            .expect("the daemon answers")
    }

    /// What `ipvsadm -Lc` is made from.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.runtime
            .block_on(self.api().connections())
            .expect("the daemon answers")
    }

    /// Waits until the daemon is ready and lists every server that its config has.
    pub fn wait_until_ready(&self) {
        self.eventually("the daemon is ready and lists every server", || {
            self.try_status().is_some_and(|status| {
                let mut servers = status.services.iter().flat_map(|service| &service.servers);
                status.ready && servers.all(|server| server.listed)
            })
        });
    }

    /// Waits until `holds`, at most the cluster's patience.
    pub fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + self.patience;
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "never came true: {what}\nstatus: {:#?}\nend of the log:\n{}",
                self.try_status(),
                self.end_of_log()
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// The director's interface as the kernel describes it now.
    #[must_use]
    pub fn link(&self) -> LinkInfo {
        let asked = self.node("director").task(|| async {
            let (netlink, _events) = Netlink::open().await.expect("netlink opens");
            netlink.link("eth0").await.expect("the interface is there")
        });
        asked.and_then_join()
    }

    /// Where requests to the virtual address go.
    #[must_use]
    pub fn target(&self, port: u16) -> Target {
        Target {
            address: vip(port),
            path: String::from("/"),
            deadline: self.patience,
        }
    }

    /// Sends requests one after the other from the client.
    #[must_use]
    pub fn requests(&self, port: u16, count: usize) -> Vec<Record> {
        load::sequential(self.node("client"), &self.target(port), &self.ports, count)
            .expect("the client is on")
    }

    /// The names that so many requests were answered with, all of which must succeed.
    #[must_use]
    pub fn answers(&self, port: u16, count: usize) -> Vec<String> {
        let records = self.requests(port, count).into_iter();
        records
            .map(|record| record.outcome.expect("the request succeeds"))
            .collect()
    }

    /// Makes the client and the real servers send again only what was lost, not what was late.
    pub fn retransmit_only_losses(&self) {
        let servers = (1..=self.servers).map(|n| (server(n), server_address(n)));
        for (node, address) in servers.chain([(String::from("client"), CLIENT)]) {
            // An acknowledgement is late where this machine has other things to do.
            let line = format!(
                "echo 0 > /proc/sys/net/ipv4/tcp_early_retrans && \
                 ip route replace 198.18.14.0/24 dev eth0 proto kernel scope link src {address} rto_min 5s"
            );
            let _nothing = self.run(&node, &["sh", "-c", &line]);
        }
    }

    /// Every counter of packets that were lost somewhere, for the message of a failed test.
    #[must_use]
    pub fn losses(&self) -> String {
        let servers = (1..=self.servers).map(server);
        let nodes = servers.chain(["client", "director"].map(String::from));
        let mut text = format!("director's drops: {:?}\n", self.status().drops);
        for node in nodes {
            let links = self.run(&node, &["grep", "eth0", "/proc/net/dev"]);
            text += &format!("{node}: {}\n", links.trim());
        }
        let ports = self
            .lab
            .in_switch(|| fs::read_to_string("/proc/thread-self/net/dev"));
        let ports = ports.and_then_join().unwrap_or_default();
        let machine = fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
        let again = self.retransmitted();
        text + &format!("switch:\n{ports}\nsoftnet_stat:\n{machine}segments sent again: {again}")
    }

    /// Segments that the client and the real servers sent again so far.
    #[must_use]
    pub fn retransmitted(&self) -> u64 {
        let servers = (1..=self.servers).map(server);
        let nodes = servers.chain([String::from("client")]);
        nodes
            .map(|node| {
                counter(
                    &self.run(&node, &["cat", "/proc/net/snmp"]),
                    "Tcp:",
                    "RetransSegs",
                )
            })
            .sum()
    }
}

/// A counter in the shape of /proc/net/snmp: a line of names, a line of values.
fn counter(text: &str, group: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let value = pairs
        .find(|(known, _)| *known == name)
        .expect("the kernel counts it")
        .1;
    value.parse().expect("a number")
}

/// The end of a thread in a node.
trait Joined<T> {
    fn and_then_join(self) -> T;
}

impl<T> Joined<T> for Result<evenkeel_lab::NetnsThread<T>, evenkeel_lab::LabError> {
    fn and_then_join(self) -> T {
        let thread = self.expect("the node is on");
        thread.join().expect("the thread enters the node")
    }
}

/// The virtual address and a port.
#[must_use]
pub fn vip(port: u16) -> SocketAddr {
    (VIP, port).into()
}

/// A running daemon; dropping it kills it.
#[derive(Debug)]
pub struct Daemon(Child);

impl Daemon {
    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).expect("pids are small");
        kill(Pid::from_raw(pid), signal).expect("it is our child");
    }

    /// SIGKILL; it is gone when this returns.
    pub fn kill(mut self) {
        self.0.kill().expect("it is our child");
        let _status = self.0.wait().expect("it is our child");
    }

    /// SIGTERM; its exit status.
    #[must_use]
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "SIGTERM does not end the daemon");
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("programs print text");
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Told {
    /// Asserts that it failed with that code, and that standard error has all of these.
    pub fn assert_refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in {self:?}");
        }
    }

    /// Asserts that it succeeded; what it printed.
    #[must_use]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

/// The text of a topology: `client`, `director`, and `web1` and so on.
#[must_use]
pub fn topology(name: &str, servers: u8) -> String {
    let mut text = format!("[lab]\nname = \"{name}\"\nnetwork = \"198.18.14.0/24\"\n");
    text += &node("client", "client", CLIENT, "");
    text += &node("director", "director", DIRECTOR, "");
    for number in 1..=servers {
        let virtual_address = format!("virtual = [\"{VIP}\"]\n");
        let address = server_address(number);
        text += &node(&server(number), "real-server", address, &virtual_address);
    }
    text
}

/// One more node for the text of a topology; `more` are further lines of its table.
#[must_use]
pub fn node(name: &str, kind: &str, address: Ipv4Addr, more: &str) -> String {
    format!("\n[[node]]\nname = \"{name}\"\nkind = \"{kind}\"\naddress = \"{address}\"\n{more}")
}

/// A config with the services given, and small tables.
#[must_use]
pub fn config(services: &[String]) -> String {
    let head = "[director]\nname = \"director\"\ninterface = \"eth0\"\nxdp = \"native\"\n\n\
                [tables]\nconnections = 16384\nhalf-open = 4096\n";
    format!("{head}{}", services.concat())
}

/// A service at the virtual address with those real servers; `more` are further lines of its table.
#[must_use]
pub fn service(name: &str, port: u16, servers: &[u8], more: &str) -> String {
    let servers: Vec<String> = servers
        .iter()
        .map(|number| format!("{{ address = \"{}\" }}", server_address(*number)))
        .collect();
    format!(
        "\n[[service]]\nname = \"{name}\"\nlisten = \"{VIP}:{port}\"\nprotocol = \"tcp\"\n\
         scheduler = \"rr\"\nforward = \"direct\"\nservers = [ {} ]\n{more}\n",
        servers.join(", ")
    )
}

/// The daemon's program, built beside the tests.
#[must_use]
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("the test has a path");
    let folder = own
        .ancestors()
        .nth(2)
        .expect("tests are in a folder of the build");
    let program = folder.join("evenkeel");
    assert!(
        program.exists(),
        "build the program first: `cargo build --package evenkeel`"
    );
    program
}

/// None of the requests failed.
///
/// # Panics
/// If one did.
pub fn assert_all_succeeded(records: &[Record]) {
    let failed: Vec<&Record> = records
        .iter()
        .filter(|record| record.outcome.is_err())
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} failed: {failed:#?}",
        failed.len(),
        records.len()
    );
}
