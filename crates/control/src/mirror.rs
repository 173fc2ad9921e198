//! The director's part in connection sync: a session with each other director, what they are told of the table of
//! connections, and what is entered into it of what they tell.
//!
//! It looks for what packets changed every few milliseconds and tells each peer that takes it. Which roles may be taken
//! over or handed over by then, `mirror/roles.rs` says.

mod peer;
mod pending;
mod roles;
mod table;
mod tell;
mod told;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use evenkeel_model::{ConnectionSync, Director, Protocol, ServiceKey};
use evenkeel_sync::{ConfigError, Key, Output, Record, Session, SyncConfig};

use crate::{Report, SyncNews};

use self::pending::Pending;
use self::roles::Waiting;
use self::told::Told;

pub use self::peer::Peer;
pub use self::roles::Decision;
pub use self::table::{Installed, Table};

/// Time between two looks for what packets changed, while somebody is there to be told.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The same while nobody is.
const IDLE: Duration = Duration::from_millis(100);

/// Longest time in which everything is told once more, so that what a peer has lives on.
const WALK: Duration = Duration::from_secs(60);

/// Removals that wait for room with the peers.
const REMOVALS: usize = 1 << 16;

/// What became of what peers told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Connections that were entered.
    pub installed: u64,
    /// Connections that were taken out.
    pub removed: u64,
    /// Connections of which the table kept its own.
    pub kept: u64,
    /// Connections that the table had no room for.
    pub no_room: u64,
    /// Connections that cannot be.
    pub senseless: u64,
}

/// All sessions of a director, and what they have to do with its table of connections.
///
/// # How to drive it
/// Hand in datagrams ([`handle_datagram`](Self::handle_datagram)), then take a [`turn`](Self::turn); another one at
/// [`poll_timeout`](Self::poll_timeout) at the latest. After each turn send what [`poll_datagram`](Self::poll_datagram)
/// gives until it gives `None`, execute what [`decide`](Self::decide) says, and tell [`Control`](crate::Control) what
/// [`known`](Self::known) says.
#[derive(Debug)]
pub struct Mirror {
    config: ConnectionSync,
    peers: Vec<Peer>,
    told: Told,
    /// Everything before has been handed in.
    covered: Instant,
    look_at: Instant,
    /// The digest of what all directors must have alike.
    digest: u64,
    received: Received,
    pending: Pending,
    waiting: Waiting,
    /// Shortest time that an entry lives without a packet.
    shortest: Duration,
    /// A service was put into the data plane, or taken out, since the last look.
    outdated: bool,
    /// By that UDP flows may be over.
    over: bool,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    reports: Vec<Report>,
}

impl Mirror {
    /// Makes the sessions. `seeds` has random bytes for each peer, see [`Session::new`]; a peer without some has no session.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(
        config: ConnectionSync,
        director: &Director,
        keys: &[Key],
        seeds: &[[u8; 32]],
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let peers = config.peers.iter().zip(seeds).map(|(peer, seed)| {
            let session = SyncConfig {
                name: director.name.clone(),
                peer: peer.name.clone(),
                keys: keys.to_vec(),
                lag_bound: config.lag,
            };
            Ok(Peer::new(peer.clone(), Session::new(session, *seed, now)?))
        });
        let peers: Vec<Peer> = peers.collect::<Result<_, ConfigError>>()?;
        let mut mirror = Self {
            waiting: Waiting::new(config.wait),
            config,
            peers,
            told: Told::default(),
            covered: now,
            look_at: now,
            digest: 0,
            received: Received::default(),
            pending: Pending::default(),
            shortest: WALK,
            datagrams: VecDeque::new(),
            reports: Vec::new(),
            outdated: false,
            over: false,
        };
        mirror.configure(director, now);
        Ok(mirror)
    }

    /// Takes in what is configured, or edited by hand.
    pub fn configure(&mut self, director: &Director, now: Instant) {
        self.told.reckon(director, now);
        self.shortest = shortest(director);
        self.digest = digest(director);
        for peer in &mut self.peers {
            peer.session.set_digest(self.digest, now);
        }
    }

    /// A service is another one in the data plane now, by configuration or by health.
    pub const fn service_changed(&mut self, key: &ServiceKey) {
        self.outdated = true;
        let lasts = matches!(
            key,
            ServiceKey::Single {
                protocol: Protocol::Tcp | Protocol::Sctp,
                ..
            }
        );
        self.over |= !lasts;
    }

    /// What waited for a service or a real server may have it now. And UDP flows of a server that was taken out are over:
    /// everything is told anew.
    fn begin_again(&mut self, table: &impl Table, now: Instant) {
        self.outdated = false;
        if std::mem::take(&mut self.over) {
            for peer in self.peers.iter_mut().filter(|peer| peer.is_up(now)) {
                peer.lack(self.covered, now);
            }
        }
        for record in self.pending.take(now) {
            self.install(table, record, now);
        }
    }

    /// When to call [`Self::turn`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let timers = self
            .peers
            .iter()
            .filter_map(|peer| peer.session.poll_timeout());
        timers.fold(self.look_at, Instant::min)
    }

    /// Takes a datagram in, if it is of a peer's address.
    pub fn handle_datagram(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.has(from.ip())) {
            peer.receive(datagram, from, now);
        }
    }

    /// Tells and takes in what there is.
    pub fn turn(
        &mut self,
        table: &mut impl Table,
        director: &Director,
        now: Instant,
    ) -> Vec<Report> {
        for peer in &mut self.peers {
            peer.session.handle_timeout(now);
        }
        if self.look_at <= now {
            self.look_at = now + if self.is_up(now) { LOOK_EVERY } else { IDLE };
            for peer in &mut self.peers {
                peer.note_lag(now);
            }
            self.told.expire(director, now);
            if self.outdated {
                self.begin_again(table, now);
            }
            let tells = self.tells(now);
            self.put_off_hashing(table, now);
            table.keep_removals(if tells { REMOVALS } else { 0 });
            if tells {
                self.tell_changes(table, now);
            } else {
                self.covered = now;
            }
            self.tell_all_again(table, now);
            self.tell_backlog(now);
        }
        self.obey(table, now);
        std::mem::take(&mut self.reports)
    }

    /// Whether a peer is there.
    fn is_up(&self, now: Instant) -> bool {
        self.peers.iter().any(|peer| peer.is_up(now))
    }

    /// Whether there is something to tell, and somebody.
    fn tells(&self, now: Instant) -> bool {
        self.is_up(now) && !self.told.is_empty()
    }

    /// The next datagram that is to be sent, and to whom.
    pub fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.datagrams.pop_front()
    }

    /// Obeys the sessions.
    fn obey(&mut self, table: &impl Table, now: Instant) {
        for at in 0..self.peers.len() {
            while let Some(output) = self.peers.get_mut(at).and_then(|p| p.session.poll_output()) {
                self.obey_one(at, output, table, now);
            }
        }
    }

    fn obey_one(&mut self, at: usize, output: Output, table: &impl Table, now: Instant) {
        let Some(peer) = self.peers.get_mut(at) else {
            return;
        };
        let news = match output {
            Output::Send(datagram) => {
                let ways = peer.ways(self.config.port, now);
                let sent = ways.map(|way| (way, datagram.clone()));
                return self.datagrams.extend(sent);
            }
            Output::Install(record) => return self.install(table, record, now),
            Output::Remove(flow) => {
                self.pending.forget(&flow);
                let removed = table.remove(&flow);
                self.received.removed += u64::from(removed);
                return;
            }
            Output::WantSnapshot => {
                peer.begin_anew(now);
                // What was marked while nobody took it would be told twice.
                let mut others = self.peers.iter().enumerate();
                if !others.any(|(other, peer)| other != at && peer.is_up(now)) {
                    table.forget_changes();
                }
                return;
            }
            Output::SnapshotComplete => return peer.told_all(),
            Output::PeerChanged { digest, .. } => {
                if peer.is_whole(now) {
                    peer.told_all();
                }
                let same = digest == self.digest;
                if peer.same_services.replace(same) == Some(same) {
                    return;
                }
                SyncNews::Services { same }
            }
            Output::StateChanged {
                direction,
                from,
                to,
            } => SyncNews::Changed {
                direction,
                from,
                to,
            },
            Output::Lost(why) => SyncNews::Lost(why),
            Output::Noticed(notice) => SyncNews::Trouble(notice),
        };
        let peer = peer.config.name.clone();
        self.reports.push(Report::Sync { peer, news });
    }

    /// Enters a connection that a peer told, or keeps it until its service and real server are there.
    fn install(&mut self, table: &impl Table, record: Record, now: Instant) {
        self.pending.forget(&record.flow);
        let received = &mut self.received;
        let counter = match table.install(&record) {
            Installed::Done => &mut received.installed,
            Installed::Kept => &mut received.kept,
            Installed::UnknownService | Installed::UnknownServer => {
                return self.pending.keep(record, now);
            }
            Installed::NoRoom => &mut received.no_room,
            Installed::Senseless => &mut received.senseless,
        };
        *counter += 1;
    }

    /// How it is configured.
    #[must_use]
    pub const fn config(&self) -> &ConnectionSync {
        &self.config
    }

    /// The other directors.
    #[must_use]
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// The digest of what all directors must have alike.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// What became of what the peers told.
    #[must_use]
    pub const fn received(&self) -> &Received {
        &self.received
    }

    /// How many connections wait for their service or real server.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

/// Shortest time that an entry of a running flow lives without a packet.
fn shortest(director: &Director) -> Duration {
    let of_service = director.services.iter().flat_map(|service| {
        let timeouts = service.options.timeouts;
        let persistence = service.options.persistence.map(|p| p.timeout);
        [timeouts.tcp, timeouts.udp, timeouts.sctp, persistence]
    });
    let shortest = of_service.flatten().min();
    shortest.unwrap_or(WALK * 3).max(Duration::from_secs(1))
}

/// Tells apart configurations by which unknown flows go to different servers.
fn digest(director: &Director) -> u64 {
    use sha2::{Digest as _, Sha256};
    let mut services: Vec<String> = director
        .services
        .iter()
        .map(|service| {
            let servers = service.servers.iter().map(|server| format!("{server:?}"));
            let mut servers: Vec<String> = servers.collect();
            servers.sort();
            format!(
                "{:?} {:?} {:?} {:?} {servers:?}",
                service.key, service.group, service.scheduler, service.options
            )
        })
        .collect();
    services.sort();
    let digest = Sha256::digest(services.join("\n"));
    let bytes: [u8; 8] = std::array::from_fn(|at| digest.get(at).copied().unwrap_or(0));
    u64::from_be_bytes(bytes)
}
