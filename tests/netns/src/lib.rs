//! Tests that need root: parity of the native data plane with the loaded program, and real traffic through
//! the real daemon in a lab.
//!
//! This library is what those tests share: a lab with one director, servers that a test can break, checked
//! streams, and a record of every packet. It decides nothing about what is right.

#![forbid(unsafe_code)]

pub mod backend;
pub mod cluster;
pub mod streams;
pub mod tap;

pub use backend::{Backend, Health};
pub use cluster::{Cluster, Daemon};
pub use streams::Streams;
pub use tap::Tap;
