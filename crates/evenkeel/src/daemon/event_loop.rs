//! The event loop: one event in, the core's commands out and executed, again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use evenkeel_api::{API_VERSION, ErrorAnswer, ErrorKind, ReloadAnswer, ReloadQuery};
use evenkeel_bpf::PinLock;
use evenkeel_config::LoadError;
use evenkeel_control::{Command, Control, Event};
use evenkeel_model::{MacAddress, diff};
use evenkeel_net::NetEvent;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::command_error::CommandError;
use crate::commands::check::load_error;
use crate::daemon::edits::{self, Waiting};
use crate::daemon::handover::Handovers;
use crate::daemon::hands::{self, Hands};
use crate::daemon::problems::Problems;
use crate::daemon::rates::{self, Estimator};
use crate::daemon::roles::Roles;
use crate::daemon::server::{Answer, Request, Socket};
use crate::daemon::sync::Sync;
use crate::daemon::view::{self, Counted};
use crate::daemon::vrrp::{News, Sighting};
use crate::daemon::{notify, start, sync};

/// Time between two turns of the sweep, each of which looks at a bounded part of the tables.
const SWEEP_PERIOD: Duration = Duration::from_millis(100);

/// What a refused reload leaves.
const STAYS: &str = "The config before stays in force.";

/// The daemon, started.
pub(crate) struct Daemon {
    pub(crate) control: Control,
    pub(crate) hands: Hands,
    pub(crate) results: mpsc::Receiver<Event>,
    pub(crate) network: mpsc::Receiver<NetEvent>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) news: mpsc::Receiver<News>,
    pub(crate) roles: Roles,
    pub(crate) signals: Signals,
    /// Held because the socket is removed when it is dropped.
    pub(crate) lock: PinLock,
    pub(crate) _socket: Socket,
    pub(crate) config: PathBuf,
    pub(crate) host_name: String,
    pub(crate) problems: Problems,
    pub(crate) estimator: Estimator<Counted>,
    /// Edits that are made and not answered yet.
    pub(crate) waiting: Vec<Waiting>,
    /// Orders to hand over.
    pub(crate) handovers: Handovers,
    /// Connection sync, if it is configured.
    pub(crate) sync: Option<Sync>,
    /// What is told of this daemon and does not change.
    pub(crate) identity: view::Identity,
}

/// Signals that mean something to the daemon.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals; from now on none of them kills.
    pub(crate) fn listen() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(CommandError::new);
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Wake {
        tokio::select! {
            _ = self.hangup.recv() => Wake::Reload,
            _ = self.terminate.recv() => Wake::End("SIGTERM"),
            _ = self.interrupt.recv() => Wake::End("SIGINT"),
        }
    }
}

/// What woke the loop.
enum Wake {
    Timer,
    /// An edit must be answered.
    Edits,
    /// An order to hand over must be.
    Handovers,
    Result(Event),
    Network(Option<NetEvent>),
    Request(Request),
    News(News),
    /// A look for hosts outside a virtual router is due, or done.
    Look,
    Sighted(Sighting),
    Reload,
    End(&'static str),
    /// The ways to the servers may be others now.
    Ways,
    /// Handing over takes too long.
    Overdue,
    Sweep,
    Estimate,
    /// Connection sync has something to do.
    Sync,
}

/// The next start is within the lease, if it comes at once, and goes on as Active.
fn vrrp_thread_died() -> CommandError {
    CommandError::message("the VRRP thread has panicked, and without it nobody advertises")
        .hint("start `evenkeel run` again at once (systemd does), and report what the log says of the panic")
}

impl Daemon {
    /// Runs until a signal ends it.
    pub(crate) async fn run(mut self) -> Result<(), CommandError> {
        let mut sweep = interval(SWEEP_PERIOD);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut estimate = interval(rates::PERIOD);
        estimate.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.obey().await;
            self.answer_edits();
            let due = self.control.poll_timeout();
            let (edits_due, handovers_due) = (self.edits_due(), self.handovers_due());
            let (look_at, overdue_at) = (self.roles.look_at(), self.roles.overdue_at());
            let ways_at = self.hands.ways.look_at();
            let wake = tokio::select! {
                () = sleep_until(due) => Wake::Timer,
                Some(result) = self.results.recv() => Wake::Result(result),
                event = self.network.recv() => Wake::Network(event),
                Some(request) = self.requests.recv() => Wake::Request(request),
                Some(news) = self.news.recv() => Wake::News(news),
                () = sleep_until(edits_due) => Wake::Edits,
                () = sleep_until(handovers_due) => Wake::Handovers,
                () = sleep_until(look_at) => Wake::Look,
                Some(sighting) = self.roles.sighted() => Wake::Sighted(sighting),
                () = sleep_until(overdue_at) => Wake::Overdue,
                () = sleep_until(ways_at) => Wake::Ways,
                wake = self.signals.next() => wake,
                _ = sweep.tick() => Wake::Sweep,
                _ = estimate.tick() => Wake::Estimate,
                () = sync::wait(&mut self.sync) => Wake::Sync,
            };
            match wake {
                // The next turn begins with that.
                Wake::Edits => {}
                Wake::Handovers => self.answer_handovers(),
                Wake::Timer => self.control.handle_timeout(Instant::now()),
                Wake::Result(result) => self.control.handle_event(result, Instant::now()),
                Wake::Network(Some(event)) => self.handle_network(event)?,
                Wake::Network(None) => {
                    return Err(CommandError::message("the netlink event stream has ended"));
                }
                Wake::Request(request) => self.handle_request(request).await,
                Wake::Reload => {
                    notify::reloading();
                    // Whoever sent the signal gets no answer; the log has it.
                    drop(self.reload(ReloadQuery::default()).await);
                    notify::ready();
                }
                Wake::News(News::Stopped { succeeded }) => return self.stopped(succeeded),
                Wake::News(News::Died) => return Err(vrrp_thread_died()),
                Wake::News(news) => self.handle_news(news),
                Wake::Look => self.look_for_strangers(),
                Wake::Sighted(sighting) => self.handle_sighting(sighting),
                Wake::End(signal) => {
                    if !self.begin_to_end(signal) {
                        return Ok(());
                    }
                }
                Wake::Overdue => {
                    tracing::warn!(event = "stop-overdue", "roles were not given up in time");
                    return Ok(());
                }
                Wake::Ways => {
                    let interfaces = self.hands.interfaces();
                    let Hands { ways, netlink, .. } = &mut self.hands;
                    ways.look_again(netlink, &interfaces).await;
                }
                Wake::Sweep => self.sweep(),
                Wake::Estimate => self.estimate(),
                Wake::Sync => self.sync_turn(),
            }
        }
    }

    /// Executes the core's commands until it has none left.
    pub(crate) async fn obey(&mut self) {
        loop {
            let mut failures = Vec::new();
            while let Some(command) = self.control.poll_output() {
                if matches!(command, Command::ConfigureRouters(_)) {
                    self.find_source().await;
                }
                match self.hands.execute(&command).await {
                    Ok(()) => {
                        self.problems.executed(&command);
                        if let Command::PutService(entry) = &command {
                            self.sync_service(&entry.key);
                        } else if let Command::RemoveService(key) = &command {
                            self.sync_service(key);
                        }
                        if matches!(command, Command::ConfigureRouters(_)) {
                            self.roles.look_soon(Instant::now());
                        }
                    }
                    Err(error) => {
                        let reason = hands::reason(&error);
                        let again = self.problems.failed(&command, &reason);
                        failures.push(Event::CommandFailed {
                            what: Box::new(command),
                            reason,
                            again,
                        });
                    }
                }
            }
            if failures.is_empty() {
                return;
            }
            for failure in failures {
                self.control.handle_event(failure, Instant::now());
            }
        }
    }

    fn handle_network(&mut self, event: NetEvent) -> Result<(), CommandError> {
        let ours = self.hands.link.index;
        // The kernel does not tell of every route that goes with an address or a link.
        if !matches!(
            event,
            NetEvent::Neighbour { .. } | NetEvent::NeighbourLost { .. }
        ) {
            self.hands.ways.changed(Instant::now());
        }
        match event {
            NetEvent::Neighbour { link, address, mac } => {
                for event in self.hands.ways.hops(link, address, mac) {
                    self.control.handle_event(event, Instant::now());
                }
            }
            NetEvent::Routes => {}
            NetEvent::Link { index, up, mac } => self.handle_link(index, up, mac)?,
            NetEvent::LinkRemoved { index } => {
                if let Some(link) = self.hands.interface(index) {
                    let message = format!("interface `{}` is gone", link.name);
                    return Err(CommandError::message(message)
                        .hint("Start the daemon again when the interface is back."));
                }
            }
            NetEvent::AddressRemoved { link, address } if link == ours => {
                self.tell_address_lost(address);
            }
            NetEvent::AddressAdded { link, address } if link == ours => {
                if !start::virtual_addresses(self.control.director()).contains(&address) {
                    // Virtual routers may have waited for it.
                    self.control.handle_event(Event::TryAgain, Instant::now());
                }
            }
            // A neighbour that does not answer is the checks' affair: its hardware address stays.
            NetEvent::NeighbourLost { .. }
            | NetEvent::AddressAdded { .. }
            | NetEvent::AddressRemoved { .. } => {}
        }
        Ok(())
    }

    fn handle_link(&mut self, index: u32, up: bool, mac: MacAddress) -> Result<(), CommandError> {
        let is_first = index == self.hands.link.index;
        let Some(link) = self.hands.interface(index) else {
            return Ok(());
        };
        if link.mac != mac {
            let name = &link.name;
            let message = format!("interface `{name}` has another hardware address: {mac}");
            return Err(CommandError::message(message).hint(
                "Start the daemon again: it takes the new address up, and forwarding goes on.",
            ));
        }
        if link.up != up {
            link.up = up;
            tracing::warn!(
                event = "link",
                interface = link.name,
                up,
                "interface {}",
                if up { "up" } else { "down" }
            );
            if is_first {
                self.tell_link(up);
            }
        }
        Ok(())
    }

    async fn handle_request(&mut self, request: Request) {
        // Whoever asked may have gone meanwhile.
        match request {
            Request::Status(answer) => drop(answer.send(self.status())),
            Request::Services(answer) => drop(answer.send(self.services())),
            Request::Connections(of, answer) => drop(answer.send(self.connections(&of))),
            Request::Trace(packet, answer) => drop(answer.send(self.trace(&packet))),
            Request::Reload(how, answer) => drop(answer.send(self.reload(how).await)),
            Request::Edit(request, answer) => self.edit(&request, answer).await,
            Request::HandOver(request, answer) => self.hand_over(request, answer),
            Request::Events(after, answer) => {
                drop(answer.send(Ok(self.hands.journal.after(after))));
            }
        }
    }

    /// Reads the config file and applies it; on any mistake nothing changes.
    async fn reload(&mut self, how: ReloadQuery) -> Answer<ReloadAnswer> {
        let new = match evenkeel_config::load(&self.config, &self.host_name) {
            Ok(new) => new,
            Err(error) => return Err(self.refuse(error)),
        };
        let (netlink, link) = (&self.hands.netlink, &self.hands.link);
        if let Some(reason) = start::held_address(netlink, link, &new).await {
            tracing::error!(event = "bad-config", "{reason}");
            return Err(ErrorAnswer {
                api_version: API_VERSION,
                kind: ErrorKind::Config,
                error: reason,
                hints: vec![start::FREE_ADDRESS.to_owned(), STAYS.to_owned()],
            });
        }
        let wanted = if how.forget_edits {
            new.clone()
        } else {
            self.control.wanted(&new)
        };
        let mut warnings = start::warnings(netlink, &self.hands.interfaces(), &wanted).await;
        if !how.forget_edits {
            warnings.extend(edits::clashes(&self.control, &new));
        }
        let own = start::own_addresses(netlink, &wanted).await;
        let changed = diff(self.control.configured(), &new).lines();
        let forgotten = if how.forget_edits && !self.control.overlay().is_empty() {
            vec!["edits by hand forgotten".to_owned()]
        } else {
            Vec::new()
        };
        self.control
            .handle_event(Event::OwnAddresses(own), Instant::now());
        self.control
            .handle_event(Event::Configure(new), Instant::now());
        if how.forget_edits {
            // After the new config, so that a service made by hand that stands there now goes on.
            self.obey().await;
            self.control.forget_edits(Instant::now());
        }
        self.sync_configure();
        self.obey().await;
        let configured = &self.control.configured().services;
        Ok(ReloadAnswer {
            api_version: API_VERSION,
            file: self.config.display().to_string(),
            changed: [changed, forgotten].concat(),
            warnings,
            edits: self.control.overlay().over(configured),
        })
    }

    fn refuse(&self, error: LoadError) -> ErrorAnswer {
        let file = self.config.display();
        match &error {
            LoadError::Invalid(diagnostics) => {
                for diagnostic in diagnostics.as_slice() {
                    tracing::error!(
                        event = "bad-config",
                        %file,
                        line = diagnostic.line,
                        column = diagnostic.column,
                        hint = diagnostic.hint,
                        "{}",
                        diagnostic.message
                    );
                }
            }
            LoadError::Read { .. } => tracing::error!(event = "bad-config", "{error}"),
        }
        tracing::warn!(event = "reload-refused", %file, "the config before stays in force");
        ErrorAnswer {
            api_version: API_VERSION,
            kind: ErrorKind::Config,
            error: load_error(error, false).render(),
            hints: vec![STAYS.to_owned()],
        }
    }
}

pub(crate) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
