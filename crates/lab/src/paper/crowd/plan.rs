//! The paper's cluster for many connections: one more service, servers of it on the real servers, and more
//! clients.

use std::net::{Ipv4Addr, SocketAddrV4};

use evenkeel_model::OnFailure;

use crate::crowd::DESCRIPTORS;
use crate::entry;
use crate::paper::PaperError;
use crate::paper::setup::Setup;
use crate::topology::{Node, NodeKind, PAPER, Topology};

/// The service of the connections.
pub(in crate::paper) const SERVICE: &str = "crowd";

/// Its port.
const PORT: u16 = 7777;

/// A client's first port.
pub(in crate::paper) const FIRST_PORT: u16 = 10_000;

/// Most connections of one client: some descriptors are for itself.
const CONNECTIONS_MAX: u32 = DESCRIPTORS - 1000;

/// Fewest clients, each with an address of its own.
const CLIENTS_MIN: u32 = 5;

/// Fewest processes of a real server.
const PROCESSES_MIN: u32 = 2;

/// Fewest entries of a director's tables.
const TABLE_MIN: u32 = 131_072;

/// A real server is checked more patiently than for the figures: so many connections keep the machine busy,
/// and it is not the checks that are measured.
const CADENCE: [&str; 2] = [
    "every = \"500ms\", timeout = \"250ms\", fall = 2",
    "every = \"1s\", timeout = \"800ms\", fall = 3",
];

/// A node that holds the clients' ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::paper) struct ClientNode {
    pub(in crate::paper) name: String,
    pub(in crate::paper) address: Ipv4Addr,
    pub(in crate::paper) connections: u16,
}

/// Who holds how many connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::paper) struct Plan {
    pub(in crate::paper) clients: Vec<ClientNode>,
    /// Processes of each real server.
    pub(in crate::paper) processes: u32,
    /// Who opens connections while things happen.
    pub(in crate::paper) newcomers: Option<ClientNode>,
    connections: u32,
    on_failure: OnFailure,
    scheduler: &'static str,
    /// Whether the last real server is not in the service yet.
    one_is_late: bool,
}

impl Plan {
    /// Of connections through the consistent hash, by all three real servers.
    pub(in crate::paper) fn new(connections: u32, on_failure: OnFailure) -> Self {
        let count = connections.div_ceil(CONNECTIONS_MAX).max(CLIENTS_MIN);
        let clients = (0..count).map(|number| {
            // The first of them have one more where it does not come out even.
            let share = connections / count + u32::from(number < connections % count);
            ClientNode {
                name: format!("crowd{}", number + 1),
                address: Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 14, 150)) + number),
                connections: u16::try_from(share).unwrap_or(u16::MAX),
            }
        });
        // A third of them, and a quarter more: neither hash that shares them is perfectly even.
        let of_server = connections / 3 + connections / 12;
        Self {
            clients: clients.collect(),
            processes: of_server.div_ceil(CONNECTIONS_MAX).max(PROCESSES_MIN),
            newcomers: None,
            connections,
            on_failure,
            scheduler: "maglev",
            one_is_late: false,
        }
    }

    /// With another scheduler.
    pub(in crate::paper) const fn scheduled(mut self, scheduler: &'static str) -> Self {
        self.scheduler = scheduler;
        self
    }

    /// With a client that opens connections all the time.
    pub(in crate::paper) fn with_newcomers(mut self) -> Self {
        self.newcomers = Some(ClientNode {
            name: String::from("newcomers"),
            address: Ipv4Addr::new(198, 18, 14, 149),
            connections: u16::try_from(CONNECTIONS_MAX).unwrap_or(u16::MAX),
        });
        self
    }

    /// Whether the last real server is to be added to the service later.
    pub(in crate::paper) const fn with_one_late(mut self, one_is_late: bool) -> Self {
        self.one_is_late = one_is_late;
        self
    }

    /// The cluster.
    pub(in crate::paper) fn setup(&self) -> Result<Setup, PaperError> {
        let mut topology = Topology::parse("paper.toml", PAPER)
            .map_err(|error| PaperError::Setup(error.to_string()))?;
        for node in &mut topology.nodes {
            if let Some(config) = &mut node.config {
                *config = self.config(config);
            }
            if node.kind == NodeKind::RealServer {
                let words = [
                    "evenkeel",
                    entry::CROWD_SERVER,
                    &node.name,
                    &PORT.to_string(),
                ]
                .map(String::from)
                .to_vec();
                node.boot
                    .extend((0..self.processes).map(|_process| words.clone()));
            }
        }
        topology.name = String::from("crowd");
        topology.nodes.extend(
            self.clients
                .iter()
                .chain(&self.newcomers)
                .map(|client| Node {
                    name: client.name.clone(),
                    kind: NodeKind::Client,
                    address: client.address,
                    virtual_addresses: Vec::new(),
                    config: None,
                    http: None,
                    echo: None,
                    boot: Vec::new(),
                }),
        );
        Setup::read(topology)
    }

    /// A director's config: the scheduler for all services; tables in which half of the room is enough,
    /// because as many connections that are idle from their start on make a director distrust new ones; and
    /// the service.
    fn config(&self, of_the_paper: &str) -> String {
        let room = (self.connections * 4).max(TABLE_MIN);
        let rule = name(self.on_failure);
        let scheduler = format!("scheduler = \"{}\"", self.scheduler);
        let last = match self.one_is_late {
            true => "",
            false => "  { address = \"198.18.14.14\", weight = 1 },\n",
        };
        let [usual, patient] = CADENCE;
        let service = format!(
            "
[[service]]
name = \"{SERVICE}\"
listen = \"198.18.14.146:{PORT}\"
protocol = \"tcp\"
{scheduler}
forward = \"direct\"
on-failure = \"{rule}\"
check = {{ http = \"/\", status = 200, port = 80, {patient}, rise = 2 }}
servers = [
  {{ address = \"198.18.14.12\", weight = 1 }},
  {{ address = \"198.18.14.13\", weight = 1 }},
{last}]
"
        );
        of_the_paper
            .replace(usual, patient)
            .replace("scheduler = \"rr\"", &scheduler)
            .replace("connections = 131072", &format!("connections = {room}"))
            .replace("half-open = 65536", &format!("half-open = {TABLE_MIN}"))
            + &service
    }
}

/// The service's address.
pub(in crate::paper) const fn service_address() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 146), PORT)
}

/// The rule as configs spell it.
pub(in crate::paper) const fn name(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Remove => "remove",
        OnFailure::Quiesce => "quiesce",
    }
}

#[cfg(test)]
mod tests;
