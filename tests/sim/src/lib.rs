//! A cluster in simulation: directors made of the real cores and the native data plane, with clients and real
//! servers as models, on one link, under one virtual clock and one seed.
//!
//! Nothing here sleeps, has threads or reads a clock (an `Instant` is taken once, as the origin of all others),
//! so that a seed determines a run to the last frame. What stands between the cores does step for step what
//! the daemon does (`crates/evenkeel/src/daemon`); where that changes, this has to follow.

#![forbid(unsafe_code)]

pub mod client;
pub mod clock;
pub mod daemon;
pub mod director;
pub mod fault;
pub mod frame;
pub mod host;
pub mod network;
pub mod plane;
pub mod quiet;
pub mod run;
pub mod seat;
pub mod server;
pub mod settings;
pub mod watch;
pub mod world;

pub use evenkeel_chaos::{node, rule};

/// Time since a run began.
pub type Time = std::time::Duration;
