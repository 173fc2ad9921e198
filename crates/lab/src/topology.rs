//! Topology files: which nodes a lab has, and what each runs.
//!
//! ```toml
//! [lab]
//! name = "paper"                  # the lab's name, unless `--name` gives another
//! network = "198.18.14.0/24"      # IPv4, the one segment that all nodes share
//! domain = "laico.cic.unb.br"     # optional: /etc/hosts gets `NAME.DOMAIN` beside `NAME`
//!
//! [hosts]                         # optional: more names for every node's /etc/hosts
//! www = "198.18.14.146"
//!
//! [[node]]
//! name = "laicoz"
//! kind = "director"               # "director", "real-server" or "client"
//! address = "198.18.14.10"        # of its eth0
//! config = "..."                  # director: text of evenkeel's config; `evenkeel run` starts on boot
//! boot = [["sleep", "1d"]]        # optional: commands to start on boot
//!
//! [[node]]
//! name = "laico2"
//! kind = "real-server"
//! address = "198.18.14.12"
//! virtual = ["198.18.14.146"]     # optional: addresses on lo, not answered by ARP
//! http = 80                       # optional: port of its web server, 0 for none
//! echo = 7                        # optional: port of a UDP echo server on each virtual address
//! ```
//!
//! Pure values: nothing here looks at the machine.

mod diagnostic;
mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use toml::Spanned;

pub use diagnostic::TopologyError;
pub use network::{InvalidNetwork, Network};

/// The cluster of the paper's Figure 4.
pub const PAPER: &str = include_str!("../topologies/paper.toml");

/// Longest name of a node: it is also the name of an interface (IFNAMSIZ less the final zero).
const NODE_NAME_MAX: usize = 15;

/// Most characters of a lab's name, so that its control socket's path fits.
const LAB_NAME_MAX: usize = 32;

/// Nodes of one lab, at most.
const NODES_MAX: usize = 256;

/// A cluster: one switch and the nodes at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Name of the lab.
    pub name: String,
    /// The segment's network.
    pub network: Network,
    /// Text of every node's /etc/hosts.
    pub hosts: String,
    /// Nodes, in the order of the file.
    pub nodes: Vec<Node>,
}

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// Its port at the switch is prepared for XDP.
    Director,
    /// Runs a web server.
    RealServer,
    /// Sends requests.
    Client,
}

impl NodeKind {
    /// The kind as topology files spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Director => "director",
            Self::RealServer => "real-server",
            Self::Client => "client",
        }
    }
}

/// One host of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Host name, and name of its port at the switch.
    pub name: String,
    /// What it is for.
    pub kind: NodeKind,
    /// Address of its eth0.
    pub address: Ipv4Addr,
    /// Addresses on its lo, for which it does not answer ARP.
    pub virtual_addresses: Vec<Ipv4Addr>,
    /// Text of the director's config file.
    pub config: Option<String>,
    /// Port of its web server.
    pub http: Option<u16>,
    /// Port of its UDP echo servers, one on each of its virtual addresses.
    pub echo: Option<u16>,
    /// Commands started on boot, after those that `config`, `http` and `echo` stand for.
    pub boot: Vec<Vec<String>>,
}

impl Topology {
    /// Reads a topology from the text of a file; `file` is its name in messages.
    ///
    /// # Errors
    /// The first mistake, with its place in the file.
    pub fn parse(file: &str, text: &str) -> Result<Self, TopologyError> {
        let written: File = toml::from_str(text)
            .map_err(|err| TopologyError::new(file, text, err.span(), err.message()))?;
        written
            .check()
            .map_err(|mistake| TopologyError::new(file, text, Some(mistake.span), &mistake.message))
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    lab: LabTable,
    #[serde(default)]
    hosts: BTreeMap<String, Ipv4Addr>,
    #[serde(default)]
    node: Vec<NodeTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabTable {
    name: Spanned<String>,
    network: Spanned<Network>,
    domain: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeTable {
    name: Spanned<String>,
    kind: NodeKind,
    address: Spanned<Ipv4Addr>,
    #[serde(default, rename = "virtual")]
    virtual_addresses: Vec<Ipv4Addr>,
    config: Option<Spanned<String>>,
    http: Option<u16>,
    echo: Option<Spanned<u16>>,
    #[serde(default)]
    boot: Vec<Spanned<Vec<String>>>,
}

struct Mistake {
    span: std::ops::Range<usize>,
    message: String,
}

impl Mistake {
    fn at<T>(place: &Spanned<T>, message: String) -> Self {
        Self {
            span: place.span(),
            message,
        }
    }
}

impl File {
    fn check(self) -> Result<Topology, Mistake> {
        let name = self.lab.name.get_ref();
        if !is_lab_name(name) {
            return Err(Mistake::at(
                &self.lab.name,
                format!(
                    "`{name}` can't name a lab: use 1 to {LAB_NAME_MAX} letters, digits, `-` or `_`"
                ),
            ));
        }
        if self.node.is_empty() || self.node.len() > NODES_MAX {
            return Err(Mistake::at(
                &self.lab.name,
                format!("a lab has 1 to {NODES_MAX} nodes: add `[[node]]` tables"),
            ));
        }
        let network = *self.lab.network.get_ref();
        let mut names = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for node in &self.node {
            node.check(network)?;
            if !names.insert(node.name.get_ref().as_str()) {
                return Err(Mistake::at(
                    &node.name,
                    format!("another node is named `{}`", node.name.get_ref()),
                ));
            }
            if !addresses.insert(*node.address.get_ref()) {
                return Err(Mistake::at(
                    &node.address,
                    format!("another node has the address `{}`", node.address.get_ref()),
                ));
            }
        }
        Ok(Topology {
            hosts: self.hosts_file(),
            name: self.lab.name.into_inner(),
            network,
            nodes: self.node.into_iter().map(NodeTable::into_node).collect(),
        })
    }

    fn hosts_file(&self) -> String {
        let named = self
            .node
            .iter()
            .map(|node| (*node.address.get_ref(), node.name.get_ref().as_str()))
            .chain(
                self.hosts
                    .iter()
                    .map(|(name, address)| (*address, name.as_str())),
            );
        let mut text = String::from("127.0.0.1 localhost\n");
        for (address, name) in named {
            match &self.lab.domain {
                Some(domain) => text.push_str(&format!("{address} {name}.{domain} {name}\n")),
                None => text.push_str(&format!("{address} {name}\n")),
            }
        }
        text
    }
}

impl NodeTable {
    fn check(&self, network: Network) -> Result<(), Mistake> {
        let name = self.name.get_ref();
        if !is_node_name(name) {
            return Err(Mistake::at(
                &self.name,
                format!(
                    "`{name}` can't name a node: use 1 to {NODE_NAME_MAX} lower-case letters, \
                     digits or `-`, and not the names `br0`, `eth0` and `lo`"
                ),
            ));
        }
        let address = *self.address.get_ref();
        if !network.has_host(address) {
            return Err(Mistake::at(
                &self.address,
                format!("`{address}` is not a host address of the network {network}"),
            ));
        }
        if let Some(config) = &self.config
            && self.kind != NodeKind::Director
        {
            return Err(Mistake::at(
                config,
                format!(
                    "only a director has a `config`; `{name}` is a {}",
                    self.kind.name()
                ),
            ));
        }
        if let Some(echo) = &self.echo
            && self.virtual_addresses.is_empty()
        {
            return Err(Mistake::at(
                echo,
                format!("`echo` serves virtual addresses; `{name}` has none in `virtual`"),
            ));
        }
        match self
            .boot
            .iter()
            .find(|command| command.get_ref().is_empty())
        {
            Some(command) => Err(Mistake::at(
                command,
                String::from("a command needs at least a program"),
            )),
            None => Ok(()),
        }
    }

    fn into_node(self) -> Node {
        let default_http = match self.kind {
            NodeKind::RealServer => 80,
            NodeKind::Director | NodeKind::Client => 0,
        };
        Node {
            name: self.name.into_inner(),
            kind: self.kind,
            address: self.address.into_inner(),
            virtual_addresses: self.virtual_addresses,
            config: self.config.map(Spanned::into_inner),
            http: Some(self.http.unwrap_or(default_http)).filter(|port| *port != 0),
            echo: self.echo.map(Spanned::into_inner).filter(|port| *port != 0),
            boot: self.boot.into_iter().map(Spanned::into_inner).collect(),
        }
    }
}

/// Whether a lab may have that name: it is also a folder's name.
pub(crate) fn is_lab_name(name: &str) -> bool {
    (1..=LAB_NAME_MAX).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn is_node_name(name: &str) -> bool {
    (1..=NODE_NAME_MAX).contains(&name.len())
        && !["br0", "eth0", "lo"].contains(&name)
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests;
