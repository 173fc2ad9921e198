//! Addresses of the whole file: what moves between directors can't be a host's own address, and
//! this director can't be another one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use crate::diagnostic::Faults;

/// What makes an address a virtual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Virtual {
    /// A service listens on it.
    Listen,
    /// It is in a virtual router.
    Router,
}

/// Whose own address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A real server's.
    Server,
    /// Another director's, to which advertisements go.
    Peer,
    /// This director's, from which advertisements come.
    Source,
}

/// The addresses of the file by what they are, each with its place.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    virtuals: BTreeMap<IpAddr, (Virtual, Range<usize>)>,
    hosts: Vec<(IpAddr, Host, Range<usize>)>,
}

impl Addresses {
    /// Notes a virtual address; the first that is noted explains later mistakes.
    pub(crate) fn add_virtual(&mut self, address: IpAddr, kind: Virtual, span: Range<usize>) {
        self.virtuals.entry(address).or_insert((kind, span));
    }

    pub(crate) fn add_host(&mut self, address: IpAddr, host: Host, span: Range<usize>) {
        self.hosts.push((address, host, span));
    }

    /// Reports every host whose own address is a virtual one, and every peer that is this director.
    pub(crate) fn check(self, faults: &mut Faults<'_>) {
        let mut sources: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (address, host, span) in &self.hosts {
            if *host == Host::Source {
                let line = faults.line_at(span.start);
                sources.entry(*address).or_insert(line);
            }
        }
        for (address, host, span) in &self.hosts {
            if let (Host::Peer, Some(line)) = (host, sources.get(address)) {
                faults.add(
                    span.clone(),
                    format!("`{address}` is this director's own address, not another director"),
                    "the other director's own address",
                    format!("it is the `source` on line {line}; list the other directors only"),
                );
            }
        }
        for (address, host, span) in self.hosts {
            let Some((kind, first)) = self.virtuals.get(&address) else {
                continue;
            };
            let line = faults.line_at(first.start);
            let why = match kind {
                Virtual::Listen => format!("clients connect to `{address}` (line {line})"),
                Virtual::Router => format!("a virtual router moves `{address}` (line {line})"),
            };
            let (what, expected, correction) = match host {
                Host::Server => (
                    "a real server",
                    "the real server's own address",
                    "write the address of the server's interface",
                ),
                Host::Peer => (
                    "another director",
                    "the other director's own address",
                    "write the address of the other director's interface",
                ),
                Host::Source => (
                    "its own",
                    "an address that stays with this director",
                    "write the address of this director's interface, or remove `source`",
                ),
            };
            faults.add(
                span,
                format!("`{address}` is a virtual address of this director, not {what}"),
                expected,
                format!("{why}; {correction}"),
            );
        }
    }
}
