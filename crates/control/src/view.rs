//! The read-only state, for `status`.

use std::net::SocketAddr;
use std::time::Instant;

use evenkeel_model::{
    Check, Forwarding, Hop, Listens, OnFailure, Scheduler, ServiceEntry, ServiceKey, Weight,
};

/// What the checks say of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerHealth {
    /// Not checked yet, and not listed.
    Gated,
    /// Up, or never checked.
    Up,
    /// Down.
    Down,
}

/// All services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Name of the director.
    pub name: String,
    /// Whether the first round of checks is complete.
    pub ready: bool,
    /// Services, in the order of the config file.
    pub services: Vec<ServiceView>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// The operator's name for it.
    pub name: String,
    /// What identifies it.
    pub key: ServiceKey,
    /// What a group takes; empty where the key says it.
    pub group: Listens,
    /// How new flows are placed.
    pub scheduler: Scheduler,
    /// What happens to a server whose check fails.
    pub on_failure: OnFailure,
    /// How its servers are checked.
    pub check: Option<Check>,
    /// Servers, in the order of the config file.
    pub servers: Vec<ServerView>,
    /// Who gets the new flows while none of `servers` is usable.
    pub sorry_server: Option<ServerView>,
    /// What the data plane should hold, servers in IPVS's list order.
    pub entry: ServiceEntry,
}

/// One server of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// Address and port.
    pub address: SocketAddr,
    /// Configured weight.
    pub weight: Weight,
    /// How packets reach it; [`Forwarding::Local`] where its address is the director's own.
    pub forwarding: Forwarding,
    /// Weight in the data plane's list; `None`: not listed.
    pub in_force: Option<Weight>,
    /// Whether it is in no list, but its running flows go on: its check fails here, and the director that placed them may
    /// know better.
    pub held: bool,
    /// What the checks say.
    pub health: ServerHealth,
    /// Why `health` is what it is.
    pub reason: String,
    /// When `health` became that.
    pub since: Instant,
    /// Next hop; `None`: nobody has answered for it yet, or the server is the director.
    pub hop: Option<Hop>,
    /// What the last failed check said; `None`: none has failed since the daemon started.
    pub last_failure: Option<String>,
    /// Since when it is drained by hand; `None`: it is not.
    pub drained_since: Option<Instant>,
}
