//! The paper's cluster while it runs: waiting for it, asking it, and being interrupted.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_api::{Client, GateStatus, Status};
use tokio::runtime::Runtime;

use crate::error::LabError;
use crate::keeper::Signals;
use crate::lab::{Lab, Options};
use crate::load::{Ports, Target};
use crate::paper::PaperError;
use crate::paper::setup::Setup;

/// Longest wait for the director: it waits 10 s for its first round of checks by default.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Time in which a request must be answered: less than the second after which a client sends its
/// first packet again, so that none that met a dead server is hidden by the other one's answer.
const DEADLINE: Duration = Duration::from_millis(900);

/// Lines of the director's log that are shown when it does not get ready.
const LOG_LINES: usize = 12;

/// The running cluster; dropping it ends it.
pub(crate) struct Cluster {
    pub(crate) setup: Setup,
    pub(crate) lab: Lab,
    pub(crate) target: Target,
    pub(crate) ports: Arc<Ports>,
    runtime: Runtime,
    signals: Signals,
}

impl Cluster {
    /// Boots the cluster and waits until its director is ready and lists every real server.
    pub(crate) fn start(setup: Setup, options: Options) -> Result<Self, PaperError> {
        let starting = |source| LabError::Start {
            what: "a runtime",
            source,
        };
        let (runtime, signals) = Signals::with_runtime().map_err(starting)?;
        let mut cluster = Self {
            lab: Lab::start(setup.topology.clone(), options)?,
            target: Target {
                address: setup.service.key.address,
                path: String::from("/"),
                deadline: DEADLINE,
            },
            ports: Arc::new(Ports::new()),
            setup,
            runtime,
            signals,
        };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// The daemon's socket: it is in the director's own /run.
    pub(crate) fn socket(&self) -> PathBuf {
        let state = self.lab.state();
        let process = state
            .nodes
            .get(&self.setup.director)
            .and_then(|node| node.process);
        // A node without a process has no socket; the client says so.
        let root = process.map_or_else(PathBuf::new, |process| {
            PathBuf::from(format!("/proc/{}/root", process.pid))
        });
        root.join(evenkeel_api::DEFAULT_SOCKET.trim_start_matches('/'))
    }

    /// What the director's own `ipvsadm -L` prints.
    pub(crate) fn listing(&self) -> Result<String, PaperError> {
        let failed = |reason| PaperError::Listing {
            director: self.setup.director.clone(),
            reason,
        };
        let output = self
            .lab
            .node(&self.setup.director)?
            .run(&["ipvsadm", "-L"])?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}, {}", output.status, words.trim())));
        }
        String::from_utf8(output.stdout).map_err(|error| failed(error.to_string()))
    }

    /// The listing once it is as `wanted` says, or as it is when `patience` is over.
    pub(crate) fn listing_when(
        &mut self,
        patience: Duration,
        wanted: impl Fn(&Setup, &str) -> bool,
    ) -> Result<String, PaperError> {
        let deadline = Instant::now() + patience;
        loop {
            let listing = self.listing()?;
            if wanted(&self.setup, &listing) || Instant::now() >= deadline {
                return Ok(listing);
            }
            self.pause()?;
        }
    }

    /// Waits until `holds`, at most until `deadline`; whether it does.
    pub(crate) fn wait(
        &mut self,
        deadline: Instant,
        holds: impl Fn() -> bool,
    ) -> Result<bool, PaperError> {
        while !holds() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.pause()?;
        }
        Ok(true)
    }

    /// Lets `end` come, while something is observed.
    pub(crate) fn observe_until(&mut self, end: Instant) -> Result<(), PaperError> {
        self.wait(end, || false).map(drop)
    }

    /// Lets a moment pass, unless a signal came.
    fn pause(&mut self) -> Result<(), PaperError> {
        let Self {
            runtime, signals, ..
        } = self;
        runtime.block_on(async {
            tokio::select! {
                () = signals.any() => Err(PaperError::Interrupted),
                () = tokio::time::sleep(LOOK_EVERY) => Ok(()),
            }
        })
    }

    fn wait_until_ready(&mut self) -> Result<(), PaperError> {
        let started = Instant::now();
        let client = Client::new(self.socket());
        loop {
            let state = match self.runtime.block_on(client.status()) {
                Ok(status) if is_ready(&status, &self.setup) => return Ok(()),
                Ok(status) => describe(&status, &self.setup),
                Err(error) => error.to_string(),
            };
            let log = self.lab.log(&self.setup.director);
            // Nothing else runs in the node that could end.
            let ended = log.lines().any(|line| line.starts_with("lab: process"));
            let waited = started.elapsed() >= PATIENCE;
            if ended || waited {
                let state = if ended {
                    String::from("its daemon ended")
                } else {
                    format!("after {} s {state}", PATIENCE.as_secs())
                };
                return Err(PaperError::NotReady {
                    director: self.setup.director.clone(),
                    state,
                    log: tail(&log),
                });
            }
            self.pause()?;
        }
    }
}

fn is_ready(status: &Status, setup: &Setup) -> bool {
    status.ready
        && status.services.iter().any(|service| {
            service.address == setup.service.key.address
                && service.gate == GateStatus::Open
                && setup.servers.iter().all(|server| {
                    service
                        .servers
                        .iter()
                        .any(|known| known.address == server.address && known.listed)
                })
        })
}

/// What still lacks, for the error.
fn describe(status: &Status, setup: &Setup) -> String {
    if !status.ready {
        return String::from("its first round of health checks is not complete");
    }
    let servers: Vec<String> = status
        .services
        .iter()
        .flat_map(|service| &service.servers)
        .filter(|server| !server.listed)
        .map(|server| {
            let name = setup.name_of(server.address);
            format!("`{name}` is {} ({})", server.state.name(), server.reason)
        })
        .chain(
            status
                .problems
                .iter()
                .map(|problem| format!("{}: {}", problem.what, problem.reason)),
        )
        .collect();
    if servers.is_empty() {
        String::from("the virtual address is not served yet")
    } else {
        servers.join("; ")
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.len().saturating_sub(LOG_LINES);
    lines
        .iter()
        .skip(first)
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
