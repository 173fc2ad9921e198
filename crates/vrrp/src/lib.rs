//! The VRRP core: who holds the addresses of a virtual router (RFC 9568, and RFC 3768 for version 2).
//!
//! Sans-IO: it opens no socket, adds no address and knows no clock. It must not know what the addresses
//! are used for, nor the other protocol cores.

#![forbid(unsafe_code)]

mod machine;
mod notice;
mod order;
mod output;
mod reason;
mod span;
mod timer;
mod view;

pub use crate::machine::{Machine, Packet, Start};
pub use crate::notice::{Notice, Trouble};
pub use crate::order::{HandoverEnd, Order, PREPARATION_MAX, Stance};
pub use crate::output::Output;
pub use crate::reason::Reason;
pub use crate::view::{Counters, Partner, View};

#[cfg(test)]
mod tests;
