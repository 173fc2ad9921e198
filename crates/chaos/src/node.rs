//! Who is on the link, and their addresses.

use std::fmt;
use std::net::Ipv4Addr;

/// A host on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A director.
    Director(usize),
    /// A real server.
    Server(usize),
    /// A client, whose packets no router brings.
    Client(usize),
}

impl Node {
    const fn kind_and_number(self) -> (u8, usize) {
        match self {
            Self::Director(number) => (0, number),
            Self::Server(number) => (1, number),
            Self::Client(number) => (2, number),
        }
    }

    fn place(self) -> [u8; 2] {
        let (kind, number) = self.kind_and_number();
        let number = u8::try_from(number + 1).expect("a few hosts");
        [kind, number]
    }

    /// Its hardware address.
    #[must_use]
    pub fn mac(self) -> [u8; 6] {
        let [kind, number] = self.place();
        [2, 0, 0, 0, kind, number]
    }

    /// Its own address.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        let [kind, number] = self.place();
        Ipv4Addr::new(10, 0, kind, number)
    }

    /// Who has a hardware address.
    #[must_use]
    pub fn of_mac(mac: [u8; 6]) -> Option<Self> {
        let [2, 0, 0, 0, kind, number] = mac else {
            return None;
        };
        let number = usize::from(number.checked_sub(1)?);
        match kind {
            0 => Some(Self::Director(number)),
            1 => Some(Self::Server(number)),
            2 => Some(Self::Client(number)),
            _ => None,
        }
    }

    /// Who has an address of its own.
    #[must_use]
    pub fn of_address(address: Ipv4Addr) -> Option<Self> {
        match address.octets() {
            [10, 0, kind, number] => Self::of_mac([2, 0, 0, 0, kind, number]),
            _ => None,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Director(number) => write!(f, "director {number}"),
            Self::Server(number) => write!(f, "server {number}"),
            Self::Client(number) => write!(f, "client {number}"),
        }
    }
}
