//! Plays faults on the running cluster, and heals it.

use std::mem;
use std::process::Output;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use evenkeel_api::Role;
use evenkeel_chaos::fault::{Fault, Planned};
use nix::sys::signal::Signal;

use crate::cuts::{self, Cut};
use crate::error::{LabError, with_causes};
use crate::paper::PaperError;
use crate::paper::chaos::cluster::{Edit, Hosts};
use crate::paper::cluster::Cluster;
use crate::paper::failover::{has_role, is_in_sync};
use crate::process::ProcessId;

/// Longest wait for quiet: `wait` of connection sync, a round of checks, and several takeovers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks at the directors.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Longest wait for a director's answer while faults last.
pub(super) const ANSWER: Duration = Duration::from_millis(100);

/// The cluster, and what lasts in it.
pub(super) struct Scene {
    pub(super) cluster: Cluster,
    pub(super) hosts: Hosts,
    /// By the number of their fault.
    cuts: Vec<(usize, Cut)>,
    /// Frames that cuts have lost.
    frames_lost: u64,
    /// Daemons that are to start again.
    restarts: Vec<Restart>,
    /// Commands that were given, and in the end why one failed.
    given: Vec<JoinHandle<Option<String>>>,
}

/// A daemon that was told to end, and starts again when its fault is over and it has ended.
struct Restart {
    /// Of the fault.
    number: usize,
    director: usize,
    old: Option<ProcessId>,
    is_over: bool,
}

impl Scene {
    pub(super) fn new(cluster: Cluster, hosts: Hosts) -> Self {
        Self {
            cluster,
            hosts,
            cuts: Vec::new(),
            frames_lost: 0,
            restarts: Vec::new(),
            given: Vec::new(),
        }
    }

    /// How many frames cuts have lost since the last time.
    pub(super) fn frames_lost(&mut self) -> u64 {
        mem::take(&mut self.frames_lost)
    }

    /// Waits for the commands that were given; those that a daemon refused, and why.
    pub(super) fn refused(&mut self) -> Vec<String> {
        let given = self.given.drain(..);
        given
            .filter_map(|thread| thread.join().ok().flatten())
            .collect()
    }

    /// Whether both directors answer soon, and say that they are in sync.
    pub(super) fn is_whole(&self) -> bool {
        let mut directors = self.hosts.directors.iter();
        directors.all(|director| {
            let status = self.cluster.status_within(director, ANSWER);
            status.is_some_and(|status| is_in_sync(&status))
        })
    }

    fn is_on(&self, node: &str) -> bool {
        let state = self.cluster.lab.state();
        state
            .nodes
            .get(node)
            .is_some_and(|node| node.process.is_some())
    }

    fn director(&self, number: usize) -> String {
        self.hosts
            .directors
            .get(number)
            .cloned()
            .unwrap_or_default()
    }

    /// Begins a fault; where its host has no power, nothing happens.
    pub(super) fn begin(&mut self, number: usize, fault: &Fault<Edit>) -> Result<(), PaperError> {
        match fault {
            Fault::Rules(rules) => {
                let cuts = rules.iter().flat_map(|rule| self.hosts.cuts(rule));
                self.cuts.extend(cuts.map(|cut| (number, cut)));
                self.enforce()
            }
            Fault::Unplug(node) => self.plug(*node, false),
            Fault::Pause(director) => self.signal(*director, Signal::SIGSTOP),
            Fault::Kill(director) => self.end_daemon(number, *director, Signal::SIGKILL),
            Fault::Stop(director) => self.end_daemon(number, *director, Signal::SIGTERM),
            Fault::PowerOff(director) => self.power(&self.director(*director), false),
            Fault::ServerOff(server) => match self.hosts.servers.get(*server).cloned() {
                Some(node) => self.power(&node, false),
                None => Ok(()),
            },
            Fault::TakeAddresses(director) => {
                let address = self.cluster.setup.virtual_address();
                let text = format!("ip address del {address}/32 dev eth0");
                self.operate(*director, &words(&text))
            }
            Fault::HandOver(director) => {
                self.operate(*director, &words("evenkeel failover --timeout 1s"))
            }
            Fault::StandBy(director) => {
                self.operate(*director, &words("evenkeel standby --timeout 1s"))
            }
            Fault::Configure(edit) => self.edit(*edit, true),
            // None of them is drawn here.
            Fault::Busy(_) | Fault::Freeze(_) | Fault::ServerIll(_) | Fault::Drift(..) => Ok(()),
        }
    }

    /// Ends a fault.
    pub(super) fn end(&mut self, number: usize, fault: &Fault<Edit>) -> Result<(), PaperError> {
        match fault {
            Fault::Rules(_) => {
                self.cuts.retain(|(of, _)| *of != number);
                self.enforce()
            }
            Fault::Unplug(node) => self.plug(*node, true),
            Fault::Pause(director) => self.signal(*director, Signal::SIGCONT),
            Fault::Kill(_) | Fault::Stop(_) => {
                let mut restarts = self.restarts.iter_mut();
                if let Some(restart) = restarts.find(|restart| restart.number == number) {
                    restart.is_over = true;
                }
                Ok(())
            }
            Fault::PowerOff(director) => self.power(&self.director(*director), true),
            Fault::ServerOff(server) => match self.hosts.servers.get(*server).cloned() {
                Some(node) => self.power(&node, true),
                None => Ok(()),
            },
            Fault::StandBy(director) => self.operate(*director, &words("evenkeel standby --off")),
            Fault::Configure(edit) => self.edit(*edit, false),
            Fault::TakeAddresses(_)
            | Fault::HandOver(_)
            | Fault::Busy(_)
            | Fault::Freeze(_)
            | Fault::ServerIll(_)
            | Fault::Drift(..) => Ok(()),
        }
    }

    /// Everything is over; waits until the directors have their roles and each other's connections. What still
    /// lacks when that lasts too long.
    pub(super) fn heal(&mut self, played: &[Planned<Edit>]) -> Result<Option<String>, PaperError> {
        self.cuts.clear();
        self.restarts.clear();
        self.enforce()?;
        for node in self
            .hosts
            .directors
            .clone()
            .iter()
            .chain(&self.hosts.servers.clone())
        {
            if self.is_on(node) {
                self.cluster.lab.set_link(node, true)?;
            } else {
                self.power(node, true)?;
            }
        }
        for director in 0..2 {
            self.signal(director, Signal::SIGCONT)?;
        }
        let deadline = Instant::now() + PATIENCE;
        let mut left = Some(String::from("orders last"));
        loop {
            // Orders are taken back once both can hear it.
            if left.is_some() && self.all_answer() {
                left = self.take_back(played)?;
            }
            let lacks = self.lacks().or_else(|| left.clone());
            if lacks.is_none() || Instant::now() >= deadline {
                return Ok(lacks);
            }
            for director in 0..2 {
                self.start_daemon(director)?;
            }
            self.cluster.observe_until(Instant::now() + LOOK_EVERY)?;
        }
    }

    fn all_answer(&self) -> bool {
        let mut directors = self.hosts.directors.iter();
        directors.all(|director| {
            self.cluster
                .status(director)
                .is_ok_and(|status| status.ready)
        })
    }

    /// What orders and edits have left is taken back on both directors, which may have missed its end; why that
    /// failed.
    fn take_back(&self, played: &[Planned<Edit>]) -> Result<Option<String>, PaperError> {
        let mut orders = Vec::new();
        for director in 0..2 {
            orders.push((director, words("evenkeel standby --off")));
            orders.push((director, words("evenkeel maintenance off")));
        }
        for planned in played {
            if let Fault::Configure(edit) = planned.fault {
                orders.extend(self.hosts.commands(edit, false));
            }
        }
        for (director, words) in orders {
            let node = self.director(director);
            let list: Vec<&str> = words.iter().map(String::as_str).collect();
            let output = self.cluster.lab.node(&node)?.run(&list)?;
            if !output.status.success() {
                return Ok(Some(failure(&node, &words, &output)));
            }
        }
        Ok(None)
    }

    /// What keeps the cluster from being quiet.
    fn lacks(&self) -> Option<String> {
        for (director, role) in self
            .hosts
            .directors
            .iter()
            .zip([Role::Active, Role::Backup])
        {
            let status = match self.cluster.status(director) {
                Ok(status) => status,
                Err(error) => return Some(with_causes(&error)),
            };
            if !has_role(&status, role) {
                return Some(format!("{director} is not {}", role.name()));
            }
            if !is_in_sync(&status) {
                return Some(format!("{director} is not in sync"));
            }
            let mut servers = status.services.iter().flat_map(|service| &service.servers);
            if let Some(out) = servers.find(|server| !server.listed || server.weight == 0) {
                return Some(format!(
                    "{director} gives {} nothing: {}",
                    out.address, out.reason
                ));
            }
        }
        None
    }

    fn enforce(&mut self) -> Result<(), PaperError> {
        if !self.hosts.can_cut {
            return Ok(());
        }
        let nodes = self.hosts.nodes.iter().map(|(name, _, _)| name.clone());
        let on: Vec<String> = nodes.filter(|name| self.is_on(name)).collect();
        let cuts: Vec<Cut> = self.cuts.iter().map(|(_, cut)| cut.clone()).collect();
        self.frames_lost += cuts::enforce(&self.cluster.lab, &on, &cuts)?;
        Ok(())
    }

    fn plug(&self, node: evenkeel_chaos::node::Node, up: bool) -> Result<(), PaperError> {
        if let Some(name) = self.hosts.name(node)
            && self.is_on(name)
        {
            self.cluster.lab.set_link(name, up)?;
        }
        Ok(())
    }

    fn power(&mut self, node: &str, on: bool) -> Result<(), PaperError> {
        if self.is_on(node) == on {
            return Ok(());
        }
        if !on {
            self.cluster.lab.power_off(node)?;
            return Ok(());
        }
        self.cluster.lab.power_on(node)?;
        // Its port at the switch is a new one.
        self.enforce()
    }

    fn signal(&self, director: usize, signal: Signal) -> Result<(), PaperError> {
        let node = self.director(director);
        if !self.is_on(&node) {
            return Ok(());
        }
        match self.cluster.lab.signal_daemon(&node, signal) {
            // It ended meanwhile, or has not begun.
            Ok(_) | Err(LabError::NoDaemon { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn end_daemon(
        &mut self,
        number: usize,
        director: usize,
        signal: Signal,
    ) -> Result<(), PaperError> {
        let node = self.director(director);
        if self.is_on(&node) {
            let old = self.cluster.lab.daemon(&node)?;
            self.restarts.push(Restart {
                number,
                director,
                old,
                is_over: false,
            });
        }
        self.signal(director, signal)
    }

    /// Whether a fault has told a daemon to end that has not started again.
    pub(super) fn is_ending(&self, number: usize) -> bool {
        self.restarts.iter().any(|restart| restart.number == number)
    }

    /// Starts the daemons whose faults are over; the numbers of faults that nothing is left of.
    pub(super) fn restart(&mut self) -> Result<Vec<usize>, PaperError> {
        let mut done = Vec::new();
        for restart in mem::take(&mut self.restarts) {
            let node = self.director(restart.director);
            let is_on = self.is_on(&node);
            let daemon = if is_on {
                self.cluster.lab.daemon(&node)?
            } else {
                None
            };
            let is_ending = daemon.is_some() && daemon == restart.old;
            if !restart.is_over || is_ending {
                self.restarts.push(restart);
                continue;
            }
            // What has lost its power starts with it.
            self.start_daemon(restart.director)?;
            done.push(restart.number);
        }
        Ok(done)
    }

    fn start_daemon(&self, director: usize) -> Result<(), PaperError> {
        let node = self.director(director);
        if self.is_on(&node) && self.cluster.lab.daemon(&node)?.is_none() {
            self.cluster.lab.start_daemon(&node)?;
        }
        Ok(())
    }

    fn edit(&mut self, edit: Edit, begins: bool) -> Result<(), PaperError> {
        let commands = self.hosts.commands(edit, begins);
        let mut commands = commands.into_iter();
        commands.try_for_each(|(director, words)| self.operate(director, &words))
    }

    /// Gives a command on a director, and does not wait for it: its daemon may not answer.
    fn operate(&mut self, director: usize, words: &[String]) -> Result<(), PaperError> {
        let node = self.director(director);
        if !self.is_on(&node) {
            return Ok(());
        }
        let parts: Vec<&str> = words.iter().map(String::as_str).collect();
        let child = self.cluster.lab.node(&node)?.begin(&parts)?;
        let words = words.to_vec();
        // Its host is off only once somebody has waited for it.
        self.given.push(thread::spawn(move || {
            let output = child.wait_with_output().ok()?;
            is_refused(&output).then(|| failure(&node, &words, &output))
        }));
        Ok(())
    }
}

/// Whether a command failed though its daemon answered, or there was none to ask.
fn is_refused(output: &Output) -> bool {
    // What `evenkeel_api::ClientError` says where there was no answer.
    let unheard = [
        "the daemon is not running",
        "cannot connect to the daemon's socket",
        "the exchange with the daemon",
        "could not be read",
        "did not answer within",
    ];
    let said = String::from_utf8_lossy(&output.stderr);
    // Without a code, it was killed with its host.
    let failed = output.status.code().is_some_and(|code| code != 0);
    failed && !unheard.iter().any(|words| said.contains(words))
}

fn failure(node: &str, words: &[String], output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.lines().next().unwrap_or("it says nothing");
    format!(
        "`{}` on {node}: {}: {reason}",
        words.join(" "),
        output.status
    )
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}
