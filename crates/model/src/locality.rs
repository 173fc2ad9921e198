//! IPVS's lblc and lblcr, to the pick (net/netfilter/ipvs/ip_vs_lblc.c and ip_vs_lblcr.c).
//!
//! Pure: the picks themselves happen in the data plane, which [`Localities`] is the model of. Written as the kernel
//! writes them, but for what its timer does: here an entry is gone at once when its time is over.

use std::collections::HashMap;
use std::hash::Hash;

use crate::Scheduler;
use crate::least::{self, Loaded, overhead};

/// A server of the service's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<S> {
    /// What tells it from others.
    pub server: S,
    /// Weight and connections.
    pub loaded: Loaded,
    /// Whether it has as many connections as its threshold allows (`IP_VS_DEST_F_OVERLOAD`).
    pub overloaded: bool,
}

/// What is remembered of an address.
#[derive(Clone, Debug)]
struct Entry<S> {
    last_use: u64,
    /// The newest first; with lblc it is one.
    servers: Vec<S>,
    last_change: u64,
}

/// What a service with lblc or lblcr remembers: servers of addresses.
#[derive(Clone, Debug)]
pub struct Localities<A, S> {
    replicated: bool,
    expiration: u64,
    entries: HashMap<A, Entry<S>>,
}

impl<A: Eq + Hash, S: Copy + Eq> Localities<A, S> {
    /// Of a service that had no flow yet; `None` for a scheduler that remembers no addresses.
    ///
    /// `expiration` is how long an entry lives without a new flow, and how long a set of servers stays as it is
    /// (`DEFAULT_EXPIRATION`: a day), in the unit of the times of [`pick`](Self::pick).
    #[must_use]
    pub fn new(scheduler: Scheduler, expiration: u64) -> Option<Self> {
        let replicated = scheduler == Scheduler::ReplicatedLocality;
        (replicated || scheduler == Scheduler::Locality).then(|| Self {
            replicated,
            expiration,
            entries: HashMap::new(),
        })
    }

    /// The service has this address no more.
    pub fn forget(&mut self, address: &A) {
        self.entries.remove(address);
    }

    /// The server of an address's new flow at this time; `None` where there is none with a weight that is not
    /// overloaded.
    pub fn pick(&mut self, now: u64, address: A, list: &[Candidate<S>]) -> Option<S> {
        self.entries
            .retain(|_, entry| now < entry.last_use + self.expiration);
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.last_use = now;
            let kept = if self.replicated {
                entry.least_of_set(now, self.expiration, list)
            } else {
                let cached = entry.servers.first();
                cached
                    .and_then(|server| find(list, *server))
                    .filter(|kept| kept.loaded.0 > 0)
            };
            if let Some(kept) = kept
                && !is_busy(kept, list)
            {
                return Some(kept.server);
            }
        }
        let server = weighted_least(list)?.server;
        let entry = self.entries.entry(address).or_insert(Entry {
            last_use: now,
            servers: Vec::new(),
            last_change: now,
        });
        if !self.replicated {
            entry.servers = vec![server];
        } else if !entry.servers.contains(&server) {
            entry.servers.insert(0, server);
            entry.last_change = now;
        }
        Some(server)
    }
}

impl<S: Copy + Eq> Entry<S> {
    /// The least loaded one of the set. The most loaded one leaves it if it has not changed for long.
    fn least_of_set<'c>(
        &mut self,
        now: u64,
        expiration: u64,
        list: &'c [Candidate<S>],
    ) -> Option<&'c Candidate<S>> {
        let members = || self.servers.iter().filter_map(|server| find(list, *server));
        let able = members().filter(|member| member.loaded.0 > 0 && !member.overloaded);
        let least = able.reduce(|least, member| {
            if is_less(member, least) {
                member
            } else {
                least
            }
        });
        if self.servers.len() > 1 && now > self.last_change + expiration {
            let weighted = members().filter(|member| member.loaded.0 > 0);
            let most =
                weighted.reduce(|most, member| if is_less(most, member) { member } else { most });
            if let Some(most) = most {
                self.servers.retain(|server| *server != most.server);
                self.last_change = now;
            }
        }
        least
    }
}

fn find<S: Copy + Eq>(list: &[Candidate<S>], server: S) -> Option<&Candidate<S>> {
    list.iter().find(|candidate| candidate.server == server)
}

/// Whether one has less overhead for its weight than another.
fn is_less<S>(one: &Candidate<S>, other: &Candidate<S>) -> bool {
    overhead(&one.loaded) * u64::from(other.loaded.0)
        < overhead(&other.loaded) * u64::from(one.loaded.0)
}

/// wlc's, of those that are not overloaded.
fn weighted_least<S>(list: &[Candidate<S>]) -> Option<&Candidate<S>> {
    let able: Vec<_> = list
        .iter()
        .filter(|candidate| !candidate.overloaded)
        .collect();
    let loads: Vec<Loaded> = able.iter().map(|candidate| candidate.loaded).collect();
    let index = least::pick(Scheduler::WeightedLeastConnection, &loads)?;
    able.get(index).copied()
}

/// Whether a server has more active connections than its weight, and another one less than half as many
/// (`is_overloaded`).
fn is_busy<S>(candidate: &Candidate<S>, list: &[Candidate<S>]) -> bool {
    let (weight, active, _) = candidate.loaded;
    active > weight.into()
        && list.iter().any(|other| {
            let (weight, active, _) = other.loaded;
            u64::from(active) * 2 < weight.into()
        })
}

#[cfg(test)]
mod tests;
