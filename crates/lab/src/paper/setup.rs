//! What the figures need to know of the paper's cluster, read from its topology and its directors'
//! configs, so that every number stands in one place.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use evenkeel_model::{Cadence, Director, RealServer, VirtualRouter, VirtualService, Weight};

use crate::paper::PaperError;
use crate::topology::{Node, NodeKind, PAPER, Topology};

/// The real server that loses power.
const VICTIM: &str = "laico2";

/// What the topology says of the time between advertisements.
const ADVERTS: &str = "adverts = \"100ms\"";

/// Longest silence that a figure allows, by the probe and by the load.
pub(crate) const SILENCE_BOUND: Duration = Duration::from_secs(2);

/// Least and greatest time between advertisements: below the first VRRP has no number for it, above the
/// second a takeover takes longer than [`SILENCE_BOUND`].
pub(crate) const ADVERTS_BOUNDS: [Duration; 2] =
    [Duration::from_millis(10), Duration::from_millis(500)];

/// What the last misdirected packet may come later than the last failed check.
const REMOVAL_SLACK: Duration = Duration::from_millis(250);

/// What the first served request may come later than the last successful check.
const RETURN_SLACK: Duration = Duration::from_secs(1);

/// What a director that starts may need besides its checks and the protocol's own times: most of it is
/// the kernel's, which checks the program first.
const START_SLACK: Duration = Duration::from_secs(10);

/// The paper's cluster, and what is expected of it.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) topology: Topology,
    /// Node that sends requests.
    pub(crate) client: String,
    /// The director that has the virtual address as long as it can.
    pub(crate) director: String,
    /// The other one.
    pub(crate) partner: String,
    /// The virtual router that they share, as the director has it.
    pub(crate) router: VirtualRouter,
    /// The virtual service that answers HTTP.
    pub(crate) service: VirtualService,
    /// Its address and port.
    pub(crate) address: SocketAddr,
    /// The virtual service that sends datagrams back.
    pub(crate) echo: VirtualService,
    /// Its address and port.
    pub(crate) echo_address: SocketAddr,
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
    /// Reads the topology that is built in; `adverts` is the time between advertisements, where it is to
    /// be another than the topology's.
    pub(crate) fn of_the_paper(adverts: Option<Duration>) -> Result<Self, PaperError> {
        let mut text = String::from(PAPER);
        if let Some(adverts) = adverts {
            let [least, most] = ADVERTS_BOUNDS;
            let whole = adverts.subsec_nanos().is_multiple_of(10_000_000);
            if !whole || !(least..=most).contains(&adverts) {
                return Err(PaperError::Adverts(adverts));
            }
            text = text.replace(ADVERTS, &format!("adverts = \"{}ms\"", adverts.as_millis()));
        }
        let topology = Topology::parse("paper.toml", &text)
            .map_err(|error| PaperError::Setup(error.to_string()))?;
        Self::read(topology)
    }

    /// Reads a topology like the one that is built in.
    pub(crate) fn read(topology: Topology) -> Result<Self, PaperError> {
        let mut directors = directors(&topology)?.into_iter();
        let (Some((director, config)), Some((partner, _config)), None) =
            (directors.next(), directors.next(), directors.next())
        else {
            return Err(lacks("two directors with configs"));
        };
        let client = topology
            .nodes
            .iter()
            .find(|node| node.kind == NodeKind::Client)
            .map(|node| node.name.clone())
            .ok_or_else(|| lacks("client"))?;
        let router = config
            .virtual_routers
            .into_iter()
            .next()
            .ok_or_else(|| lacks("virtual router"))?;
        let mut services = config.services.into_iter();
        let mut named = |name: &str| {
            let found = services.find(|service| service.name == name);
            found.ok_or_else(|| lacks(&format!("virtual service named `{name}`")))
        };
        let (service, echo) = (named("web")?, named("echo")?);
        let cadence = service
            .check
            .as_ref()
            .map(|check| check.cadence)
            .ok_or_else(|| lacks("health check"))?;
        let address_of = |service: &VirtualService| {
            let address = service.key.address();
            address.ok_or_else(|| lacks(&format!("one address of `{}`", service.name)))
        };
        let (address, echo_address) = (address_of(&service)?, address_of(&echo)?);
        let servers = servers(&topology, &service);
        let victim = servers
            .iter()
            .find(|server| server.node == VICTIM)
            .cloned()
            .ok_or_else(|| lacks(&format!("real server named `{VICTIM}`")))?;
        Ok(Self {
            victim,
            client,
            director,
            partner,
            router,
            service,
            address,
            echo,
            echo_address,
            cadence,
            servers,
            topology,
        })
    }

    /// The virtual address.
    pub(crate) fn virtual_address(&self) -> IpAddr {
        self.address.ip()
    }

    /// The virtual address's name in listings.
    pub(crate) fn virtual_host(&self) -> String {
        let address = self.virtual_address();
        match address {
            IpAddr::V4(address) => host_name(&self.topology.hosts, address),
            IpAddr::V6(_) => address.to_string(),
        }
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

    /// Longest time from the start of the director's daemon until it has the virtual address again.
    pub(crate) fn takeover_bound(&self) -> Duration {
        let Cadence { every, timeout, .. } = self.cadence;
        // Three intervals and a skew of less than one (RFC 9568 §6.1).
        every + timeout + self.router.advert_interval * 4 + START_SLACK
    }

    /// What a newcomer is told first.
    pub(crate) fn introduction(&self) -> String {
        let mut text = String::from(
            "evenkeel plays Figures 5 to 13 of the paper on the cluster of its Figure 4. Every machine of\n\
             it is a network namespace of this computer; packets, connections and HTTP are real.\n\n",
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
        text.push_str(&self.about_balancing());
        text.push_str(&self.about_directors());
        text
    }

    fn about_balancing(&self) -> String {
        let Cadence {
            every,
            timeout,
            fall,
            rise,
        } = self.cadence;
        format!(
            "\nClients know one address, {}. {director} gives every new connection to the real server\n\
             whose turn it is ({}); that one answers the client itself ({}: direct routing). {director} checks\n\
             each of them by HTTP every {} ms, within {} ms: {fall} failures in a row take it out,\n\
             {rise} successes in a row put it back.\n",
            self.address,
            self.service.scheduler.name(),
            self.service
                .servers
                .first()
                .map_or("", |server| server.forwarding.listing_name()),
            every.as_millis(),
            timeout.as_millis(),
            director = self.director,
        )
    }

    fn about_directors(&self) -> String {
        let VirtualRouter {
            id,
            version,
            priority,
            advert_interval,
            ..
        } = &self.router;
        format!(
            "\n{director} and {partner} share that address by VRRP (version {}, virtual router {id}): {director},\n\
             priority {priority}, is Active and says so every {} ms; {partner} is Backup. It holds the same\n\
             services warm, checks the same real servers, and takes the address over when {director}\n\
             falls silent. How long nobody answers is measured by a datagram every millisecond to the\n\
             service {}, and by a new connection every 5 ms.\n",
            version.number(),
            advert_interval.as_millis(),
            self.echo_address,
            director = self.director,
            partner = self.partner,
        )
    }

    fn part_of(&self, node: &Node) -> &'static str {
        match node.kind {
            NodeKind::Client => "client: sends the requests",
            NodeKind::RealServer => "real server",
            NodeKind::Director if node.name == self.director => "director: Active while it can",
            NodeKind::Director => "director: Backup, takes over when the other is gone",
        }
    }
}

fn lacks(what: &str) -> PaperError {
    PaperError::Setup(format!("it has no {what}"))
}

/// The directors by name, with their configs, in the order of the topology.
fn directors(topology: &Topology) -> Result<Vec<(String, Director)>, PaperError> {
    let configs = topology
        .nodes
        .iter()
        .filter_map(|node| Some((&node.name, node.config.as_ref()?)));
    configs
        .map(|(name, config)| {
            let config = evenkeel_config::parse(&format!("{name}.toml"), config, name)
                .map_err(|error| PaperError::Setup(error.to_string()))?;
            Ok((name.clone(), config))
        })
        .collect()
}

fn servers(topology: &Topology, service: &VirtualService) -> Vec<Server> {
    let server_of = |server: &RealServer| {
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
    };
    service.servers.iter().filter_map(server_of).collect()
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
