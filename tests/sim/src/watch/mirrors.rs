//! What holds of the tables of directors that tell each other their connections.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use evenkeel_abi::{FlowKey, Word};
use evenkeel_control::mirror::Mirror;
use evenkeel_model::GateState;
use evenkeel_sync::{ConnState, Direction, Flow, State};

use crate::Time;
use crate::director::Director;
use crate::settings::Settings;

/// Ticks of the data planes' clocks, and clocks that are a bit fast.
const SLACK: Duration = Duration::from_millis(5);

/// Tables that have not changed are compared again after this time, for an entry that was young is not any more.
const AGAIN: Duration = Duration::from_millis(2);

/// Connections of other directors that may wait: as many as clients open, and more.
const PENDING_MAX: usize = 320;

/// An entry as it was last seen, and since when it has been so.
#[derive(Clone, Copy, Debug)]
struct Seen {
    flow: Flow,
    server: SocketAddr,
    state: ConnState,
    assured: bool,
    since: Time,
}

impl Seen {
    fn is(&self, other: &Self) -> bool {
        (self.server, self.state, self.assured) == (other.server, other.state, other.assured)
    }
}

/// A key, which is the same on all directors for IPv4, and the number of its server, its state, and whether it is unassured.
type Way = (FlowKey, u32, u8, bool);

/// What is known of a director's table.
#[derive(Clone, Debug, Default)]
struct Of {
    boot: u64,
    ways: Vec<Option<Way>>,
    entries: BTreeMap<FlowKey, Seen>,
    /// Entries were others at the last look.
    changed: bool,
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
    /// When the tables of a director that is in sync and of its teller were compared.
    compared: BTreeMap<(usize, usize), Time>,
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
                let mut others = (0..directors.len()).filter(|o| *o != number);
                let Some(teller) = others.find(|o| format!("d{o}") == peer.config().name) else {
                    continue;
                };
                let pair = (number, teller);
                if peer.session().state(Direction::Incoming, local) != State::InSync {
                    self.compared.remove(&pair);
                    continue;
                }
                let last = self.compared.get(&pair);
                let same = !self.of[number].changed && !self.of[teller].changed;
                if same && last.is_some_and(|last| now < *last + AGAIN) {
                    continue;
                }
                self.compared.insert(pair, now);
                let active = peer.session().session().and_then(|s| s.peer_active);
                let active = active.unwrap_or_default();
                for router in settings.routers.iter().filter(|r| active.contains(r.id)) {
                    for address in &router.addresses {
                        if director.host.plane.gate(*address) == GateState::Closed {
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
        pair: (usize, usize),
        address: IpAddr,
        lag: Duration,
        directors: &[Director],
        tainted: &impl Fn(SocketAddrV4) -> bool,
        now: Time,
    ) -> Result<(), String> {
        let (number, teller) = pair;
        let plane = &directors[number].host.plane;
        let told = self.of[teller].entries.iter();
        let old = told.filter(|(_, seen)| {
            seen.flow.address.ip() == address && seen.since + lag + SLACK <= now
        });
        let mut known = Vec::new();
        for (key, seen) in old {
            let SocketAddr::V4(client) = seen.flow.client else {
                continue;
            };
            if tainted(client) || !plane.serves(seen.flow.address, seen.server) {
                continue;
            }
            let mirrored = self.of[number].entries.get(key);
            let has = mirrored.is_some_and(|mirrored| {
                mirrored.server == seen.server
                    || mirrored.since > seen.since + lag + SLACK
                    || self.is_told_otherwise(key, seen, pair)
            });
            if !has {
                return Err(format!(
                    "director {number} is in sync with director {teller}, which has {seen:?}, and has {mirrored:?}"
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
        key: &FlowKey,
        seen: &Seen,
        (number, teller): (usize, usize),
    ) -> bool {
        let others = (0..self.of.len()).filter(|other| ![number, teller].contains(other));
        let mut theirs = others.filter_map(|other| self.of[other].entries.get(key));
        theirs.any(|other| !other.is(seen) && other.since >= seen.since)
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
        let old = told.filter(|(_, seen)| seen.since <= older && wanted(&seen.flow));
        let lacks = old.filter(|(key, seen)| {
            let mirrored = self.of[number].entries.get(key);
            plane.serves(seen.flow.address, seen.server)
                && mirrored.is_none_or(|mirrored| mirrored.server != seen.server)
        });
        lacks.map(|(_, seen)| seen.flow).collect()
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
        self.changed = false;
        let plane = &director.host.plane;
        if !plane.touched.get() {
            return;
        }
        self.ways.resize(plane.ways().count(), None);
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for (before, entry) in self.ways.iter_mut().zip(plane.ways()) {
            let way = entry.map(|(key, word)| essence(key, word));
            if *before != way {
                gone.extend(before.map(|(key, ..)| key));
                come.extend(entry);
                *before = way;
            }
        }
        self.changed = !gone.is_empty() || !come.is_empty();
        // An entry may have moved to another way.
        let gone: Vec<_> = gone
            .into_iter()
            .filter_map(|key| self.entries.remove_entry(&key))
            .collect();
        for (key, word) in come {
            let Some(record) = plane.record(&key, word) else {
                continue;
            };
            let mut seen = Seen {
                flow: record.flow,
                server: record.server,
                state: record.state,
                assured: record.assured,
                since: now,
            };
            let old = gone.iter().find(|(old, _)| *old == key);
            if let Some((_, old)) = old.filter(|(_, old)| old.is(&seen)) {
                seen.since = old.since;
            }
            self.entries.insert(key, seen);
        }
    }
}

/// What is told of an entry, its time aside.
const fn essence(key: FlowKey, word: Word) -> Way {
    (key, word.server(), word.state(), word.is_unassured())
}
