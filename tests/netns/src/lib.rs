//! Tests that need root: parity of the native data plane with the loaded program, and real traffic through
//! the real daemon in a lab.
//!
//! This library is what those tests share: a lab with one director or two, servers that a test can break,
//! checked streams, a record of every packet, one of who answers for an address, and the frame of benchmarks. It decides nothing about
//! what is right.

#![forbid(unsafe_code)]

pub mod backend;
pub mod bench;
pub mod capture;
pub mod cluster;
pub mod director;
pub mod frr;
pub mod keepalived;
pub mod streams;
pub mod sync;
pub mod tap;
pub mod texts;
pub mod watch;

pub use backend::{Backend, Health};
pub use capture::Capture;
pub use cluster::Cluster;
pub use director::{Daemon, Director};
pub use evenkeel_lab::frames;
pub use evenkeel_lab::samples::Samples;
pub use frr::Frr;
pub use keepalived::Keepalived;
pub use streams::Streams;
pub use tap::Tap;
pub use watch::Watch;
