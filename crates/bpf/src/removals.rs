//! What the sweep took out of the established table, for another director.

use std::collections::VecDeque;

use crate::connections::Flow;
use crate::plane::DataPlane;

/// Flows that were taken out, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    queue: VecDeque<Flow>,
    /// How many are kept; 0: nobody asks.
    most: usize,
    lost: u64,
}

impl Removals {
    /// Notes a flow, if somebody asks; not one whose IPv6 client nobody knows.
    pub(crate) fn note(&mut self, flow: impl FnOnce() -> Flow) {
        if self.most == 0 {
            return;
        }
        let flow = flow();
        if flow.client.ip().is_unspecified() {
            return;
        }
        if self.queue.len() >= self.most {
            self.queue.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        self.queue.push_back(flow);
    }
}

impl DataPlane {
    /// Has the sweep note the flows that it takes out of the established table, at most so many at a time: the oldest
    /// give way. 0: none, as at first.
    pub fn keep_removals(&mut self, most: usize) {
        let surplus = self.removals.queue.len().saturating_sub(most);
        self.removals.queue.drain(..surplus);
        self.removals.most = most;
    }

    /// Takes at most so many of the noted flows, oldest first, without those that have an entry again: of these
    /// [`take_changes`](Self::take_changes) tells, and what it gives after this call is the newer news.
    pub fn take_removals(&mut self, most: usize) -> Vec<Flow> {
        let taken = self.removals.queue.len().min(most);
        let taken: Vec<Flow> = self.removals.queue.drain(..taken).collect();
        let gone = taken.into_iter().filter(|flow| !self.has(flow));
        gone.collect()
    }

    /// Noted flows that gave way to others before they were taken.
    #[must_use]
    pub const fn removals_lost(&self) -> u64 {
        self.removals.lost
    }
}
