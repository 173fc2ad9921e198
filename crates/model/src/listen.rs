//! What a service takes: which packets, by protocol, address and port.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use crate::service::Protocol;

/// Number of a group, by which `ipvsadm -f` names it: 1 to 4,294,967,295.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupNumber(NonZeroU32);

impl GroupNumber {
    /// A group's number; `None` if it is 0.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// What identifies a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// Protocol, virtual address and port: all that the service takes.
    Single {
        /// Transport protocol.
        protocol: Protocol,
        /// Virtual address and port that clients connect to.
        address: SocketAddr,
    },
    /// The number of a group: it takes several addresses or ports, which are not part of its identity.
    Group(GroupNumber),
}

impl ServiceKey {
    /// The key of a service of one protocol, address and port.
    #[must_use]
    pub const fn single(protocol: Protocol, address: SocketAddr) -> Self {
        Self::Single { protocol, address }
    }

    /// The port of the service's real servers; 0 in a group, where each packet keeps its own.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Single { address, .. } => address.port(),
            Self::Group(_) => 0,
        }
    }

    /// The address and port of what is no group.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Single { address, .. } => Some(*address),
            Self::Group(_) => None,
        }
    }

    /// The number of a group.
    #[must_use]
    pub const fn group(&self) -> Option<GroupNumber> {
        match self {
            Self::Single { .. } => None,
            Self::Group(number) => Some(*number),
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single { protocol, address } => write!(f, "{} {address}", protocol.name()),
            Self::Group(number) => write!(f, "FWM {}", number.get()),
        }
    }
}

/// Ports without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// All of them. Where another service takes one of them by itself or in a range, that one is the other's.
    pub const ANY: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// One port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// The ports from `first` to `last`, both included; `None` if there is none, or if they begin at 0.
    #[must_use]
    pub const fn range(first: u16, last: u16) -> Option<Self> {
        if first == 0 || first > last {
            return None;
        }
        Some(Self { first, last })
    }

    /// The first one.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last one.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// The port, if it is but one.
    #[must_use]
    pub const fn single(self) -> Option<u16> {
        if self.first == self.last {
            Some(self.first)
        } else {
            None
        }
    }

    /// Whether it is [`Ports::ANY`].
    #[must_use]
    pub const fn is_any(self) -> bool {
        self.first == 0
    }

    /// Whether a port is one of them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Whether some port is one of both.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_any(), self.single()) {
            (true, _) => f.write_str("*"),
            (false, Some(port)) => write!(f, "{port}"),
            (false, None) => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// Packets of one protocol to some ports of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listen {
    /// Virtual address.
    pub address: IpAddr,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Ports.
    pub ports: Ports,
}

impl Listen {
    /// Whether two services can't have both: some packets would be of either. Any port may stand beside others.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        (self.address, self.protocol) == (other.address, other.protocol)
            && self.ports.is_any() == other.ports.is_any()
            && self.ports.overlaps(other.ports)
    }

    /// Whether a packet of this protocol, address and port is one of them.
    #[must_use]
    pub fn takes(&self, protocol: Protocol, to: SocketAddr) -> bool {
        (self.address, self.protocol) == (to.ip(), protocol) && self.ports.contains(to.port())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.name();
        match self.address {
            IpAddr::V4(address) => write!(f, "{protocol} {address}:{}", self.ports),
            IpAddr::V6(address) => write!(f, "{protocol} [{address}]:{}", self.ports),
        }
    }
}

/// What a service takes, in one form: sorted, and ports without a gap together.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listens(Vec<Listen>);

impl Listens {
    /// These together.
    #[must_use]
    pub fn new(listens: impl IntoIterator<Item = Listen>) -> Self {
        let mut sorted: Vec<Listen> = listens.into_iter().collect();
        sorted.sort_unstable();
        let mut joined: Vec<Listen> = Vec::with_capacity(sorted.len());
        for listen in sorted {
            match joined.last_mut() {
                Some(last)
                    if (last.address, last.protocol) == (listen.address, listen.protocol)
                        && u32::from(listen.ports.first) <= u32::from(last.ports.last) + 1 =>
                {
                    last.ports.last = last.ports.last.max(listen.ports.last);
                }
                Some(_) | None => joined.push(listen),
            }
        }
        Self(joined)
    }

    /// What a service of one protocol, address and port takes.
    #[must_use]
    pub fn of(protocol: Protocol, address: SocketAddr) -> Self {
        Self(vec![Listen {
            address: address.ip(),
            protocol,
            ports: Ports::one(address.port()),
        }])
    }

    /// What a service takes that is no group, by its key, or else this.
    #[must_use]
    pub(crate) fn or_of(&self, key: &ServiceKey) -> Self {
        match key {
            ServiceKey::Single { protocol, address } => Self::of(*protocol, *address),
            ServiceKey::Group(_) => self.clone(),
        }
    }

    /// The virtual addresses of a service by its key, or else these; one may come several times.
    pub fn addresses_with(&self, key: &ServiceKey) -> impl Iterator<Item = IpAddr> {
        let single = match key {
            ServiceKey::Single { address, .. } => Some(address.ip()),
            ServiceKey::Group(_) => None,
        };
        let group = self.iter().map(|listen| listen.address);
        single.into_iter().chain(group)
    }

    /// Each.
    pub fn iter(&self) -> std::slice::Iter<'_, Listen> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a packet of this protocol, address and port is taken by [`Ports::ANY`].
    #[must_use]
    pub fn takes_by_any_port(&self, protocol: Protocol, to: SocketAddr) -> bool {
        let mut any = self.iter().filter(|listen| listen.ports.is_any());
        any.any(|listen| listen.takes(protocol, to))
    }

    /// The addresses with a protocol.
    #[must_use]
    pub fn addresses_of(&self, protocol: Protocol) -> BTreeSet<IpAddr> {
        let listens = self.iter().filter(|listen| listen.protocol == protocol);
        listens.map(|listen| listen.address).collect()
    }
}

impl<'l> IntoIterator for &'l Listens {
    type Item = &'l Listen;
    type IntoIter = std::slice::Iter<'l, Listen>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Listens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, listen) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{listen}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
