//! A director of the kernel's own in a namespace: its IPVS, or its receive path alone.

use std::fs;
use std::net::Ipv4Addr;

use anyhow::Context as _;
use evenkeel_bpf::{Mode, PassProgram, attach_pass};
use evenkeel_model::{MacAddress, Scheduler};

use crate::harness::{ADDRESS, Counts, MAC, PORT};
use crate::namespace::{Namespace, command};

/// The real servers.
pub(crate) const SERVERS: [Ipv4Addr; 3] = [
    Ipv4Addr::new(198, 18, 14, 12),
    Ipv4Addr::new(198, 18, 14, 13),
    Ipv4Addr::new(198, 18, 14, 14),
];

/// What it does with the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// The stack drops them as soon as it has them: they are for another MAC address.
    Discard,
    /// IPVS sends them to the real servers by direct routing.
    Balance(Scheduler),
}

pub(crate) struct Kernel {
    task: Task,
    namespace: Namespace,
    /// Without a program there a veth takes no frames.
    _pass: PassProgram,
}

impl Kernel {
    /// Makes the director; `near` and `real` in this namespace are the other ends of its two interfaces.
    pub(crate) fn new(task: Task, near: &str, real: &str) -> anyhow::Result<Self> {
        let namespace = Namespace::new()?;
        let pass = namespace.inside(|| {
            set_up(task, near, real)?;
            let index = nix::net::if_::if_nametoindex("far")?;
            let pass = attach_pass("far", index, Mode::Native)?;
            for interface in ["lo", "far", "out"] {
                command(&format!("ip link set {interface} up"))?;
            }
            if let Task::Balance(scheduler) = task {
                balance(scheduler)?;
            }
            Ok(pass)
        })?;
        Ok(Self {
            task,
            namespace,
            _pass: pass,
        })
    }

    /// Whether it holds so many flows, and every server has some.
    pub(crate) fn is_settled(&self, flows: u64) -> anyhow::Result<bool> {
        let active = self.counts()?.others;
        Ok(match self.task {
            Task::Discard => true,
            Task::Balance(_) => active.iter().sum::<u64>() == flows && !active.contains(&0),
        })
    }

    /// Whether what it gets comes to the sink.
    pub(crate) fn sends(&self) -> bool {
        self.task != Task::Discard
    }

    pub(crate) fn counts(&self) -> anyhow::Result<Counts> {
        self.namespace.inside(|| match self.task {
            Task::Discard => received(),
            Task::Balance(_) => balanced(),
        })
    }
}

/// What `far` has received.
fn received() -> anyhow::Result<Counts> {
    let interfaces = fs::read_to_string("/proc/thread-self/net/dev")?;
    let figures = |line: &str| {
        let figures = line.trim_start().strip_prefix("far:")?;
        figures.split_whitespace().nth(1)?.parse().ok()
    };
    Ok(Counts {
        packets: interfaces
            .lines()
            .find_map(figures)
            .with_context(|| format!("the interfaces' figures:\n{interfaces}"))?,
        flows: 0,
        others: Vec::new(),
    })
}

/// What IPVS has forwarded.
fn balanced() -> anyhow::Result<Counts> {
    // What ipvsadm tells of packets is up to two seconds old.
    let totals = fs::read_to_string("/proc/thread-self/net/ip_vs_stats_percpu")?;
    let (flows, packets) =
        flows_and_packets(&totals).with_context(|| format!("IPVS's totals:\n{totals}"))?;
    let listing = command("ipvsadm --list --numeric")?;
    Ok(Counts {
        packets,
        flows,
        others: active(&listing).with_context(|| format!("its listing:\n{listing}"))?,
    })
}

fn set_up(task: Task, near: &str, real: &str) -> anyhow::Result<()> {
    // The process's own namespace is that of its first thread.
    let outside = std::process::id();
    let mac = match task {
        Task::Discard => MacAddress([2, 0, 0, 0, 0, 3]),
        Task::Balance(_) => MAC,
    };
    command(&format!(
        "ip link add far address {mac} type veth peer name {near} netns {outside}"
    ))?;
    command(&format!(
        "ip link add out type veth peer name {real} netns {outside}"
    ))?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    for interface in ["all", "default", "far", "out"] {
        fs::write(
            format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"),
            "0",
        )?;
    }
    command("ip address add 198.18.14.1/24 dev out")?;
    Ok(())
}

fn balance(scheduler: Scheduler) -> anyhow::Result<()> {
    command(&format!("ip address add {ADDRESS}/32 dev lo"))?;
    // Without ports all flows of one client would go to one server.
    let flags = if scheduler == Scheduler::MaglevHash {
        "--sched-flags mh-port"
    } else {
        ""
    };
    let name = scheduler.name();
    command(&format!(
        "ipvsadm --add-service --tcp-service {ADDRESS}:{PORT} --scheduler {name} {flags}"
    ))
    .context("this kernel may have no IPVS")?;
    for server in SERVERS {
        // Nobody there answers ARP.
        command(&format!(
            "ip neighbour add {server} lladdr 02:00:00:00:01:00 dev out nud permanent"
        ))?;
        command(&format!(
            "ipvsadm --add-server --tcp-service {ADDRESS}:{PORT} --real-server {server}:{PORT} --gatewaying"
        ))?;
    }
    Ok(())
}

/// Connections and incoming packets of all processors, hexadecimal: a line each below two lines of headings, until the
/// sum in line `~`, which is as old as what ipvsadm tells.
fn flows_and_packets(totals: &str) -> Option<(u64, u64)> {
    let mut sums = (0, 0);
    let lines = totals.lines().skip(2).map(str::trim_start);
    for line in lines.take_while(|line| !line.starts_with('~')) {
        let mut figures = line.split_whitespace().skip(1);
        let mut next = || u64::from_str_radix(figures.next()?, 16).ok();
        sums = (sums.0 + next()?, sums.1 + next()?);
    }
    Some(sums)
}

/// `ActiveConn` of every server in ipvsadm's listing.
fn active(listing: &str) -> Option<Vec<u64>> {
    let servers = listing.lines().filter(|line| line.starts_with("  -> 1"));
    servers
        .map(|line| line.split_whitespace().nth(4)?.parse().ok())
        .collect()
}
