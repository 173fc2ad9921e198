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
pub(super) const SERVICE: &str = "crowd";

/// Its port.
const PORT: u16 = 7777;

/// A client's first port.
pub(super) const FIRST_PORT: u16 = 10_000;

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
pub(super) struct ClientNode {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    pub(super) connections: u16,
}

/// Who holds how many connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) clients: Vec<ClientNode>,
    /// Processes of each real server.
    pub(super) processes: u32,
    connections: u32,
    on_failure: OnFailure,
}

impl Plan {
    pub(super) fn new(connections: u32, on_failure: OnFailure) -> Self {
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
            connections,
            on_failure,
        }
    }

    /// The cluster.
    pub(super) fn setup(&self) -> Result<Setup, PaperError> {
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
        topology
            .nodes
            .extend(self.clients.iter().map(|client| Node {
                name: client.name.clone(),
                kind: NodeKind::Client,
                address: client.address,
                virtual_addresses: Vec::new(),
                config: None,
                http: None,
                echo: None,
                boot: Vec::new(),
            }));
        Setup::read(topology)
    }

    /// A director's config: tables in which half of the room is enough, because as many connections that
    /// are idle from their start on make a director distrust new ones; and the service.
    fn config(&self, of_the_paper: &str) -> String {
        let room = (self.connections * 4).max(TABLE_MIN);
        let rule = name(self.on_failure);
        let [usual, patient] = CADENCE;
        let service = format!(
            "
[[service]]
name = \"{SERVICE}\"
listen = \"198.18.14.146:{PORT}\"
protocol = \"tcp\"
scheduler = \"maglev\"
forward = \"direct\"
on-failure = \"{rule}\"
check = {{ http = \"/\", status = 200, port = 80, {patient}, rise = 2 }}
servers = [
  {{ address = \"198.18.14.12\", weight = 1 }},
  {{ address = \"198.18.14.13\", weight = 1 }},
  {{ address = \"198.18.14.14\", weight = 1 }},
]
"
        );
        of_the_paper
            .replace(usual, patient)
            .replace("connections = 131072", &format!("connections = {room}"))
            .replace("half-open = 65536", &format!("half-open = {TABLE_MIN}"))
            + &service
    }
}

/// The service's address.
pub(super) const fn service_address() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 146), PORT)
}

/// The rule as configs spell it.
pub(super) const fn name(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Remove => "remove",
        OnFailure::Quiesce => "quiesce",
    }
}

#[cfg(test)]
mod tests;
