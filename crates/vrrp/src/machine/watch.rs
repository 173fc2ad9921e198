//! What a Backup knows of the Active.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What a Backup knows of the Active.
#[derive(Debug)]
pub(super) struct Watch {
    /// Version 3: the interval that the Active advertised; `None`: this director's own.
    pub(super) interval: Option<Duration>,
    /// When an advertisement was last heard, or the watch began.
    pub(super) heard: Instant,
    /// Who stopped being Active, nobody having been heard since.
    pub(super) resigned: Option<IpAddr>,
    /// The Active, if its priority is lower.
    pub(super) lower: Option<Lower>,
    /// The priority of the Active that was heard last, if it has not stopped.
    pub(super) priority: Option<u8>,
    /// The timer ran out before this director might take over.
    pub(super) ran_out: bool,
}

/// An Active of lower priority.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lower {
    pub(super) address: IpAddr,
    pub(super) priority: u8,
    /// When one was first heard.
    pub(super) since: Instant,
    /// When it was last heard.
    pub(super) last: Instant,
}

impl Watch {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            interval: None,
            heard: now,
            resigned: None,
            lower: None,
            priority: None,
            ran_out: false,
        }
    }
}
