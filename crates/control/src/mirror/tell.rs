//! Telling the peers: what changed, and everything again.

use std::time::Instant;

use evenkeel_abi::BUCKET_WAYS;
use evenkeel_sync::{Protocol, Record, Refused};

use super::peer::{Peer, Walk};
use super::{LOOK_EVERY, Mirror, Table, WALK};

/// Buckets that one look takes of a walk at most: some 2 ms.
const WALK_BUCKETS: u32 = 1 << 15;

/// Room with a peer that a walk leaves for changes: as many as come until the next look, fifty thousand a second.
const RESERVED: usize = 256;

impl Mirror {
    /// Tells what packets and the sweep changed since the last time.
    pub(super) fn tell_changes(&mut self, table: &mut impl Table, now: Instant) {
        // Where nobody takes any, they stay marked.
        let Some(room) = self.room(now) else {
            return;
        };
        // Before the changes, which are the newer news.
        let removed = table.take_removals(room);
        for flow in removed.iter().filter(|f| self.told.has(f.address.ip())) {
            for peer in &mut self.peers {
                // A peer that has no room lets its entry expire.
                let _told = peer.session.remove(flow, now);
            }
        }
        let room = self.room(now).unwrap_or(0);
        let (told, mut found) = (&self.told, Vec::new());
        table.take_changes(room, |record| {
            let is_told = told.has(record.flow.address.ip());
            found.extend(is_told.then_some(*record));
            is_told
        });
        for record in &found {
            for peer in &mut self.peers {
                if peer.is_up(now) && tell(table, peer, record, now).is_err() {
                    peer.lose(self.covered, now);
                }
            }
        }
        // Less than a bucket's room: some stay marked.
        if found.len() + BUCKET_WAYS <= room || !table.has_changes() {
            self.covered = now;
        }
    }

    /// How many changes are taken now; `None`: nobody is there. The fullest peer is waited for as long as the others do
    /// not come to lag by that.
    fn room(&self, now: Instant) -> Option<usize> {
        let waits = now.saturating_duration_since(self.covered) <= self.config.lag / 4;
        let there = || self.peers.iter().filter(|peer| peer.is_up(now));
        let waited_for = there().filter(|peer| waits && peer.missed.is_none());
        let fullest = waited_for.map(|peer| peer.session.room()).min();
        fullest.or_else(|| there().map(|peer| peer.session.room()).max())
    }

    /// Says how far everybody has been told.
    pub(super) fn tell_backlog(&mut self, now: Instant) {
        for peer in &mut self.peers {
            let since = peer
                .missed
                .map_or(self.covered, |missed| missed.min(self.covered));
            peer.session.backlog(Some(since), now);
        }
    }

    /// Goes on with telling everything: a snapshot as fast as the peer takes it, else so that a walk is over long before
    /// what it told expires.
    pub(super) fn tell_all_again(&mut self, table: &impl Table, now: Instant) {
        let period = (self.shortest / 3).min(WALK);
        let all = table.buckets();
        for peer in &mut self.peers {
            if !peer.is_up(now) {
                continue;
            }
            let Some(walk) = peer.walk else {
                peer.begin_walk(false, now);
                continue;
            };
            let is_urgent = walk.snapshot || peer.missed.is_some();
            let share = LOOK_EVERY.as_secs_f64() / period.as_secs_f64() * f64::from(all);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive, and saturating is right"
            )]
            let buckets = if is_urgent {
                WALK_BUCKETS
            } else {
                (share as u32 + 1).min(WALK_BUCKETS)
            };
            let budget = peer.session.room().saturating_sub(RESERVED);
            let (told, mut found) = (&self.told, Vec::new());
            let next = table.walk(walk.at, buckets, budget, |record| {
                let is_told = told.has(record.flow.address.ip());
                found.extend(is_told.then_some(*record));
                is_told
            });
            for record in &found {
                // There is room for as many.
                let _told = tell(table, peer, record, now);
            }
            match next {
                Some(at) => peer.walk = Some(Walk { at, ..walk }),
                None => peer.end_walk(walk, now),
            }
        }
    }
}

/// Tells a peer of a connection. A UDP flow whose server was taken out is over: its next packet is placed anew, at a
/// peer that holds the server too.
fn tell(table: &impl Table, peer: &mut Peer, record: &Record, now: Instant) -> Result<(), Refused> {
    if record.flow.protocol == Protocol::Udp && !table.has_server(record) {
        return peer.session.remove(&record.flow, now);
    }
    peer.session.send(record, now)
}
