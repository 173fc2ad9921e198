//! Troubles: what is counted, and told once while it lasts.

use std::fmt;
use std::time::{Duration, Instant};

use evenkeel_wire::sync::{Malformed, VERSION};

/// How long a trouble counts as present after it was last seen.
const MEMORY: Duration = Duration::from_secs(60);

/// Kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The peer speaks another version.
    Version,
    /// The peer has another key.
    Key,
    /// Datagrams are damaged or forged.
    Damaged,
    /// The other end has other names for the two.
    Name,
    /// Something else sends to this port.
    Foreign,
    /// A genuine datagram is not understood.
    Malformed,
}

impl Trouble {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Version,
        Self::Key,
        Self::Damaged,
        Self::Name,
        Self::Foreign,
        Self::Malformed,
    ];

    /// The name in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Key => "key",
            Self::Damaged => "damaged",
            Self::Name => "name",
            Self::Foreign => "foreign",
            Self::Malformed => "malformed",
        }
    }
}

/// A trouble: who causes it, and what to do. Only [`Self::OtherNames`] and [`Self::NotUnderstood`] are proven to come
/// from who has the key; the others anybody can cause who can send to this director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// [`Trouble::Version`].
    OtherVersion {
        /// The peer's name.
        peer: String,
        /// The version of its datagrams.
        theirs: u8,
    },
    /// [`Trouble::Key`].
    OtherKey {
        /// The peer's name.
        peer: String,
    },
    /// [`Trouble::Damaged`].
    Damaged {
        /// The peer's name.
        peer: String,
    },
    /// [`Trouble::Name`].
    OtherNames {
        /// This director's name.
        ours: String,
        /// The peer's name, as this director has it.
        peer: String,
        /// What the other end calls itself.
        sender: String,
        /// What it calls this director.
        receiver: String,
    },
    /// [`Trouble::Foreign`].
    Foreign {
        /// The peer's name.
        peer: String,
    },
    /// [`Trouble::Malformed`].
    NotUnderstood {
        /// The peer's name.
        peer: String,
        /// What is wrong.
        what: Malformed,
    },
}

impl Notice {
    /// The kind of trouble.
    #[must_use]
    pub const fn trouble(&self) -> Trouble {
        match self {
            Self::OtherVersion { .. } => Trouble::Version,
            Self::OtherKey { .. } => Trouble::Key,
            Self::Damaged { .. } => Trouble::Damaged,
            Self::OtherNames { .. } => Trouble::Name,
            Self::Foreign { .. } => Trouble::Foreign,
            Self::NotUnderstood { .. } => Trouble::Malformed,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherVersion { peer, theirs } => write!(
                f,
                "`{peer}` speaks version {theirs} of connection sync and this director version {VERSION}: install \
                 releases on both that speak the same one"
            ),
            Self::OtherKey { peer } => write!(
                f,
                "keys differ: `{peer}` signs with a key that this director does not have; configure the same key on \
                 both"
            ),
            Self::Damaged { peer } => write!(
                f,
                "a datagram in the name of `{peer}` is damaged or forged, and ignored; look for a damaged link, or for \
                 somebody else who sends there"
            ),
            Self::OtherNames {
                ours,
                peer,
                sender,
                receiver,
            } => write!(
                f,
                "the other end calls itself `{sender}` and this director `{receiver}`, but here the names are `{peer}` \
                 and `{ours}`: configure each director's name alike on both, and the address of the right one"
            ),
            Self::Foreign { peer } => write!(
                f,
                "something that is not connection sync comes from where `{peer}` is: see that nothing else uses this \
                 port"
            ),
            Self::NotUnderstood { peer, what } => write!(
                f,
                "`{peer}` sends what this director does not understand ({what}): install the same release on both"
            ),
        }
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

    /// When the next one may be forgotten.
    pub(crate) fn due(&self) -> Option<Instant> {
        let times = self.last.iter().flatten().map(|(_, at)| *at + MEMORY);
        times.min()
    }

    /// Forgets those that have not occurred of late.
    pub(crate) fn forget(&mut self, now: Instant) {
        for last in &mut self.last {
            last.take_if(|(_, at)| *at + MEMORY <= now);
        }
    }

    pub(crate) fn present(&self) -> impl Iterator<Item = &Notice> {
        self.last.iter().flatten().map(|(notice, _)| notice)
    }
}
