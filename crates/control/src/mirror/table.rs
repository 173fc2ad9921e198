//! What connection sync needs of a table of connections.

use std::time::Duration;

use evenkeel_sync::{Flow, Record};

/// A data plane's table of established connections, as a director tells of it and enters what it is told.
pub trait Table {
    /// Has the table note the flows that expire, at most so many at a time: the oldest give way. 0: none.
    fn keep_removals(&mut self, most: usize);

    /// Takes at most so many of the noted flows, oldest first, without those that have an entry again.
    fn take_removals(&mut self, most: usize) -> Vec<Flow>;

    /// Whether packets changed something that was not taken yet.
    fn has_changes(&self) -> bool;

    /// Takes all that packets have changed and gives nothing of it: before a [`walk`](Self::walk), which gives all.
    fn forget_changes(&self);

    /// Takes buckets that packets have changed and gives the connections that live there; begins where the last call
    /// ended, and comes round once. `each` says whether it had use for one: at most `budget` of these are given, and a
    /// bucket that could give more stays for the next call, so that less than a bucket's places give nothing.
    fn take_changes(&mut self, budget: usize, each: impl FnMut(&Record) -> bool);

    /// How many buckets there are.
    fn buckets(&self) -> u32;

    /// Gives the connections that live in at most so many buckets from `from` on, as [`take_changes`](Self::take_changes)
    /// does, and returns where to go on; `None`: at the end.
    fn walk(
        &self,
        from: u32,
        buckets: u32,
        budget: usize,
        each: impl FnMut(&Record) -> bool,
    ) -> Option<u32>;

    /// Whether packets of a connection still go to its server: it stands in the service's list, or is kept for such.
    fn has_server(&self, record: &Record) -> bool;

    /// Enters a connection as a packet would.
    fn install(&self, record: &Record) -> Installed;

    /// Takes a connection out, unless this director acts for its address; whether there was one.
    fn remove(&self, flow: &Flow) -> bool;

    /// Has new flows placed by the consistent hash once so much time has passed, until the next call; `None`: never.
    fn place_by_hash_in(&self, duration: Option<Duration>);
}

/// What became of a connection that was to be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It stands in the table.
    Done,
    /// The table keeps what it has of the flow.
    Kept,
    /// No service has the flow.
    UnknownService,
    /// The service has no such real server.
    UnknownServer,
    /// There is no room.
    NoRoom,
    /// There can be no such connection.
    Senseless,
}
