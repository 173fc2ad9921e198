//! Who owns which words of the arena.
//!
//! Pure bookkeeping: it touches no map. A run of words that programs could read is *retired* first and
//! lent out again only when it has been so for [`GRACE`], or when the caller has waited for the programs.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::grace::GRACE;

/// A run of words; `len` 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Extent {
    const fn end(self) -> u32 {
        self.start + self.len
    }
}

/// Why there is nothing to lend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// There may be, once running programs have ended ([`Arena::grace_passed`]).
    Grace,
    /// There is not.
    Full,
}

/// The words of the arena.
#[derive(Debug)]
pub(crate) struct Arena {
    words: u32,
    /// Free runs, start to length; no two touch.
    free: BTreeMap<u32, u32>,
    /// Runs that programs may still read, oldest first.
    retired: VecDeque<(Instant, Extent)>,
}

impl Arena {
    /// All words are free.
    pub(crate) fn new(words: u32) -> Self {
        let free = (words > 0).then_some((0, words)).into_iter().collect();
        Self {
            words,
            free,
            retired: VecDeque::new(),
        }
    }

    /// Its size.
    pub(crate) const fn words(&self) -> u32 {
        self.words
    }

    /// Lends a run out: the first that is long enough.
    pub(crate) fn alloc(&mut self, len: u32, now: Instant) -> Result<Extent, Shortage> {
        if len == 0 {
            return Ok(Extent::default());
        }
        self.reclaim(|retired| now.saturating_duration_since(retired) >= GRACE);
        let found = self.free.iter().find(|(_, free)| **free >= len);
        let Some((&start, &free)) = found else {
            return Err(if self.retired.is_empty() {
                Shortage::Full
            } else {
                Shortage::Grace
            });
        };
        self.free.remove(&start);
        if free > len {
            self.free.insert(start + len, free - len);
        }
        Ok(Extent { start, len })
    }

    /// Marks a run as lent that a predecessor lent out; false if it is not free or not inside.
    pub(crate) fn occupy(&mut self, extent: Extent) -> bool {
        if extent.len == 0 {
            return true;
        }
        let Some(end) = extent.start.checked_add(extent.len) else {
            return false;
        };
        let Some((&start, &len)) = self.free.range(..=extent.start).next_back() else {
            return false;
        };
        if start + len < end {
            return false;
        }
        self.free.remove(&start);
        if start < extent.start {
            self.free.insert(start, extent.start - start);
        }
        if end < start + len {
            self.free.insert(end, start + len - end);
        }
        true
    }

    /// Takes a run back that no program has seen.
    pub(crate) fn release(&mut self, extent: Extent) {
        if extent.len == 0 {
            return;
        }
        let mut merged = extent;
        if let Some((&start, &len)) = self.free.range(..extent.start).next_back()
            && start + len == extent.start
        {
            self.free.remove(&start);
            merged = Extent {
                start,
                len: len + merged.len,
            };
        }
        if let Some(len) = self.free.remove(&merged.end()) {
            merged.len += len;
        }
        self.free.insert(merged.start, merged.len);
    }

    /// Takes a run back that running programs may still read.
    pub(crate) fn retire(&mut self, extent: Extent, now: Instant) {
        if extent.len > 0 {
            self.retired.push_back((now, extent));
        }
    }

    /// Every program that ran at `called` has ended.
    pub(crate) fn grace_passed(&mut self, called: Instant) {
        self.reclaim(|retired| retired <= called);
    }

    fn reclaim(&mut self, over: impl Fn(Instant) -> bool) {
        while let Some(&(retired, extent)) = self.retired.front()
            && over(retired)
        {
            self.retired.pop_front();
            self.release(extent);
        }
    }
}

#[cfg(test)]
mod tests;
