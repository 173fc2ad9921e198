//! The native data plane, driven with packets.

mod common;
mod properties;
mod stories;
