//! The director's hands on the network: addresses, links and neighbours through netlink, gratuitous
//! ARP and neighbour advertisements, the datagrams of connection sync, and the probes of the health checks.
//!
//! It obeys and reports; it decides nothing. Everything here does IO. Most of it runs on tokio; what the
//! VRRP thread needs does not: [`vrrp::VrrpSocket`], [`AddressSocket`], [`Announcer`], [`realtime`],
//! [`Waker`] and [`wait_readable`].
//!
//! Namespaces: a socket belongs to the network namespace of the thread that opened it. [`Netlink`] and
//! the sockets keep theirs for life, wherever they are used later; a probe opens its socket in the
//! thread that polls it, so on a runtime with several threads all of them must be in one namespace.

#![deny(unsafe_code)]

mod address;
mod address_socket;
mod announce;
mod arp_probe;
mod arp_settings;
mod datagram;
mod event;
mod link;
mod neighbour;
mod netlink;
mod packet;
mod peer_socket;
pub mod probe;
pub mod realtime;
mod route;
mod solicitation;
pub mod vrrp;
mod wake;

pub use address::{ADDRESS_PROTOCOL, AddressError, OwnAddress, Prefix};
pub use address_socket::AddressSocket;
pub use announce::{AnnounceError, Announcer};
pub use arp_probe::{ArpProbeError, holders};
pub use arp_settings::{ArpOutcome, ArpSetting, prepare_arp};
pub use event::NetEvent;
pub use link::{LinkError, LinkInfo, Vlan};
pub use neighbour::NeighbourError;
pub use netlink::{Netlink, OpenError, RequestError};
pub use peer_socket::{PeerSocket, PeerSocketError};
pub use route::Route;
pub use wake::{Waker, WakerReader, wait_readable};
