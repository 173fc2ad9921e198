//! Templates outlive their timeout while a connection of their client lives.
//!
//! IPVS counts each template's connections, and keeps it for another minute while there are any (`n_control` in
//! net/netfilter/ipvs/ip_vs_conn.c). Here nothing counts them: the sweep, which sees every connection, notes which
//! templates they hold.

use std::collections::{HashMap, HashSet};
use std::mem;

use evenkeel_abi::{FlowKey, ServiceKey as Key, Tick};

use crate::book::Book;
use crate::convert::key_words;
use crate::service_options::mask;

/// How long a template that is held is kept, each time (60 s, as in `ip_vs_conn_expire`).
pub(crate) const KEPT: u64 = Tick::in_secs(60);

/// It is kept again when it has less than this (30 s) to go: the sweep comes by before.
pub(crate) const RENEWED_BELOW: u64 = Tick::in_secs(30);

/// What connections hold.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    /// The masks and keys of services with persistence, by their servers' numbers.
    services: HashMap<u32, (u32, Key)>,
    /// Templates that connections held, in this pass of the sweep.
    seen: HashSet<FlowKey>,
    /// The same of the last pass; `None` before there was one.
    last: Option<HashSet<FlowKey>>,
    /// Buckets of the established table that this pass has come by.
    buckets: u32,
}

impl Holders {
    /// Counts buckets of a table of `all`; begins a new pass once it has come by all of them.
    pub(crate) fn pass(&mut self, buckets: u32, all: u32, book: &Book) {
        self.buckets = self.buckets.saturating_add(buckets);
        if self.buckets < all {
            return;
        }
        self.buckets = 0;
        let (seen, was_idle) = (mem::take(&mut self.seen), self.is_idle());
        self.last = (!was_idle).then_some(seen);
        self.services = services(book);
    }

    /// Whether no service has persistence, so that nothing needs to be noted.
    pub(crate) fn is_idle(&self) -> bool {
        self.services.is_empty()
    }

    /// Notes a connection of a server.
    pub(crate) fn note(&mut self, server: u32, flow: &FlowKey) {
        if let Some((mask, key)) = self.services.get(&server) {
            self.seen.insert(flow.template(*mask, *key));
        }
    }

    /// Whether a template is held; not known yet: yes.
    pub(crate) fn holds(&self, template: &FlowKey) -> bool {
        let last = self.last.as_ref();
        self.seen.contains(template) || last.is_none_or(|last| last.contains(template))
    }
}

fn services(book: &Book) -> HashMap<u32, (u32, Key)> {
    let listed = book.services.values();
    let listed = listed.filter_map(|record| record.listed.as_ref());
    let persistent = listed.filter_map(|listed| {
        let persistence = listed.entry.options.persistence?;
        let key = key_words(&listed.entry.key).ok()?;
        Some((listed, (mask(persistence.prefix), key)))
    });
    persistent
        .flat_map(|(listed, service)| listed.numbers.iter().map(move |number| (*number, service)))
        .collect()
}
