//! The cluster of one round: booted anew, so that every round begins from the same state, and the daemons of
//! its two directors, whichever they are.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_api::{HandoverOrder, HandoverOutcome, Role, Status};
use evenkeel_model::OnFailure;
use nix::sys::signal::Signal;

use crate::daemon::{CONFIG_FILE, KEY_FILE};
use crate::entry;
use crate::error::LabError;
use crate::keepalived::{Instance, Keepalived};
use crate::lab::Options;
use crate::node_init::NODE_FOLDER;
use crate::paper::PaperError;
use crate::paper::cluster::Cluster;
use crate::paper::crowd::plan::Plan;
use crate::paper::crowd::wait_until_served;
use crate::paper::failover::rows::{Fault, Kind, Row, Scheduler};
use crate::paper::setup::Setup;
use crate::process::ProcessId;
use crate::topology::NodeKind;

/// Longest wait for directors to get their roles.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The priority of the partner, as in the paper's topology.
const PARTNER_PRIORITY: u8 = 100;

/// The directors' places: the one with the higher priority, and its partner.
pub(super) const DIRECTOR: usize = 0;
/// See [`DIRECTOR`].
pub(super) const PARTNER: usize = 1;

/// The lag by which connections are too young to be promised, at most.
const LAG_MAX: Duration = Duration::from_millis(100);

/// A running cluster; dropping it ends it.
pub(super) struct Stage {
    pub(super) row: Row,
    pub(super) plan: Plan,
    /// Before the cluster: a node without power is waited for until these are.
    keepalived: [Option<Keepalived>; 2],
    /// The daemon that was told something last.
    told: Option<ProcessId>,
    pub(super) cluster: Cluster,
}

impl Stage {
    /// Boots the cluster and waits until its directors have their roles and hold everything.
    pub(super) fn start(row: Row, connections: u32, options: Options) -> Result<Self, PaperError> {
        let plan = Plan::new(connections, OnFailure::Remove)
            .scheduled(row.scheduler.name())
            .with_newcomers()
            .with_one_late(row.fault == Fault::AddedServer);
        let cluster = match row.scheduler {
            Scheduler::Rr | Scheduler::Wlc | Scheduler::Maglev => {
                Cluster::start(named(synced(plan.setup()?)), options)?
            }
            Scheduler::None => Cluster::boot(named(echoing(row.directors)?), options)?,
        };
        let mut stage = Self {
            row,
            plan,
            keepalived: [None, None],
            told: None,
            cluster,
        };
        if stage.balances() {
            wait_until_served(&mut stage.cluster, &stage.plan)?;
            stage.expect_in_sync()?;
        } else {
            if row.directors == Kind::Keepalived {
                // The partner first, as a director that is alone takes over.
                for place in [PARTNER, DIRECTOR] {
                    stage.start_keepalived(place)?;
                }
            }
            stage.expect([Some(Role::Active), Some(Role::Backup)])?;
        }
        Ok(stage)
    }

    /// Whether the directors balance connections.
    pub(super) fn balances(&self) -> bool {
        self.row.scheduler != Scheduler::None
    }

    /// The node of a director.
    pub(super) fn node(&self, place: usize) -> String {
        let Setup {
            director, partner, ..
        } = &self.cluster.setup;
        match place {
            DIRECTOR => director.clone(),
            _ => partner.clone(),
        }
    }

    /// Waits until the directors have these roles, where they are to have one, or until it is too late;
    /// whether they have.
    pub(super) fn settle(&mut self, roles: [Option<Role>; 2]) -> Result<bool, PaperError> {
        self.settle_until(Instant::now() + PATIENCE, roles)
    }

    fn settle_until(
        &mut self,
        deadline: Instant,
        roles: [Option<Role>; 2],
    ) -> Result<bool, PaperError> {
        loop {
            let mut all = true;
            for (place, role) in roles.into_iter().enumerate() {
                if let Some(role) = role {
                    all = all && self.is(place, role);
                }
            }
            if all || Instant::now() >= deadline {
                return Ok(all);
            }
            self.cluster.observe_until(Instant::now() + LOOK_EVERY)?;
        }
    }

    /// As [`settle`](Self::settle), for what only a broken lab keeps from happening.
    pub(super) fn expect(&mut self, roles: [Option<Role>; 2]) -> Result<(), PaperError> {
        if self.settle(roles)? {
            return Ok(());
        }
        let places = roles.into_iter().enumerate();
        let late = places.filter_map(|(place, role)| Some((place, role?)));
        let late = late
            .into_iter()
            .find(|(place, role)| !self.is(*place, *role));
        let (place, role) = late.unwrap_or((DIRECTOR, Role::Active));
        Err(self.not_ready(place, format!("it is not {}", role.name())))
    }

    /// Waits until either director has the other one's connections.
    pub(super) fn expect_in_sync(&mut self) -> Result<(), PaperError> {
        let deadline = Instant::now() + PATIENCE;
        for place in [DIRECTOR, PARTNER] {
            let director = self.node(place);
            while !is_in_sync(&self.cluster.status(&director)?) {
                if Instant::now() >= deadline {
                    return Err(self.not_ready(place, String::from("it is not in sync")));
                }
                self.cluster.observe_until(Instant::now() + LOOK_EVERY)?;
            }
        }
        Ok(())
    }

    /// How far the partner of the Active may be behind, as the Active last said.
    pub(super) fn lag(&self) -> Duration {
        let reported = [DIRECTOR, PARTNER].map(|place| {
            let status = self.cluster.status(&self.node(place)).ok()?;
            let is_active = has_role(&status, Role::Active);
            let peers = status.sync.filter(|_| is_active)?.peers;
            peers.iter().filter_map(|peer| peer.lag_most_ms).max()
        });
        let lag = reported.into_iter().flatten().max();
        lag.map_or(LAG_MAX, |lag| Duration::from_millis(lag + 1).min(LAG_MAX))
    }

    /// What a director lacks, with its log.
    pub(super) fn not_ready(&self, place: usize, state: String) -> PaperError {
        let director = self.node(place);
        let log = match self.keepalived.get(place) {
            Some(Some(keepalived)) => keepalived.log(),
            Some(None) | None => self.cluster.lab.log(&director),
        };
        PaperError::NotReady {
            director,
            state,
            log,
        }
    }

    /// Whether a director says that it has that role, and is ready for the next one.
    fn is(&self, place: usize, role: Role) -> bool {
        match self.row.directors {
            Kind::Evenkeel => {
                let status = self.cluster.status(&self.node(place));
                status.is_ok_and(|status| has_role(&status, role))
            }
            Kind::Keepalived => {
                let keepalived = self.keepalived.get(place).and_then(Option::as_ref);
                let is_active = keepalived.and_then(Keepalived::is_active);
                is_active == Some(role == Role::Active)
            }
        }
    }

    /// Sends a signal to a director's daemon; when that was.
    pub(super) fn signal(&mut self, place: usize, signal: Signal) -> Result<Instant, PaperError> {
        match self.keepalived.get_mut(place) {
            Some(Some(keepalived)) => {
                let when = Instant::now();
                if signal == Signal::SIGTERM {
                    keepalived.terminate();
                } else {
                    keepalived.signal(signal);
                }
                Ok(when)
            }
            Some(None) | None => {
                let node = self.node(place);
                self.told = self.cluster.lab.daemon(&node)?;
                Ok(self.cluster.lab.signal_daemon(&node, signal)?)
            }
        }
    }

    /// The director is told to hand over, as its operator does it; when that was. A keepalived knows no such
    /// command, so its daemon is told to end.
    pub(super) fn hand_over(&mut self) -> Result<Instant, PaperError> {
        if self.row.directors == Kind::Keepalived {
            return self.signal(DIRECTOR, Signal::SIGTERM);
        }
        let when = Instant::now();
        let answer = self
            .cluster
            .hand_over(&self.node(DIRECTOR), HandoverOrder::Failover)?;
        let mut routers = answer.routers.iter();
        match routers.find(|router| router.outcome != HandoverOutcome::HandedOver) {
            Some(router) => Err(self.not_ready(DIRECTOR, router.message.clone())),
            None => Ok(when),
        }
    }

    /// The director's role once it has handed over.
    pub(super) fn after_handover(&self) -> Option<Role> {
        (self.row.directors == Kind::Evenkeel).then_some(Role::Backup)
    }

    /// Waits until a director's daemon that was killed has ended, or until it is too late; whether it has. It has not
    /// while its sockets are being closed.
    pub(super) fn has_ended(&mut self, place: usize) -> Result<bool, PaperError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = match self.keepalived.get_mut(place) {
                Some(Some(keepalived)) => keepalived.has_ended().unwrap_or(true),
                Some(None) | None => self.told.is_none_or(|told| !told.is_alive()),
            };
            if ended || Instant::now() >= deadline {
                return Ok(ended);
            }
            self.cluster.observe_until(Instant::now() + LOOK_EVERY)?;
        }
    }

    /// Starts a director's daemon, which does not run.
    pub(super) fn start_daemon(&mut self, place: usize) -> Result<(), PaperError> {
        match self.row.directors {
            Kind::Evenkeel => {
                self.cluster.lab.start_daemon(&self.node(place))?;
                Ok(())
            }
            Kind::Keepalived => self.start_keepalived(place),
        }
    }

    fn start_keepalived(&mut self, place: usize) -> Result<(), PaperError> {
        let node = self.node(place);
        let log = self.cluster.lab.folder().join(format!("{node}.keepalived"));
        let router = &self.cluster.setup.router;
        let instance = Instance {
            version: router.version.number(),
            id: router.id.get(),
            priority: match place {
                DIRECTOR => router.priority.get(),
                _ => PARTNER_PRIORITY,
            },
            adverts: router.advert_interval,
            address: self.cluster.setup.virtual_address(),
            unicast: None,
        };
        let started = Keepalived::start(self.cluster.lab.node(&node)?, &log, &instance)?;
        if let Some(keepalived) = self.keepalived.get_mut(place) {
            *keepalived = Some(started);
        }
        Ok(())
    }

    /// A director's host loses power; when its link was down.
    pub(super) fn power_off(&mut self, place: usize) -> Result<Instant, PaperError> {
        let keepalived = self.keepalived.get_mut(place).and_then(Option::take);
        // The host is off once its processes are waited for, and this one is ours.
        let reaper = keepalived.map(|mut keepalived| thread::spawn(move || keepalived.wait()));
        let when = self.cluster.lab.power_off(&self.node(place))?;
        if let Some(reaper) = reaper {
            // A panic was reported when it happened.
            let _ended = reaper.join();
        }
        Ok(when)
    }

    /// Boots a director's host, which has no power.
    pub(super) fn power_on(&mut self, place: usize) -> Result<(), PaperError> {
        self.cluster.lab.power_on(&self.node(place))?;
        match self.row.directors {
            Kind::Evenkeel => Ok(()),
            Kind::Keepalived => self.start_keepalived(place),
        }
    }

    /// Adds the real server that is not in the service yet to both directors' configs.
    pub(super) fn add_the_late_server(&self) -> Result<(), PaperError> {
        let whole = synced(self.plan.clone().with_one_late(false).setup()?);
        for place in [DIRECTOR, PARTNER] {
            let name = self.node(place);
            let node = whole.topology.node(&name);
            let config = node.and_then(|node| node.config.as_ref());
            let path = format!("{NODE_FOLDER}/{CONFIG_FILE}");
            let path = self.cluster.lab.node(&name)?.path(&path)?;
            fs::write(&path, config.map_or("", String::as_str)).map_err(|source| {
                LabError::State {
                    action: "write",
                    path,
                    source,
                }
            })?;
        }
        for place in [DIRECTOR, PARTNER] {
            self.cluster.reload(&self.node(place))?;
        }
        Ok(())
    }
}

fn named(mut setup: Setup) -> Setup {
    setup.topology.name = String::from("failover");
    setup
}

/// The cluster of directors that tell each other their connections.
pub(in crate::paper) fn synced(mut setup: Setup) -> Setup {
    let nodes = setup.topology.nodes.iter();
    let directors = nodes.filter(|node| node.kind == NodeKind::Director);
    let peers: Vec<String> = directors
        .map(|node| {
            let (name, address) = (&node.name, node.address);
            format!("{{ name = \"{name}\", addresses = [\"{address}\"] }}")
        })
        .collect();
    let table = format!(
        "[sync]\nkey-files = [\"{NODE_FOLDER}/{KEY_FILE}\"]\npeers = [ {} ]\n\n[[virtual-router]]",
        peers.join(", ")
    );
    for node in &mut setup.topology.nodes {
        if let Some(config) = &mut node.config {
            *config = config.replacen("[[virtual-router]]", &table, 1);
        }
    }
    setup
}

pub(in crate::paper) fn is_in_sync(status: &Status) -> bool {
    let mut peers = status.sync.iter().flat_map(|sync| &sync.peers);
    peers.all(|peer| peer.incoming.state == "in-sync" && peer.outgoing.state == "in-sync")
}

/// The cluster of directors that balance nothing, and of which the Active answers the probe itself.
fn echoing(directors: Kind) -> Result<Setup, PaperError> {
    let mut setup = Setup::of_the_paper(None)?;
    let words = [
        "evenkeel",
        entry::ECHO_SERVER,
        &setup.virtual_address().to_string(),
        &setup.echo_address.port().to_string(),
    ]
    .map(String::from);
    let nodes = setup.topology.nodes.iter_mut();
    for node in nodes.filter(|node| node.kind == NodeKind::Director) {
        node.boot.push(words.to_vec());
        node.config = match directors {
            Kind::Evenkeel => node.config.take().map(without_services),
            Kind::Keepalived => None,
        };
    }
    Ok(setup)
}

/// The config of the same director and virtual router, without services.
fn without_services(mut config: String) -> String {
    if let Some(services) = config.find("[[service]]") {
        config.truncate(services);
    }
    config
}

pub(in crate::paper) fn has_role(status: &Status, role: Role) -> bool {
    let mut routers = status.virtual_routers.iter();
    status.ready && routers.any(|router| router.role == role && router.may_take_over)
}
