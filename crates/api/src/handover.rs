//! Handing virtual routers over by command: `evenkeel failover`, `standby` and `maintenance`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Longest time that a partner may be given to get ready, in milliseconds.
pub const PATIENCE_MS_MAX: u64 = 600_000;

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandoverOrder {
    /// Hand over, and do not preempt until this director was Active again.
    Failover,
    /// Hand over where Active, and take over only where nobody else is there.
    Standby,
    /// No standby any more, nor what `Failover` left.
    Resume,
    /// Hand over where Active, and take nothing over; of all virtual routers. Has no effect where nobody
    /// takes over.
    Maintenance,
    /// The same, but the role is given up even where nobody takes over.
    MaintenanceForced,
    /// No maintenance any more.
    EndMaintenance,
}

/// The body of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverRequest {
    /// What to do.
    pub order: HandoverOrder,
    /// The virtual routers, by name; empty: all (of `Failover`: all that this director is Active for).
    #[serde(default)]
    pub routers: Vec<String>,
    /// The partner's own address, which somebody else than that one is a mistake for; of `Failover`.
    #[serde(default)]
    pub to: Option<IpAddr>,
    /// How long the partner may take to get ready, at most [`PATIENCE_MS_MAX`]; `None`: 10 s.
    #[serde(default)]
    pub patience_ms: Option<u64>,
}

/// The answer, which comes when all of it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverAnswer {
    /// [`crate::API_VERSION`].
    pub api_version: u32,
    /// What became of each virtual router, in the order of the config file.
    pub routers: Vec<RouterHandover>,
    /// Whether this director is in maintenance now.
    pub maintenance: bool,
}

/// What became of one virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterHandover {
    /// Its name.
    pub router: String,
    /// What, for machines.
    pub outcome: HandoverOutcome,
    /// The same for people.
    pub message: String,
    /// Who is Active instead of this director.
    pub successor: Option<IpAddr>,
    /// Time from the order until the successor was heard, in microseconds.
    pub took_us: Option<u64>,
    /// What to do next; empty where all is well.
    pub hints: Vec<String>,
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandoverOutcome {
    /// The successor is Active.
    HandedOver,
    /// The successor is Active, and not the one that was asked for.
    OtherSuccessor,
    /// This director was not Active; the order is in force.
    NotActive,
    /// Nobody took over: this director is Active still.
    Nobody,
    /// Nobody took over, and nobody serves now, as was ordered.
    GivenUp,
    /// The partner was not ready in time: this director is Active still.
    NotReady,
    /// It came to nothing for another reason, which the message tells.
    Failed,
    /// There was nothing to hand over: the order ended one.
    Resumed,
}

impl HandoverOutcome {
    /// Whether what was ordered is in force.
    #[must_use]
    pub const fn is_good(self) -> bool {
        match self {
            Self::HandedOver | Self::NotActive | Self::GivenUp | Self::Resumed => true,
            Self::OtherSuccessor | Self::Nobody | Self::NotReady | Self::Failed => false,
        }
    }
}
