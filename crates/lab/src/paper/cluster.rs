//! The paper's cluster while it runs: waiting for it, asking it, and being interrupted.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_api::{
    Client, GateStatus, HandoverAnswer, HandoverOrder, HandoverRequest, ReloadQuery, Role,
    ServiceListing, Status,
};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use tokio::runtime::Runtime;

use crate::error::LabError;
use crate::keeper::Signals;
use crate::lab::{Lab, Options};
use crate::link::NODE_LINK;
use crate::load::{Ports, Target};
use crate::paper::PaperError;
use crate::paper::evidence::{Held, Standing};
use crate::paper::setup::Setup;
use crate::stall::StallMonitor;

/// Longest wait for the directors: each waits 10 s for its first round of checks by default.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Time in which a request must be answered: less than the second after which a client sends its
/// first packet again, so that none that met a dead server is hidden by the other one's answer.
const DEADLINE: Duration = Duration::from_millis(900);

/// Lines of a director's log that are shown when it does not get ready.
const LOG_LINES: usize = 12;

/// The running cluster; dropping it ends it.
pub(crate) struct Cluster {
    pub(crate) setup: Setup,
    pub(crate) lab: Lab,
    pub(crate) target: Target,
    pub(crate) ports: Arc<Ports>,
    /// Watches this machine while the cluster runs.
    pub(crate) stalls: StallMonitor,
    runtime: Runtime,
    signals: Signals,
}

impl Cluster {
    /// Boots the cluster and waits until both directors are ready and hold every real server.
    pub(crate) fn start(setup: Setup, options: Options) -> Result<Self, PaperError> {
        let mut cluster = Self::boot(setup, options)?;
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Boots the cluster.
    pub(crate) fn boot(setup: Setup, options: Options) -> Result<Self, PaperError> {
        let starting = |source| LabError::Start {
            what: "a runtime",
            source,
        };
        let (runtime, signals) = Signals::with_runtime().map_err(starting)?;
        Ok(Self {
            lab: Lab::start(setup.topology.clone(), options)?,
            target: Target {
                address: setup.address,
                path: String::from("/"),
                deadline: DEADLINE,
            },
            ports: Arc::new(Ports::new()),
            stalls: StallMonitor::start()?,
            setup,
            runtime,
            signals,
        })
    }

    /// The socket of a director's daemon: it is in the node's own /run.
    pub(crate) fn socket(&self, director: &str) -> PathBuf {
        let node = self.lab.node(director);
        let socket = node.and_then(|node| node.path(evenkeel_api::DEFAULT_SOCKET));
        // A node without a process has no socket; the client says so.
        socket.unwrap_or_default()
    }

    /// What a director's own `ipvsadm -L` prints.
    pub(crate) fn listing(&self, director: &str) -> Result<String, PaperError> {
        let failed = |reason| PaperError::Listing {
            director: director.to_owned(),
            reason,
        };
        let output = self.lab.node(director)?.run(&["ipvsadm", "-L"])?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}, {}", output.status, words.trim())));
        }
        String::from_utf8(output.stdout).map_err(|error| failed(error.to_string()))
    }

    /// What a director says of itself.
    pub(crate) fn status(&self, director: &str) -> Result<Status, PaperError> {
        let client = Client::new(self.socket(director));
        let status = self.runtime.block_on(client.status());
        status.map_err(|source| PaperError::Director {
            director: director.to_owned(),
            source,
        })
    }

    /// What a director says of itself; `None`: it does not within `patience`.
    pub(crate) fn status_within(&self, director: &str, patience: Duration) -> Option<Status> {
        let client = Client::new(self.socket(director));
        let answer = async { tokio::time::timeout(patience, client.status()).await };
        self.runtime.block_on(answer).ok()?.ok()
    }

    /// Has a director read its config file again.
    pub(crate) fn reload(&self, director: &str) -> Result<(), PaperError> {
        let client = Client::new(self.socket(director));
        let reloaded = self.runtime.block_on(client.reload(ReloadQuery::default()));
        reloaded.map(drop).map_err(|source| PaperError::Director {
            director: director.to_owned(),
            source,
        })
    }

    /// Gives a director an order about its virtual routers, all of them, and waits for what became of it.
    pub(crate) fn hand_over(
        &self,
        director: &str,
        order: HandoverOrder,
    ) -> Result<HandoverAnswer, PaperError> {
        let client = Client::new(self.socket(director));
        let request = HandoverRequest {
            order,
            routers: Vec::new(),
            to: None,
            patience_ms: None,
        };
        let answer = self.runtime.block_on(client.hand_over(&request));
        answer.map_err(|source| PaperError::Director {
            director: director.to_owned(),
            source,
        })
    }

    /// Where a director has placed the connections of a service's address.
    pub(crate) fn placed(
        &self,
        director: &str,
        address: SocketAddr,
    ) -> Result<Vec<SocketAddr>, PaperError> {
        let client = Client::new(self.socket(director));
        let listed = self.runtime.block_on(client.connections());
        let listed = listed.map_err(|source| PaperError::Director {
            director: director.to_owned(),
            source,
        })?;
        let connections = listed.connections.into_iter();
        let of_it = connections.filter(|connection| connection.virtual_address == address);
        Ok(of_it.map(|connection| connection.destination).collect())
    }

    /// How a director stands.
    pub(crate) fn standing(&self, director: &str) -> Result<Standing, PaperError> {
        let client = Client::new(self.socket(director));
        let services = self.runtime.block_on(client.services());
        let services = services.map_err(|source| PaperError::Director {
            director: director.to_owned(),
            source,
        })?;
        let address = self.setup.virtual_address();
        Ok(Standing {
            listing: self.listing(director)?,
            services: services.services.iter().map(held).collect(),
            has_address: self.has_address(director, address)?,
        })
    }

    /// Whether the interface of a node has an address.
    fn has_address(&self, node: &str, address: IpAddr) -> Result<bool, PaperError> {
        let thread = self.lab.node(node)?.thread(move || {
            let found = getifaddrs()?.any(|found| {
                let own = found
                    .address
                    .as_ref()
                    .and_then(SockaddrStorage::as_sockaddr_in);
                found.interface_name == NODE_LINK
                    && own.is_some_and(|own| IpAddr::V4(own.ip()) == address)
            });
            Ok(found)
        })?;
        let found = thread.join().and_then(|found| found);
        Ok(found.map_err(|source| LabError::Start {
            what: "a look at the node's addresses",
            source,
        })?)
    }

    /// The director's listing once it is as `wanted` says, or as it is when `patience` is over.
    pub(crate) fn listing_when(
        &mut self,
        patience: Duration,
        wanted: impl Fn(&Setup, &str) -> bool,
    ) -> Result<String, PaperError> {
        let deadline = Instant::now() + patience;
        loop {
            let listing = self.listing(&self.setup.director)?;
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

    /// Waits until the director has the address and lists every real server, and its partner is ready
    /// to take over.
    fn wait_until_ready(&mut self) -> Result<(), PaperError> {
        let deadline = Instant::now() + PATIENCE;
        let Setup {
            director, partner, ..
        } = self.setup.clone();
        self.wait_until(&director, Role::Active, deadline)?;
        self.wait_until(&partner, Role::Backup, deadline)
    }

    fn wait_until(
        &mut self,
        director: &str,
        role: Role,
        deadline: Instant,
    ) -> Result<(), PaperError> {
        let client = Client::new(self.socket(director));
        loop {
            let state = match self.runtime.block_on(client.status()) {
                Ok(status) if is_ready(&status, &self.setup, role) => return Ok(()),
                Ok(status) => describe(&status, &self.setup, role),
                Err(error) => error.to_string(),
            };
            let log = self.lab.log(director);
            // Nothing else runs in the node that could end.
            let ended = log.lines().any(|line| line.starts_with("lab: process"));
            let waited = Instant::now() >= deadline;
            if ended || waited {
                let state = if ended {
                    String::from("its daemon ended")
                } else {
                    format!("after {} s {state}", PATIENCE.as_secs())
                };
                return Err(PaperError::NotReady {
                    director: director.to_owned(),
                    state,
                    log: tail(&log),
                });
            }
            self.pause()?;
        }
    }
}

fn held(service: &ServiceListing) -> Held {
    Held {
        service: service.service,
        open: service.gate == GateStatus::Open,
        servers: service
            .servers
            .iter()
            .map(|server| server.address)
            .collect(),
    }
}

/// Whether a director has its role, and lists all real servers of all services.
fn is_ready(status: &Status, setup: &Setup, role: Role) -> bool {
    let gate = match role {
        Role::Active => GateStatus::Open,
        Role::Backup | Role::Initialize => GateStatus::Closed,
    };
    status.ready
        && status
            .virtual_routers
            .iter()
            .any(|router| router.role == role && router.may_take_over)
        && [&setup.service, &setup.echo].into_iter().all(|wanted| {
            status.services.iter().any(|service| {
                service.name == wanted.name
                    && service.gate == gate
                    && service.servers.len() == setup.servers.len()
                    && service.servers.iter().all(|server| server.listed)
            })
        })
}

/// What still lacks, for the error.
fn describe(status: &Status, setup: &Setup, role: Role) -> String {
    if !status.ready {
        return String::from("its first round of health checks is not complete");
    }
    if let Some(router) = status
        .virtual_routers
        .iter()
        .find(|router| router.role != role)
    {
        return format!(
            "it is {} and not {} in virtual router `{}` ({})",
            router.role.name(),
            role.name(),
            router.name,
            router.reason
        );
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
