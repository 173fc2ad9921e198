//! What packets changed in the established table, and all that stands in it, for another director.

use std::sync::atomic::Ordering::{AcqRel, Acquire};

use evenkeel_abi::{BUCKET_WAYS, Tick};

use crate::connections::{Connection, Entry, Names};
use crate::plane::DataPlane;

impl DataPlane {
    /// Whether packets changed something that was not taken yet. Looks at a bit for every four connections that there is
    /// room for.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        let words = self.tables.changed.as_slice();
        words.iter().any(|word| word.load(Acquire) != 0)
    }

    /// Takes all that packets have changed and gives nothing of it: before a [`walk`](Self::walk), which gives all.
    pub fn forget_changes(&self) {
        for word in self.tables.changed.as_slice() {
            // Most words are of nobody's change, and are not written.
            if word.load(Acquire) != 0 {
                word.swap(0, AcqRel);
            }
        }
    }

    /// Takes buckets of the established table that packets have changed, and gives the connections that live there;
    /// starts where the last call ended, and comes round once.
    ///
    /// A bucket is taken before it is read, so a change that is not given yet is there for the next call. Connections
    /// beside a changed one are given too. `each` says whether it had use for one: at most `budget` of these are given,
    /// and a bucket that could give more stays for the next call, so that less than eight give nothing. A connection
    /// whose client or server can't be told yet is left out; its bucket is marked again once it can be. Returns the
    /// number of those there was use for.
    pub fn take_changes(
        &mut self,
        budget: usize,
        mut each: impl FnMut(&Connection) -> bool,
    ) -> usize {
        let words = self.tables.changed.len();
        let first = self.position.changed;
        let mut giver = Giver::of(self, budget, &mut each);
        let taken = (0..words).find(|n| !giver.take_word(first.wrapping_add(*n) % words));
        let given = giver.given;
        self.position.changed = first.wrapping_add(taken.unwrap_or(0)) % words;
        given
    }

    /// Gives the connections that live in the established table's buckets from `from` on, and returns where to go on;
    /// `None`: the walk is over. Looks at no more than `buckets` of them, and gives at most `budget` connections that
    /// `each` says it had use for; fewer than eight give nothing.
    pub fn walk(
        &self,
        from: u32,
        buckets: u32,
        budget: usize,
        mut each: impl FnMut(&Connection) -> bool,
    ) -> Option<u32> {
        let all = self.buckets();
        let end = from.saturating_add(buckets).min(all);
        let mut giver = Giver::of(self, budget, &mut each);
        let stopped = (from..end).find(|bucket| !giver.give(*bucket));
        stopped.or_else(|| (end < all).then_some(end))
    }

    /// Buckets of the established table, for a [`walk`](Self::walk).
    #[must_use]
    pub fn buckets(&self) -> u32 {
        self.tables.conns.len()
    }
}

/// Gives connections, as many as there is a budget for.
struct Giver<'a, F> {
    plane: &'a DataPlane,
    names: Names<'a>,
    now: Tick,
    budget: usize,
    given: usize,
    each: F,
}

impl<'a, F: FnMut(&Connection) -> bool> Giver<'a, F> {
    fn of(plane: &'a DataPlane, budget: usize, each: F) -> Self {
        Self {
            plane,
            names: Names::of(&plane.tables, &plane.book),
            now: plane.tables.now(),
            budget,
            given: 0,
            each,
        }
    }

    /// Takes the buckets of a word of marks; false if some had to stay.
    fn take_word(&mut self, index: u32) -> bool {
        let Some(word) = self.plane.tables.changed.get(index) else {
            return true;
        };
        // Most words are of nobody's change, and are not written.
        if word.load(Acquire) == 0 {
            return true;
        }
        let mut bits = word.swap(0, AcqRel);
        while bits != 0 {
            if !self.give(index * u64::BITS + bits.trailing_zeros()) {
                word.fetch_or(bits, AcqRel);
                return false;
            }
            bits &= bits - 1;
        }
        true
    }

    /// Gives the connections of a bucket; false if there could be more of them than the budget has left.
    fn give(&mut self, bucket: u32) -> bool {
        if self.budget - self.given < BUCKET_WAYS {
            return false;
        }
        let tables = &self.plane.tables;
        let (Some(conns), Some(clients)) =
            (tables.conns.get(bucket), tables.conn_clients.get(bucket))
        else {
            return true;
        };
        for (conn, client) in conns.ways.iter().zip(&clients.ways) {
            let Some(entry) = Entry::read(conn, client, false) else {
                continue;
            };
            if entry.word.expiry() <= self.now {
                continue;
            }
            let connection = self.names.connection(&entry, self.now);
            if connection.is_told() && (self.each)(&connection) {
                self.given += 1;
            }
        }
        true
    }
}
