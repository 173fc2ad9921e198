//! Connections that peers told of services or real servers which the data plane does not have yet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use evenkeel_sync::{Flow, Record};

/// Most connections that wait; of more, the next walk of the peer tells again.
const MOST: usize = 1 << 16;

/// What waits for its service or real server.
#[derive(Debug, Default)]
pub(super) struct Pending(BTreeMap<Flow, (Record, Instant)>);

impl Pending {
    /// Keeps a connection for later, in place of what was kept of its flow.
    pub(super) fn keep(&mut self, record: Record, now: Instant) {
        if self.0.len() < MOST || self.0.contains_key(&record.flow) {
            self.0.insert(record.flow, (record, now));
        }
    }

    /// The flow is over, or stands in the table.
    pub(super) fn forget(&mut self, flow: &Flow) {
        self.0.remove(flow);
    }

    /// Takes all that still live, with the time that is left to them.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Record> {
        let kept = std::mem::take(&mut self.0).into_values();
        let living = kept.filter_map(|(record, since)| {
            let waited = now.saturating_duration_since(since);
            let remaining = record.remaining.checked_sub(waited)?;
            Some(Record {
                remaining,
                ..record
            })
        });
        living.collect()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether connections of one of these addresses wait that live still.
    pub(super) fn has(&self, addresses: &[IpAddr], now: Instant) -> bool {
        self.0.values().any(|(record, since)| {
            let waited = now.saturating_duration_since(*since);
            addresses.contains(&record.flow.address.ip()) && waited < record.remaining
        })
    }
}

#[cfg(test)]
mod tests;
