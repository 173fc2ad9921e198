//! What holds of the tables of directors that tell each other their connections.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use evenkeel_control::mirror::{Mirror, Table as _};
use evenkeel_model::{GateState, Protocol, ServiceKey};
use evenkeel_sync::{ConnState, Direction, Flow, Record, State};

use crate::Time;
use crate::director::Director;
use crate::plane::Placement;
use crate::settings::Settings;

/// Ticks of the data planes' clocks, and clocks that are a bit fast.
const SLACK: Duration = Duration::from_millis(5);

/// Connections of other directors that may wait: as many as clients open, and more.
const PENDING_MAX: usize = 320;

/// An entry as it was last seen, and since when it has been so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    server: SocketAddr,
    state: ConnState,
    assured: bool,
    since: Time,
}

impl Seen {
    fn record(&self, flow: &Flow) -> Record {
        Record {
            flow: *flow,
            server: self.server,
            state: self.state,
            remaining: SLACK,
            assured: self.assured,
        }
    }

    fn is(&self, record: &Record) -> bool {
        (self.server, self.state, self.assured) == (record.server, record.state, record.assured)
    }
}

/// What is known of a director's table.
#[derive(Clone, Debug, Default)]
struct Of {
    boot: u64,
    entries: BTreeMap<Flow, Seen>,
    /// What consistent hashes are made of, and since when.
    placements: BTreeMap<ServiceKey, (Placement, Time)>,
    /// Clients whose connections it has, as it says itself: it must not forget them.
    known: BTreeMap<SocketAddrV4, Known>,
}

/// A connection that a director has.
#[derive(Clone, Debug)]
pub(super) struct Known {
    server: SocketAddr,
    /// Since when.
    pub(super) since: Time,
    /// What its consistent hash is made of, if it has it only by that: it was not told, and another hash says other
    /// things.
    pub(super) only_by: Option<Placement>,
}

/// Looks at the tables of all directors.
#[derive(Debug, Default)]
pub struct Mirrors {
    of: Vec<Of>,
    /// Entries that were looked for where a director said that it has them.
    pub looked: u64,
}

impl Mirrors {
    /// What a director has said that it has of a client's connection, while this was the server.
    pub(super) fn knows(
        &self,
        (director, boot): (usize, u64),
        client: SocketAddrV4,
        server: SocketAddr,
    ) -> Option<&Known> {
        let of = self.of.get(director).filter(|of| of.boot == boot)?;
        let known = of.known.get(&client)?;
        (known.server == server).then_some(known)
    }

    /// Looks at the tables that may have changed, and whether who is in sync has what it says.
    ///
    /// # Errors
    /// If not, or if too much waits.
    pub fn look(
        &mut self,
        settings: &Settings,
        directors: &[Director],
        tainted: impl Fn(SocketAddrV4) -> bool,
        now: Time,
    ) -> Result<(), String> {
        self.of.resize_with(directors.len(), Of::default);
        for (of, director) in self.of.iter_mut().zip(directors) {
            of.refresh(director, now);
        }
        let Some(sync) = settings.sync else {
            return Ok(());
        };
        for (number, director) in directors.iter().enumerate() {
            let Some(mirror) = mirror_of(director) else {
                continue;
            };
            if mirror.pending() > PENDING_MAX {
                return Err(format!("{} connections wait", mirror.pending()));
            }
            // Those that wait for their servers are known not to be there.
            if mirror.pending() > 0 {
                continue;
            }
            let local = director.host.clock.now(now);
            for peer in mirror.peers() {
                if peer.session().state(Direction::Incoming, local) != State::InSync {
                    continue;
                }
                let mut others = (0..directors.len()).filter(|o| *o != number);
                let Some(teller) = others.find(|o| format!("d{o}") == peer.config().name) else {
                    continue;
                };
                let active = peer.session().session().and_then(|s| s.peer_active);
                let active = active.unwrap_or_default();
                for router in settings.routers.iter().filter(|r| active.contains(r.id)) {
                    for address in &router.addresses {
                        if director.host.plane.gate(*address) == GateState::Closed {
                            let pair = (number, teller);
                            let address = IpAddr::V4(*address);
                            self.compare(pair, address, sync.lag, directors, &tainted, now)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the first of a pair of directors, which is in sync, has what the other one has.
    fn compare(
        &mut self,
        (number, teller): (usize, usize),
        address: IpAddr,
        lag: Duration,
        directors: &[Director],
        tainted: &impl Fn(SocketAddrV4) -> bool,
        now: Time,
    ) -> Result<(), String> {
        let plane = &directors[number].host.plane;
        let told = self.of[teller].entries.iter();
        let old = told.filter(|(flow, seen)| {
            let key = ServiceKey::single(Protocol::Tcp, flow.address);
            // Another hash is news of all that was left out.
            let placed = [number, teller].map(|of| self.of[of].placed_since(&key));
            let since = placed.into_iter().fold(seen.since, Time::max);
            flow.address.ip() == address && since + lag + SLACK <= now
        });
        let mut known = Vec::new();
        for (flow, seen) in old {
            let SocketAddr::V4(client) = flow.client else {
                continue;
            };
            if tainted(client) || !plane.serves(flow.address, seen.server) {
                continue;
            }
            let record = seen.record(flow);
            let by_hash = self.is_left_out(&record, (number, teller), directors);
            let key = ServiceKey::single(Protocol::Tcp, flow.address);
            let theirs = &directors[teller].host.plane;
            // Who sees other servers alive places what it was not told otherwise.
            let differ = theirs.placement(&key) != plane.placement(&key);
            let has = match self.of[number].entries.get(flow) {
                Some(mirrored) => {
                    let by_others = mirrored.since > seen.since + lag + SLACK
                        || self.is_told_otherwise(flow, seen, (number, teller));
                    by_others || mirrored.server == seen.server
                }
                None => plane.is_placed_by_hash(&record) || by_hash && differ,
            };
            if !has {
                return Err(format!(
                    "director {number} is in sync with director {teller}, whose {flow:?} is {seen:?}, and has {:?}",
                    self.of[number].entries.get(flow)
                ));
            }
            self.looked += 1;
            let is_told = self.of[number].entries.contains_key(flow);
            if !is_told && differ {
                continue;
            }
            let placement = plane.placement(&key).filter(|_| !is_told);
            known.push((client, seen.server, placement));
        }
        for (client, server, only_by) in known {
            let all = &mut self.of[number].known;
            let before = all.get(&client).filter(|known| known.server == server);
            let is_same = before.is_some_and(|known| known.only_by == only_by);
            if !is_same && before.is_none_or(|known| known.only_by.is_some()) {
                let since = now;
                let known = Known {
                    server,
                    since,
                    only_by,
                };
                all.insert(client, known);
            }
        }
        Ok(())
    }

    /// Whether the second of a pair leaves a connection out that the first one places alike, being configured alike.
    fn is_left_out(
        &self,
        record: &Record,
        (number, teller): (usize, usize),
        directors: &[Director],
    ) -> bool {
        let mirror = mirror_of(&directors[teller]);
        let name = format!("d{number}");
        let alike = mirror.is_some_and(|mirror| {
            let mut peers = mirror.peers().iter();
            let peer = peers.find(|peer| peer.config().name == name);
            let session = peer.and_then(|peer| peer.session().session());
            session.is_some_and(|it| it.peer_digest == Some(mirror.digest()))
        });
        alike && directors[teller].host.plane.is_placed_by_hash(record)
    }

    /// Whether a third director has other and newer news of a flow, of which the first of a pair may have been told.
    fn is_told_otherwise(
        &self,
        flow: &Flow,
        seen: &Seen,
        (number, teller): (usize, usize),
    ) -> bool {
        let others = (0..self.of.len()).filter(|other| ![number, teller].contains(other));
        let mut theirs = others.filter_map(|other| self.of[other].entries.get(flow));
        theirs.any(|other| !other.is(&seen.record(flow)) && other.since >= seen.since)
    }

    /// The entries of one director that another one does not have as they are, of addresses that are `wanted`.
    #[must_use]
    pub fn missing(
        &self,
        (number, teller): (usize, usize),
        directors: &[Director],
        older: Time,
        wanted: impl Fn(&Flow) -> bool,
    ) -> Vec<Flow> {
        let plane = &directors[number].host.plane;
        let told = self.of[teller].entries.iter();
        let old = told.filter(|(flow, seen)| seen.since <= older && wanted(flow));
        let lacks = old.filter(|(flow, seen)| {
            plane.serves(flow.address, seen.server)
                && match self.of[number].entries.get(*flow) {
                    Some(mirrored) => mirrored.server != seen.server,
                    None => !plane.is_placed_by_hash(&seen.record(flow)),
                }
        });
        lacks.map(|(flow, _)| *flow).collect()
    }
}

fn mirror_of(director: &Director) -> Option<&Mirror> {
    let daemon = director.daemon.as_ref().filter(|_| director.runs())?;
    daemon.mirror.as_ref()
}

impl Of {
    fn placed_since(&self, key: &ServiceKey) -> Time {
        let placed = self.placements.get(key);
        placed.map_or(Time::ZERO, |(_, since)| *since)
    }

    fn refresh(&mut self, director: &Director, now: Time) {
        if self.boot != director.host.boot {
            *self = Self {
                boot: director.host.boot,
                ..Self::default()
            };
        }
        for entry in director.host.plane.adopt() {
            let Some(placement) = director.host.plane.placement(&entry.key) else {
                continue;
            };
            let before = self.placements.get(&entry.key);
            if before.is_none_or(|(before, _)| *before != placement) {
                self.placements.insert(entry.key, (placement, now));
            }
        }
        if !director.host.plane.touched.get() {
            return;
        }
        let before = std::mem::take(&mut self.entries);
        for record in director.host.plane.connections() {
            let old = before.get(&record.flow).filter(|seen| seen.is(&record));
            let seen = Seen {
                server: record.server,
                state: record.state,
                assured: record.assured,
                since: old.map_or(now, |seen| seen.since),
            };
            self.entries.insert(record.flow, seen);
        }
    }
}
