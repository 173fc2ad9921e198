//! Templates outlive their timeout while a connection of their client lives.
//!
//! IPVS counts each template's connections, and keeps it for another minute while there are any (`n_control` in
//! net/netfilter/ipvs/ip_vs_conn.c). Here nothing counts them: the sweep, which sees every connection, notes which
//! templates they hold.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::net::IpAddr;

use evenkeel_abi::{FlowKey, ServiceKey as Key, Shared, Tick};
use evenkeel_datapath::{digest, of_group, under_prefix};
use evenkeel_model::{ServiceEntry, ServiceKey};

use crate::book::Book;
use crate::convert::{address6_words, loaded};
use crate::service_options::mask;

/// How long a template that is held is kept, each time (60 s, as in `ip_vs_conn_expire`).
pub(crate) const KEPT: u64 = Tick::in_secs(60);

/// It is kept again when it has less than this (30 s) to go: the sweep comes by before.
pub(crate) const RENEWED_BELOW: u64 = Tick::in_secs(30);

/// What the templates of a service have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Persistent {
    /// The mask, or with IPv6 the prefix's length.
    mask: u32,
    key: Key,
    /// What the digests of IPv6 are of besides clients.
    of: [u64; 2],
}

/// What connections hold.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    /// Services with persistence, by their servers' numbers.
    services: HashMap<u32, Persistent>,
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

    /// Notes a connection of a server, with the address of its client and the secret, of use with IPv6.
    pub(crate) fn note(&mut self, server: u32, flow: &FlowKey, client: &[Shared; 2], secret: u64) {
        let Some(service) = self.services.get(&server) else {
            return;
        };
        let template = if flow.is_v6() {
            let client = under_prefix(loaded(client), service.mask);
            flow.template6(digest(client, service.of, secret), service.key)
        } else {
            flow.template(service.mask, service.key)
        };
        self.seen.insert(template);
    }

    /// Whether a template is held; not known yet: yes.
    pub(crate) fn holds(&self, template: &FlowKey) -> bool {
        let last = self.last.as_ref();
        self.seen.contains(template) || last.is_none_or(|last| last.contains(template))
    }
}

/// Services with persistence, by their servers' numbers.
fn services(book: &Book) -> HashMap<u32, Persistent> {
    let listed = book.services.values();
    let listed = listed.filter_map(|record| record.listed.as_ref());
    let persistent = listed.filter_map(|listed| {
        let ServiceEntry { key, options, .. } = &listed.entry;
        let is_v6 = listed.entry.is_ipv6();
        let of = match key {
            ServiceKey::Group(number) => of_group(number.get()),
            ServiceKey::Single { address, .. } => match address.ip() {
                IpAddr::V6(address) => address6_words(address),
                IpAddr::V4(_) => [0, 0],
            },
        };
        let service = Persistent {
            mask: mask(options.persistence?.prefix, is_v6),
            key: book.key_words(key),
            of,
        };
        Some((listed, service))
    });
    persistent
        .flat_map(|(listed, service)| listed.numbers.iter().map(move |number| (*number, service)))
        .collect()
}
