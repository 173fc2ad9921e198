//! Values that packets write, each copied when it is looked at first.

use std::cell::OnceCell;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{Bucket, Conn, Load, Router, Shared, State};

/// Lists that the copies are spread over: wlc looks at a thousand servers.
const LISTS: usize = 64;

/// Attempts at copying an entry that packets keep changing.
const ATTEMPTS: usize = 16;

/// A value in shared memory of which a copy can be made.
pub(super) trait Copied {
    /// The value as it is now, in memory of its own.
    fn copied(&self) -> Self;
}

/// Copies of an array's values, by index; a copy stays until all of them go.
pub(super) struct Copies<T> {
    lists: [Link<T>; LISTS],
}

type Link<T> = OnceCell<Box<Node<T>>>;

struct Node<T> {
    index: u32,
    value: T,
    next: Link<T>,
}

impl<T: Copied> Copies<T> {
    pub(super) fn new() -> Self {
        Self {
            lists: std::array::from_fn(|_| OnceCell::new()),
        }
    }

    /// The copy of the value at `index`, made of `original` if there is none yet.
    pub(super) fn of(&self, index: u32, original: Option<&T>) -> Option<&T> {
        let list = usize::try_from(index).ok()? % LISTS;
        let mut link = self.lists.get(list)?;
        while let Some(node) = link.get() {
            if node.index == index {
                return Some(&node.value);
            }
            link = &node.next;
        }
        let value = original?.copied();
        let node = link.get_or_init(|| {
            Box::new(Node {
                index,
                value,
                next: OnceCell::new(),
            })
        });
        Some(&node.value)
    }
}

impl Copied for Shared {
    fn copied(&self) -> Self {
        Self::new(self.load(Acquire))
    }
}

impl Copied for State {
    fn copied(&self) -> Self {
        Self {
            flood_until: self.flood_until.copied(),
            icmp: self.icmp.copied(),
            established: self.established.copied(),
            unassured: self.unassured.copied(),
            half_open: self.half_open.copied(),
            hash_from: self.hash_from.copied(),
        }
    }
}

impl Copied for Router {
    fn copied(&self) -> Self {
        Self {
            used: self.used.copied(),
            lease: self.lease.copied(),
            heard: self.heard.copied(),
            yielded: self.yielded.copied(),
            renewed: self.renewed.copied(),
            spare: self.spare.each_ref().map(Copied::copied),
        }
    }
}

impl Copied for Load {
    fn copied(&self) -> Self {
        Self {
            active: self.active.copied(),
            inactive: self.inactive.copied(),
            thresholds: self.thresholds.copied(),
            overloaded: self.overloaded.copied(),
            persistent: self.persistent.copied(),
            spare: self.spare.each_ref().map(Copied::copied),
        }
    }
}

impl Copied for Conn {
    /// The word is that of the key, unless packets change the entry all the time.
    fn copied(&self) -> Self {
        let copy = || Self {
            word: self.word.copied(),
            addresses: self.addresses.copied(),
            ports_protocol: self.ports_protocol.copied(),
            born: self.born.copied(),
        };
        let mut copies = std::iter::repeat_with(copy).take(ATTEMPTS);
        let is_whole = |copy: &Self| self.word.load(Acquire) == copy.word.load(Relaxed);
        copies.find(is_whole).unwrap_or_else(copy)
    }
}

impl Copied for Bucket {
    fn copied(&self) -> Self {
        Self {
            ways: self.ways.each_ref().map(Copied::copied),
        }
    }
}
