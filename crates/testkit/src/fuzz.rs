//! What the fuzz targets do with their input, so that the corpus can be replayed without a fuzzer.
//!
//! Each target takes any bytes and panics only if it has found a bug. `seeds` are inputs that reach far; a
//! change of a target's format changes them, and `cargo run -p evenkeel-testkit --example seeds` writes them.

pub mod datapath;
pub mod sync;
pub mod vrrp;

mod input;
mod sweep;
