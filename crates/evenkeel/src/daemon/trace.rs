//! Answers `trace`: asks the data plane, and says in words what it tells.

use evenkeel_api::{
    API_VERSION, ChosenBy, GateStatus, Protocol, Role, RouterRole, TraceAnswer, TraceQuery,
    TraceVerdict, TracedEntry, TracedServer, TracedService,
};
use evenkeel_bpf::{Chosen, Fate, Trace, TracePacket};
use evenkeel_model::{self as model, Listens};

use crate::daemon::event_loop::Daemon;
use crate::daemon::server::Answer;
use crate::daemon::{connections, view, view_routers};

impl Daemon {
    /// Answers `trace`.
    pub(crate) fn trace(&self, packet: &TraceQuery) -> Answer<TraceAnswer> {
        let asked = TracePacket {
            protocol: match packet.protocol {
                Protocol::Tcp => model::Protocol::Tcp,
                Protocol::Udp => model::Protocol::Udp,
                Protocol::Sctp => model::Protocol::Sctp,
            },
            client: packet.client,
            address: packet.virtual_address,
            flags: packet.flags,
        };
        let trace = self.hands.plane.trace(&asked).map_err(view::unread)?;
        let thread = self.hands.vrrp.view();
        let ip = packet.virtual_address.ip();
        let router = thread.and_then(|thread| view_routers::role_of(&thread, ip));
        let services = self.control.view().services;
        let listens: Vec<Listens> = services.iter().map(|s| s.entry.listens()).collect();
        let named = services.iter().zip(&listens).filter(|(_, listens)| {
            let mut taken = listens.iter();
            taken.any(|listen| listen.takes(asked.protocol, packet.virtual_address))
        });
        // Of two services that have the port, one has any port and gets what is left.
        let named = named.min_by_key(|(_, listens)| {
            listens.takes_by_any_port(asked.protocol, packet.virtual_address)
        });
        let named = named.map(|(service, _)| service);
        let story = Story {
            packet,
            trace: &trace,
            router: router.as_ref(),
        };
        Ok(TraceAnswer {
            api_version: API_VERSION,
            packet: *packet,
            verdict: verdict(trace.fate),
            drop_reason: drop_reason(trace.fate).map(|reason| reason.name().to_owned()),
            gate: trace.gate.map(view::gate),
            service: trace.scheduler.map(|scheduler| TracedService {
                name: named.map(|service| service.name.clone()),
                scheduler: scheduler.name().to_owned(),
            }),
            entry: trace.entry.map(|of| entry(of, packet.protocol)),
            entry_after: trace.entry_after.map(|of| entry(of, packet.protocol)),
            chosen_by: trace.chosen.map(chosen_by),
            server: trace.server.map(|server| TracedServer {
                address: server.address,
                forwarding: view::forwarding(server.forwarding),
                mac: match server.forwarding {
                    model::Forwarding::DirectRouting => Some(server.hop.mac.to_string()),
                    model::Forwarding::Local => None,
                },
                interface: self.hands.way_name(server.hop),
                vlan: server.hop.way.and_then(|way| way.vlan),
            }),
            events: trace
                .events
                .iter()
                .map(|event| event.name().to_owned())
                .collect(),
            why: story.why(),
            hints: story.hints(&listens),
            virtual_router: router,
        })
    }
}

const fn verdict(fate: Fate) -> TraceVerdict {
    match fate {
        Fate::Passed => TraceVerdict::Pass,
        Fate::Forwarded => TraceVerdict::Forward,
        Fate::Answered(_) => TraceVerdict::Answer,
        Fate::Dropped(_) => TraceVerdict::Drop,
    }
}

const fn drop_reason(fate: Fate) -> Option<evenkeel_abi::DropReason> {
    match fate {
        Fate::Passed | Fate::Forwarded => None,
        Fate::Answered(reason) | Fate::Dropped(reason) => Some(reason),
    }
}

const fn chosen_by(chosen: Chosen) -> ChosenBy {
    match chosen {
        Chosen::Entry => ChosenBy::Entry,
        Chosen::Template => ChosenBy::Template,
        Chosen::Scheduler | Chosen::SchedulerAnew => ChosenBy::Scheduler,
        Chosen::HashUnknown | Chosen::HashFlood | Chosen::HashFull | Chosen::HashAsked => {
            ChosenBy::ConsistentHash
        }
        Chosen::HashFresh => ChosenBy::FreshHash,
    }
}

fn entry(entry: evenkeel_bpf::TracedEntry, protocol: Protocol) -> TracedEntry {
    TracedEntry {
        half_open: entry.half_open,
        state: connections::state(entry.state, protocol.number()),
        expires_s: entry.expires.as_secs(),
        assured: entry.assured,
        server: entry.server,
    }
}

/// A trace, to be told in words.
struct Story<'a> {
    packet: &'a TraceQuery,
    trace: &'a Trace,
    router: Option<&'a RouterRole>,
}

impl Story<'_> {
    fn why(&self) -> String {
        let mut why = match (self.trace.chosen, drop_reason(self.trace.fate)) {
            (Some(chosen), _) => self.chosen(chosen).to_owned(),
            (None, Some(reason)) => self.refused(reason).to_owned(),
            (None, None) => self.passed(),
        };
        if self.trace.chosen.is_some() && self.trace.fate == Fate::Passed {
            why += "; the server is this director itself";
        }
        why
    }

    const fn chosen(&self, chosen: Chosen) -> &'static str {
        match chosen {
            Chosen::Entry => "its flow has an entry",
            Chosen::Template => "it begins a flow, and its client's earlier ones went there",
            Chosen::Scheduler => "it begins a flow",
            Chosen::SchedulerAnew => {
                "it begins its flow anew: the entry is of a connection that is closing or closed, \
                 has expired, or its server has left"
            }
            Chosen::HashUnknown => {
                "no table knows its flow, and it begins none: the server that it goes to knows it or resets it"
            }
            Chosen::HashFlood => "it begins a flow in flood mode, and gets no entry",
            Chosen::HashAsked => "it begins a flow while a handover is prepared",
            Chosen::HashFull => {
                "it begins a flow while there are too many connections, or too many unassured ones, and gets no entry"
            }
            Chosen::HashFresh => {
                "it begins a flow in flood mode, with too many connections or while a handover is prepared, and the \
                 consistent hash names a quiesced server"
            }
        }
    }

    const fn refused(&self, reason: evenkeel_abi::DropReason) -> &'static str {
        use evenkeel_abi::DropReason;

        match reason {
            DropReason::NoServer => "the service has no server that takes it",
            DropReason::ServerGone | DropReason::ServerGoneReset => {
                "the server of its flow has left the service"
            }
            DropReason::TableFull => {
                "it begins a flow that needs an entry, and there is no room for one"
            }
            DropReason::NoWayOut => {
                "its server is reached by an interface that this director does not work on"
            }
            DropReason::Malformed
            | DropReason::Fragment
            | DropReason::FragmentEarly
            | DropReason::TtlExceeded
            | DropReason::GateDraining
            | DropReason::Internal => "the data plane found its own maps inconsistent",
        }
    }

    fn passed(&self) -> String {
        let TraceQuery {
            protocol,
            virtual_address,
            ..
        } = self.packet;
        let (ip, port) = (virtual_address.ip(), virtual_address.port());
        let Some(gate) = self.trace.gate else {
            return format!("{ip} is no virtual address of this director");
        };
        if self.trace.scheduler.is_none() {
            let protocol = protocol.name();
            return format!(
                "{ip} is a virtual address, but has no {protocol} service at port {port}"
            );
        }
        match (view::gate(gate), self.router) {
            (GateStatus::Closed, Some(router)) => format!(
                "the gate of {ip} is closed: this director is {} in virtual router `{}`",
                router.role.name(),
                router.name
            ),
            (GateStatus::Closed, None) => format!("the gate of {ip} is closed"),
            // Something changed between the decision and the look at the gate.
            (GateStatus::Open | GateStatus::Draining, _) => {
                "the service is just changing; ask again".to_owned()
            }
        }
    }

    fn hints(&self, services: &[Listens]) -> Vec<String> {
        let mut hints = Vec::new();
        match self.trace.fate {
            Fate::Forwarded => {}
            Fate::Dropped(_) | Fate::Answered(_) => {
                hints.push("`evenkeel status` shows the servers with their states.".to_owned());
            }
            Fate::Passed if self.trace.chosen.is_some() => {}
            Fate::Passed if self.trace.gate.is_none() => {
                hints.push("`evenkeel status` shows the services.".to_owned());
            }
            Fate::Passed if self.trace.scheduler.is_none() => {
                hints.extend(self.neighbours(services));
            }
            Fate::Passed => hints.push(match self.router.map(|router| router.role) {
                Some(Role::Backup | Role::Initialize) => {
                    "Ask on the Active director, whom `evenkeel status` names as the partner."
                        .to_owned()
                }
                Some(Role::Active) | None => {
                    "`evenkeel status` and `evenkeel events` show what the service waits for."
                        .to_owned()
                }
            }),
        }
        hints
    }

    /// The services of the same address.
    fn neighbours(&self, services: &[Listens]) -> Option<String> {
        let asked = self.packet.virtual_address;
        let there = services.iter().flat_map(Listens::iter);
        let there = there.filter(|listen| listen.address == asked.ip());
        let mut there: Vec<String> = there
            .map(|listen| format!("{} {}", listen.protocol.name(), listen.ports))
            .collect();
        there.sort();
        (!there.is_empty()).then(|| format!("Its services: {}.", there.join(", ")))
    }
}

#[cfg(test)]
mod tests;
