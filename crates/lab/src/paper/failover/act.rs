//! Plays one fault on a cluster that was just booted, and brings back what was seen. It judges nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use evenkeel_api::{Role, Status};
use evenkeel_model::MacAddress;
use nix::sys::signal::Signal;

use crate::crowd::{Asked, Habit, Opened, Outcome, instants};
use crate::error::LabError;
use crate::link::node_mac;
use crate::load::OpenLoad;
use crate::paper::PaperError;
use crate::paper::crowd::clients::{Clients, Opening, RATE};
use crate::paper::crowd::plan::{FIRST_PORT, SERVICE};
use crate::paper::crowd::{is_out, order, wait_for};
use crate::paper::failover::judge::{Breakage, Evidence, Flow, Traffic};
use crate::paper::failover::rows::Fault;
use crate::paper::failover::stage::{DIRECTOR, PARTNER, Stage};
use crate::paper::setup::Server;
use crate::probe::UdpProbe;
use crate::topology::NodeKind;
use crate::watch::Watch;

/// Time from one datagram of the probe to the next.
const PROBE_EVERY: Duration = Duration::from_millis(1);

/// Time from one request to the next, each on a connection of its own.
const REQUEST_EVERY: Duration = Duration::from_millis(10);

/// Connections of the stream of new ones, in a second.
const NEWCOMERS_RATE: u32 = 100;

/// How long all is well before the fault: what is measured then is what this machine does by itself.
const STEADY_FOR: Duration = Duration::from_secs(2);

/// How long the traffic goes on once the directors have settled.
const AFTERWARDS: Duration = Duration::from_millis(1500);

/// How long a paused daemon is stopped.
const PAUSED_FOR: Duration = Duration::from_secs(5);

/// How long after a real server was added the director loses power at the latest.
const ADDED_FOR: Duration = Duration::from_millis(900);

/// For what only a broken machine keeps from happening.
const FAR_OFF: Duration = Duration::from_secs(60);

/// Plays the stage's fault, `phase` later than it might, so that not every round meets the same moment
/// between two advertisements. Every connection waits `patience` for its answer.
pub(super) fn play(
    stage: &mut Stage,
    phase: Duration,
    patience: Duration,
) -> Result<Evidence, PaperError> {
    let fault = stage.row.fault;
    if fault.begins_with_partner() {
        stage.power_off(DIRECTOR)?;
        stage.expect([None, Some(Role::Active)])?;
    }
    let watch = watch(stage)?;
    let mut traffic = match stage.balances() {
        true => Some(Running::start(stage)?),
        false => None,
    };
    let client = stage.cluster.lab.node(&stage.cluster.setup.client)?;
    let probe = UdpProbe::start(client, stage.cluster.setup.echo_address, PROBE_EVERY)?;
    let steady = || {
        let load = traffic
            .as_ref()
            .is_none_or(|traffic| traffic.load.sent() > 0);
        load && probe.answered() > 0
    };
    if !stage.cluster.wait(Instant::now() + FAR_OFF, steady)? {
        let active = usize::from(fault.begins_with_partner());
        return Err(stage.not_ready(active, String::from("nothing answers through it")));
    }
    let victim = (fault == Fault::ServerAndDirector).then(|| victim(stage));
    let victim = victim.transpose()?;

    let from = Instant::now();
    let at_first = retransmitted(stage);
    stage.cluster.observe_until(from + STEADY_FOR + phase)?;
    if stage.balances() && !fault.begins_with_partner() {
        stage.expect_in_sync()?;
    }
    let at_cause = retransmitted(stage);
    let lag = stage.lag();
    let cause = strike(stage, victim.as_ref())?;
    let settled = settle(stage, victim.as_ref())?;
    stage.cluster.observe_until(Instant::now() + AFTERWARDS)?;
    let to = Instant::now();
    let sent_again = [
        increase(&at_first, &at_cause),
        increase(&at_cause, &retransmitted(stage)),
    ];

    let echoes = probe.stop()?;
    let stalls = stage.cluster.stalls.stalls(from, to);
    let record = watch.record().since(cause);
    let macs = [DIRECTOR, PARTNER].map(|place| mac(stage, place));
    let heir = macs[usize::from(!fault.director_takes_over())];
    let address = virtual_address(stage)?;
    let traffic = match traffic.take() {
        Some(traffic) => Some(traffic.end(stage, patience, victim, (lag, sent_again))?),
        None => None,
    };
    Ok(Evidence {
        fault,
        from,
        cause,
        to,
        echoes,
        announced: record.announcements(heir, address).first().copied(),
        held_twice: record.both_answered(address, macs[DIRECTOR], macs[PARTNER]),
        settled,
        stalls,
        traffic,
    })
}

/// Does to the director what the fault is; when.
fn strike(stage: &mut Stage, victim: Option<&Server>) -> Result<Instant, PaperError> {
    match stage.row.fault {
        Fault::Kill => stage.signal(DIRECTOR, Signal::SIGKILL),
        Fault::KillRestart => {
            let when = stage.signal(DIRECTOR, Signal::SIGKILL)?;
            stage.has_ended(DIRECTOR)?;
            stage.start_daemon(DIRECTOR)?;
            Ok(when)
        }
        Fault::LinkDown => {
            let director = stage.node(DIRECTOR);
            Ok(stage.cluster.lab.set_link(&director, false)?)
        }
        Fault::PowerOff => stage.power_off(DIRECTOR),
        Fault::Pause => {
            let when = stage.signal(DIRECTOR, Signal::SIGSTOP)?;
            stage.cluster.observe_until(when + PAUSED_FOR)?;
            stage.signal(DIRECTOR, Signal::SIGCONT)?;
            Ok(when)
        }
        Fault::Handover => stage.hand_over(),
        Fault::Return => {
            let when = Instant::now();
            stage.power_on(DIRECTOR)?;
            Ok(when)
        }
        Fault::AddedServer => {
            stage.add_the_late_server()?;
            let added = Instant::now();
            let director = stage.node(DIRECTOR);
            let every = stage.cluster.setup.servers.len();
            while Instant::now() < added + ADDED_FOR
                && !lists(&stage.cluster.status(&director)?, every)
            {
                let soon = Instant::now() + Duration::from_millis(10);
                stage.cluster.observe_until(soon)?;
            }
            stage.power_off(DIRECTOR)
        }
        Fault::ServerAndDirector => {
            let when = stage.power_off(DIRECTOR)?;
            if let Some(victim) = victim {
                stage.cluster.lab.power_off(&victim.node)?;
            }
            Ok(when)
        }
    }
}

/// Waits until the directors have the roles that they should have after the fault; whether they have.
fn settle(stage: &mut Stage, victim: Option<&Server>) -> Result<bool, PaperError> {
    let fault = stage.row.fault;
    let settled = match fault.ends_with_director() {
        true => stage.settle([Some(Role::Active), Some(Role::Backup)])?,
        false if fault == Fault::Handover => {
            stage.settle([stage.after_handover(), Some(Role::Active)])?
        }
        false => stage.settle([None, Some(Role::Active)])?,
    };
    // A connection that the hash moves away from a dead server is moved only then.
    let out = match victim {
        Some(victim) => {
            let partner = stage.node(PARTNER);
            wait_for(&mut stage.cluster, &partner, |status| {
                is_out(status, victim)
            })?
        }
        None => true,
    };
    Ok(settled && out)
}

/// Whether so many real servers of the connections' service are listed.
fn lists(status: &Status, servers: usize) -> bool {
    status.services.iter().any(|service| {
        service.name == SERVICE
            && service
                .servers
                .iter()
                .filter(|server| server.listed)
                .count()
                == servers
    })
}

fn watch(stage: &Stage) -> Result<Watch, PaperError> {
    let client = stage.cluster.lab.node(&stage.cluster.setup.client)?;
    Ok(Watch::start(client, &[virtual_address(stage)?])?)
}

fn virtual_address(stage: &Stage) -> Result<std::net::Ipv4Addr, PaperError> {
    match stage.cluster.setup.virtual_address() {
        std::net::IpAddr::V4(address) => Ok(address),
        std::net::IpAddr::V6(_) => Err(PaperError::Setup(String::from(
            "its virtual address is not IPv4",
        ))),
    }
}

fn mac(stage: &Stage, place: usize) -> [u8; 6] {
    let node = stage.cluster.setup.topology.node(&stage.node(place));
    node.map_or(MacAddress([0; 6]), |node| node_mac(node.address))
        .0
}

/// A real server that the probe does not go to, so that the probe measures the directors.
fn victim(stage: &Stage) -> Result<Server, PaperError> {
    let setup = &stage.cluster.setup;
    let taken = stage.cluster.placed(&setup.director, setup.echo_address)?;
    let free = setup.servers.iter().find(|server| {
        let mut taken = taken.iter();
        !taken.any(|taken| taken.ip() == server.address.ip())
    });
    free.cloned().ok_or_else(|| {
        PaperError::Setup(String::from("the probe goes to every real server at once"))
    })
}

/// Segments that each client and real server sent again so far.
fn retransmitted(stage: &Stage) -> BTreeMap<String, u64> {
    let nodes = stage.cluster.setup.topology.nodes.iter();
    let ends = nodes.filter(|node| node.kind != NodeKind::Director);
    let counts = ends.filter_map(|node| {
        let handle = stage.cluster.lab.node(&node.name).ok()?;
        // One without power counts no more.
        Some((node.name.clone(), handle.retransmitted().ok()?))
    });
    counts.collect()
}

/// How much those that still count sent again from one look to the next.
fn increase(earlier: &BTreeMap<String, u64>, later: &BTreeMap<String, u64>) -> u64 {
    let both = later
        .iter()
        .filter_map(|(node, later)| Some(later.saturating_sub(*earlier.get(node)?)));
    both.sum()
}

/// The connections and requests while things happen.
struct Running {
    clients: Clients,
    opened: Vec<(SocketAddrV4, Opened)>,
    newcomers: Clients,
    load: OpenLoad,
}

impl Running {
    /// Opens the connections that were asked for, and begins with the others.
    fn start(stage: &mut Stage) -> Result<Self, PaperError> {
        let opening = Opening {
            first_port: FIRST_PORT,
            rate: RATE,
            habits: &[Habit::Idle, Habit::Streaming, Habit::Asking],
            until_asked: false,
        };
        let mut clients = Clients::start(&stage.cluster, &stage.plan.clients, &opening)?;
        let opened = clients.opened(&mut stage.cluster)?;
        let node = stage.plan.newcomers.as_slice();
        let opening = Opening {
            first_port: FIRST_PORT,
            rate: NEWCOMERS_RATE,
            habits: &[Habit::Idle],
            until_asked: true,
        };
        let newcomers = Clients::start(&stage.cluster, node, &opening)?;
        let cluster = &stage.cluster;
        let client = cluster.lab.node(&cluster.setup.client)?;
        Ok(Self {
            clients,
            opened,
            newcomers,
            load: OpenLoad::start(client, &cluster.target, &cluster.ports, REQUEST_EVERY)?,
        })
    }

    /// Asks on all connections; what came of them.
    fn end(
        mut self,
        stage: &mut Stage,
        patience: Duration,
        victim: Option<Server>,
        (lag, retransmitted): (Duration, [u64; 2]),
    ) -> Result<Traffic, PaperError> {
        let requests = self.load.stop()?;
        let count = u32::try_from(self.opened.len()).unwrap_or(u32::MAX);
        let order = order(count, patience);
        self.clients.ask(&order)?;
        self.newcomers.ask(&order)?;
        let asked = self.clients.asked(&mut stage.cluster, &order)?;
        let opened_since = self.newcomers.opened(&mut stage.cluster)?;
        let asked_since = self.newcomers.asked(&mut stage.cluster, &order)?;
        let instant = instants().map_err(|source| LabError::Start {
            what: "a clock that all processes share",
            source,
        })?;
        let mut flows = flows(true, self.opened, &asked, &instant);
        flows.extend(self::flows(false, opened_since, &asked_since, &instant));
        Ok(Traffic {
            lag,
            dead: victim.map(|victim| victim.node),
            flows,
            requests,
            retransmitted,
        })
    }
}

/// Every opened connection, with what came of it.
fn flows(
    asked_for: bool,
    opened: Vec<(SocketAddrV4, Opened)>,
    asked: &[(SocketAddrV4, Asked)],
    instant: &impl Fn(Duration) -> Instant,
) -> Vec<Flow> {
    let asked: HashMap<SocketAddrV4, Asked> = asked.iter().copied().collect();
    let flow = |(client, opened): (SocketAddrV4, Opened)| {
        let (known, outcome) = match (&opened.server, asked.get(&client)) {
            (Err(outcome), _) => (opened.known, *outcome),
            (Ok(_), Some(asked)) => (asked.known, asked.outcome),
            // Every connection that is whole is asked.
            (Ok(_), None) => (opened.known, Outcome::Unanswered),
        };
        let how = match outcome {
            Outcome::Answered => None,
            Outcome::Reset => Some(Breakage::Reset),
            Outcome::OtherServer => Some(Breakage::OtherServer),
            Outcome::Unanswered => Some(Breakage::Unanswered),
        };
        Flow {
            asked_for,
            established: opened.established.map(instant),
            server: opened.server.ok(),
            broke: how.map(|how| (instant(known), how)),
        }
    };
    opened.into_iter().map(flow).collect()
}
