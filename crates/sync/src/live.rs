//! One session: its channel, both streams, and what each end knows of the other.

use std::time::{Duration, Instant};

use evenkeel_wire::sync::{
    self, FRAME_LEN_MAX, Frame, Item, Routers, SegmentRef, Status, parse_frame, write_frame,
};

use crate::State;
use crate::inbox::{Inbox, Taken};
use crate::link::{Closed, Link};
use crate::outbox::Outbox;
use crate::rtt::RoundTrip;

/// How long one segment waits for its acknowledgement, if no other comes.
const ACKNOWLEDGE: Duration = Duration::from_millis(2);

/// What this director says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) active: Routers,
    pub(crate) wanted: Routers,
    pub(crate) digest: u64,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) link: Link,
    /// Which of the configured keys it was made with.
    pub(crate) key: usize,
    pub(crate) since: Instant,
    /// When a genuine datagram last came, or the session began.
    pub(crate) heard: Instant,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) round_trip: RoundTrip,
    /// What stamps count from.
    base: Instant,
    /// The latest stamp, and when it came.
    stamp: Option<(u32, Instant)>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) acknowledge: Acknowledge,
    /// The latest status, and the counter of its datagram.
    pub(crate) status: Option<(Status, u64)>,
    /// Every change at the peer before this has been received.
    known_to: Option<Instant>,
    /// Whether the peer's snapshot has come.
    pub(crate) has_snapshot: bool,
    /// Records of the peer's snapshot so far.
    pub(crate) snapshot_records: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    pub(crate) due: Instant,
}

/// What is to be acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acknowledge {
    /// At the next occasion.
    pub(crate) now: bool,
    /// At this time.
    pub(crate) due: Option<Instant>,
}

/// What a datagram did, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// A frame without a segment.
    Word,
    /// A frame with a segment.
    Segment(Taken),
    /// A genuine datagram that is not understood.
    Malformed(sync::Malformed),
}

/// What was sealed.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) datagram: Vec<u8>,
    /// Its segment was sent before.
    pub(crate) again: bool,
}

impl Live {
    pub(crate) fn new(
        link: Link,
        key: usize,
        heartbeat: Duration,
        base: Instant,
        now: Instant,
    ) -> Self {
        Self {
            link,
            key,
            since: now,
            heard: now,
            outbox: Outbox::new(now),
            inbox: Inbox::new(),
            round_trip: RoundTrip::default(),
            base,
            stamp: None,
            heartbeat: Heartbeat {
                interval: heartbeat,
                due: now,
            },
            acknowledge: Acknowledge::default(),
            status: None,
            known_to: None,
            has_snapshot: false,
            snapshot_records: 0,
        }
    }

    /// It is confirmed, and both streams begin.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since = now;
        self.heard = now;
        self.outbox = Outbox::new(now);
        self.outbox.close();
        self.heartbeat.due = now;
    }

    fn clock(&self, now: Instant) -> u32 {
        let micros = now.saturating_duration_since(self.base).as_micros();
        // Modulo 2^32, as the wire has it.
        u32::try_from(micros & u128::from(u32::MAX)).unwrap_or_default()
    }

    /// Opens a datagram and takes what it says. `parts` are those of [`sync::Datagram::Sealed`] but for the body.
    pub(crate) fn open(
        &mut self,
        head: &[u8; sync::SEALED_HEAD_LEN],
        counter: u64,
        body: &mut [u8],
        tag: &[u8; sync::TAG_LEN],
        now: Instant,
    ) -> Result<Came, Closed> {
        let is_latest = self.stamp.is_none() || counter > self.link.heard();
        self.link.open(head, counter, body, tag)?;
        self.heard = now;
        let frame = match parse_frame(body) {
            Ok(frame) => frame,
            Err(malformed) => return Ok(Came::Malformed(malformed)),
        };
        if is_latest {
            self.stamp = Some((frame.stamp, now));
        }
        let elapsed = frame.echo.map(|echo| {
            let micros = self.clock(now).wrapping_sub(echo);
            Duration::from_micros(micros.into())
        });
        self.outbox
            .acknowledge(frame.next, frame.beyond, self.whole_counter(&frame));
        if let Some(elapsed) = elapsed {
            self.round_trip.sample(elapsed);
        }
        if let Some(status) = frame.status {
            self.take_status(status, counter, elapsed, now);
        }
        Ok(match frame.segment {
            None => Came::Word,
            Some(segment) => Came::Segment(self.take_segment(segment, now)),
        })
    }

    /// The counter that the peer has heard last, of which it tells the low half.
    fn whole_counter(&self, frame: &Frame<'_>) -> Option<u64> {
        frame.echo?;
        let last = self.link.counter().checked_sub(1)?;
        let low = last & u64::from(u32::MAX);
        let behind = (low.wrapping_sub(frame.heard.into())) & u64::from(u32::MAX);
        last.checked_sub(behind)
    }

    /// The frame was sent after the moment that its echo names: what it says was true then. (It was sent `elapsed` ago
    /// at most: the echo is this director's clock when it sent, plus the time that the peer kept it.)
    fn take_status(
        &mut self,
        status: Status,
        counter: u64,
        elapsed: Option<Duration>,
        now: Instant,
    ) {
        if self.status.is_some_and(|(_, latest)| latest > counter) {
            return;
        }
        // What it was known to before was not of those that it is Active for only now.
        let active = self.status.map(|(status, _)| status.active);
        let active = active.unwrap_or(Routers::NONE);
        if status.active.iter().any(|router| !active.contains(router)) {
            self.known_to = None;
        }
        self.status = Some((status, counter));
        let known_to = elapsed.and_then(|elapsed| now.checked_sub(elapsed + status.behind));
        self.known_to = self.known_to.max(known_to);
        // The end of what was sent is lost, and nothing that follows would show it.
        self.acknowledge.now |= status.sent > self.inbox.next();
    }

    fn take_segment(&mut self, segment: SegmentRef<'_>, now: Instant) -> Taken {
        let taken = self.inbox.take(segment.number, segment.items);
        let waits = self.acknowledge.due.is_some();
        if taken != Taken::New || waits || self.inbox.has_gap() {
            self.acknowledge.now = true;
        } else {
            self.acknowledge.due = Some(now + ACKNOWLEDGE);
        }
        taken
    }

    /// The next item of the peer's stream.
    pub(crate) fn item(&mut self) -> Option<Item> {
        let item = self.inbox.item()?;
        match item {
            Item::SnapshotEnd { .. } => self.has_snapshot = true,
            Item::Record(_) if !self.has_snapshot => self.snapshot_records += 1,
            Item::Record(_) | Item::Removal(_) | Item::SnapshotBegin => {}
        }
        Some(item)
    }

    /// The next datagram, if there is anything to say.
    pub(crate) fn seal(&mut self, own: Own, now: Instant) -> Option<Sealed> {
        let beats = self.heartbeat.due <= now;
        let due = self.outbox.due();
        if due.is_none() && !beats && !self.acknowledge.now {
            return None;
        }
        let held = |(stamp, came): (u32, Instant)| {
            let kept = now.saturating_duration_since(came).as_micros();
            stamp.wrapping_add(u32::try_from(kept & u128::from(u32::MAX)).unwrap_or_default())
        };
        let frame = Frame {
            next: self.inbox.next(),
            beyond: self.inbox.beyond(),
            stamp: self.clock(now),
            echo: self.stamp.map(held),
            // The low half.
            heard: u32::try_from(self.link.heard() & u64::from(u32::MAX)).unwrap_or_default(),
            status: (due.is_none() && beats).then(|| self.own_status(own, now)),
            segment: due.as_ref().map(|due| SegmentRef {
                number: due.number,
                items: due.items,
            }),
        };
        let mut buffer = [0; FRAME_LEN_MAX];
        let len = write_frame(&frame, &mut buffer).unwrap_or_default();
        debug_assert!(len > 0, "every frame fits a datagram");
        let sent_segment = due.is_some();
        let again = due.is_some_and(|due| due.again);
        if sent_segment {
            self.outbox.note_sent(self.link.counter(), now);
        } else if beats {
            self.heartbeat.due = now + self.heartbeat.interval;
        }
        self.acknowledge = Acknowledge::default();
        let datagram = self.link.seal(&buffer[..len]);
        Some(Sealed { datagram, again })
    }

    fn own_status(&self, own: Own, now: Instant) -> Status {
        Status {
            behind: self.outgoing_lag(now),
            outstanding: self.outbox.outstanding(),
            sent: self.outbox.sent(),
            digest: own.digest,
            active: own.active,
            wanted: own.wanted,
        }
    }

    /// How old the oldest change may be that the peer has not acknowledged.
    pub(crate) fn outgoing_lag(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.outbox.known_to())
    }

    /// How old the oldest change may be that this director does not have; `None`: nothing is known of that.
    pub(crate) fn incoming_lag(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.known_to?))
    }

    pub(crate) fn outgoing(&self, bound: Duration, now: Instant) -> State {
        match self.outbox.is_snapshot_known() {
            false => State::Snapshot,
            true if self.outgoing_lag(now) < bound => State::InSync,
            true => State::Lagging,
        }
    }

    pub(crate) fn incoming(&self, bound: Duration, now: Instant) -> State {
        match (self.has_snapshot, self.incoming_lag(now)) {
            (false, _) => State::Snapshot,
            (true, Some(lag)) if lag < bound => State::InSync,
            (true, _) => State::Lagging,
        }
    }

    /// When the outgoing direction ceases to be in sync, if nothing happens.
    pub(crate) fn outgoing_lags_at(&self, bound: Duration) -> Instant {
        self.outbox.known_to() + bound
    }

    /// The same of the incoming one.
    pub(crate) fn incoming_lags_at(&self, bound: Duration) -> Option<Instant> {
        Some(self.known_to? + bound)
    }

    /// Records that the peer has sent or holds back, by its last status.
    pub(crate) fn incoming_outstanding(&self) -> u32 {
        self.status.map_or(0, |(status, _)| status.outstanding)
    }
}
