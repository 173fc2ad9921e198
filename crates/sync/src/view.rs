//! The read-only state, for `status`.

use std::time::{Duration, Instant};

use evenkeel_wire::sync::Routers;

use crate::{Loss, Notice, State};

/// How a peer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// From this director to the peer.
    pub outgoing: DirectionView,
    /// From the peer to this director.
    pub incoming: DirectionView,
    /// The session; `None`: there is none.
    pub session: Option<SessionView>,
    /// Why and when the session before ended.
    pub lost: Option<(Loss, Instant)>,
    /// What was counted since this was made.
    pub counters: Counters,
    /// Troubles of the last minute.
    pub troubles: Vec<Notice>,
}

/// How one direction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectionView {
    /// How far its receiver is.
    pub state: State,
    /// Records and removals that are on their way: of the incoming direction, by the peer's last heartbeat.
    pub outstanding: u32,
    /// How old the oldest change may be that its receiver does not have; `None`: there is no session, or nothing has
    /// been heard of that.
    pub lag: Option<Duration>,
    /// Records of the snapshot so far, or of all of it.
    pub snapshot_records: u64,
}

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// When it began.
    pub since: Instant,
    /// When the peer was last heard.
    pub heard: Instant,
    /// How long a datagram and its answer take; `None`: not measured yet.
    pub round_trip: Option<Duration>,
    /// The virtual routers that the peer is Active for; `None`: it has not said so yet.
    pub peer_active: Option<Routers>,
    /// Those that the peer asks their Active to hand over to it; `None`: it has said nothing yet.
    pub peer_wanted: Option<Routers>,
    /// The digest of the peer's configuration; `None`: it has not told it yet.
    pub peer_digest: Option<u64>,
}

/// Why a datagram was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Not connection sync.
    Foreign,
    /// Another version of it.
    Version,
    /// Cut short or otherwise not as it should be.
    Malformed,
    /// A greeting with another key.
    Key,
    /// A greeting with a wrong signature, or a sealed datagram with a wrong tag.
    Forged,
    /// A greeting of or for somebody else.
    Name,
    /// A greeting that answers none of the present ones: late, or recorded and played back.
    Stale,
    /// A datagram of a session that is not the present one.
    Session,
    /// A datagram that came before.
    Replayed,
}

impl Rejection {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::Foreign,
        Self::Version,
        Self::Malformed,
        Self::Key,
        Self::Forged,
        Self::Name,
        Self::Stale,
        Self::Session,
        Self::Replayed,
    ];

    /// The name in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Version => "version",
            Self::Malformed => "malformed",
            Self::Key => "key",
            Self::Forged => "forged",
            Self::Name => "name",
            Self::Stale => "stale",
            Self::Session => "session",
            Self::Replayed => "replayed",
        }
    }
}

/// What happened since the session was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that were ordered to be sent.
    pub datagrams_sent: u64,
    /// Their bytes, without headers.
    pub bytes_sent: u64,
    /// Datagrams that were handed in.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Records that were taken to be sent.
    pub records_sent: u64,
    /// Removals that were taken to be sent.
    pub removals_sent: u64,
    /// Records that were handed out.
    pub records_received: u64,
    /// Removals that were handed out.
    pub removals_received: u64,
    /// Datagrams whose part of the stream was sent before.
    pub resent: u64,
    /// Parts of the stream that came more than once.
    pub duplicates: u64,
    /// Sessions that began.
    pub sessions: u64,
    pub(crate) rejected: [u64; Rejection::ALL.len()],
}

impl Counters {
    /// How many datagrams were ignored for this reason.
    #[must_use]
    pub const fn rejected(&self, reason: Rejection) -> u64 {
        self.rejected[reason as usize]
    }
}
