//! Virtual routers, as configured: which addresses this director shares with others by VRRP, and how.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Number of a virtual router on its link, 1 to 255 (VRID, RFC 9568 §5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualRouterId(u8);

impl VirtualRouterId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for VirtualRouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A virtual router's number outside 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("virtual router id `{0}` is not in the range 1 to 255")]
pub struct InvalidVirtualRouterId(pub i64);

impl TryFrom<i64> for VirtualRouterId {
    type Error = InvalidVirtualRouterId;

    fn try_from(value: i64) -> Result<Self, InvalidVirtualRouterId> {
        match u8::try_from(value) {
            Ok(id) if id > 0 => Ok(Self(id)),
            Ok(_) | Err(_) => Err(InvalidVirtualRouterId(value)),
        }
    }
}

/// Priority of a director in a virtual router, 1 to 255 (RFC 9568 §5.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// Of the owner of the addresses, who is Active whenever it is up.
    pub const OWNER: Self = Self(255);
    /// Whoever has it leaves the addresses to anybody else.
    pub const LOWEST: Self = Self(1);
    /// Where none is given.
    pub const DEFAULT: Self = Self(100);

    /// The priority as a number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A priority outside 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("priority `{0}` is not in the range 1 to 255")]
pub struct InvalidPriority(pub i64);

impl TryFrom<i64> for Priority {
    type Error = InvalidPriority;

    fn try_from(value: i64) -> Result<Self, InvalidPriority> {
        match u8::try_from(value) {
            Ok(priority) if priority > 0 => Ok(Self(priority)),
            Ok(_) | Err(_) => Err(InvalidPriority(value)),
        }
    }
}

/// Version of VRRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VrrpVersion {
    /// RFC 3768: whole seconds.
    V2,
    /// RFC 9568 (and RFC 5798 before it): hundredths of a second.
    V3,
}

impl VrrpVersion {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// What the checksum of a version 3 advertisement over IPv4 covers; both are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvertChecksum {
    /// The message and a pseudo-header, as RFC 5798 is read by keepalived, FRR and Wireshark.
    PseudoHeader,
    /// The message alone (RFC 9568 §5.2.8).
    Rfc9568,
}

/// What a director is to a virtual router (RFC 9568 §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Not taking part: its link is down, or it is stopping.
    Initialize,
    /// It watches the Active.
    Backup,
    /// It holds the addresses.
    Active,
}

impl Role {
    /// The name in `status` and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Backup => "backup",
            Self::Active => "active",
        }
    }
}

/// One virtual router of a director, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouter {
    /// The operator's name for it, unique in the config.
    pub name: String,
    /// Its number, unique in the config.
    pub id: VirtualRouterId,
    /// Version of VRRP that is spoken.
    pub version: VrrpVersion,
    /// This director's priority.
    pub priority: Priority,
    /// Time from one advertisement to the next: version 3 from 10 ms to 40.95 s in steps of 10 ms,
    /// version 2 from 1 s to 255 s in whole seconds.
    pub advert_interval: Duration,
    /// Whether this director takes over from an Active of lower priority.
    pub preempt: bool,
    /// How long an Active of lower priority is watched before it is preempted, 0 to 1,000 s.
    pub preempt_delay: Duration,
    /// The virtual addresses, in the order of the config file; at least one, each in one router only.
    pub addresses: Vec<IpAddr>,
    /// The other directors, which advertisements are sent to; none: multicast to 224.0.0.18.
    pub peers: Vec<IpAddr>,
    /// Source of advertisements; `None`: the interface's first own address.
    pub source: Option<IpAddr>,
    /// What is sent in version 3; of no meaning in version 2.
    pub checksum: AdvertChecksum,
    /// Gratuitous ARPs in a burst for each address, 1 to 100.
    pub announcements: u8,
    /// Time from the takeover to the second burst; zero: none.
    pub announce_again: Duration,
}

impl VirtualRouter {
    /// Gratuitous ARPs in a burst where the config says nothing; keepalived's number.
    pub const ANNOUNCEMENTS: u8 = 5;
    /// Time to the second burst where the config says nothing; keepalived's time.
    pub const ANNOUNCE_AGAIN: Duration = Duration::from_secs(5);
}
