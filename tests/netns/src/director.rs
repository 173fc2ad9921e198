//! One director of a cluster: its config, its daemon and the ways to ask it.

use std::fs::{self, OpenOptions};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_api::{
    Client, ClientError, Connections, EventRecord, Role, Services, Status, VirtualRouterStatus,
};
use evenkeel_lab::NodeHandle;
use evenkeel_net::{LinkInfo, Netlink};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::{Cluster, Joined as _, LOOK_EVERY, PATIENCE};

/// Lines of the daemon's log in a failure.
const LOG_LINES: usize = 15;

/// How long a status may take; a daemon that was stopped by a signal gives none.
const ANSWER: Duration = Duration::from_secs(5);

/// A node with a daemon, which the test starts and ends.
#[derive(Clone, Copy)]
pub struct Director<'c> {
    pub(crate) cluster: &'c Cluster,
    pub(crate) name: &'c str,
}

impl<'c> Director<'c> {
    /// Its node.
    #[must_use]
    pub fn node(self) -> NodeHandle<'c> {
        self.cluster.node(self.name)
    }

    /// Runs `evenkeel` in the node, to its end.
    #[must_use]
    pub fn evenkeel(self, words: &[&str]) -> Told {
        self.tell(&[&["evenkeel"], words].concat())
    }

    /// Runs a command in the node, to its end, whatever that is.
    #[must_use]
    pub fn tell(self, words: &[&str]) -> Told {
        // A daemon that should have refused to start must not hang the test.
        let words = [&["timeout", "-k", "1", "60"], words].concat();
        self.node().run(&words).expect("`timeout` is there").into()
    }

    /// Writes the config file; the daemon reads it when it starts or is told to.
    pub fn write_config(self, text: &str) {
        fs::write(self.config_path(), text).expect("the folder is ours");
    }

    /// The config file's path.
    #[must_use]
    pub fn config_path(self) -> PathBuf {
        self.folder().join("evenkeel.toml")
    }

    /// Runs `evenkeel` with the config file's path after its command.
    #[must_use]
    pub fn evenkeel_with_config(self, command: &str) -> Told {
        let path = self.config_path();
        let path = path.to_str().expect("the path is text");
        self.evenkeel(&[command, "--config", path])
    }

    /// Writes another config and has the daemon take it; what it said.
    #[must_use]
    pub fn reload(self, config: &str) -> String {
        self.write_config(config);
        self.evenkeel(&["reload"]).succeeded()
    }

    /// Starts the daemon with that config.
    #[must_use]
    pub fn start_daemon(self, config: &str) -> Daemon {
        self.write_config(config);
        self.start_daemon_from(Path::new("evenkeel"))
    }

    /// Starts that program as the daemon, with the config as it is.
    #[must_use]
    pub fn start_daemon_from(self, program: &Path) -> Daemon {
        self.start_daemon_by(Command::new(program))
    }

    /// Starts the daemon, with the config as it is, by a command that ends with the program.
    #[must_use]
    pub fn start_daemon_by(self, mut command: Command) -> Daemon {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path());
        command
            .args(["run", "--config"])
            .arg(self.config_path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the folder is ours"));
        let child = self.node().spawn(command);
        Daemon(child.expect("the daemon starts"))
    }

    /// Where the pins are, as this process reaches them; the node must be on.
    #[must_use]
    pub fn pins(self) -> PathBuf {
        self.node()
            .path(crate::cluster::PINS)
            .expect("the node is on")
    }

    /// What the daemons have logged so far.
    #[must_use]
    pub fn log(self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Where its config and logs are, seen alike from the node and from here.
    #[must_use]
    pub fn folder(self) -> PathBuf {
        self.cluster.folder_of(self.name)
    }

    fn log_path(self) -> PathBuf {
        self.folder().join("daemon.log")
    }

    pub(crate) fn end_of_log(self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// A client of the daemon's API; its socket is in the node's own /run. `None`: the node is off.
    fn api(self) -> Option<Client> {
        let state = self.cluster.lab.state();
        let pid = state.nodes.get(self.name)?.process?.pid;
        let socket = format!("/proc/{pid}/root{}", evenkeel_api::DEFAULT_SOCKET);
        Some(Client::new(socket))
    }

    fn ask<T>(self, question: impl AsyncFnOnce(Client) -> Result<T, ClientError>) -> T {
        let client = self.api().expect("the director is on");
        let answer = self.cluster.runtime.block_on(question(client));
        answer.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// The daemon's status; `None`: it does not answer.
    #[must_use]
    pub fn try_status(self) -> Option<Status> {
        let client = self.api()?;
        let runtime = &self.cluster.runtime;
        let answer = async { tokio::time::timeout(ANSWER, client.status()).await };
        runtime.block_on(answer).ok()?.ok()
    }

    /// The daemon's status.
    #[must_use]
    pub fn status(self) -> Status {
        self.ask(async |client| client.status().await)
    }

    /// What `ipvsadm -L` is made from.
    #[must_use]
    pub fn services(self) -> Services {
        self.ask(async |client| client.services().await)
    }

    /// What `ipvsadm -Lc` is made from.
    #[must_use]
    pub fn connections(self) -> Connections {
        self.ask(async |client| client.connections().await)
    }

    /// What the daemon remembers to have happened.
    #[must_use]
    pub fn events(self) -> Vec<EventRecord> {
        self.ask(async |client| client.events(0, Duration::ZERO).await)
            .events
    }

    /// Its changes of role in the only virtual router, as `events` tells them.
    #[must_use]
    pub fn role_changes(self) -> Vec<String> {
        let events = self.events().into_iter();
        let changes = events.filter(|event| event.kind == "role-changed");
        changes.map(|event| event.message).collect()
    }

    /// A virtual router, by its name; `None`: the daemon does not answer, or takes no part in it.
    #[must_use]
    pub fn router(self, name: &str) -> Option<VirtualRouterStatus> {
        let routers = self.try_status()?.virtual_routers;
        routers.into_iter().find(|router| router.name == name)
    }

    /// How often something has happened to a virtual router.
    #[must_use]
    pub fn count(self, router: &str, kind: &str) -> u64 {
        let counters = self.router(router).expect("it is configured").counters;
        let found = counters.iter().find(|counter| counter.kind == kind);
        found.map_or(0, |counter| counter.count)
    }

    /// Waits for a role; how things stand then.
    pub fn becomes(self, router: &str, role: Role) -> VirtualRouterStatus {
        let mut found = None;
        let what = format!("{} is {} of {router}", self.name, role.name());
        self.cluster.eventually(&what, || {
            found = self.router(router).filter(|router| router.role == role);
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// Whether the daemon is ready and lists every server that its config has.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self.try_status().is_some_and(|status| {
            let mut servers = status.services.iter().flat_map(|service| &service.servers);
            status.ready && servers.all(|server| server.listed)
        })
    }

    /// The node's interface as the kernel describes it now.
    #[must_use]
    pub fn link(self) -> LinkInfo {
        let asked = self.node().task(|| async {
            let (netlink, _events) = Netlink::open().await.expect("netlink opens");
            netlink.link("eth0").await.expect("the interface is there")
        });
        asked.and_then_join()
    }

    /// The interface's hardware address.
    #[must_use]
    pub fn mac(self) -> [u8; 6] {
        self.link().mac.0
    }

    /// Whether the address stands on the interface.
    #[must_use]
    pub fn has_address(self, address: Ipv4Addr) -> bool {
        let shown = ["ip", "-4", "-oneline", "address", "show", "dev", "eth0"];
        let shown = self.cluster.run(self.name, &shown);
        shown.contains(&format!(" {address}/"))
    }

    /// Packets that the data plane dropped for that reason.
    #[must_use]
    pub fn dropped(self, reason: &str) -> u64 {
        let drops = self.status().drops.into_iter();
        drops
            .filter(|drop| drop.reason == reason)
            .map(|drop| drop.packets)
            .sum()
    }

    /// Connections of one service's servers, as the daemon counts them, by the servers' addresses.
    #[must_use]
    pub fn placed(self, service: &str) -> Vec<(IpAddr, u64)> {
        let services = self.status().services;
        let found = services.into_iter().find(|found| found.name == service);
        let servers = found.expect("the service is configured").servers;
        let placed = servers
            .iter()
            .map(|server| (server.address.ip(), server.conns));
        placed.collect()
    }
}

/// A running daemon; dropping it kills it.
#[derive(Debug)]
pub struct Daemon(Child);

impl Daemon {
    /// Its process id, as this process sees it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal; when that was.
    pub fn signal(&self, signal: Signal) -> Instant {
        let pid = i32::try_from(self.0.id()).expect("pids are small");
        let when = Instant::now();
        kill(Pid::from_raw(pid), signal).expect("it is our child");
        when
    }

    /// SIGKILL; it is gone when this returns.
    pub fn kill(mut self) {
        self.0.kill().expect("it is our child");
        let _status = self.0.wait().expect("it is our child");
    }

    /// SIGTERM; its exit status.
    #[must_use]
    pub fn terminate(self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits until it ends by itself; its exit status.
    #[must_use]
    pub fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the daemon does not end");
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
