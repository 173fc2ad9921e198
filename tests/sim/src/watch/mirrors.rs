//! What holds of the tables of directors that tell each other their connections.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use evenkeel_control::mirror::Mirror;
use evenkeel_model::GateState;
use evenkeel_sync::{ConnState, Direction, Flow, Record, State};

use crate::Time;
use crate::director::Director;
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
    /// Clients whose connections it has, as it says itself: it must not forget them.
    known: BTreeMap<SocketAddrV4, Known>,
}

/// A connection that a director has.
#[derive(Clone, Debug)]
pub(super) struct Known {
    server: SocketAddr,
    /// Since when.
    pub(super) since: Time,
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
        let old = told
            .filter(|(flow, seen)| flow.address.ip() == address && seen.since + lag + SLACK <= now);
        let mut known = Vec::new();
        for (flow, seen) in old {
            let SocketAddr::V4(client) = flow.client else {
                continue;
            };
            if tainted(client) || !plane.serves(flow.address, seen.server) {
                continue;
            }
            let has = self.of[number].entries.get(flow).is_some_and(|mirrored| {
                let by_others = mirrored.since > seen.since + lag + SLACK
                    || self.is_told_otherwise(flow, seen, (number, teller));
                by_others || mirrored.server == seen.server
            });
            if !has {
                return Err(format!(
                    "director {number} is in sync with director {teller}, whose {flow:?} is {seen:?}, and has {:?}",
                    self.of[number].entries.get(flow)
                ));
            }
            self.looked += 1;
            known.push((client, seen.server));
        }
        for (client, server) in known {
            let all = &mut self.of[number].known;
            let before = all.get(&client).filter(|known| known.server == server);
            if before.is_none() {
                all.insert(client, Known { server, since: now });
            }
        }
        Ok(())
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
                && self.of[number]
                    .entries
                    .get(*flow)
                    .is_none_or(|mirrored| mirrored.server != seen.server)
        });
        lacks.map(|(flow, _)| *flow).collect()
    }
}

fn mirror_of(director: &Director) -> Option<&Mirror> {
    let daemon = director.daemon.as_ref().filter(|_| director.runs())?;
    daemon.mirror.as_ref()
}

impl Of {
    fn refresh(&mut self, director: &Director, now: Time) {
        if self.boot != director.host.boot {
            *self = Self {
                boot: director.host.boot,
                ..Self::default()
            };
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
