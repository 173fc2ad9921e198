//! The daemon's API: request and answer types, and the client that speaks them.
//!
//! JSON over HTTP/1.1 on a unix socket. Every answer carries `api_version`; within one version fields
//! and values of enums are only added, and what an older daemon leaves out has a default, so that a
//! client works with a daemon that has not been restarted since an upgrade. This crate must not know
//! how the daemon works: it holds plain data and a client.

#![forbid(unsafe_code)]

pub mod client;
pub mod connections;
pub mod edits;
pub mod events;
pub mod handover;
pub mod reload;
pub mod services;
pub mod status;
pub mod sync;
pub mod trace;
pub mod virtual_routers;

pub use client::{Client, ClientError};
pub use connections::{
    CONNECTIONS_MAX, Connection, ConnectionState, Connections, ConnectionsQuery,
};
pub use edits::{
    EDITS_MAX, Edit, EditAnswer, EditKind, EditRefusal, EditRequest, EditedServer, EditedService,
    Edits, Persistence, ServerSettings, ServiceId, ServiceOptions, ServiceSettings, Thresholds,
    TimeoutSettings,
};
pub use events::{EVENTS_WAIT_MS_MAX, EventRecord, Events, EventsQuery};
pub use handover::{
    HandoverAnswer, HandoverOrder, HandoverOutcome, HandoverRequest, PATIENCE_MS_MAX,
    RouterHandover,
};
pub use reload::{ErrorAnswer, ErrorKind, ReloadAnswer, ReloadQuery};
pub use services::{
    Forwarding, Rates, RouterRole, ServerListing, ServiceListing, Services, Totals,
};
pub use status::{
    DropCount, EventCount, GateStatus, InterfaceStatus, Listen, OnFailure, Problem, ServerState,
    ServerStatus, ServiceStatus, Status, TableStatus, XdpMode,
};
pub use sync::{SyncCount, SyncDirection, SyncPeerStatus, SyncStatus};
pub use trace::{
    ChosenBy, SCTP_INIT, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TraceAnswer, TraceQuery, TraceVerdict,
    TracedEntry, TracedServer, TracedService,
};
pub use virtual_routers::{
    AddressHolder, LatenessBucket, PartnerStatus, Role, RouterCount, Stance, VirtualRouterStatus,
    VrrpThreadStatus,
};

/// Version of the types of this crate; it is in every path (`/v1/`) and in every answer.
pub const API_VERSION: u32 = 1;

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/evenkeel/evenkeel.sock";

/// Environment variable that names another socket.
pub const SOCKET_VARIABLE: &str = "EVENKEEL_SOCKET";

/// Path of [`Status`], GET.
pub const STATUS_PATH: &str = "/v1/status";
/// Path of [`Services`], GET.
pub const SERVICES_PATH: &str = "/v1/services";
/// Path of [`Connections`], GET, with [`ConnectionsQuery`] as its query.
pub const CONNECTIONS_PATH: &str = "/v1/connections";
/// Path of [`Events`], GET, with [`EventsQuery`] as its query.
pub const EVENTS_PATH: &str = "/v1/events";
/// Path of [`TraceAnswer`], GET, with [`TraceQuery`] as its query.
pub const TRACE_PATH: &str = "/v1/trace";
/// Path of [`EditAnswer`], POST, with an [`EditRequest`] as its body.
pub const EDIT_PATH: &str = "/v1/edit";
/// Path of [`HandoverAnswer`], POST, with a [`HandoverRequest`] as its body.
pub const HANDOVER_PATH: &str = "/v1/handover";
/// Path of [`ReloadAnswer`], POST, with [`ReloadQuery`] as its query.
pub const RELOAD_PATH: &str = "/v1/reload";

use serde::{Deserialize, Serialize};

/// Transport protocol of a service or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The name in capitals, as ipvsadm prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// The name in JSON and config files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// The IP protocol number (IANA).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}
