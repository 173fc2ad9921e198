//! The daemon's state as the API shows it: the core's view joined with the data plane's counters.
//!
//! Reads only.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use evenkeel_api::{
    API_VERSION, DropCount, EventCount, Forwarding, GateStatus, InterfaceStatus, Listen, OnFailure,
    Problem, Protocol, ServerListing, ServerState, ServerStatus, ServiceListing, ServiceStatus,
    Services, Status, TableStatus, Totals, XdpMode,
};
use evenkeel_bpf::{ReadError, SweepBudget};
use evenkeel_control::{ServerHealth, ServerView, ServiceView};
use evenkeel_model::{self as model, GateState, ServiceKey};
use evenkeel_net::LinkInfo;

use crate::daemon::edits::{self, words};
use crate::daemon::event_loop::Daemon;
use crate::daemon::hands::{self, Hands};
use crate::daemon::server::{self, Answer};
use crate::daemon::view_routers;

/// Why a server gets no new connections whose checks are good.
const DRAINED: &str = "drained by hand";

/// What a sorry server does.
const SORRY_IN: &str = "sorry server: no other takes new connections";
const SORRY_OUT: &str = "sorry server, not needed";

/// What rates are estimated of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Counted {
    /// A virtual service.
    Service(ServiceKey),
    /// A real server of one.
    Server(ServiceKey, SocketAddr),
}

/// What is told of this daemon and does not change.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// When it started, in seconds since 1970-01-01 UTC.
    pub(crate) started: u64,
    /// Whether it took over pinned state.
    pub(crate) adopted: bool,
    /// How the program runs on each interface.
    pub(crate) modes: Vec<XdpMode>,
}

impl Daemon {
    /// Answers `status`.
    pub(crate) fn status(&self) -> Answer<Status> {
        let plane = &self.hands.plane;
        let held = plane.snapshot().map_err(unread)?;
        let held: HashMap<_, _> = held.iter().map(|service| (service.key, service)).collect();
        let view = self.control.view();
        let now = Instant::now();
        let services = view.services.iter().map(|service| ServiceStatus {
            virtual_router: self.routers_of(&service.entry),
            ..service_status(service, held.get(&service.key).copied(), &self.hands, now)
        });
        let thread = self.hands.vrrp.view();
        let usage = plane.usage();
        let drops = plane.drops().map_err(unread)?;
        let events = plane.events().map_err(unread)?;
        let mut problems: Vec<Problem> = self.problems.list().collect();
        problems.extend(self.hands.arp.list());
        problems.extend(thread.as_ref().and_then(view_routers::lost_news));
        Ok(Status {
            api_version: API_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            director: view.name.clone(),
            pid: std::process::id(),
            started: self.identity.started,
            adopted: self.identity.adopted,
            ready: view.ready,
            maintenance: self.hands.vrrp.standing.maintenance,
            interface: self.interface(&self.hands.link, 0),
            more_interfaces: self
                .hands
                .more
                .iter()
                .zip(1..)
                .map(|(link, place)| self.interface(link, place))
                .collect(),
            tables: TableStatus {
                connections: usage.established.into(),
                connections_max: usage.connections.into(),
                half_open: usage.half_open.into(),
                half_open_max: usage.half_open_room.into(),
                unassured: usage.unassured.into(),
                flood_mode: usage.flood,
            },
            virtual_routers: thread.iter().flat_map(|t| self.routers(t, now)).collect(),
            vrrp_thread: thread.as_ref().map(view_routers::thread),
            sync: self.sync.as_ref().map(|sync| sync.status(now)),
            services: services.collect(),
            edits: edits::edits(self.control.overlay()),
            drops: drops
                .iter()
                .filter(|counter| counter.value > 0)
                .map(|counter| DropCount {
                    reason: counter.name.to_owned(),
                    packets: counter.value,
                })
                .collect(),
            events: events
                .iter()
                .filter(|counter| counter.value > 0)
                .map(|counter| EventCount {
                    event: counter.name.to_owned(),
                    count: counter.value,
                })
                .collect(),
            problems,
        })
    }

    fn interface(&self, link: &LinkInfo, place: usize) -> InterfaceStatus {
        let mode = self.identity.modes.get(place);
        InterfaceStatus {
            name: link.name.clone(),
            mac: link.mac.to_string(),
            mode: mode.copied().unwrap_or(XdpMode::Generic),
        }
    }

    /// Answers what `ipvsadm -L` needs.
    pub(crate) fn services(&self) -> Answer<Services> {
        let held = self.hands.plane.snapshot().map_err(unread)?;
        let thread = self.hands.vrrp.view();
        let services = held.iter().map(|service| ServiceListing {
            gate: gate(service.gate),
            virtual_router: thread.as_ref().and_then(|thread| {
                let mut addresses = service.addresses();
                addresses.find_map(|address| view_routers::role_of(thread, address))
            }),
            service: words::service_id(service.key),
            scheduler: service.scheduler.name().to_owned(),
            options: words::options(&service.options),
            totals: self.listed(Counted::Service(service.key), &service.stats),
            rates: self.estimator.rates(&Counted::Service(service.key)),
            servers: service
                .servers
                .iter()
                .map(|server| ServerListing {
                    address: server.address,
                    forwarding: forwarding(server.forwarding),
                    weight: server.weight.get(),
                    thresholds: words::thresholds(server.thresholds),
                    active: server.active.into(),
                    inactive: server.inactive.into(),
                    persistent: server.persistent.into(),
                    totals: self
                        .listed(Counted::Server(service.key, server.address), &server.stats),
                    rates: self
                        .estimator
                        .rates(&Counted::Server(service.key, server.address)),
                })
                .collect(),
        });
        Ok(Services {
            api_version: API_VERSION,
            services: services.collect(),
            timeouts: words::timeouts(self.control.overlay().timeouts),
        })
    }

    /// Counters as listings show them: since `ipvsadm -Z`.
    fn listed(&self, counted: Counted, stats: &evenkeel_abi::Stats) -> Totals {
        let (now, baselines) = (totals(stats), &self.hands.edits.baselines);
        baselines
            .get(&counted)
            .and_then(|zero| since(now, *zero))
            .unwrap_or(now)
    }

    /// Takes samples of all counters, one period after the last time.
    pub(crate) fn estimate(&mut self) {
        let held = match self.hands.plane.snapshot() {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(event = "unread", "{}", hands::reason(&error.into()));
                return;
            }
        };
        let counters: Vec<(Counted, Totals)> = held.iter().flat_map(counters).collect();
        for (counted, now) in &counters {
            let baselines = &mut self.hands.edits.baselines;
            // What counts from zero again does so by itself.
            if baselines
                .get(counted)
                .is_some_and(|zero| since(*now, *zero).is_none())
            {
                baselines.remove(counted);
            }
        }
        self.estimator.sample(counters.into_iter());
    }

    /// Takes expired connections out, a bounded number at a time.
    pub(crate) fn sweep(&mut self) {
        let swept = self.hands.plane.sweep(SweepBudget::default());
        tracing::trace!(?swept, "swept");
    }
}

/// All counters of a service.
pub(crate) fn counters(
    service: &evenkeel_bpf::ServiceView,
) -> impl Iterator<Item = (Counted, Totals)> {
    let key = service.key;
    let servers = service.servers.iter().map(move |server| {
        let counted = Counted::Server(key, server.address);
        (counted, totals(&server.stats))
    });
    std::iter::once((Counted::Service(key), totals(&service.stats))).chain(servers)
}

/// What was counted since then; `None`: they are other counters by now.
fn since(now: Totals, then: Totals) -> Option<Totals> {
    Some(Totals {
        conns: now.conns.checked_sub(then.conns)?,
        in_packets: now.in_packets.checked_sub(then.in_packets)?,
        in_bytes: now.in_bytes.checked_sub(then.in_bytes)?,
    })
}

pub(crate) fn unread(error: ReadError) -> evenkeel_api::ErrorAnswer {
    server::failed(hands::reason(&error.into()))
}

fn service_status(
    service: &ServiceView,
    held: Option<&evenkeel_bpf::ServiceView>,
    hands: &Hands,
    now: Instant,
) -> ServiceStatus {
    let servers = service
        .servers
        .iter()
        .map(|server| server_status(server, held_as(held, server), hands, now));
    ServiceStatus {
        name: service.name.clone(),
        service: words::service_id(service.key),
        listens: service.group.iter().map(listen).collect(),
        scheduler: service.scheduler.name().to_owned(),
        gate: gate(held.map_or(GateState::Closed, |held| held.gate)),
        virtual_router: None,
        on_failure: match service.on_failure {
            model::OnFailure::Remove => OnFailure::Remove,
            model::OnFailure::Quiesce => OnFailure::Quiesce,
        },
        servers: servers.collect(),
        sorry_server: service.sorry_server.as_ref().map(|sorry| {
            let held = held_as(held, sorry);
            sorry_status(server_status(sorry, held, hands, now))
        }),
    }
}

fn held_as<'h>(
    service: Option<&'h evenkeel_bpf::ServiceView>,
    server: &ServerView,
) -> Option<&'h evenkeel_bpf::ServerView> {
    let service = service?;
    let mut servers = service.servers.iter().chain(&service.held);
    servers.find(|held| held.address == server.address)
}

/// The same, for a host that is in the list only where it is needed.
fn sorry_status(status: ServerStatus) -> ServerStatus {
    let (state, reason) = match (status.state, status.listed) {
        (_, true) => (ServerState::Up, SORRY_IN),
        (ServerState::NoNeighbour, false) => return status,
        (_, false) => (ServerState::Spare, SORRY_OUT),
    };
    ServerStatus {
        state,
        reason: reason.to_owned(),
        ..status
    }
}

fn listen(listen: &model::Listen) -> Listen {
    Listen {
        protocol: protocol(listen.protocol),
        address: listen.address,
        first_port: listen.ports.first(),
        last_port: listen.ports.last(),
    }
}

fn server_status(
    server: &ServerView,
    held: Option<&evenkeel_bpf::ServerView>,
    hands: &Hands,
    now: Instant,
) -> ServerStatus {
    let state = match (server.health, server.in_force) {
        (ServerHealth::Gated, _) => ServerState::Gated,
        (ServerHealth::Down, _) if server.held => ServerState::Held,
        (ServerHealth::Down, _) => ServerState::Down,
        (ServerHealth::Up, None)
            if server.hop.is_none() && server.forwarding != model::Forwarding::Local =>
        {
            ServerState::NoNeighbour
        }
        (ServerHealth::Up, _) if server.drained_since.is_some() => ServerState::Drained,
        (ServerHealth::Up, _) if held.is_some_and(|held| held.overloaded) => {
            ServerState::Overloaded
        }
        (ServerHealth::Up, _) => ServerState::Up,
    };
    let reason = match (state, held) {
        (ServerState::NoNeighbour, _) => {
            format!("nobody answers for {} on the link", server.address.ip())
        }
        (ServerState::Overloaded, Some(held)) => {
            let model::Thresholds { upper, lower } = held.thresholds;
            let below = if lower == 0 {
                "three quarters of that".to_owned()
            } else {
                lower.to_string()
            };
            format!("reached {upper} connections; gets new ones again below {below}")
        }
        (ServerState::Drained, _) => DRAINED.to_owned(),
        _ => server.reason.clone(),
    };
    let drained = server.drained_since.is_some();
    let reason = if drained && state != ServerState::Drained {
        format!("{reason}; {DRAINED}")
    } else {
        reason
    };
    let since = match (state, server.drained_since) {
        (ServerState::Drained, Some(since)) => since,
        _ => server.since,
    };
    let counted = held.map_or_else(Totals::default, |held| totals(&held.stats));
    ServerStatus {
        address: server.address,
        forwarding: forwarding(server.forwarding),
        weight_configured: server.weight.get(),
        weight: held.map_or(0, |held| held.weight.get()),
        state,
        drained,
        listed: held.is_some() && !server.held,
        reason,
        since_s: now.saturating_duration_since(since).as_secs(),
        mac: server.hop.map(|hop| hop.mac.to_string()),
        interface: server.hop.and_then(|hop| hands.way_name(hop)),
        vlan: server.hop.and_then(|hop| hop.way?.vlan),
        active: held.map_or(0, |held| held.active.into()),
        inactive: held.map_or(0, |held| held.inactive.into()),
        conns: counted.conns,
        packets: counted.in_packets,
        bytes: counted.in_bytes,
    }
}

pub(crate) const fn gate(state: GateState) -> GateStatus {
    match state {
        GateState::Open => GateStatus::Open,
        GateState::Draining => GateStatus::Draining,
        GateState::Closed => GateStatus::Closed,
    }
}

fn totals(stats: &evenkeel_abi::Stats) -> Totals {
    Totals {
        conns: stats.conns,
        in_packets: stats.packets,
        in_bytes: stats.bytes,
    }
}

pub(crate) const fn protocol(protocol: model::Protocol) -> Protocol {
    match protocol {
        model::Protocol::Tcp => Protocol::Tcp,
        model::Protocol::Udp => Protocol::Udp,
        model::Protocol::Sctp => Protocol::Sctp,
    }
}

pub(crate) const fn forwarding(forwarding: model::Forwarding) -> Forwarding {
    match forwarding {
        model::Forwarding::DirectRouting => Forwarding::Direct,
        model::Forwarding::Local => Forwarding::Local,
    }
}
