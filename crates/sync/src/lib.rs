//! The core of connection sync: one session with one other director, over which each tells its connections.
//!
//! Sans-IO: it opens no socket, knows no clock, draws no random number and has no table of connections. It must not
//! know what a record means, nor the other protocol cores.

#![forbid(unsafe_code)]

mod config;
mod inbox;
mod key;
mod link;
mod live;
mod notice;
mod outbox;
mod output;
mod rtt;
mod session;
mod timer;
mod view;

pub use evenkeel_wire::sync::{
    Flow, LIFETIME_MAX, LIFETIME_STEP, Protocol, Record, Routers, State as ConnState,
};

pub use crate::config::{ConfigError, SyncConfig};
pub use crate::key::{Key, KeyError};
pub use crate::notice::{Notice, Trouble};
pub use crate::output::{Direction, Loss, Output, Refused, State};
pub use crate::session::Session;
pub use crate::view::{Counters, DirectionView, Rejection, SessionView, View};

#[cfg(test)]
mod tests;
