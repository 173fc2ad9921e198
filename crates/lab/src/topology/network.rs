//! IPv4 networks in prefix notation.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 network, written `198.18.14.0/24`; prefix lengths 8 to 30.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: Ipv4Addr,
    prefix: u8,
}

/// A text that is not an IPv4 network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an IPv4 network: write it as `198.18.14.0/24`, with a prefix of 8 to 30")]
pub struct InvalidNetwork(String);

impl Network {
    /// The prefix length in bits.
    #[must_use]
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether a host may have that address: inside, and neither the first nor the last one.
    #[must_use]
    pub fn has_host(self, address: Ipv4Addr) -> bool {
        let first = self.address.to_bits();
        let last = first | !self.mask();
        first < address.to_bits() && address.to_bits() < last
    }

    fn mask(self) -> u32 {
        u32::MAX << (32 - u32::from(self.prefix))
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let network = Self {
                address: address.parse().ok()?,
                prefix: prefix.parse().ok().filter(|p| (8..=30).contains(p))?,
            };
            (network.address.to_bits() & !network.mask() == 0).then_some(network)
        });
        parsed.ok_or_else(|| InvalidNetwork(text.to_owned()))
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
