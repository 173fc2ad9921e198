//! IPVS's weighted round robin, to the pick (net/netfilter/ipvs/ip_vs_wrr.c).
//!
//! IPVS passes over its list again and again with a falling bar `cw`: a pass picks, in list order, every
//! entry whose weight is at least the bar, and the next pass's bar is lower by `di`, the greatest common
//! divisor of all weights that are not 0. After the pass that all of them take part in, the bar starts at the
//! top again, `mw`: the greatest weight less `di - 1`, so that the last bar is 1. Every edit of the list moves
//! the cursor to the list's head and keeps the bar, rounded to a multiple of the new `di` plus 1.
//!
//! Passes between two neighbouring weights are alike, so the data plane holds one list for each distinct
//! weight, a [`Level`], and counts passes: a [`Table`]. [`rebase`] carries its cursor over when the list
//! changes.
//!
//! Pure: the picks themselves happen in the data plane; [`WeightedRoundRobin`] is the model they are
//! tested with.

use std::collections::BTreeSet;

/// IPVS's list and mark, as the reference that level tables are compared with.
///
/// `T` identifies an entry (an address and port), each at most once in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedRoundRobin<T> {
    /// Entries and weights, head first.
    list: Vec<(T, u32)>,
    /// `cl`, the entry used last; `None`: the head of the list.
    last: Option<T>,
    /// `cw`, the weight that an entry needs in the present pass; 0: no entry has a weight.
    bar: u32,
}

impl<T: Clone + PartialEq> WeightedRoundRobin<T> {
    /// Makes an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            list: Vec::new(),
            last: None,
            bar: 0,
        }
    }

    /// Returns the entry of a new flow, `None` where no entry has a weight (`ip_vs_wrr_schedule`).
    pub fn schedule(&mut self) -> Option<T> {
        let Steps { di, mw } = Steps::of(self.weights());
        if mw == 0 {
            return None;
        }
        let mut start = self.after_last();
        // Some entry has at least `mw`, so it is found before the bar is back where it was.
        loop {
            let reaches = |(_, weight): &&(T, u32)| *weight >= self.bar;
            if let Some((entry, _)) = self.list[start..].iter().find(reaches) {
                self.last = Some(entry.clone());
                return self.last.clone();
            }
            start = 0;
            self.bar = self.bar.saturating_sub(di);
            if self.bar == 0 {
                self.bar = mw;
            }
        }
    }

    /// Puts a new entry at the head; an entry that is there already only gets the weight.
    pub fn add(&mut self, entry: T, weight: u32) {
        if !self.set_weight(&entry, weight) {
            self.list.insert(0, (entry, weight));
            self.changed();
        }
    }

    /// Takes an entry out, and tells whether it was there.
    pub fn remove(&mut self, entry: &T) -> bool {
        let before = self.list.len();
        self.list.retain(|(e, _)| e != entry);
        let found = self.list.len() < before;
        if found {
            self.changed();
        }
        found
    }

    /// Changes the weight of an entry in its place, and tells whether it was there.
    pub fn set_weight(&mut self, entry: &T, weight: u32) -> bool {
        let found = self.list.iter_mut().find(|(e, _)| e == entry);
        let found = found.map(|(_, w)| *w = weight).is_some();
        if found {
            self.changed();
        }
        found
    }

    /// Begins anew, as where a service that has servers is given this scheduler (`ip_vs_wrr_init_svc`).
    pub fn restart(&mut self) {
        self.last = None;
        self.bar = Steps::of(self.weights()).mw;
    }

    /// The list, head first.
    pub fn list(&self) -> impl Iterator<Item = (&T, u32)> {
        self.list.iter().map(|(entry, weight)| (entry, *weight))
    }

    fn weights(&self) -> impl Iterator<Item = u32> {
        self.list.iter().map(|(_, weight)| *weight)
    }

    fn changed(&mut self) {
        self.last = None;
        self.bar = Steps::of(self.weights()).bar_after_edit(self.bar);
    }

    fn after_last(&self) -> usize {
        self.last
            .as_ref()
            .and_then(|last| self.list.iter().position(|(e, _)| e == last))
            .map_or(0, |index| index + 1)
    }
}

impl<T: Clone + PartialEq> Default for WeightedRoundRobin<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// By how much the bar falls, and where it starts.
#[derive(Clone, Copy)]
struct Steps {
    di: u32,
    mw: u32,
}

impl Steps {
    /// Passes from the top to the bottom; 0 where no entry has a weight.
    const fn passes(self) -> u32 {
        self.mw.div_ceil(self.di)
    }

    /// The bar of the pass that so many end with, itself among them.
    const fn bar(self, passes: u32) -> u32 {
        match passes.checked_sub(1) {
            Some(below) => below * self.di + 1,
            None => 0,
        }
    }

    fn of(weights: impl Iterator<Item = u32>) -> Self {
        let (di, max) = weights.fold((0, 0), |(di, max), w| (gcd(di, w), max.max(w)));
        let di = di.max(1);
        Self {
            di,
            mw: (max + 1).saturating_sub(di),
        }
    }

    /// The bar after an edit that made these steps (`ip_vs_wrr_dest_changed`).
    const fn bar_after_edit(self, bar: u32) -> u32 {
        if bar > self.mw || bar == 0 {
            self.mw
        } else if self.di > 1 {
            bar / self.di * self.di + 1
        } else {
            bar
        }
    }
}

/// The greatest common divisor; that of 0 and a number is the number.
const fn gcd(mut a: u32, mut b: u32) -> u32 {
    if a == 1 {
        return 1;
    }
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Passes that the same entries take part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level<T> {
    /// Entries with at least the level's weight, in list order; at least one.
    pub entries: Vec<T>,
    /// How often they are passed over before the next level, at least 1.
    pub passes: u32,
}

/// Where in its levels the data plane makes its next pick.
///
/// It goes through a level's list once for each pass, then to the next level, after the last one to the
/// first. So its cursor stands at the beginning of a pass when the one before is over. IPVS's does not:
/// an edit then repeats the pass that is over. A table whose first pick is still to come therefore begins with
/// a cursor that no pick leaves behind: one at the last pass of a level, with `passes` one too many, which
/// makes no difference to the data plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Number of the level.
    pub level: usize,
    /// Index in its list.
    pub index: usize,
    /// Passes over the level that are done.
    pub passes: u32,
}

/// What the data plane picks from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<T> {
    /// Heaviest first; empty where no entry has a weight.
    pub levels: Vec<Level<T>>,
    /// Where it begins.
    pub cursor: Cursor,
}

/// Returns the table of a list whose service is given this scheduler while it has servers.
///
/// Lists are entries with their weights, head first.
#[must_use]
pub fn begin<T: Clone>(list: &[(T, u32)]) -> Table<T> {
    let steps = Steps::of(list.iter().map(|(_, weight)| *weight));
    Standing::Before { bar: steps.mw }.table(list)
}

/// Carries the cursor from one list to the next, so that the next pick is IPVS's.
///
/// `passes` are those of the old list's levels. Several edits at once count as made in this order: removals,
/// in the old list's order; additions at the head, those that end up behind first; changes of weight, in the
/// new list's order. An entry that was removed and added again in between counts as one that stayed;
/// where entries only changed places, the present pass is begun anew. A list that is the same goes on
/// where it is. A new service's old list is empty, with no passes and any cursor.
#[must_use]
pub fn rebase<T: Clone + PartialEq>(
    old: &[(T, u32)],
    passes: &[u32],
    cursor: Cursor,
    new: &[(T, u32)],
) -> Table<T> {
    let steps = Steps::of(old.iter().map(|(_, weight)| *weight));
    let standing = Standing::of(steps, passes, cursor);
    if old == new {
        return standing.table(new);
    }
    let bar = edited(old, standing.bar(steps), new);
    Standing::Before { bar }.table(new)
}

/// The bar after the edits that lead from one list to the next.
fn edited<T: PartialEq>(old: &[(T, u32)], mut bar: u32, new: &[(T, u32)]) -> u32 {
    fn is_in<T: PartialEq>(list: &[(T, u32)], entry: &T) -> bool {
        list.iter().any(|(e, _)| e == entry)
    }
    let mut changed = |weights: &[u32]| {
        bar = Steps::of(weights.iter().copied()).bar_after_edit(bar);
    };
    let (stay, go): (Vec<_>, Vec<_>) = old.iter().partition(|(e, _)| is_in(new, e));
    // Their order does not matter for the bar: removals are taken off the end, additions put there.
    let weights = stay
        .iter()
        .chain(go.iter().rev())
        .map(|(_, weight)| *weight);
    let mut weights: Vec<u32> = weights.collect();
    for _ in &go {
        weights.pop();
        changed(&weights);
    }
    for (_, weight) in new.iter().rev().filter(|(e, _)| !is_in(old, e)) {
        weights.push(*weight);
        changed(&weights);
    }
    for (entry, weight) in new {
        let place = stay.iter().position(|(e, _)| e == entry);
        if let Some(place) = place.filter(|place| weights[*place] != *weight) {
            weights[place] = *weight;
            changed(&weights);
        }
    }
    bar
}

/// Where a table stands, in words of the list.
#[derive(Clone, Copy)]
enum Standing {
    /// Nothing was picked since the last edit; the pass with this bar begins.
    Before { bar: u32 },
    /// The next pick is this one of the pass with this bar.
    Amid { bar: u32, index: usize },
}

impl Standing {
    /// Where a cursor stands in levels of so many passes; at the top if it fits none.
    fn of(steps: Steps, passes: &[u32], cursor: Cursor) -> Self {
        let left = passes.get(cursor.level..).unwrap_or_default();
        let total: u32 = passes.iter().sum();
        let Some((of_level, after)) = left.split_first().filter(|_| total == steps.passes()) else {
            return Self::Before { bar: steps.mw };
        };
        let below: u32 = after.iter().sum();
        let Cursor { index, passes, .. } = cursor;
        let number = below + of_level.saturating_sub(passes).max(1);
        let bar = steps.bar(number);
        if passes >= *of_level && index == 0 {
            Self::Before { bar }
        } else {
            Self::Amid { bar, index }
        }
    }

    /// IPVS's bar, which is still that of the pass before where that has just ended.
    const fn bar(self, steps: Steps) -> u32 {
        match self {
            Self::Before { bar } => bar,
            Self::Amid { bar, index: 0 } if bar >= steps.mw => steps.bar(1),
            Self::Amid { bar, index: 0 } => bar + steps.di,
            Self::Amid { bar, .. } => bar,
        }
    }

    fn table<T: Clone>(self, list: &[(T, u32)]) -> Table<T> {
        let steps = Steps::of(list.iter().map(|(_, weight)| *weight));
        let (Self::Before { bar } | Self::Amid { bar, .. }) = self;
        let mut levels = levels(list, steps.di);
        let mut cursor = Cursor {
            passes: steps.passes().saturating_sub(bar.div_ceil(steps.di)),
            ..Cursor::default()
        };
        while let Some(level) = levels.get(cursor.level)
            && level.passes <= cursor.passes
        {
            cursor.level += 1;
            cursor.passes -= level.passes;
        }
        match (self, levels.get_mut(cursor.level)) {
            (_, None) => {}
            (Self::Amid { index, .. }, Some(_)) => cursor.index = index,
            (Self::Before { .. }, Some(level)) => {
                // The level is to end with the pass that begins; its others are a level of their own.
                cursor.passes += 1;
                let mut others = level.clone();
                others.passes -= cursor.passes;
                level.passes = cursor.passes;
                if others.passes > 0 {
                    levels.insert(cursor.level + 1, others);
                }
            }
        }
        Table { levels, cursor }
    }
}

/// One level for each distinct weight but 0; its passes are the difference to the next lighter one.
fn levels<T: Clone>(list: &[(T, u32)], di: u32) -> Vec<Level<T>> {
    let weights = list.iter().map(|(_, weight)| *weight);
    let distinct: BTreeSet<u32> = weights.filter(|weight| *weight > 0).collect();
    let lighter = distinct.iter().rev().skip(1).copied().chain([0]);
    let level = |(&weight, lighter): (&u32, u32)| {
        let taking_part = list.iter().filter(|(_, w)| *w >= weight);
        Level {
            entries: taking_part.map(|(entry, _)| entry.clone()).collect(),
            passes: (weight - lighter) / di,
        }
    };
    distinct.iter().rev().zip(lighter).map(level).collect()
}

#[cfg(test)]
mod tests;
