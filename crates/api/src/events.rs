//! What `evenkeel events` shows: what happened, in order.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Longest wait of one request for events.
pub const EVENTS_WAIT_MS_MAX: u64 = 30_000;

/// What is asked for, as the query of the request; what is left out is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventsQuery {
    /// Only events with a greater number; 0: all that the daemon still knows.
    pub after: u64,
    /// How long the answer may wait for a first such event; more than [`EVENTS_WAIT_MS_MAX`] is taken as
    /// that. An `after` that is greater than the newest number is answered at once.
    pub wait_ms: u64,
}

/// Events in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// [`crate::API_VERSION`].
    pub api_version: u32,
    /// When the daemon started, in milliseconds since 1970-01-01 UTC. Another daemon numbers its events from
    /// 1 again: one who meets another time here asks again for what comes after 0.
    pub daemon_started_ms: u64,
    /// Events, the oldest first.
    pub events: Vec<EventRecord>,
    /// What to put for `after` the next time: the newest number that exists.
    pub next: u64,
    /// Events after `after` that the daemon does not know any more.
    pub lost: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its number, from 1 in the life of a daemon, without gaps.
    pub seq: u64,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
    /// What kind, in kebab-case; the same as `event` in the log.
    pub kind: String,
    /// What happened and why, for people.
    pub message: String,
    /// True for a trouble that a person should look at.
    pub warning: bool,
    /// The virtual router that it is about, by name.
    pub virtual_router: Option<String>,
    /// The virtual service that it is about, by name.
    pub service: Option<String>,
    /// The real server that it is about.
    pub server: Option<SocketAddr>,
}
