//! The data plane's handle: loads, attaches and pins the XDP program, adopts it from its pins, writes
//! its maps, reads its counters and sweeps its tables.
//!
//! User space maps the program's arrays into its own memory and works on the same atomics. Packets flow
//! meanwhile, so every change is a single atomic store, or goes into a copy that no program can reach
//! yet. Nothing here waits on a lock that packets take, and nothing here decides what the services are:
//! callers hand in whole [`ServiceEntry`](evenkeel_model::ServiceEntry)s.
//!
//! Blocking and single-threaded: one owner, no async; a virtual router's [`RouterGates`] alone are for
//! another thread. A change that follows another one within a second may wait for running programs to finish
//! (milliseconds).

#![deny(unsafe_code)]

mod adopt;
mod arena;
mod attach;
mod book;
mod changes;
mod clock;
mod connections;
mod convert;
mod cursor;
mod draft;
mod error;
mod gate;
mod grace;
mod holders;
mod levels;
mod live;
mod locality;
mod mapped;
mod maps;
mod measure;
mod mirror;
mod numbers;
mod object;
mod options;
mod pins;
mod placement;
mod plane;
mod recount;
mod removals;
mod router;
mod run;
mod service;
mod service_options;
mod sweep;
mod tables;
mod takes;
mod trace;
mod view;

pub use adopt::pinned_constants;
pub use attach::{PassProgram, attach_pass};
pub use connections::{Connection, Flow, Found};
pub use error::{GateError, PurgeError, PutError, ReadError, RunError, StartError};
pub use mapped::{Mappable, MappedArray};
pub use measure::{Attachment, ProgramFigures};
pub use mirror::{Installed, Mirrored};
pub use object::OBJECT;
pub use options::{Interface, Mode, Options, Sizes};
pub use pins::{PinLock, lock, purge};
pub use placement::Placement;
pub use plane::DataPlane;
pub use router::{RouterGates, Standing};
pub use run::{Ran, Run};
pub use sweep::{SweepBudget, Swept};
pub use tables::Tables;
pub use trace::{Chosen, Fate, Trace, TracePacket, TracedEntry, TracedServer};
pub use view::{Counter, ServerView, ServiceView, Usage};

#[cfg(test)]
mod tests;
