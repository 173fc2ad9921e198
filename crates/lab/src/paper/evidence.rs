//! What was seen of each figure, as plain data for the judge.

use evenkeel_api::ServiceId;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use crate::load::Record;
use crate::paper::roles::Roles;
use crate::paper::watch::History;
use crate::probe::Echoes;
use crate::stall::Stall;
use crate::streams::Stream;

/// Figure 5: all real servers up.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    /// Requests sent one after the other, before the listing.
    pub(crate) sequence: Vec<Record>,
    /// What the director listed then.
    pub(crate) listing: String,
    /// An open-loop load after the listing.
    pub(crate) load: Vec<Record>,
    /// What the director said during the load.
    pub(crate) history: History,
    /// The other director meanwhile.
    pub(crate) partner: Partner,
}

/// Figures 6 and 7: one real server loses power under load.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// When its link was down.
    pub(crate) fault: Instant,
    /// The whole load, in the order of start.
    pub(crate) records: Vec<Record>,
    /// What the director said meanwhile.
    pub(crate) history: History,
    /// When the director sent packets for the virtual address to that server.
    pub(crate) frames: Vec<Instant>,
    /// What the director listed as soon as the server was out.
    pub(crate) listing_removed: String,
    /// What it listed at the end of the load.
    pub(crate) listing_end: String,
    /// The other director meanwhile.
    pub(crate) partner: Partner,
}

/// Figure 8: the server comes back under load.
#[derive(Clone, Debug)]
pub(crate) struct Restoration {
    /// When its power was switched on.
    pub(crate) power_on: Instant,
    /// The whole load, in the order of start.
    pub(crate) records: Vec<Record>,
    /// What the director said meanwhile.
    pub(crate) history: History,
    /// What the director listed at the end of the load.
    pub(crate) listing: String,
    /// The other director meanwhile.
    pub(crate) partner: Partner,
}

/// The Backup while the Active works.
#[derive(Clone, Debug)]
pub(crate) struct Partner {
    /// Its roles.
    pub(crate) roles: Roles,
    /// How it stood at the end.
    pub(crate) end: Standing,
}

/// What a director shows at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What its `ipvsadm -L` lists.
    pub(crate) listing: String,
    /// Its services, whether it acts for them or not.
    pub(crate) services: Vec<Held>,
    /// Whether its interface has the virtual address.
    pub(crate) has_address: bool,
}

/// A service as a director holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// What identifies it.
    pub(crate) service: ServiceId,
    /// Whether its gate is open.
    pub(crate) open: bool,
    /// Real servers that are in the list.
    pub(crate) servers: BTreeSet<SocketAddr>,
}

/// The virtual address goes from one director to the other, under traffic.
#[derive(Clone, Debug)]
pub(crate) struct Handover {
    /// Where the measured time begins, in steady traffic.
    pub(crate) from: Instant,
    /// When it was caused: just before power or daemon were switched.
    pub(crate) cause: Instant,
    /// Where the measured time ends.
    pub(crate) to: Instant,
    /// The echo probe.
    pub(crate) echoes: Echoes,
    /// The open-loop load, in the order of start.
    pub(crate) records: Vec<Record>,
    /// The long-lived connections.
    pub(crate) streams: Vec<Stream>,
    /// Roles of the one that gets the address.
    pub(crate) heir: Roles,
    /// When this machine stood still in the measured time.
    pub(crate) stalls: Vec<Stall>,
}

/// The director is gone: Figures 9 to 11 where it lost its power.
#[derive(Clone, Debug)]
pub(crate) struct Takeover {
    /// The Backup before.
    pub(crate) before: Partner,
    /// The change.
    pub(crate) handover: Handover,
    /// What its partner listed as soon as it was Active.
    pub(crate) listing: String,
    /// How the partner stood at the end.
    pub(crate) end: Standing,
    /// When the director's daemon had ended, where it ended by itself.
    pub(crate) ended: Option<Instant>,
}

/// The director is back: Figures 12 and 13 where it was powered on.
#[derive(Clone, Debug)]
pub(crate) struct Return {
    /// The change.
    pub(crate) handover: Handover,
    /// What it listed as soon as it was Active.
    pub(crate) listing: String,
    /// How the director stood at the end.
    pub(crate) director: Standing,
    /// How its partner stood at the end.
    pub(crate) partner: Partner,
}
