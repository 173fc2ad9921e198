//! A lab with directors, whose daemons the test starts and ends.
//!
//! Everything here panics where it fails: a test is over then. Dropping a [`Cluster`] ends all of it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_api::{Connections, ServerStatus, ServiceStatus, Services, Status};
use evenkeel_lab::load::{self, Ports, Record, Target};
use evenkeel_lab::{Lab, NodeHandle, NodeKind, Options, Topology};
use evenkeel_net::LinkInfo;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::frames::{Frames, filter};

pub use crate::director::{Daemon, Director, Told};
pub use crate::texts::{config, node, pair_topology, service, topology};

/// The virtual address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 146);
/// The node that sends requests, `client`.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 1);
/// The node with the daemon, `director`.
pub const DIRECTOR: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 10);
/// The second director where there is one, `partner`.
pub const PARTNER: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 9);
/// Port of the real servers' own web server.
pub const WEB: u16 = 80;

/// Where pins are, in a director's own file system.
pub const PINS: &str = "/sys/fs/bpf/evenkeel";

/// Longest wait for something that takes well below a second on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

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

/// A client, directors and real servers, each with a web server on [`WEB`]; no daemon yet.
pub struct Cluster {
    pub lab: Lab,
    pub ports: Arc<Ports>,
    servers: u8,
    folder: TempDir,
    pub(crate) runtime: Runtime,
    patience: Duration,
}

impl Cluster {
    /// Boots a lab with that many real servers, named as given or, where that is taken, a little longer.
    #[must_use]
    pub fn boot(name: &str, servers: u8) -> Self {
        Self::boot_from(&topology(name, servers), servers)
    }

    /// As [`boot`](Self::boot), with a second director.
    #[must_use]
    pub fn boot_pair(name: &str, servers: u8) -> Self {
        Self::boot_from(&pair_topology(name, servers, &[VIP]), servers)
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
        let folder = TempDir::new().expect("a folder for configs and logs");
        for node in &topology.nodes {
            fs::create_dir(folder.path().join(&node.name)).expect("the folder is ours");
        }
        Self {
            lab: Lab::start(topology, options).expect("the lab starts; root is needed"),
            ports: Arc::new(Ports::new()),
            servers,
            folder,
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

    /// The director of that name.
    #[must_use]
    pub const fn director_at<'c>(&'c self, name: &'c str) -> Director<'c> {
        Director {
            cluster: self,
            name,
        }
    }

    /// The director that every cluster has.
    #[must_use]
    pub const fn director(&self) -> Director<'_> {
        self.director_at("director")
    }

    /// The second director of a pair.
    #[must_use]
    pub const fn partner(&self) -> Director<'_> {
        self.director_at("partner")
    }

    fn directors(&self) -> impl Iterator<Item = Director<'_>> {
        let nodes = self.lab.topology().nodes.iter();
        let directors = nodes.filter(|node| node.kind == NodeKind::Director);
        directors.map(|node| self.director_at(&node.name))
    }

    /// Where the files of a director are.
    pub(crate) fn folder_of(&self, director: &str) -> PathBuf {
        self.folder.path().join(director)
    }

    /// [`Director::evenkeel`] of the first director.
    #[must_use]
    pub fn evenkeel(&self, words: &[&str]) -> Told {
        self.director().evenkeel(words)
    }

    /// [`Director::write_config`] of the first director.
    pub fn write_config(&self, text: &str) {
        self.director().write_config(text);
    }

    /// [`Director::config_path`] of the first director.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.director().config_path()
    }

    /// [`Director::evenkeel_with_config`] of the first director.
    #[must_use]
    pub fn evenkeel_with_config(&self, command: &str) -> Told {
        self.director().evenkeel_with_config(command)
    }

    /// [`Director::start_daemon`] of the first director.
    #[must_use]
    pub fn start_daemon(&self, config: &str) -> Daemon {
        self.director().start_daemon(config)
    }

    /// [`Director::start_daemon_from`] of the first director.
    #[must_use]
    pub fn start_daemon_from(&self, program: &Path) -> Daemon {
        self.director().start_daemon_from(program)
    }

    /// [`Director::log`] of the first director.
    #[must_use]
    pub fn log(&self) -> String {
        self.director().log()
    }

    /// [`Director::try_status`] of the first director.
    #[must_use]
    pub fn try_status(&self) -> Option<Status> {
        self.director().try_status()
    }

    /// [`Director::status`] of the first director.
    #[must_use]
    pub fn status(&self) -> Status {
        self.director().status()
    }

    /// [`Director::services`] of the first director.
    #[must_use]
    pub fn services(&self) -> Services {
        self.director().services()
    }

    /// [`Director::connections`] of the first director.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.director().connections()
    }

    /// [`Director::link`] of the first director.
    #[must_use]
    pub fn link(&self) -> LinkInfo {
        self.director().link()
    }

    /// A service as `status` of the first director has it.
    #[must_use]
    pub fn service(&self, port: u16) -> ServiceStatus {
        let services = self.status().services;
        let found = services
            .into_iter()
            .find(|service| service.service.address() == Some(vip(port)));
        found.expect("the service is configured")
    }

    /// A server of a service as `status` of the first director has it.
    #[must_use]
    pub fn server_of(&self, port: u16, number: u8) -> ServerStatus {
        let servers = self.service(port).servers;
        let address = IpAddr::from(server_address(number));
        let found = servers
            .into_iter()
            .find(|server| server.address.ip() == address);
        found.expect("the server is configured")
    }

    /// Waits until the first director's daemon is ready and lists every server that its config has.
    pub fn wait_until_ready(&self) {
        self.eventually("the daemon is ready and lists every server", || {
            self.director().is_ready()
        });
    }

    /// Waits until `holds`, at most the cluster's patience.
    pub fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + self.patience;
        while !holds() {
            if Instant::now() >= deadline {
                panic!("never came true: {what}\n{}", self.account());
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// How all directors stand and what they logged last, for the message of a failed test.
    #[must_use]
    pub fn account(&self) -> String {
        let accounts = self.directors().map(|director| {
            format!(
                "status of {}: {:#?}\nend of its log:\n{}\n",
                director.name,
                director.try_status(),
                director.end_of_log()
            )
        });
        accounts.collect()
    }

    /// Sends frames out of a node, such as the client, as they are.
    pub fn send_frames(&self, node: &str, frames: Vec<Vec<u8>>) {
        let sent = self.node(node).thread(move || -> io::Result<()> {
            let link = Frames::open(&[filter::reject()])?;
            frames.iter().try_for_each(|frame| link.send(frame))
        });
        sent.and_then_join().expect("the link is up");
    }

    /// The hardware address that a node's own stack has for an address, as `ip` writes it; `None`: it has none.
    #[must_use]
    pub fn neighbour(&self, node: &str, address: Ipv4Addr) -> Option<String> {
        let words = ["ip", "-4", "neighbour", "show", "dev", "eth0", "to"];
        let shown = self.run(node, &[&words[..], &[&address.to_string()]].concat());
        let mut words = shown.split_whitespace();
        words.find(|word| *word == "lladdr")?;
        words.next().map(str::to_owned)
    }

    /// Runs a command in the switch's network, where each port has its node's name.
    pub fn at_switch(&self, words: &[&str]) {
        let words: Vec<String> = words.iter().map(|word| String::from(*word)).collect();
        let done = self.lab.in_switch(move || {
            let (program, arguments) = words.split_first().expect("a program");
            Command::new(program).args(arguments).output()
        });
        let output = done.and_then_join().expect("the command starts");
        assert!(output.status.success(), "{output:?}");
    }

    /// Keeps the directors' ports from each other, or lets them again; all others reach both.
    pub fn part_directors(&self, apart: bool) -> Instant {
        let word = if apart { "on" } else { "off" };
        for director in self.directors() {
            self.at_switch(&[
                "bridge",
                "link",
                "set",
                "dev",
                director.name,
                "isolated",
                word,
            ]);
        }
        Instant::now()
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
                let again = self.node(&node).retransmitted();
                again.expect("the kernel counts it")
            })
            .sum()
    }
}

impl Drop for Cluster {
    /// A test that failed says what the daemons said.
    #[expect(
        clippy::print_stdout,
        reason = "the test's own output, shown where it fails"
    )]
    fn drop(&mut self) {
        if thread::panicking() {
            for director in self.directors() {
                println!("log of {}:\n{}", director.name, director.log());
            }
        }
    }
}

/// The end of a thread in a node.
pub(crate) trait Joined<T> {
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
