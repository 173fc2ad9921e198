//! What happened, for `evenkeel events`: the last reports, numbered.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use evenkeel_api::{API_VERSION, EventRecord, Events};
use evenkeel_control::Report;
use tokio::sync::watch;

use crate::daemon::report;

/// Reports that are kept.
const KEPT: usize = 1024;

/// The last reports.
#[derive(Debug)]
pub(crate) struct Journal {
    /// When it was begun, in milliseconds since 1970-01-01 UTC.
    began_ms: u64,
    records: VecDeque<EventRecord>,
    /// Number of the last report, 0 before the first; for those who wait for the next.
    last: watch::Sender<u64>,
}

impl Journal {
    /// Nothing happened yet.
    pub(crate) fn new() -> Self {
        Self {
            began_ms: now_ms(),
            records: VecDeque::with_capacity(KEPT),
            last: watch::Sender::new(0),
        }
    }

    /// Enters a report.
    pub(crate) fn enter(&mut self, report: &Report) {
        let seq = *self.last.borrow() + 1;
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records
            .push_back(report::record(report, seq, now_ms()));
        self.last.send_replace(seq);
    }

    /// What was entered after the report of this number.
    pub(crate) fn after(&self, after: u64) -> Events {
        let last = *self.last.borrow();
        let first = self.records.front().map_or(last + 1, |record| record.seq);
        let newer = self.records.iter().filter(|record| record.seq > after);
        Events {
            api_version: API_VERSION,
            daemon_started_ms: self.began_ms,
            events: newer.cloned().collect(),
            next: last,
            lost: first.saturating_sub(after.saturating_add(1)),
        }
    }

    /// Tells when something was entered.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since_1970.map_or(0, |since| since.as_millis());
    u64::try_from(millis).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
