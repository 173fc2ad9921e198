//! What a session orders and tells.

use std::fmt;

use evenkeel_wire::sync::{Flow, Record, Routers};

use crate::Notice;

/// An order to the shell, or news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram to the peer.
    Send(Vec<u8>),
    /// A session has begun, and the peer has nothing: hand in a record of every connection with
    /// [`Session::send`](crate::Session::send), from the first on even if such a walk is under way, then call
    /// [`Session::snapshot_done`](crate::Session::snapshot_done).
    WantSnapshot,
    /// The peer has this connection: enter it. Of one flow, the last record or removal counts.
    Install(Record),
    /// The peer no longer has this connection.
    Remove(Flow),
    /// Everything that the peer had when the session began has been told.
    SnapshotComplete,
    /// What the peer says of itself is other than before, or the first that it says in this session.
    PeerChanged {
        /// The virtual routers that it is Active for.
        active: Routers,
        /// Those that it asks their Active to hand over to it.
        wanted: Routers,
        /// The digest of its configuration.
        digest: u64,
    },
    /// A direction's state changed; follows what makes it so.
    StateChanged {
        /// Which direction.
        direction: Direction,
        /// The state before.
        from: State,
        /// The state from now on.
        to: State,
    },
    /// The session is over. What the peer told stays as it is.
    Lost(Loss),
    /// A kind of trouble that was not there a minute ago.
    Noticed(Notice),
}

/// One of the two halves of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From this director to the peer.
    Outgoing,
    /// From the peer to this director.
    Incoming,
}

/// How far the receiver of a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no session.
    Down,
    /// It does not have the whole snapshot.
    Snapshot,
    /// It has the snapshot, but it is not known to have every change that is older than the bound.
    Lagging,
    /// It has every change that is older than the bound.
    InSync,
}

impl State {
    /// The name in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Snapshot => "snapshot",
            Self::Lagging => "lagging",
            Self::InSync => "in-sync",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing was heard for three seconds.
    Silence,
    /// The peer began another one: it was restarted, or had not heard this director.
    Replaced,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "nothing was heard for 3 s",
            Self::Replaced => "the peer began a new session",
        })
    }
}

/// Why something that was handed in was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no session.
    #[error("there is no session with the peer")]
    Down,
    /// [`Session::room`](crate::Session::room) is 0.
    #[error("too much is on its way to the peer")]
    Full,
}
