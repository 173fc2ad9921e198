//! IPVS's round robin, to the pick (net/netfilter/ipvs/ip_vs_rr.c).
//!
//! IPVS keeps a list and a cursor, the entry used last. A new entry goes to the head of the list, a pick
//! is the next entry after the cursor that has a weight, and the removal of the cursor's entry moves the
//! cursor to the entry before it, or to the list's head, which is none. The data plane holds only a ring
//! of the eligible entries and a position; [`rebase`] carries the cursor over when the list changes.
//!
//! Pure: the picks themselves happen in the data plane; [`RoundRobin`] is the model they are tested with.

/// IPVS's list and cursor, as the reference that rings are compared with.
///
/// `T` identifies an entry (an address and port), each at most once in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundRobin<T> {
    /// Entries and weights, head first.
    list: Vec<(T, u32)>,
    /// The entry used last; `None`: the head of the list.
    cursor: Option<T>,
}

impl<T: Clone + PartialEq> RoundRobin<T> {
    /// Makes an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            list: Vec::new(),
            cursor: None,
        }
    }

    /// Returns the entry of a new flow, `None` where no entry has a weight (`ip_vs_rr_schedule`).
    pub fn schedule(&mut self) -> Option<T> {
        let start = self.after_cursor();
        let picked = self.list[start..]
            .iter()
            .chain(&self.list[..start])
            .find(|(_, weight)| *weight > 0)
            .map(|(entry, _)| entry.clone())?;
        self.cursor = Some(picked.clone());
        Some(picked)
    }

    /// Puts a new entry at the head; an entry that is there already only gets the weight.
    pub fn add(&mut self, entry: T, weight: u32) {
        if !self.set_weight(&entry, weight) {
            self.list.insert(0, (entry, weight));
        }
    }

    /// Takes an entry out, and tells whether it was there (`ip_vs_rr_del_dest`).
    pub fn remove(&mut self, entry: &T) -> bool {
        let Some(index) = self.list.iter().position(|(e, _)| e == entry) else {
            return false;
        };
        self.list.remove(index);
        if self.cursor.as_ref() == Some(entry) {
            self.cursor = index
                .checked_sub(1)
                .map(|previous| self.list[previous].0.clone());
        }
        true
    }

    /// Changes the weight of an entry in its place, and tells whether it was there.
    pub fn set_weight(&mut self, entry: &T, weight: u32) -> bool {
        let found = self.list.iter_mut().find(|(e, _)| e == entry);
        found.map(|(_, w)| *w = weight).is_some()
    }

    /// The list, head first.
    pub fn list(&self) -> impl Iterator<Item = (&T, u32)> {
        self.list.iter().map(|(entry, weight)| (entry, *weight))
    }

    fn after_cursor(&self) -> usize {
        self.cursor
            .as_ref()
            .and_then(|cursor| self.list.iter().position(|(e, _)| e == cursor))
            .map_or(0, |index| index + 1)
    }
}

/// The eligible entries in list order, and where in them the data plane begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring<T> {
    /// Eligible entries, in list order.
    pub entries: Vec<T>,
    /// Index that counts as used last: the next pick is `entries[(position + 1) % entries.len()]`.
    /// 0 where the ring is empty.
    pub position: usize,
    /// IPVS's cursor, which may be an entry that is in the list but not eligible; `None`: the list's head.
    ///
    /// As long as the ring has made no pick, this is the `last_used` of the next [`rebase`].
    pub cursor: Option<T>,
}

impl<T> Ring<T> {
    /// Returns the entry used last after `picks` picks from this ring, the next [`rebase`]'s `last_used`.
    #[must_use]
    pub fn last_used(&self, picks: u64) -> Option<&T> {
        let len = self.entries.len() as u64;
        if picks == 0 || len == 0 {
            return self.cursor.as_ref();
        }
        let index = (self.position as u64 + picks % len) % len;
        self.entries.get(usize::try_from(index).ok()?)
    }
}

/// Carries the cursor from one list to the next, so that the ring's next pick is IPVS's.
///
/// `last_used` is `None` where nothing was used yet. Entries that are in `old_list` only were removed,
/// entries that are in `new_list` only were added at its head, in that order; changes of weight show in
/// `eligible` alone, so `T` must compare equal whatever the weight. An entry that was removed and added
/// again in between counts as one that stayed.
pub fn rebase<T: Clone + PartialEq>(
    old_list: &[T],
    last_used: Option<&T>,
    new_list: &[T],
    eligible: impl Fn(&T) -> bool,
) -> Ring<T> {
    let cursor = last_used
        .and_then(|last| old_list.iter().position(|entry| entry == last))
        .and_then(|index| {
            old_list[..=index]
                .iter()
                .rev()
                .find_map(|entry| new_list.iter().position(|e| e == entry))
        });
    let after = cursor.map_or(0, |index| index + 1);
    let entries: Vec<T> = new_list.iter().filter(|e| eligible(e)).cloned().collect();
    let passed = new_list[..after].iter().filter(|e| eligible(e)).count();
    Ring {
        // Nothing eligible up to the cursor: the next pick is the first, so the last counts as used.
        position: passed
            .checked_sub(1)
            .unwrap_or_else(|| entries.len().saturating_sub(1)),
        entries,
        cursor: cursor.map(|index| new_list[index].clone()),
    }
}

#[cfg(test)]
mod tests;
