//! Troubles: what is counted, and told once while it lasts.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_model::{VirtualRouterId, VrrpVersion};
use evenkeel_wire::vrrp::Malformed;

use crate::span::Span;

/// Kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Advertisement with a TTL other than 255; ignored.
    Ttl,
    /// Advertisement of a wrong length, or without addresses; ignored.
    Length,
    /// Advertisement with a wrong checksum; ignored.
    Checksum,
    /// Message of a version that is not spoken here; ignored.
    Version,
    /// Message that is no advertisement; ignored.
    Type,
    /// Advertisement with authentication; ignored.
    Authentication,
    /// Advertisement of another interval; ignored in version 2, followed in version 3.
    Interval,
    /// Advertisement of other addresses; followed.
    Addresses,
    /// Advertisement from this director's own address; ignored.
    OwnAddress,
    /// Unicast from a host that is no peer; ignored.
    NotAPeer,
    /// Multicast, where peers are configured; ignored.
    Multicast,
    /// Unicast, where no peers are configured; ignored.
    Unicast,
    /// This director was paused for longer than a master-down interval.
    Away,
}

impl Trouble {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Ttl,
        Self::Length,
        Self::Checksum,
        Self::Version,
        Self::Type,
        Self::Authentication,
        Self::Interval,
        Self::Addresses,
        Self::OwnAddress,
        Self::NotAPeer,
        Self::Multicast,
        Self::Unicast,
        Self::Away,
    ];

    /// The name in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Length => "length",
            Self::Checksum => "checksum",
            Self::Version => "version",
            Self::Type => "type",
            Self::Authentication => "authentication",
            Self::Interval => "interval",
            Self::Addresses => "addresses",
            Self::OwnAddress => "own-address",
            Self::NotAPeer => "not-a-peer",
            Self::Multicast => "multicast",
            Self::Unicast => "unicast",
            Self::Away => "away",
        }
    }
}

/// A trouble: who causes it, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// [`Trouble::Ttl`].
    WrongTtl {
        /// Its sender.
        source: IpAddr,
        /// What it had.
        ttl: u8,
    },
    /// What `wire` says of the message.
    Malformed {
        /// Its sender.
        source: IpAddr,
        /// What is wrong.
        what: Malformed,
    },
    /// [`Trouble::Version`]: a good advertisement of the version that is not configured.
    OtherVersion {
        /// Its sender.
        source: IpAddr,
        /// Its version.
        theirs: VrrpVersion,
    },
    /// [`Trouble::Authentication`].
    Authenticated {
        /// Its sender.
        source: IpAddr,
        /// Its kind of authentication.
        kind: u8,
    },
    /// [`Trouble::Interval`].
    OtherInterval {
        /// Its sender.
        source: IpAddr,
        /// The sender's interval.
        theirs: Duration,
        /// The interval that is configured.
        ours: Duration,
        /// Version 2 ignores such an advertisement, version 3 follows it.
        version: VrrpVersion,
    },
    /// [`Trouble::Addresses`].
    OtherAddresses {
        /// Its sender.
        source: IpAddr,
        /// The number that both use.
        id: VirtualRouterId,
    },
    /// [`Trouble::OwnAddress`].
    OwnAddress {
        /// The address.
        source: IpAddr,
    },
    /// [`Trouble::NotAPeer`].
    NotAPeer {
        /// Its sender.
        source: IpAddr,
    },
    /// [`Trouble::Multicast`].
    Multicast {
        /// Its sender.
        source: IpAddr,
    },
    /// [`Trouble::Unicast`].
    Unicast {
        /// Its sender.
        source: IpAddr,
    },
    /// [`Trouble::Away`].
    Away {
        /// How late a timer was.
        late: Duration,
    },
}

impl Notice {
    /// The kind of trouble.
    #[must_use]
    pub const fn trouble(&self) -> Trouble {
        match self {
            Self::WrongTtl { .. } => Trouble::Ttl,
            Self::Malformed { what, .. } => match what {
                Malformed::Length { .. } | Malformed::NoAddress => Trouble::Length,
                Malformed::Version(_) => Trouble::Version,
                Malformed::Type(_) => Trouble::Type,
                Malformed::Checksum => Trouble::Checksum,
                Malformed::NoInterval => Trouble::Interval,
            },
            Self::OtherVersion { .. } => Trouble::Version,
            Self::Authenticated { .. } => Trouble::Authentication,
            Self::OtherInterval { .. } => Trouble::Interval,
            Self::OtherAddresses { .. } => Trouble::Addresses,
            Self::OwnAddress { .. } => Trouble::OwnAddress,
            Self::NotAPeer { .. } => Trouble::NotAPeer,
            Self::Multicast { .. } => Trouble::Multicast,
            Self::Unicast { .. } => Trouble::Unicast,
            Self::Away { .. } => Trouble::Away,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WrongTtl { source, ttl } => write!(
                f,
                "advertisement from {source} has TTL {ttl}, not 255: it passed a router or is forged; \
                 keep protocol 112 from other links out"
            ),
            Self::Malformed { source, what } => {
                write!(
                    f,
                    "advertisement from {source} is malformed: {what}; {}",
                    remedy(what)
                )
            }
            Self::OtherVersion { source, theirs } => write!(
                f,
                "{source} speaks VRRP version {}: configure the same version on both directors",
                theirs.number()
            ),
            Self::Authenticated { source, kind } => write!(
                f,
                "{source} authenticates its advertisements (type {kind}), which is not supported: \
                 turn authentication off there"
            ),
            Self::OtherInterval {
                source,
                theirs,
                ours,
                version,
            } => write!(
                f,
                "{source} advertises every {} and this director every {}: {}; configure the same \
                 interval on both",
                Span(theirs),
                Span(ours),
                outcome(version)
            ),
            Self::OtherAddresses { source, id } => write!(
                f,
                "virtual router {id} is used by {source} too, with other addresses: configure the same \
                 addresses on both directors, or another id on one"
            ),
            Self::OwnAddress { source } => write!(
                f,
                "an advertisement came from this director's own address {source}: another host has \
                 that address, or the link has a loop"
            ),
            Self::NotAPeer { source } => write!(
                f,
                "{source} sends advertisements and is not one of the peers: add it to them, or configure \
                 another virtual router id there"
            ),
            Self::Multicast { source } => write!(
                f,
                "{source} sends advertisements by multicast, but peers are configured here: configure \
                 peers on both directors, or on none"
            ),
            Self::Unicast { source } => write!(
                f,
                "{source} sends advertisements by unicast, but no peers are configured here: configure \
                 peers on both directors, or on none"
            ),
            Self::Away { late } => write!(
                f,
                "this director was away for {}, longer than its partners wait: its host was paused or \
                 overloaded",
                Span(late)
            ),
        }
    }
}

/// What becomes of an advertisement with another interval.
const fn outcome(version: VrrpVersion) -> &'static str {
    match version {
        VrrpVersion::V2 => "it is ignored",
        VrrpVersion::V3 => "a Backup goes by the Active's",
    }
}

/// What to do about a malformed message.
const fn remedy(what: Malformed) -> &'static str {
    match what {
        Malformed::Length { got, expected } if got > expected => {
            "turn extensions such as keepalived's auth_hmac off there"
        }
        Malformed::Version(_) => "configure version 2 or 3 there",
        Malformed::Length { .. }
        | Malformed::Type(_)
        | Malformed::Checksum
        | Malformed::NoAddress
        | Malformed::NoInterval => "look for a faulty sender or a damaged link",
    }
}

/// The troubles of late, at most one of each kind.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// The last notice of each kind, and when that was.
    last: [Option<(Notice, Instant)>; Trouble::ALL.len()],
}

impl Troubles {
    /// Remembers a trouble; returns whether there was none of its kind.
    pub(crate) fn note(&mut self, notice: Notice, now: Instant) -> bool {
        let last = &mut self.last[notice.trouble() as usize];
        last.replace((notice, now)).is_none()
    }

    /// Forgets those that have not occurred for `memory`; returns when the next one may be forgotten.
    pub(crate) fn forget(&mut self, memory: Duration, now: Instant) -> Option<Instant> {
        for last in &mut self.last {
            last.take_if(|(_, at)| *at + memory <= now);
        }
        let times = self.last.iter().flatten().map(|(_, at)| *at + memory);
        times.min()
    }

    pub(crate) fn present(&self) -> impl Iterator<Item = Notice> {
        self.last.iter().flatten().map(|(notice, _)| *notice)
    }
}
