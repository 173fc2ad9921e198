//! Numbers of services, gates and real servers.
//!
//! Pure bookkeeping. Connections name their server by its number, so a number outlives the server's
//! stay in its service: it is free again when no connection counted on it for [`GRACE`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use crate::arena::Shortage;
use crate::grace::GRACE;

/// Numbers below a limit; one that was given back rests before it is lent again.
#[derive(Debug)]
pub(crate) struct Pool {
    limit: u32,
    fresh: u32,
    /// Returned numbers, oldest first.
    resting: VecDeque<(Instant, u32)>,
    rested: Vec<u32>,
}

impl Pool {
    pub(crate) const fn new(limit: u32) -> Self {
        Self {
            limit,
            fresh: 0,
            resting: VecDeque::new(),
            rested: Vec::new(),
        }
    }

    /// A pool of which a predecessor has lent some numbers out.
    pub(crate) fn with_taken(limit: u32, taken: impl Fn(u32) -> bool) -> Self {
        let fresh = (0..limit).rev().find(|n| taken(*n)).map_or(0, |n| n + 1);
        Self {
            limit,
            fresh,
            resting: VecDeque::new(),
            rested: (0..fresh).rev().filter(|n| !taken(*n)).collect(),
        }
    }

    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }

    /// Lends a number.
    pub(crate) fn take(&mut self, now: Instant) -> Result<u32, Shortage> {
        self.rest(|since| now.saturating_duration_since(since) >= GRACE);
        if let Some(number) = self.rested.pop() {
            return Ok(number);
        }
        if self.fresh < self.limit {
            self.fresh += 1;
            return Ok(self.fresh - 1);
        }
        Err(if self.resting.is_empty() {
            Shortage::Full
        } else {
            Shortage::Grace
        })
    }

    /// Takes a number back.
    pub(crate) fn give_back(&mut self, number: u32, now: Instant) {
        self.resting.push_back((now, number));
    }

    /// Every program that ran at `called` has ended.
    pub(crate) fn grace_passed(&mut self, called: Instant) {
        self.rest(|since| since <= called);
    }

    fn rest(&mut self, over: impl Fn(Instant) -> bool) {
        while let Some(&(since, number)) = self.resting.front()
            && over(since)
        {
            self.resting.pop_front();
            self.rested.push(number);
        }
    }
}

/// Number of a service and address of its server.
pub(crate) type Owner = (u32, SocketAddr);

/// A server that is in no list, but still has its number.
#[derive(Debug)]
struct Leaving {
    owner: Owner,
    /// Since when no connection was seen.
    idle_since: Option<Instant>,
}

/// Numbers of real servers.
#[derive(Debug)]
pub(crate) struct ServerNumbers {
    pool: Pool,
    by_owner: HashMap<Owner, u32>,
    leaving: BTreeMap<u32, Leaving>,
}

impl ServerNumbers {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            pool: Pool::new(limit),
            by_owner: HashMap::new(),
            leaving: BTreeMap::new(),
        }
    }

    /// Numbers as a predecessor lent them; the ones that are in no list must [`leave`](Self::leave).
    /// `None` if an owner has two.
    pub(crate) fn rebuilt(limit: u32, owners: impl Iterator<Item = (u32, Owner)>) -> Option<Self> {
        let mut by_number = HashMap::new();
        let mut by_owner = HashMap::new();
        for (number, owner) in owners {
            by_number.insert(number, owner);
            if by_owner.insert(owner, number).is_some() {
                return None;
            }
        }
        Some(Self {
            pool: Pool::with_taken(limit, |n| by_number.contains_key(&n)),
            by_owner,
            leaving: BTreeMap::new(),
        })
    }

    pub(crate) const fn limit(&self) -> u32 {
        self.pool.limit()
    }

    /// The number of a server that is, or comes to be, in its service's list; true if it is a new one.
    pub(crate) fn join(&mut self, owner: Owner, now: Instant) -> Result<(u32, bool), Shortage> {
        if let Some(&number) = self.by_owner.get(&owner) {
            self.leaving.remove(&number);
            return Ok((number, false));
        }
        let number = self.pool.take(now)?;
        self.by_owner.insert(owner, number);
        Ok((number, true))
    }

    /// The server is in no list any more.
    pub(crate) fn leave(&mut self, number: u32, owner: Owner) {
        let idle_since = None;
        self.leaving.insert(number, Leaving { owner, idle_since });
    }

    /// Servers of this service that are in no list any more.
    pub(crate) fn leaving_of(&self, service: u32) -> impl Iterator<Item = u32> {
        let leaving = self.leaving.iter();
        let leaving = leaving.filter(move |(_, leaving)| leaving.owner.0 == service);
        leaving.map(|(number, _)| *number)
    }

    /// Every program that ran at `called` has ended.
    pub(crate) fn grace_passed(&mut self, called: Instant) {
        self.pool.grace_passed(called);
    }

    /// Frees the numbers of servers that left and were idle long enough, and returns them.
    pub(crate) fn sweep(&mut self, now: Instant, is_idle: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut freed = Vec::new();
        for (&number, leaving) in &mut self.leaving {
            if !is_idle(number) {
                leaving.idle_since = None;
            } else if now.saturating_duration_since(*leaving.idle_since.get_or_insert(now)) >= GRACE
            {
                freed.push(number);
            }
        }
        for &number in &freed {
            if let Some(leaving) = self.leaving.remove(&number) {
                self.by_owner.remove(&leaving.owner);
            }
            self.pool.give_back(number, now);
        }
        freed
    }

    /// The number of a server, listed or not.
    pub(crate) fn number(&self, owner: &Owner) -> Option<u32> {
        self.by_owner.get(owner).copied()
    }

    /// Whether a server of this service still has a number.
    pub(crate) fn serves(&self, service: u32) -> bool {
        self.by_owner.keys().any(|(owner, _)| *owner == service)
    }
}

#[cfg(test)]
mod tests;
