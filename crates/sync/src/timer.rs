//! What happens at a deadline.

/// The timers of a session, in the order in which those that are due together are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The peer has been silent for too long.
    Silence,
    /// The peer has not confirmed the session that it was offered.
    Offer,
    /// Greet, and confirm a session that is not confirmed.
    Greet,
    /// Say how things stand.
    Heartbeat,
    /// Acknowledge what has come.
    Acknowledge,
    /// Send a segment that is not full.
    Flush,
    /// Send again what was not acknowledged.
    Resend,
    /// A direction ceases to be in sync.
    Lag,
    /// A trouble may be over.
    Troubles,
}

impl Timer {
    pub(crate) const ALL: [Self; 9] = [
        Self::Silence,
        Self::Offer,
        Self::Greet,
        Self::Heartbeat,
        Self::Acknowledge,
        Self::Flush,
        Self::Resend,
        Self::Lag,
        Self::Troubles,
    ];
}
