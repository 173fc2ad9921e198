//! News of connection sync.

use std::fmt;

use evenkeel_sync::{Direction, Loss, Notice, State};

/// What happened with a peer of connection sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncNews {
    /// One half of the session is further, or less far, than before.
    Changed {
        /// Which half.
        direction: Direction,
        /// How far it was.
        from: State,
        /// How far it is.
        to: State,
    },
    /// The peer told of itself: whether its services and servers are those of this director.
    Services {
        /// Whether they are.
        same: bool,
    },
    /// The session is over.
    Lost(Loss),
    /// Something is wrong.
    Trouble(Notice),
}

impl SyncNews {
    /// Tells whether this is a trouble that a person should look at.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        match self {
            Self::Services { same: false } | Self::Lost(_) | Self::Trouble(_) => true,
            Self::Changed { .. } | Self::Services { same: true } => false,
        }
    }
}

impl fmt::Display for SyncNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed {
                direction: Direction::Outgoing,
                from,
                to,
            } => write!(f, "this director's connections there: {from} to {to}"),
            Self::Changed {
                direction: Direction::Incoming,
                from,
                to,
            } => write!(f, "its connections here: {from} to {to}"),
            Self::Services { same: true } => f.write_str("it has the same services"),
            Self::Services { same: false } => f.write_str(
                "its services or servers are others: only connections of what both have are synchronised",
            ),
            Self::Lost(why) => write!(f, "the session is over: {why}"),
            Self::Trouble(notice) => notice.fmt(f),
        }
    }
}
