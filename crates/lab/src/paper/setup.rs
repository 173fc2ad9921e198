//! What the figures need to know of the paper's cluster, read from its topology and its director's
//! config, so that every number stands in one place.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use evenkeel_model::{Cadence, VirtualService, Weight};

use crate::paper::PaperError;
use crate::topology::{Node, NodeKind, PAPER, Topology};

/// The real server that loses power.
const VICTIM: &str = "laico2";

/// What the last misdirected packet may come later than the last failed check.
const REMOVAL_SLACK: Duration = Duration::from_millis(250);

/// What the first served request may come later than the last successful check.
const RETURN_SLACK: Duration = Duration::from_secs(1);

/// The paper's cluster, and what is expected of it.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) topology: Topology,
    /// Node that sends requests.
    pub(crate) client: String,
    /// Node that balances.
    pub(crate) director: String,
    /// The virtual service.
    pub(crate) service: VirtualService,
    /// How real servers are checked.
    pub(crate) cadence: Cadence,
    /// Its real servers, in the order of the config.
    pub(crate) servers: Vec<Server>,
    /// The one of them that loses power.
    pub(crate) victim: Server,
}

/// A real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Name of its node, which is what it answers.
    pub(crate) node: String,
    /// Its name in listings.
    pub(crate) host: String,
    /// Its address.
    pub(crate) ip: Ipv4Addr,
    /// Its address and port.
    pub(crate) address: SocketAddr,
    /// Its weight in the config.
    pub(crate) weight: Weight,
}

impl Setup {
    /// Reads the topology that is built in.
    pub(crate) fn of_the_paper() -> Result<Self, PaperError> {
        let topology = Topology::parse("paper.toml", PAPER)
            .map_err(|error| PaperError::Setup(error.to_string()))?;
        Self::read(topology)
    }

    fn read(topology: Topology) -> Result<Self, PaperError> {
        let lacks = |what: &str| PaperError::Setup(format!("it has no {what}"));
        let (director, config) = topology
            .nodes
            .iter()
            .find_map(|node| Some((node.name.clone(), node.config.as_ref()?)))
            .ok_or_else(|| lacks("director with a config"))?;
        let client = topology
            .nodes
            .iter()
            .find(|node| node.kind == NodeKind::Client)
            .map(|node| node.name.clone())
            .ok_or_else(|| lacks("client"))?;
        let service = evenkeel_config::parse("laicoz.toml", config, &director)
            .map_err(|error| PaperError::Setup(error.to_string()))?
            .services
            .into_iter()
            .next()
            .ok_or_else(|| lacks("virtual service"))?;
        let cadence = service
            .check
            .as_ref()
            .map(|check| check.cadence)
            .ok_or_else(|| lacks("health check"))?;
        let servers: Vec<Server> = service
            .servers
            .iter()
            .filter_map(|server| {
                let node = topology
                    .nodes
                    .iter()
                    .find(|node| IpAddr::V4(node.address) == server.address.ip())?;
                Some(Server {
                    node: node.name.clone(),
                    host: host_name(&topology.hosts, node.address),
                    ip: node.address,
                    address: server.address,
                    weight: server.weight,
                })
            })
            .collect();
        let victim = servers
            .iter()
            .find(|server| server.node == VICTIM)
            .cloned()
            .ok_or_else(|| lacks(&format!("real server named `{VICTIM}`")))?;
        Ok(Self {
            victim,
            client,
            director,
            service,
            cadence,
            servers,
            topology,
        })
    }

    /// The real servers that keep power.
    pub(crate) fn survivors(&self) -> Vec<&Server> {
        self.servers
            .iter()
            .filter(|server| server.node != VICTIM)
            .collect()
    }

    /// All real servers.
    pub(crate) fn all(&self) -> Vec<&Server> {
        self.servers.iter().collect()
    }

    /// The real server with that address.
    pub(crate) fn name_of(&self, address: SocketAddr) -> String {
        self.servers
            .iter()
            .find(|server| server.address == address)
            .map_or_else(|| address.to_string(), |server| server.node.clone())
    }

    /// Longest time from a fault to the last packet that is sent to the dead server.
    pub(crate) fn removal_bound(&self) -> Duration {
        let Cadence {
            every,
            timeout,
            fall,
            ..
        } = self.cadence;
        every * fall + timeout + REMOVAL_SLACK
    }

    /// Longest time from power-on until the server is listed and serves.
    pub(crate) fn return_bound(&self) -> Duration {
        let Cadence {
            every,
            timeout,
            rise,
            ..
        } = self.cadence;
        every * rise + timeout + RETURN_SLACK
    }

    /// What a newcomer is told first.
    pub(crate) fn introduction(&self) -> String {
        let mut text = String::from(
            "evenkeel plays Figures 5 to 8 of the paper on the cluster of its Figure 4. Every machine of it\n\
             is a network namespace of this computer; packets, connections and HTTP are real.\n\n",
        );
        for node in &self.topology.nodes {
            let line = format!(
                "    {:<8} {:<15} {}\n",
                node.name,
                node.address.to_string(),
                self.part_of(node)
            );
            text.push_str(&line);
        }
        let Cadence {
            every,
            timeout,
            fall,
            rise,
        } = self.cadence;
        let written = write!(
            text,
            "\nClients know one address, {}. {director} gives every new connection to the real server\n\
             whose turn it is ({}); that one answers the client itself ({}: direct routing). {director} checks\n\
             each of them by HTTP every {} ms, within {} ms: {fall} failures in a row take it out,\n\
             {rise} successes in a row put it back.\n",
            self.service.key.address,
            self.service.scheduler.name(),
            self.service
                .servers
                .first()
                .map_or("", |server| server.forwarding.listing_name()),
            every.as_millis(),
            timeout.as_millis(),
            director = self.director,
        );
        debug_assert!(written.is_ok(), "a string takes all that is written to it");
        text
    }

    fn part_of(&self, node: &Node) -> &'static str {
        match node.kind {
            NodeKind::Client => "client: sends the requests",
            NodeKind::RealServer => "real server",
            NodeKind::Director if node.name == self.director => "director",
            NodeKind::Director => "idle: the place of a second director",
        }
    }
}

/// The first name of an address in the text of a hosts file, else the address.
fn host_name(hosts: &str, address: Ipv4Addr) -> String {
    let address = address.to_string();
    hosts
        .lines()
        .find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == address).then(|| words.next())?
        })
        .unwrap_or(&address)
        .to_owned()
}

#[cfg(test)]
mod tests;
