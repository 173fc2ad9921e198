//! The receiving end of the stream: brings segments into order.

use std::collections::VecDeque;

use evenkeel_wire::sync::{BEYOND, Item, Reader};

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The next one, or one that waits for it.
    New,
    /// One that was there.
    Known,
    /// So far ahead that no honest sender sends it.
    Beyond,
}

/// Segments that wait for an earlier one, and the items of those that don't.
///
/// Holds at most [`BEYOND`] segments that wait, and one more than that whose items are to be taken.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Number of the first segment that has not come.
    next: u64,
    /// By number modulo [`BEYOND`]: from `next + 1` on.
    waiting: Vec<Option<Box<[u8]>>>,
    ready: VecDeque<Box<[u8]>>,
    reader: Reader,
}

const fn place(number: u64) -> usize {
    (number % BEYOND) as usize
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            waiting: vec![None; place(BEYOND - 1) + 1],
            ready: VecDeque::new(),
            reader: Reader::default(),
        }
    }

    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// The bitmap of segments beyond the next one.
    pub(crate) fn beyond(&self) -> u64 {
        (0..BEYOND)
            .filter(|ahead| self.waiting[place(self.next + 1 + ahead)].is_some())
            .fold(0, |bits, ahead| bits | 1 << ahead)
    }

    /// Whether a segment waits for an earlier one.
    pub(crate) fn has_gap(&self) -> bool {
        self.waiting.iter().any(Option::is_some)
    }

    /// Takes a segment whose items have been checked.
    pub(crate) fn take(&mut self, number: u64, items: &[u8]) -> Taken {
        let Some(ahead) = number.checked_sub(self.next) else {
            return Taken::Known;
        };
        if ahead > BEYOND {
            return Taken::Beyond;
        }
        if ahead > 0 {
            let waiting = &mut self.waiting[place(number)];
            return match waiting {
                Some(_) => Taken::Known,
                None => {
                    *waiting = Some(items.into());
                    Taken::New
                }
            };
        }
        self.ready.push_back(items.into());
        self.next += 1;
        while let Some(items) = self.waiting[place(self.next)].take() {
            self.ready.push_back(items);
            self.next += 1;
        }
        Taken::New
    }

    /// The next item, in the order in which they were sent.
    pub(crate) fn item(&mut self) -> Option<Item> {
        while let Some(segment) = self.ready.front() {
            if let Ok(Some(item)) = self.reader.next(segment) {
                return Some(item);
            }
            self.ready.pop_front();
            self.reader = Reader::default();
        }
        None
    }
}

#[cfg(test)]
mod tests;
