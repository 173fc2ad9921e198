//! One other director: its session, the ways to it, and what it has not been told yet.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use evenkeel_model::SyncPeer;
use evenkeel_sync::{Direction, Routers, Session, State};

/// A way is used alone as long as the peer was heard by it within this time; else all are.
const HEARD_WITHIN: Duration = Duration::from_millis(500);

/// Time of which the greatest lag is told.
const MOST_OF: Duration = Duration::from_secs(1);

/// A director that this one shares its connections with.
#[derive(Debug)]
pub struct Peer {
    pub(super) config: SyncPeer,
    pub(super) session: Session,
    /// By which address it was heard last, and when.
    heard: Option<(SocketAddr, Instant)>,
    /// Where the walk goes on that tells it everything, and whether that is a session's snapshot.
    pub(super) walk: Option<Walk>,
    /// It lacks changes from then on, until a walk is over.
    pub(super) missed: Option<Instant>,
    /// When a change was lost to it last: it took none while others did.
    lost: Option<Instant>,
    /// How many were since the start.
    missed_changes: u64,
    /// The virtual routers whose connections it told wholly, as their Active.
    pub(super) told_us: Routers,
    /// Whether it said that it has the services of this director.
    pub(super) same_services: Option<bool>,
    /// How far it was behind.
    most: Most,
}

/// The greatest of what was noted within the last second, and at most in the second before.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    began: Option<Instant>,
    present: Duration,
    last: Duration,
}

impl Most {
    fn note(&mut self, lag: Duration, now: Instant) {
        let age = now.saturating_duration_since(*self.began.get_or_insert(now));
        if age >= MOST_OF {
            let was_noted = age < MOST_OF * 2;
            self.last = if was_noted {
                self.present
            } else {
                Duration::ZERO
            };
            (self.began, self.present) = (Some(now), Duration::ZERO);
        }
        self.present = self.present.max(lag);
    }

    fn get(&self) -> Duration {
        self.present.max(self.last)
    }
}

/// A walk over the whole table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) at: u32,
    pub(super) began: Instant,
    pub(super) snapshot: bool,
}

impl Peer {
    pub(super) const fn new(config: SyncPeer, session: Session) -> Self {
        Self {
            config,
            session,
            heard: None,
            walk: None,
            missed: None,
            lost: None,
            missed_changes: 0,
            told_us: Routers::NONE,
            same_services: None,
            most: Most {
                began: None,
                present: Duration::ZERO,
                last: Duration::ZERO,
            },
        }
    }

    pub(super) fn is_up(&self, now: Instant) -> bool {
        self.session.state(Direction::Outgoing, now) != State::Down
    }

    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.config.addresses.contains(&address)
    }

    pub(super) fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let heard = |session: &Session| session.session().map(|session| session.heard);
        let before = heard(&self.session);
        self.session.handle_datagram(datagram, now);
        // What is forged shows no way.
        let after = heard(&self.session);
        if after.is_some() && after != before {
            self.heard = Some((from, now));
        }
    }

    /// The way that the peer was heard by, or all of them. What the network loses is told again.
    pub(super) fn ways(&self, port: u16, now: Instant) -> impl Iterator<Item = SocketAddr> {
        let fresh = self
            .heard
            .filter(|(_, at)| now.saturating_duration_since(*at) < HEARD_WITHIN);
        let all = self
            .config
            .addresses
            .iter()
            .filter(move |_| fresh.is_none());
        let all = all.map(move |address| SocketAddr::new(*address, port));
        fresh.map(|(way, _)| way).into_iter().chain(all)
    }

    /// Its name and its addresses.
    #[must_use]
    pub const fn config(&self) -> &SyncPeer {
        &self.config
    }

    /// The session with it.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Changes that found no room with it since the start, and that a walk told it of later.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed_changes
    }

    /// Notes how far it is behind.
    pub(super) fn note_lag(&mut self, now: Instant) {
        if let Some(lag) = self.session.lag(Direction::Outgoing, now) {
            self.most.note(lag, now);
        }
    }

    /// How far it was behind at most within the last second or two, as a momentary lag may be exceeded a moment later;
    /// `None`: there is no session.
    #[must_use]
    pub fn lag_most(&self, now: Instant) -> Option<Duration> {
        let lag = self.session.lag(Direction::Outgoing, now)?;
        Some(self.most.get().max(lag))
    }

    /// By which address it was heard last.
    #[must_use]
    pub fn way(&self) -> Option<IpAddr> {
        self.heard.map(|(way, _)| way.ip())
    }

    /// A change was lost to it, of those since then.
    pub(super) fn lose(&mut self, since: Instant, now: Instant) {
        self.missed.get_or_insert(since);
        self.lost = Some(now);
        self.missed_changes += 1;
    }

    /// A walk is over: it lacks nothing, unless a change was lost to it meanwhile, which may be in a bucket that the walk
    /// had passed.
    pub(super) fn end_walk(&mut self, walk: Walk, now: Instant) {
        self.walk = None;
        if walk.snapshot {
            self.session.snapshot_done(now);
        }
        if self.lost.is_none_or(|lost| lost < walk.began) {
            self.missed = None;
        }
    }

    /// It lacks what it was not told, of since then, and is told everything.
    pub(super) fn lack(&mut self, since: Instant, now: Instant) {
        let missed = self.missed.map_or(since, |missed| missed.min(since));
        self.missed = Some(missed);
        // Before the first of it leaves: who has not received it is not in sync.
        self.session.backlog(Some(missed), now);
        let snapshot = self.walk.is_some_and(|walk| walk.snapshot);
        self.begin_walk(snapshot, now);
    }

    /// Begins to tell it everything.
    pub(super) const fn begin_walk(&mut self, snapshot: bool, now: Instant) {
        self.walk = Some(Walk {
            at: 0,
            began: now,
            snapshot,
        });
    }

    /// Whether it has everything that changed until then; one that is not there needs nothing.
    pub(super) fn has_all(&self, then: Instant, now: Instant) -> bool {
        let view = self.session.view(now);
        if view.session.is_none() {
            return true;
        }
        let outgoing = view.outgoing;
        let is_whole = matches!(outgoing.state, State::Lagging | State::InSync);
        is_whole
            && outgoing
                .lag
                .is_some_and(|lag| now.checked_sub(lag).is_some_and(|until| until >= then))
    }

    /// It has told wholly of the virtual routers that it says it is Active for.
    pub(super) fn told_all(&mut self) {
        let session = self.session.session();
        let active = session.and_then(|session| session.peer_active);
        for router in active.unwrap_or_default().iter() {
            self.told_us.insert(router);
        }
    }

    /// A session begins: neither knows anything of the other.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.told_us = Routers::NONE;
        self.same_services = None;
        self.missed = None;
        self.lost = None;
        self.begin_walk(true, now);
    }

    /// Whether its snapshot is complete.
    pub(super) fn is_whole(&self, now: Instant) -> bool {
        let incoming = self.session.state(Direction::Incoming, now);
        matches!(incoming, State::Lagging | State::InSync)
    }

    /// Whether it has said what it is Active for.
    pub(super) fn has_said(&self) -> bool {
        let session = self.session.session();
        session.is_some_and(|session| session.peer_active.is_some())
    }

    /// Whether it asks the Active of a virtual router to hand over.
    pub(super) fn wants(&self, router: u8) -> bool {
        let wanted = self.session.session().and_then(|it| it.peer_wanted);
        wanted.is_some_and(|wanted| wanted.contains(router))
    }

    /// Whether this director has everything of a virtual router that the peer is Active for; `None`: the peer is not,
    /// as far as is known.
    pub(super) fn synced(&self, router: u8, now: Instant) -> Option<bool> {
        let active = self.session.session()?.peer_active?;
        active
            .contains(router)
            .then(|| self.session.state(Direction::Incoming, now) == State::InSync)
    }
}

#[cfg(test)]
mod tests;
