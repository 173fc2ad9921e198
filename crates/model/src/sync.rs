//! Connection sync, as configured.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// With whom this director shares its connections, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSync {
    /// Files with a key that all directors have, at least one; the first key begins sessions, any opens them.
    pub key_files: Vec<PathBuf>,
    /// UDP port of all directors.
    pub port: u16,
    /// How old a change may be that a partner does not have, while it counts as in sync; 10 ms to 10 s.
    pub lag: Duration,
    /// Longest wait of a preemption, or of a handover, for the partner's connections.
    pub wait: Duration,
    /// The other directors, at least one, each with a name of its own.
    pub peers: Vec<SyncPeer>,
}

impl ConnectionSync {
    /// The port where the configuration names none.
    pub const PORT: u16 = 6694;
}

/// Another director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncPeer {
    /// Its name.
    pub name: String,
    /// Its addresses, at least one: a way to it each, the first one first.
    pub addresses: Vec<IpAddr>,
}
