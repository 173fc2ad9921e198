//! The sending end of the stream: packs items into segments, and keeps those until they are acknowledged.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use evenkeel_wire::sync::{Item, RECORD_LEN_MAX, SEGMENT_LEN_MAX, Writer};

/// Segments that may be unacknowledged, the one that is being filled included; the mark behind a snapshot may make it
/// one more. 85 kB, or 3,840 records of IPv4.
pub(crate) const WINDOW: usize = 64;
/// A record of any kind and the head of its run.
const PACKED_MAX: usize = RECORD_LEN_MAX + 2;
/// How long a segment that is not full waits for more.
const FLUSH: Duration = Duration::from_millis(1);
/// Datagrams that may overtake another one before that counts as lost.
const OVERTAKING: u64 = 3;
/// Segments that are sent again when nothing is heard; what is acknowledged then tells of the others.
const PROBE: usize = 4;

#[derive(Debug)]
struct Segment {
    number: u64,
    items: Box<[u8]>,
    records: u32,
    /// Every change before this had been handed in when the segment was begun.
    since: Instant,
    /// Counter and time of the last datagram with it.
    sent: Option<(u64, Instant)>,
    /// To be sent again.
    lost: bool,
    /// The receiver has it, but not all before it.
    held: bool,
}

/// The stream.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Complete segments without a break in their numbers.
    segments: VecDeque<Segment>,
    writer: Box<Writer>,
    /// Of the segment that is being filled.
    records: u32,
    begun: Option<Begun>,
    /// Number of the segment that is being filled.
    number: u64,
    /// Segments that have been sent.
    sent: u64,
    /// Every change before this has been handed in.
    covered: Instant,
    doublings: u32,
    /// Records of the snapshot so far, or of all of it.
    snapshot_records: u64,
    /// Number of the segment with the mark behind the snapshot.
    snapshot_end: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    since: Instant,
}

/// A segment that is to be sent.
#[derive(Debug)]
pub(crate) struct Due<'a> {
    pub(crate) number: u64,
    pub(crate) items: &'a [u8],
    /// It was sent before.
    pub(crate) again: bool,
}

impl Outbox {
    /// An empty stream, whose first item is the mark before the snapshot.
    pub(crate) fn new(now: Instant) -> Self {
        let mut outbox = Self {
            segments: VecDeque::new(),
            writer: Box::new(Writer::new()),
            records: 0,
            begun: None,
            number: 0,
            sent: 0,
            covered: now,
            doublings: 0,
            snapshot_records: 0,
            snapshot_end: None,
        };
        outbox.write(&Item::SnapshotBegin, now);
        outbox
    }

    /// Records, of any kind, that will be taken now.
    pub(crate) fn room(&self) -> usize {
        let filling = usize::from(!self.writer.is_empty());
        let free = WINDOW.saturating_sub(self.segments.len() + filling);
        let rest = match filling {
            0 => 0,
            _ => self.writer.room() / PACKED_MAX,
        };
        free * (SEGMENT_LEN_MAX / PACKED_MAX) + rest
    }

    /// Adds a record or removal; `false`: there is no room for it.
    pub(crate) fn push(&mut self, item: &Item, now: Instant) -> bool {
        if self.room() == 0 {
            return false;
        }
        self.write(item, now);
        self.records += 1;
        if self.snapshot_end.is_none() && matches!(item, Item::Record(_)) {
            self.snapshot_records += 1;
        }
        true
    }

    /// Ends the snapshot, once.
    pub(crate) fn end_snapshot(&mut self, now: Instant) {
        if self.snapshot_end.is_none() {
            let records = self.snapshot_records;
            self.write(&Item::SnapshotEnd { records }, now);
            self.snapshot_end = Some(self.number);
            self.close();
        }
    }

    fn write(&mut self, item: &Item, now: Instant) {
        if !self.writer.push(item) {
            self.close();
            let fits = self.writer.push(item);
            debug_assert!(fits, "every item fits an empty segment");
        }
        let since = self.covered;
        self.begun.get_or_insert(Begun { at: now, since });
    }

    /// Completes the segment that is being filled.
    pub(crate) fn close(&mut self) {
        let Some(begun) = self.begun.take() else {
            return;
        };
        self.segments.push_back(Segment {
            number: self.number,
            items: self.writer.bytes().into(),
            records: self.records,
            since: begun.since,
            sent: None,
            lost: false,
            held: false,
        });
        self.number += 1;
        self.records = 0;
        self.writer.clear();
    }

    /// Says that every change before `covered` has been handed in.
    pub(crate) fn cover(&mut self, covered: Instant) {
        self.covered = covered;
        // Older changes may join those that have not left yet.
        if let Some(begun) = &mut self.begun {
            begun.since = begun.since.min(covered);
        }
    }

    /// Every change before this has been acknowledged.
    pub(crate) fn known_to(&self) -> Instant {
        let segments = self.segments.iter().map(|segment| segment.since);
        let begun = self.begun.map(|begun| begun.since);
        segments.chain(begun).fold(self.covered, Instant::min)
    }

    /// Records and removals that have not been acknowledged.
    pub(crate) fn outstanding(&self) -> u32 {
        let segments = self.segments.iter().map(|segment| segment.records);
        segments.sum::<u32>() + self.records
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) const fn snapshot_records(&self) -> u64 {
        self.snapshot_records
    }

    /// Whether all of the snapshot has been acknowledged.
    pub(crate) fn is_snapshot_known(&self) -> bool {
        let first = self
            .segments
            .front()
            .map_or(self.number, |first| first.number);
        self.snapshot_end.is_some_and(|number| number < first)
    }

    /// When the segment that is being filled is sent as it is.
    pub(crate) fn flush_due(&self) -> Option<Instant> {
        self.begun.map(|begun| begun.at + FLUSH)
    }

    /// The segment that is to be sent next.
    pub(crate) fn due(&self) -> Option<Due<'_>> {
        let mut segments = self.segments.iter();
        let due = segments.find(|segment| segment.lost || segment.sent.is_none())?;
        Some(Due {
            number: due.number,
            items: &due.items,
            again: due.lost,
        })
    }

    /// Notes that the segment that was due has gone out in the datagram `counter`.
    pub(crate) fn note_sent(&mut self, counter: u64, now: Instant) {
        let mut segments = self.segments.iter_mut();
        let due = segments.find(|segment| segment.lost || segment.sent.is_none());
        if let Some(due) = due {
            (due.sent, due.lost) = (Some((counter, now)), false);
            self.sent = self.sent.max(due.number + 1);
        }
    }

    /// Takes an acknowledgement: all before `next`, those of the bitmap, and that datagrams up to `heard` have come.
    pub(crate) fn acknowledge(&mut self, next: u64, beyond: u64, heard: Option<u64>) {
        if next > self.sent {
            return;
        }
        while self.segments.front().is_some_and(|s| s.number < next) {
            self.segments.pop_front();
            self.doublings = 0;
        }
        for segment in &mut self.segments {
            let Some((counter, _)) = segment.sent else {
                break;
            };
            let ahead = segment.number.checked_sub(next + 1);
            let bit = ahead.and_then(|ahead| 1_u64.checked_shl(u32::try_from(ahead).ok()?));
            if !segment.held && bit.is_some_and(|bit| beyond & bit != 0) {
                (segment.held, segment.lost) = (true, false);
                self.doublings = 0;
            }
            let overtaken = heard.is_some_and(|heard| counter + OVERTAKING <= heard);
            segment.lost |= overtaken && !segment.held;
        }
    }

    /// When the oldest segment that the receiver does not have is sent again.
    pub(crate) fn resend_due(&self, after: impl Fn(u32) -> Duration) -> Option<Instant> {
        let mut flying = self.flying();
        let (_, at) = flying.next()?.sent?;
        Some(at + after(self.doublings))
    }

    fn flying(&self) -> impl Iterator<Item = &Segment> {
        let segments = self.segments.iter();
        segments.filter(|segment| segment.sent.is_some() && !segment.lost && !segment.held)
    }

    /// Nothing was heard for too long: the oldest segments are sent again.
    pub(crate) fn probe(&mut self) {
        self.doublings = self.doublings.saturating_add(1);
        let flying = self
            .segments
            .iter_mut()
            .filter(|segment| segment.sent.is_some() && !segment.lost && !segment.held);
        flying.take(PROBE).for_each(|segment| segment.lost = true);
    }

    #[cfg(debug_assertions)]
    pub(crate) fn check_invariants(&self) {
        assert!(self.segments.len() <= WINDOW + 1, "{self:?}");
        assert_eq!(self.begun.is_some(), !self.writer.is_empty(), "{self:?}");
        let numbers = self.segments.iter().map(|segment| segment.number);
        let count = self.segments.len() as u64;
        assert!(numbers.eq(self.number - count..self.number), "{self:?}");
        let unsent = self.segments.iter().filter(|s| s.sent.is_none()).count() as u64;
        assert_eq!(self.sent, self.number - unsent, "{self:?}");
    }
}

#[cfg(test)]
mod tests;
