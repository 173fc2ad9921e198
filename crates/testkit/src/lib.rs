//! What tests share: a native data plane and packets for it.
//!
//! Only ever a dev-dependency.

#![forbid(unsafe_code)]

mod check;
pub mod fuzz;
mod judge;
pub mod packet;
mod service;
mod tables;

/// Where the random choices of tests come from.
pub use evenkeel_chaos::Dice;
/// What the data plane is compared with.
pub use evenkeel_model as model;
pub use service::{TestServer, TestService};
pub use tables::{NativeTables, words};
