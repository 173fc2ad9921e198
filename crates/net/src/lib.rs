//! The director's hands on the network: addresses, links and neighbours through netlink, gratuitous
//! ARP, and the probes of the health checks.
//!
//! It obeys and reports; it decides nothing. Everything here does IO and runs on tokio.
//!
//! Namespaces: a socket belongs to the network namespace of the thread that opened it. [`Netlink`] and
//! [`Announcer`] keep theirs for life, wherever they are used later; a probe opens its socket in the
//! thread that polls it, so on a runtime with several threads all of them must be in one namespace.

#![deny(unsafe_code)]

mod address;
mod announce;
mod event;
mod link;
mod neighbour;
mod netlink;
pub mod probe;

pub use address::{ADDRESS_PROTOCOL, AddressError, OnLinkError, OwnAddress, Prefix};
pub use announce::{AnnounceError, Announcer};
pub use event::NetEvent;
pub use link::{LinkError, LinkInfo};
pub use neighbour::NeighbourError;
pub use netlink::{Netlink, OpenError, RequestError};
