//! The director's brain: what should be balanced to whom, given the configuration, the checks and the
//! neighbours.
//!
//! Sans-IO: one [`Event`] in, [`Command`]s out. It knows neither the data plane's maps nor netlink, reads
//! no clock and opens nothing; the shell in the binary executes its commands. It must not decide anything
//! per packet, nor know how a check is made.
//!
//! [`mirror`] is its part in connection sync, likewise driven by the shell.

#![forbid(unsafe_code)]

mod command;
mod control;
pub mod mirror;
mod neighbours;
mod report;
mod routers;
mod service;
mod targets;
mod verdict;
mod view;

pub use crate::command::{Command, Event};
pub use crate::control::Control;
pub use crate::report::{Report, SyncNews};
pub use crate::view::{ServerHealth, ServerView, ServiceView, View};

#[cfg(test)]
mod tests;
