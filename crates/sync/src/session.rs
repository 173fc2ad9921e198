//! The session with one peer: what comes in and what goes out.
//!
//! `session/greetings.rs` begins and ends sessions, `session/timing.rs` has the deadlines and what happens then.

mod greetings;
mod timing;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use evenkeel_wire::sync::{self, Datagram, Epoch, Flow, Item, Malformed, Record, Routers};

use crate::inbox::Taken;
use crate::key::Epochs;
use crate::link::Closed;
use crate::live::{Came, Live, Own};
use crate::notice::Troubles;
use crate::{
    ConfigError, Counters, Direction, DirectionView, Loss, Notice, Output, Refused, Rejection,
    SessionView, State, SyncConfig, View,
};

/// What two directors tell each other of their connections, as one of them sees it.
///
/// ```text
///               greetings, each with the        a sealed datagram that
///   +---------+ other's fresh epoch  +---------+ opens          +---------+
///   |  none   |--------------------->| offered |--------------->| present |
///   +---------+                      +---------+                +---------+
///     ^     ^        1 s                  |                       |     |
///     |     +-----------------------------+                       |     | the same while another is present:
///     |                     3 s of silence                        |     | that one goes on until it is replaced
///     +-----------------------------------------------------------+     +---> present
/// ```
///
/// # How to drive it
/// - A, questions: [`view`](Self::view), [`session`](Self::session), [`room`](Self::room), [`state`](Self::state),
///   [`poll_timeout`](Self::poll_timeout).
/// - B, events: [`handle_datagram`](Self::handle_datagram), [`handle_timeout`](Self::handle_timeout).
/// - C, orders of the shell: [`send`](Self::send), [`remove`](Self::remove), [`flush`](Self::flush),
///   [`snapshot_done`](Self::snapshot_done), [`backlog`](Self::backlog), [`set_active`](Self::set_active),
///   [`set_wanted`](Self::set_wanted), [`set_digest`](Self::set_digest).
/// - D, outputs: [`poll_output`](Self::poll_output).
///
/// After each call of B, and after one or several calls of C, obey `poll_output` until it returns `None`, in order, then
/// arm one timer for `poll_timeout`. `now` must not run backwards; early and late calls of `handle_timeout` do no harm.
/// Datagrams that are queued must be handed in before `handle_timeout`: after a pause they tell that the peer is there.
///
/// # What it tells
/// - **Changes**: the shell hands in a record of what changed, while there is [`room`](Self::room); what does not fit
///   stays with the shell, which says so with `backlog`. Ask for room again after each event. Changes go before parts of
///   a snapshot or of any other walk.
/// - **Snapshot**: at the beginning of a session, by [`Output::WantSnapshot`].
/// - **In sync**: the receiver has the snapshot, and every change that is older than the bound. Nobody guesses: a sender
///   says how old what is not acknowledged may be, the time since the shell's last `backlog` included, and a receiver
///   reckons that from the moment at which the sender must have said so at the earliest. So it never claims too much
///   while both clocks run equally fast; it claims too little where datagrams or calls of `backlog` are late.
///
/// # What it withstands
/// - Loss, duplication, reordering: the stream has numbered segments, which are acknowledged and sent again.
/// - Forged, replayed, cut or foreign datagrams change nothing but a counter, and tell a notice at most.
/// - A restart of either side: an epoch is drawn for each session, and a key is never used for two. A present session is
///   replaced only after the peer has answered a fresh epoch of this director within both a signed greeting and a sealed
///   datagram: who has no key cannot, whatever was recorded.
///
/// # What it holds
/// At most 64 unacknowledged segments in each direction, of 1.4 kB: less than 300 kB, and another 20 kB while a session
/// is offered.
#[derive(Debug)]
pub struct Session {
    config: SyncConfig,
    /// What stamps count from.
    base: Instant,
    /// Of the latest call.
    now: Instant,
    epochs: Epochs,
    /// The epoch that greetings offer; no session has had it.
    offer: Epoch,
    current: Option<Box<Live>>,
    /// Both have said which epochs it would have, but no sealed datagram has come.
    pending: Option<Box<Live>>,
    /// The key and the epoch of a greeting that is to be answered.
    answer: Option<(usize, Epoch)>,
    /// When the next greeting is due, where one is.
    greet: Instant,
    own: Own,
    told: Told,
    lost: Option<(Loss, Instant)>,
    outputs: VecDeque<Output>,
    counters: Counters,
    troubles: Troubles,
}

/// What was last told by outputs.
#[derive(Clone, Copy, Debug)]
struct Told {
    outgoing: State,
    incoming: State,
    peer: Option<(Routers, Routers, u64)>,
}

impl Session {
    /// Makes a session. `seed` are random bytes that nobody else knows and that were never used for this: all epochs
    /// are drawn from them.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: SyncConfig, seed: [u8; 32], now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        let mut epochs = Epochs::new(seed);
        let offer = epochs.draw();
        Ok(Self {
            config,
            base: now,
            now,
            epochs,
            offer,
            current: None,
            pending: None,
            answer: None,
            greet: now,
            own: Own {
                active: Routers::NONE,
                wanted: Routers::NONE,
                digest: 0,
            },
            told: Told {
                outgoing: State::Down,
                incoming: State::Down,
                peer: None,
            },
            lost: None,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            troubles: Troubles::default(),
        })
    }

    /// Takes in what came from the peer's address.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        self.advance(now);
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += datagram.len() as u64;
        match sync::parse(datagram) {
            Ok(Datagram::Hello {
                hello,
                signed,
                signature,
            }) => self.greeted(&hello, signed, signature),
            Ok(sealed @ Datagram::Sealed { .. }) => self.open(sealed),
            Err(malformed) => self.refuse(malformed),
        }
        self.settle();
    }

    fn refuse(&mut self, malformed: Malformed) {
        let peer = self.config.peer.clone();
        match malformed {
            Malformed::Foreign => self.reject(Rejection::Foreign, Some(Notice::Foreign { peer })),
            Malformed::Version(theirs) => {
                let notice = Notice::OtherVersion { peer, theirs };
                self.reject(Rejection::Version, Some(notice));
            }
            Malformed::Unknown(_) | Malformed::Length | Malformed::Name | Malformed::Range => {
                let notice = Notice::Damaged { peer };
                self.reject(Rejection::Malformed, Some(notice));
            }
        }
    }

    fn open(&mut self, sealed: Datagram<'_>) {
        let Datagram::Sealed {
            head,
            session,
            counter,
            body,
            tag,
        } = sealed
        else {
            return;
        };
        let takes = |live: &&mut Box<Live>| live.link.takes(session);
        let current = self.current.as_mut().filter(takes);
        let is_pending = current.is_none();
        let live = current.or_else(|| self.pending.as_mut().filter(takes));
        let Some(live) = live else {
            return self.reject(Rejection::Session, None);
        };
        let mut body = body.to_vec();
        let came = match live.open(head, counter, &mut body, tag, self.now) {
            Ok(came) => came,
            Err(Closed::Replayed) => return self.reject(Rejection::Replayed, None),
            Err(Closed::Forged) => {
                let peer = self.config.peer.clone();
                return self.reject(Rejection::Forged, Some(Notice::Damaged { peer }));
            }
        };
        if is_pending {
            self.begin();
        }
        match came {
            Came::Word | Came::Segment(Taken::New) => {}
            Came::Segment(Taken::Known | Taken::Beyond) => self.counters.duplicates += 1,
            Came::Malformed(what) => {
                let peer = self.config.peer.clone();
                let notice = Notice::NotUnderstood { peer, what };
                self.reject(Rejection::Malformed, Some(notice));
            }
        }
    }

    /// How many records and removals, of any kind, can be handed in now; 0 without a session.
    #[must_use]
    pub fn room(&self) -> usize {
        self.current.as_ref().map_or(0, |live| live.outbox.room())
    }

    /// Hands in a connection as it is now. It leaves within a millisecond, or at once with [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`Refused`]; never where [`room`](Self::room) is greater than 0.
    pub fn send(&mut self, record: &Record, now: Instant) -> Result<(), Refused> {
        self.push(&Item::Record(*record), now)?;
        self.counters.records_sent += 1;
        Ok(())
    }

    /// Hands in that a connection is over.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn remove(&mut self, flow: &Flow, now: Instant) -> Result<(), Refused> {
        self.push(&Item::Removal(*flow), now)?;
        self.counters.removals_sent += 1;
        Ok(())
    }

    fn push(&mut self, item: &Item, now: Instant) -> Result<(), Refused> {
        self.advance(now);
        let live = self.current.as_mut().ok_or(Refused::Down)?;
        match live.outbox.push(item, self.now) {
            true => Ok(()),
            false => Err(Refused::Full),
        }
    }

    /// Sends what has been handed in without waiting for more.
    pub fn flush(&mut self, now: Instant) {
        self.advance(now);
        if let Some(live) = &mut self.current {
            live.outbox.close();
        }
        self.settle();
    }

    /// Says that every connection has been handed in since [`Output::WantSnapshot`]; once for each of those.
    pub fn snapshot_done(&mut self, now: Instant) {
        self.advance(now);
        if let Some(live) = &mut self.current {
            live.outbox.end_snapshot(self.now);
        }
        self.settle();
    }

    /// Says that every change before `since` has been handed in; `None`: every one before `now`.
    ///
    /// To be called whenever the shell has looked for changes: without it, this director and its peer must assume that
    /// there are some, and are in sync no longer once the bound has passed.
    pub fn backlog(&mut self, since: Option<Instant>, now: Instant) {
        self.advance(now);
        let now = self.now;
        if let Some(live) = &mut self.current {
            live.outbox.cover(since.map_or(now, |since| since.min(now)));
        }
        self.settle();
    }

    /// Says which virtual routers this director is Active for, and tells the peer at once.
    pub fn set_active(&mut self, active: Routers, now: Instant) {
        self.advance(now);
        self.own.active = active;
        self.beat();
        self.settle();
    }

    /// Says which virtual routers their Active is asked to hand over to this director, and tells the peer at once.
    pub fn set_wanted(&mut self, wanted: Routers, now: Instant) {
        self.advance(now);
        self.own.wanted = wanted;
        self.beat();
        self.settle();
    }

    /// Says what the digest of that part of the configuration is that both directors must have alike.
    pub fn set_digest(&mut self, digest: u64, now: Instant) {
        self.advance(now);
        self.own.digest = digest;
        self.beat();
        self.settle();
    }

    fn beat(&mut self) {
        if let Some(live) = &mut self.current {
            live.heartbeat.due = self.now;
        }
    }

    /// The next order or piece of news; see the type's contract.
    #[must_use = "an order that is not obeyed is lost"]
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            let Some(item) = self.current.as_mut().and_then(|live| live.item()) else {
                return self.transmit().map(Output::Send);
            };
            match item {
                Item::SnapshotBegin => {}
                Item::SnapshotEnd { .. } => {
                    self.outputs.push_back(Output::SnapshotComplete);
                    self.settle();
                }
                Item::Record(record) => {
                    self.counters.records_received += 1;
                    return Some(Output::Install(record));
                }
                Item::Removal(flow) => {
                    self.counters.removals_received += 1;
                    return Some(Output::Remove(flow));
                }
            }
        }
    }

    fn transmit(&mut self) -> Option<Vec<u8>> {
        let datagram = self.greeting().or_else(|| {
            let (own, now) = (self.own, self.now);
            let mut lives = self.pending.iter_mut().chain(&mut self.current);
            let sealed = lives.find_map(|live| live.seal(own, now))?;
            self.counters.resent += u64::from(sealed.again);
            Some(sealed.datagram)
        })?;
        self.counters.datagrams_sent += 1;
        self.counters.bytes_sent += datagram.len() as u64;
        Some(datagram)
    }

    /// How far the receiver of a direction is at `now`.
    #[must_use]
    pub fn state(&self, direction: Direction, now: Instant) -> State {
        let bound = self.config.lag_bound;
        let state = |live: &Live| match direction {
            Direction::Outgoing => live.outgoing(bound, now),
            Direction::Incoming => live.incoming(bound, now),
        };
        self.current.as_deref().map_or(State::Down, state)
    }

    /// How old the oldest change may be at `now` that the receiver of a direction does not have; `None`: there is no
    /// session, or nothing is known of that.
    #[must_use]
    pub fn lag(&self, direction: Direction, now: Instant) -> Option<Duration> {
        let live = self.current.as_deref()?;
        match direction {
            Direction::Outgoing => Some(live.outgoing_lag(now)),
            Direction::Incoming => live.incoming_lag(now),
        }
    }

    /// How things stand at `now`.
    #[must_use]
    pub fn view(&self, now: Instant) -> View {
        let live = self.current.as_deref();
        View {
            outgoing: DirectionView {
                state: self.state(Direction::Outgoing, now),
                outstanding: live.map_or(0, |live| live.outbox.outstanding()),
                lag: self.lag(Direction::Outgoing, now),
                snapshot_records: live.map_or(0, |live| live.outbox.snapshot_records()),
            },
            incoming: DirectionView {
                state: self.state(Direction::Incoming, now),
                outstanding: live.map_or(0, Live::incoming_outstanding),
                lag: self.lag(Direction::Incoming, now),
                snapshot_records: live.map_or(0, |live| live.snapshot_records),
            },
            session: self.session(),
            lost: self.lost,
            counters: self.counters,
            troubles: self.troubles.present().cloned().collect(),
        }
    }

    /// The present session; `None`: there is none.
    #[must_use]
    pub fn session(&self) -> Option<SessionView> {
        let live = self.current.as_deref()?;
        Some(SessionView {
            since: live.since,
            heard: live.heard,
            round_trip: live.round_trip.smooth(),
            peer_active: live.status.map(|(status, _)| status.active),
            peer_wanted: live.status.map(|(status, _)| status.wanted),
            peer_digest: live.status.map(|(status, _)| status.digest),
        })
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn reject(&mut self, reason: Rejection, notice: Option<Notice>) {
        self.counters.rejected[reason as usize] += 1;
        if let Some(notice) = notice
            && self.troubles.note(notice.clone(), self.now)
        {
            self.outputs.push_back(Output::Noticed(notice));
        }
    }

    /// Tells what has changed.
    fn settle(&mut self) {
        if let Some((status, _)) = self.current.as_ref().and_then(|live| live.status) {
            let (active, wanted, digest) = (status.active, status.wanted, status.digest);
            if self.told.peer != Some((active, wanted, digest)) {
                self.told.peer = Some((active, wanted, digest));
                self.outputs.push_back(Output::PeerChanged {
                    active,
                    wanted,
                    digest,
                });
            }
        }
        let outgoing = self.state(Direction::Outgoing, self.now);
        let incoming = self.state(Direction::Incoming, self.now);
        let told = &mut self.told;
        let changes = [
            (Direction::Outgoing, &mut told.outgoing, outgoing),
            (Direction::Incoming, &mut told.incoming, incoming),
        ];
        for (direction, told, to) in changes {
            let from = std::mem::replace(told, to);
            if from != to {
                self.outputs.push_back(Output::StateChanged {
                    direction,
                    from,
                    to,
                });
            }
        }
        self.check_invariants();
    }

    /// How long it takes until the next heartbeat: three of them may be lost within the bound.
    fn heartbeat_interval(&self) -> Duration {
        self.config.lag_bound / 4
    }

    #[cfg(debug_assertions)]
    fn check_invariants(&self) {
        for live in self.current.iter().chain(&self.pending) {
            live.outbox.check_invariants();
            assert_ne!(live.link.ours(), self.offer, "an epoch is used once");
        }
        let is_down = self.told.outgoing == State::Down;
        assert_eq!(is_down, self.told.incoming == State::Down, "{self:?}");
        assert_eq!(is_down, self.current.is_none(), "{self:?}");
        assert!(!is_down || self.told.peer.is_none(), "{self:?}");
    }

    #[cfg(not(debug_assertions))]
    const fn check_invariants(&self) {}
}
