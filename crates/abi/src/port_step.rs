//! Which service has a port, where services have several.

use crate::{ServiceKey, high, low, pair};

/// A step of the list by which an address's ports have their services: from its protocol and port on, up to the
/// next step's, packets are this service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortStep(pub u64);

impl PortStep {
    /// Most steps of an address, a power of two.
    pub const MAX: u32 = 1 << 13;

    /// From this protocol's port on they are the service's of this number; `None`: they are nobody's.
    #[must_use]
    pub const fn new(protocol: u8, port: u16, service: Option<u32>) -> Self {
        let service = match service {
            Some(number) => number + 1,
            None => 0,
        };
        Self(pair(service, (protocol as u32) << 16 | port as u32))
    }

    /// The protocol number and the port from which on it holds, as one number: the port in the low half.
    #[must_use]
    #[inline(always)]
    pub const fn from(self) -> u32 {
        high(self.0)
    }

    /// Number of the service.
    #[must_use]
    #[inline(always)]
    pub const fn service(self) -> Option<u32> {
        low(self.0).checked_sub(1)
    }

    /// What [`from`](Self::from) is compared with for packets of a key.
    #[must_use]
    #[inline(always)]
    pub const fn place_of(key: ServiceKey) -> u32 {
        (key.protocol() as u32) << 16 | u16::from_be(key.port()) as u32
    }
}
