//! What net does to a real kernel, in network namespaces of its own. Needs root.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod address_socket;
mod addresses;
mod announce;
mod arp;
mod guard;
mod ipv6;
mod links;
mod neighbours;
mod realtime;
mod vrrp;
mod wake;
