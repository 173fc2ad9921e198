//! What was seen of each figure, as plain data for the judge.

use std::time::Instant;

use crate::load::Record;
use crate::paper::watch::History;

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
}
