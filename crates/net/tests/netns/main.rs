//! What net does to a real kernel, in network namespaces of its own. Needs root.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod addresses;
mod announce;
mod guard;
mod links;
mod neighbours;
