//! How a real server is reached.

use std::fmt;

use crate::placement::MacAddress;

/// The next hop on the way to a real server: itself where it is on the link, else a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its hardware address; [`MacAddress::ZERO`] of a server that is this director.
    pub mac: MacAddress,
    /// The way there; `None`: packets leave by the interface that they came in by, with the tag that they came with.
    pub way: Option<Way>,
}

/// An interface that the program runs on, and what frames carry there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Index of the interface, not 0.
    pub interface: u32,
    /// Number of the VLAN whose 802.1Q tag frames get, 1 to 4,094; `None`: they carry none.
    pub vlan: Option<u16>,
}

impl Hop {
    /// Of a server that is this director.
    pub const NONE: Self = Self {
        mac: MacAddress::ZERO,
        way: None,
    };
}

impl From<MacAddress> for Hop {
    fn from(mac: MacAddress) -> Self {
        Self { mac, way: None }
    }
}

/// The hardware address, and the VLAN where there is one.
impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mac.fmt(f)?;
        match self.way.and_then(|way| way.vlan) {
            Some(vlan) => write!(f, " in VLAN {vlan}"),
            None => Ok(()),
        }
    }
}
