//! Addresses on the local interfaces: who has one, and those that evenkeel added.
//!
//! Evenkeel's own addresses carry [`ADDRESS_PROTOCOL`], so that a later run knows them; an address
//! without that mark is somebody else's and is never removed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use rtnetlink::{AddressMessageBuilder, Handle};

use crate::netlink::{Netlink, RequestError};

/// The IFA_PROTO that marks an address as added by evenkeel (`ip addr` shows `proto 0x45`).
///
/// Any value above the kernel's own three would do; this one is an `E`. Kernels before 5.18 drop it.
pub const ADDRESS_PROTOCOL: u8 = 0x45;

/// An address that evenkeel added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnAddress {
    /// Index of the interface that has it.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
}

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// Any address in it.
    pub address: IpAddr,
    /// Leading bits that count, 0 to 32 or 128.
    pub length: u8,
}

/// Why an address could not be looked up, added or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The interface has it already, and evenkeel did not add it.
    #[error(
        "address `{address}` already stands on interface `{link}` and was not added by evenkeel; \
         leave it there or remove it with `ip addr del`"
    )]
    Taken {
        /// The address.
        address: IpAddr,
        /// Name of the interface that has it.
        link: String,
    },
    /// It was not added by evenkeel, which therefore does not remove it.
    #[error(
        "address `{address}` on interface `{link}` was not added by evenkeel and is left alone; \
         remove it with `ip addr del` if it is not wanted"
    )]
    NotOurs {
        /// The address.
        address: IpAddr,
        /// Name of the interface that has it.
        link: String,
    },
    /// Adding it failed.
    #[error("could not add address `{address}`")]
    Add {
        /// The address.
        address: IpAddr,
        /// The kernel's answer.
        #[source]
        source: RequestError,
    },
    /// The interface takes no addresses of IPv6.
    #[error(
        "could not add address `{address}`: IPv6 is off on interface `{link}`; switch it on by \
         `sysctl -w net.ipv6.conf.{link}.disable_ipv6=0`"
    )]
    Ipv6Off {
        /// The address.
        address: IpAddr,
        /// Name of the interface.
        link: String,
    },
    /// Removing it failed.
    #[error("could not remove address `{address}`")]
    Remove {
        /// The address.
        address: IpAddr,
        /// The kernel's answer.
        #[source]
        source: RequestError,
    },
    /// The addresses could not be listed.
    #[error("could not list the addresses of the interfaces")]
    List(#[source] RequestError),
}

/// An address as it stands on an interface.
pub(crate) struct Held {
    pub link: u32,
    pub address: IpAddr,
    pub prefix: Prefix,
    /// It carries evenkeel's mark.
    pub ours: bool,
}

impl Netlink {
    /// Index of the interface that has the address, if any has.
    pub async fn address_holder(&self, address: IpAddr) -> Result<Option<u32>, AddressError> {
        let held = self.held().await?;
        Ok(held
            .iter()
            .find(|held| held.address == address)
            .map(|held| held.link))
    }

    /// Adds the address to the interface as a host prefix (/32, /128), marked as evenkeel's.
    ///
    /// Does nothing where evenkeel's mark is on it there already.
    pub async fn add_address(&self, link: u32, address: IpAddr) -> Result<(), AddressError> {
        let mut request = self
            .requests
            .address()
            .add(link, address, host_prefix_length(address));
        *request.message_mut() = virtual_address(link, address);
        let Err(error) = request.execute().await else {
            return Ok(());
        };
        let source = RequestError::from(error);
        // `inet6_addr_add` in net/ipv6/addrconf.c; who may not add any gets EPERM.
        if address.is_ipv6() && source.is(libc::EACCES) {
            let link = self.link_label(link).await;
            return Err(AddressError::Ipv6Off { address, link });
        }
        if !source.is(libc::EEXIST) {
            return Err(AddressError::Add { address, source });
        }
        let held = self.held().await?;
        let is_ours = held
            .iter()
            .any(|held| held.ours && held.link == link && held.address == address);
        if is_ours {
            return Ok(());
        }
        Err(AddressError::Taken {
            address,
            link: self.link_label(link).await,
        })
    }

    /// Removes an address that evenkeel added, from whichever interface has it.
    ///
    /// Does nothing where no interface has it; refuses where only others added it.
    pub async fn remove_address(&self, address: IpAddr) -> Result<(), AddressError> {
        let mut held = self.held().await?;
        held.retain(|held| held.address == address);
        let Some(first) = held.first() else {
            return Ok(());
        };
        if !held.iter().any(|held| held.ours) {
            return Err(AddressError::NotOurs {
                address,
                link: self.link_label(first.link).await,
            });
        }
        for ours in held.iter().filter(|held| held.ours) {
            let removed = self.requests.address().del(message_for(ours)).execute();
            if let Err(error) = removed.await {
                let source = RequestError::from(error);
                // Somebody was faster.
                if !source.is(libc::EADDRNOTAVAIL) {
                    return Err(AddressError::Remove { address, source });
                }
            }
        }
        Ok(())
    }

    /// Lists the addresses that evenkeel added, on all interfaces, in order.
    pub async fn our_addresses(&self) -> Result<Vec<OwnAddress>, AddressError> {
        let held = self.held().await?;
        let mut ours: Vec<OwnAddress> = held
            .iter()
            .filter(|held| held.ours)
            .map(|held| OwnAddress {
                link: held.link,
                address: held.address,
            })
            .collect();
        ours.sort_unstable();
        Ok(ours)
    }

    /// The addresses by which this host itself is known, on all interfaces.
    ///
    /// Left out are those that evenkeel added, and loopback's (127.0.0.0/8, `::1`). One that an
    /// administrator put on `lo` counts, also where it is the virtual address of a real server.
    pub async fn own_addresses(&self) -> Result<BTreeSet<IpAddr>, AddressError> {
        let held = self.held().await?;
        Ok(held
            .iter()
            .filter(|held| !held.ours && !held.address.is_loopback())
            .map(|held| held.address)
            .collect())
    }

    /// Lists the prefixes that the interface's addresses put on its link; evenkeel's own put none.
    pub async fn prefixes(&self, link: u32) -> Result<Vec<Prefix>, AddressError> {
        let held = self.held().await?;
        Ok(held
            .iter()
            .filter(|held| held.link == link && !held.ours)
            .map(|held| held.prefix)
            .collect())
    }

    async fn held(&self) -> Result<Vec<Held>, AddressError> {
        let messages = dump(&self.requests).await.map_err(AddressError::List)?;
        Ok(messages.iter().filter_map(held).collect())
    }
}

/// All addresses of the namespace.
pub(crate) async fn dump(requests: &Handle) -> Result<Vec<AddressMessage>, RequestError> {
    Ok(requests.address().get().execute().try_collect().await?)
}

/// What matters of an address message.
pub(crate) fn held(message: &AddressMessage) -> Option<Held> {
    let mut own = None;
    let mut peer = None;
    let mut ours = false;
    for attribute in &message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            own = Some(*address);
        } else if let AddressAttribute::Address(address) = attribute {
            peer = Some(*address);
        } else if let AddressAttribute::Protocol(protocol) = attribute {
            ours = u8::from(*protocol) == ADDRESS_PROTOCOL;
        }
    }
    // Only on point-to-point links do the two differ: there the prefix is the peer's.
    let address = own.or(peer)?;
    Some(Held {
        link: message.header.index,
        address,
        prefix: Prefix {
            address: peer.unwrap_or(address),
            length: message.header.prefix_len,
        },
        ours,
    })
}

fn message_for(held: &Held) -> AddressMessage {
    message(held.link, held.address, held.prefix.length)
}

/// A virtual address as a host prefix, marked as evenkeel's.
///
/// One of IPv6 is not looked for on the link first, for its holder has just ended; and it is deprecated from the start
/// (RFC 4862 §5.5.4), so that this host takes it for the source of no packet of its own (RFC 6724 §5): the answer
/// would go to whoever has the address, a real server among others. The kernel prefers an interface's own IPv4
/// addresses by itself.
pub(crate) fn virtual_address(link: u32, address: IpAddr) -> AddressMessage {
    let mut message = message(link, address, host_prefix_length(address));
    let mark = AddressProtocol::Other(ADDRESS_PROTOCOL);
    message.attributes.push(AddressAttribute::Protocol(mark));
    if address.is_ipv6() {
        message.header.flags |= AddressHeaderFlags::Nodad;
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = 0;
        lifetimes.ifa_valid = u32::MAX;
        message
            .attributes
            .push(AddressAttribute::CacheInfo(lifetimes));
    }
    message
}

/// The address as a host prefix.
pub(crate) fn host_prefix(link: u32, address: IpAddr) -> AddressMessage {
    message(link, address, host_prefix_length(address))
}

fn message(link: u32, address: IpAddr, length: u8) -> AddressMessage {
    match address {
        IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(link)
            .address(address, length)
            .build(),
        IpAddr::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(link)
            .address(address, length)
            .build(),
    }
}

pub(crate) const fn host_prefix_length(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}
