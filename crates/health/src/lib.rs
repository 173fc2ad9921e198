//! The health-check core: when to probe which target, and what the results mean.
//!
//! Sans-IO: it opens no socket and knows no address; a target is a number, a probe an order to the shell.
//! It must not know what a target is used for; `control` maps targets to real servers.

#![forbid(unsafe_code)]

mod core;
mod target;

pub use crate::core::{Health, Output};
pub use crate::target::{Start, TargetId};

#[cfg(test)]
mod tests;
