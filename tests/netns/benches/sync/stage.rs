//! Two directors with a link of their own for connection sync, and what is read of them.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use evenkeel_api::{Role, Status, SyncPeerStatus};
use evenkeel_netns_tests::cluster::{VIP, server};
use evenkeel_netns_tests::sync::{is_in_sync, named, table, write_key};
use evenkeel_netns_tests::texts::{ECHO, config, router, service, udp};
use evenkeel_netns_tests::{Cluster, Daemon, Director};
use tempfile::TempDir;

use crate::clients::SOURCES;

/// Port of the service that gets the clients' flows.
pub(crate) const LOAD: u16 = 9;

const FRONT: &str = "front";
const SERVERS: u8 = 2;

/// The link that the directors have for themselves, and their addresses there.
const LINK: &str = "sync0";
const ADDRESSES: [(&str, Ipv4Addr); 2] = [
    ("director", Ipv4Addr::new(10, 9, 0, 1)),
    ("partner", Ipv4Addr::new(10, 9, 0, 2)),
];

/// Room for twice the connections of the snapshot, and for all that are half-open at the fastest.
const CONNECTIONS: u32 = 1 << 21;
const HALF_OPEN: u32 = 1 << 20;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which director.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The Active.
    Director,
    /// Its Backup.
    Partner,
}

impl Who {
    const fn place(self) -> usize {
        match self {
            Self::Director => 0,
            Self::Partner => 1,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Director => Self::Partner,
            Self::Partner => Self::Director,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        ADDRESSES[self.place()].0
    }
}

pub(crate) struct Stage {
    daemons: [Option<Daemon>; 2],
    syncs: bool,
    keys: TempDir,
    pub(crate) cluster: Cluster,
}

impl Stage {
    /// Boots the lab, and starts the director, which becomes Active.
    pub(crate) fn boot(syncs: bool) -> anyhow::Result<Self> {
        let mut cluster = Cluster::boot_pair("b-sync", SERVERS);
        cluster.be_patient(PATIENCE);
        for number in 1..=SERVERS {
            let words = ["ip", "route", "add", "blackhole", SOURCES];
            let _nothing = cluster.run(&server(number), &words);
        }
        let keys = tempfile::tempdir()?;
        write_key(&keys.path().join("sync.key"), "0123456789abcdef");
        let mut stage = Self {
            daemons: [None, None],
            syncs,
            keys,
            cluster,
        };
        stage.link()?;
        stage.start(Who::Director);
        let director = stage.director(Who::Director);
        let _router = director.becomes(FRONT, Role::Active);
        stage
            .cluster
            .eventually("the director is ready", || director.is_ready());
        Ok(stage)
    }

    /// Lays the directors' own link.
    fn link(&self) -> anyhow::Result<()> {
        let state = self.cluster.lab.state();
        let mut words = vec!["ip".to_owned(), "link".into(), "add".into()];
        for (number, (node, _)) in ADDRESSES.iter().enumerate() {
            let process = state.nodes.get(*node).and_then(|node| node.process);
            let pid = process.context("the node is on")?.pid.to_string();
            if number == 1 {
                words.extend(["type", "veth", "peer"].map(String::from));
            }
            words.extend(["name", LINK, "netns", &pid].map(String::from));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.cluster.at_switch(&words);
        for (node, address) in ADDRESSES {
            let address = format!("{address}/30");
            for words in [
                &["ip", "address", "add", &address, "dev", LINK][..],
                &["ip", "link", "set", LINK, "up"],
            ] {
                let _nothing = self.cluster.run(node, words);
            }
        }
        Ok(())
    }

    pub(crate) const fn director(&self, who: Who) -> Director<'_> {
        self.cluster.director_at(who.name())
    }

    pub(crate) fn start(&mut self, who: Who) {
        let config = self.config(who);
        let daemon = self.director(who).start_daemon(&config);
        self.daemons[who.place()] = Some(daemon);
    }

    fn config(&self, who: Who) -> String {
        let priority = match who {
            Who::Director => 200,
            Who::Partner => 100,
        };
        let check = "check = { tcp = true, port = 80, every = \"500ms\", timeout = \"500ms\", fall = 10, rise = 1 }";
        let mut tables = vec![
            router(FRONT, 51, &[VIP], priority, "adverts = \"1s\""),
            udp(&service("load", LOAD, &[1, 2], check)),
            udp(&service("echo", ECHO, &[1, 2], check)),
        ];
        if self.syncs {
            tables.push(table(&self.keys.path().join("sync.key"), &ADDRESSES));
        }
        let text = config(&tables)
            .replace(
                "connections = 16384",
                &format!("connections = {CONNECTIONS}"),
            )
            .replace("half-open = 4096", &format!("half-open = {HALF_OPEN}"));
        named(&text, who.name())
    }

    /// Starts the partner and waits until it is a Backup that could take over.
    pub(crate) fn complete(&mut self) {
        self.start(Who::Partner);
        let partner = self.director(Who::Partner);
        let _router = partner.becomes(FRONT, Role::Backup);
        self.cluster.eventually("the partner is ready", || {
            let warm = partner.router(FRONT).is_some_and(|r| r.may_take_over);
            warm && partner.is_ready() && (!self.syncs || self.in_sync())
        });
    }

    pub(crate) fn in_sync(&self) -> bool {
        [Who::Director, Who::Partner].into_iter().all(|who| {
            let status = self.director(who).try_status();
            status.is_some_and(|status| peer(&status, who).is_ok_and(|peer| is_in_sync(&peer)))
        })
    }

    /// Everything that is read of a director at one moment.
    pub(crate) fn look(&self, who: Who) -> anyhow::Result<Look> {
        let daemon = self.daemons[who.place()].as_ref();
        let pid = daemon.context("the daemon runs")?.id();
        let status = self.director(who).status();
        Ok(Look {
            when: Instant::now(),
            cpu: cpu(pid)?,
            peer: self.syncs.then(|| peer(&status, who)).transpose()?,
            link: self.link_bytes(who)?,
            memory: Memory::of(pid)?,
            status,
        })
    }

    /// Bytes that its end of the link has sent, with Ethernet's headers.
    fn link_bytes(&self, who: Who) -> anyhow::Result<u64> {
        let path = format!("/sys/class/net/{LINK}/statistics/tx_bytes");
        let text = self.cluster.run(who.name(), &["cat", &path]);
        text.trim().parse().context("a counter of the link")
    }
}

/// How a director stands with the other one.
pub(crate) fn peer(status: &Status, who: Who) -> anyhow::Result<SyncPeerStatus> {
    let sync = status.sync.as_ref().context("it syncs")?;
    let mut peers = sync.peers.iter();
    let found = peers.find(|peer| peer.name == who.other().name());
    found.cloned().context("it has a peer")
}

/// A director at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) when: Instant,
    /// Processor time that its daemon has had, user and system.
    pub(crate) cpu: Duration,
    pub(crate) status: Status,
    pub(crate) peer: Option<SyncPeerStatus>,
    pub(crate) link: u64,
    pub(crate) memory: Memory,
}

impl Look {
    /// Flows that it has placed since its tables were made.
    pub(crate) fn placed(&self) -> u64 {
        let servers = self.status.services.iter().flat_map(|s| &s.servers);
        servers.map(|server| server.conns).sum()
    }

    /// Entries of its established table.
    pub(crate) fn held(&self) -> u64 {
        self.status.tables.connections
    }

    /// Fails if it placed flows without an entry or dropped packets.
    pub(crate) fn expect_no_loss(&self) -> anyhow::Result<()> {
        let odd = ["flood-syn", "full-syn", "evicted", "flood-began"];
        let mut events = self.status.events.iter();
        let found = events.find(|event| odd.contains(&event.event.as_str()));
        ensure!(found.is_none(), "flows without an entry: {found:?}");
        let drops = &self.status.drops;
        ensure!(drops.is_empty(), "packets were dropped: {drops:?}");
        Ok(())
    }
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// The most that it had at a time, mapped tables included.
    pub(crate) peak: u64,
    /// What it has of its own: neither files nor tables of the data plane.
    pub(crate) own: u64,
}

impl Memory {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name));
            let words = line.and_then(|line| line.split_whitespace().next());
            let kilobytes: u64 = words.context("a field of /proc")?.parse()?;
            anyhow::Ok(kilobytes << 10)
        };
        Ok(Self {
            peak: field("VmHWM:")?,
            own: field("RssAnon:")?,
        })
    }
}

/// User and system time of a process with all its threads (proc_pid_stat(5)).
fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before may hold anything.
    let (_, fields) = text.rsplit_once(')').context("a name in parentheses")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || anyhow::Ok(times.next().context("a time")?.parse::<u32>()?);
    let ticks = next()? + next()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?;
    let per_second = u32::try_from(per_second.context("a clock")?)?;
    Ok(Duration::from_secs(1) * ticks / per_second)
}
