//! The vocabulary of evenkeel: virtual services, real servers, schedulers and the tables made of them.
//!
//! Pure values: no socket, file, clock or random source. Everything that reaches this crate has been
//! validated by its constructors, so that the rooms above need not check again.

#![forbid(unsafe_code)]

pub mod buckets;
pub mod check;
pub mod diff;
pub mod hash_table;
pub mod hop;
pub mod least;
pub mod listen;
pub mod locality;
pub mod mh;
pub mod options;
pub mod overlay;
pub mod placement;
pub mod rr;
pub mod service;
mod sync;
pub mod twos;
pub mod virtual_router;
pub mod wrr;

pub use check::{BodyMatch, Cadence, Check, CheckKind};
pub use diff::{
    Change, Plan, Renamed, RestartNeeded, RouterChange, RouterChanges, RouterName, RouterPlan,
    ServiceChanges, ServiceName, diff,
};
pub use hop::{Hop, Way};
pub use listen::{GroupNumber, Listen, Listens, Ports, ServiceKey};
pub use options::{
    Fragments, MaglevOptions, MaglevSlots, OnRemoval, Persistence, SchedulerFlags, ServiceOptions,
    Thresholds, Timeouts,
};
pub use overlay::{
    Edit, EditRefused, Edited, Overlay, ServerSettings, ServiceEdit, ServiceSettings,
};
pub use placement::{GateState, MacAddress, ServerEntry, ServiceEntry};
pub use service::{
    Director, Forwarding, InvalidWeight, OnFailure, Protocol, RealServer, Scheduler, TableSizes,
    VirtualService, Weight, XdpPreference,
};
pub use sync::{ConnectionSync, SyncPeer};
pub use virtual_router::{
    AdvertChecksum, InvalidPriority, InvalidVirtualRouterId, Priority, Role, VirtualRouter,
    VirtualRouterId, VrrpVersion,
};
