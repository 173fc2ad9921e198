//! Faults as a seed draws them: one set of rules for the simulated cluster and for the one in network
//! namespaces.
//!
//! Pure values and choices: nothing here plays a fault, reads a clock or knows where a cluster runs.

#![forbid(unsafe_code)]

mod dice;
pub mod fault;
pub mod node;
pub mod rule;

pub use dice::Dice;
