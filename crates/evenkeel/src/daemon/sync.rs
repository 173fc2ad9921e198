//! Connection sync: joins the sessions with the other directors to their socket and to the data plane.
//!
//! It looks for what packets changed every few milliseconds and tells each peer that takes it; what the peers tell goes
//! into the established table. Which roles may be taken over or handed over by then, `daemon/sync/roles.rs` says.

mod key_file;
mod peer;
mod pending;
mod roles;
mod told;
mod turns;
mod view;
mod words;

use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use evenkeel_abi::BUCKET_WAYS;
use evenkeel_bpf::{Connection, DataPlane, Installed};
use evenkeel_control::{Report, SyncNews};
use evenkeel_model::{ConnectionSync, Director};
use evenkeel_net::PeerSocket;
use evenkeel_sync::{Key, Output, Record, Session, SyncConfig};

use crate::command_error::CommandError;

use self::peer::{Peer, Walk};
use self::pending::Pending;
use self::roles::{Decision, Waiting};
use self::told::Told;
pub(crate) use self::turns::wait;

/// Time between two looks for what packets changed, while somebody is there to be told.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The same while nobody is.
const IDLE: Duration = Duration::from_millis(100);

/// Longest time in which everything is told once more, so that what a peer has lives on.
const WALK: Duration = Duration::from_secs(60);

/// Buckets that one look takes of a walk at most: some 2 ms.
const WALK_BUCKETS: u32 = 1 << 15;

/// Removals that wait for room with the peers.
const REMOVALS: usize = 1 << 16;

/// Datagrams that are taken in before anything else is done: a session's window.
const BURST: usize = 64;

/// Longest datagram.
const DATAGRAM_MAX: usize = 2048;

/// What became of what peers told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    pub(crate) installed: u64,
    pub(crate) removed: u64,
    pub(crate) kept: u64,
    pub(crate) unknown_service: u64,
    pub(crate) no_room: u64,
    pub(crate) senseless: u64,
}

/// The event loop's part in connection sync.
pub(crate) struct Sync {
    config: ConnectionSync,
    socket: PeerSocket,
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
    buffer: Box<[u8]>,
    reports: Vec<Report>,
}

impl Sync {
    /// Opens the socket and the sessions.
    pub(crate) fn start(director: &Director, now: Instant) -> Result<Option<Self>, CommandError> {
        let Some(config) = director.sync.as_deref().cloned() else {
            return Ok(None);
        };
        let keys = config.key_files.iter().map(|path| key_file::read(path));
        let keys: Vec<Key> = keys.collect::<Result<_, _>>().map_err(|error| {
            let hint = error.hint();
            CommandError::new(error).hint(hint)
        })?;
        let socket = PeerSocket::open(config.port).map_err(|error| {
            CommandError::new(error).hint("Give connection sync another `port` on all directors.")
        })?;
        let peers = config.peers.iter().map(|peer| {
            let session = SyncConfig {
                name: director.name.clone(),
                peer: peer.name.clone(),
                keys: keys.clone(),
                lag_bound: config.lag,
            };
            let seed = random().map_err(CommandError::new)?;
            let session = Session::new(session, seed, now).map_err(CommandError::new)?;
            Ok(Peer::new(peer.clone(), session))
        });
        let peers: Vec<Peer> = peers.collect::<Result<_, CommandError>>()?;
        let mut sync = Self {
            waiting: Waiting::new(config.wait),
            config,
            socket,
            peers,
            told: Told::default(),
            covered: now,
            look_at: now,
            digest: 0,
            received: Received::default(),
            pending: Pending::default(),
            shortest: WALK,
            buffer: vec![0; DATAGRAM_MAX].into(),
            reports: Vec::new(),
            outdated: false,
        };
        sync.configure(director, now);
        Ok(Some(sync))
    }

    /// Takes in what is configured, or edited by hand.
    pub(crate) fn configure(&mut self, director: &Director, now: Instant) {
        self.told.reckon(director, now);
        self.shortest = shortest(director);
        self.digest = digest(director);
        for peer in &mut self.peers {
            peer.session.set_digest(self.digest, now);
        }
    }

    /// A service is another one in the data plane now, by configuration or by health.
    pub(crate) const fn service_changed(&mut self) {
        self.outdated = true;
    }

    /// Has everything told anew, for the consistent hash says other things of flows that a peer was not told: it would
    /// have placed them alike. And what waited for a real server may have it now.
    fn begin_again(&mut self, plane: &DataPlane, now: Instant) {
        self.outdated = false;
        for peer in self.peers.iter_mut().filter(|peer| peer.is_up(now)) {
            let snapshot = peer.walk.is_some_and(|walk| walk.snapshot);
            peer.missed.get_or_insert(self.covered);
            peer.begin_walk(snapshot, now);
        }
        for record in self.pending.take(now) {
            self.install(plane, record, now);
        }
    }

    /// When to call [`Self::turn`] next.
    pub(crate) fn due(&self) -> Instant {
        let timers = self
            .peers
            .iter()
            .filter_map(|peer| peer.session.poll_timeout());
        timers.fold(self.look_at, Instant::min)
    }

    /// Waits for a datagram of somebody; it may be called anew at any time.
    pub(crate) async fn receive(&mut self) {
        let came = self.socket.receive(&mut self.buffer).await;
        self.take(came);
        for _ in 1..BURST {
            let came = self.socket.try_receive(&mut self.buffer);
            if matches!(&came, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
            self.take(came);
        }
    }

    fn take(&mut self, came: io::Result<(usize, SocketAddr)>) {
        // That a peer's port is closed is told by its silence.
        let Ok((len, from)) = came else {
            return;
        };
        let (Some(datagram), now) = (self.buffer.get(..len), Instant::now()) else {
            return;
        };
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.has(from.ip())) {
            peer.receive(datagram, from, now);
        }
    }

    /// Tells and takes in what there is.
    pub(crate) fn turn(&mut self, plane: &mut DataPlane, director: &Director) -> Vec<Report> {
        let now = Instant::now();
        for peer in &mut self.peers {
            peer.session.handle_timeout(now);
        }
        if self.look_at <= now {
            let is_up = self.peers.iter().any(|peer| peer.is_up(now));
            self.look_at = now + if is_up { LOOK_EVERY } else { IDLE };
            self.told.expire(director, now);
            if self.outdated {
                self.begin_again(plane, now);
            }
            let tells = is_up && !self.told.is_empty();
            plane.keep_removals(if tells { REMOVALS } else { 0 });
            if tells {
                self.tell_changes(plane, now);
            } else {
                self.covered = now;
            }
            self.tell_all_again(plane, now);
            self.tell_backlog(now);
        }
        self.obey(plane, now);
        std::mem::take(&mut self.reports)
    }

    /// Tells what packets and the sweep changed since the last time.
    fn tell_changes(&mut self, plane: &mut DataPlane, now: Instant) {
        // Where nobody takes any, they stay marked.
        let Some(room) = self.room(now) else {
            return;
        };
        // Before the changes, which are the newer news.
        let removed = plane.take_removals(room);
        let removed = removed.iter().filter_map(words::flow);
        for flow in removed.filter(|flow| self.told.has(flow.address.ip())) {
            for peer in &mut self.peers {
                // A peer that has no room lets its entry expire.
                let _told = peer.session.remove(&flow, now);
            }
        }
        let room = self.room(now).unwrap_or(0);
        let (told, mut found) = (&self.told, Vec::new());
        plane.take_changes(room, |connection| {
            let is_told = told.has(connection.address.ip());
            found.extend(is_told.then_some(*connection));
            is_told
        });
        for record in tellable(plane, &found) {
            for peer in &mut self.peers {
                if peer.is_up(now) && peer.session.send(&record, now).is_err() {
                    peer.lose(self.covered, now);
                }
            }
        }
        // Less than a bucket's room: some stay marked.
        if found.len() + BUCKET_WAYS <= room || !plane.has_changes() {
            self.covered = now;
        }
    }

    /// How many records all those take that are waited for; `None`: there is nobody.
    fn room(&mut self, now: Instant) -> Option<usize> {
        let patience = self.config.lag;
        let peers = self.peers.iter_mut();
        peers.filter_map(|peer| peer.room(patience, now)).min()
    }

    /// Says how far everybody has been told.
    fn tell_backlog(&mut self, now: Instant) {
        for peer in &mut self.peers {
            let since = peer
                .missed
                .map_or(self.covered, |missed| missed.min(self.covered));
            peer.session.backlog(Some(since), now);
        }
    }

    /// Goes on with telling everything: a snapshot as fast as the peer takes it, else so that a walk is over long before
    /// what it told expires.
    fn tell_all_again(&mut self, plane: &DataPlane, now: Instant) {
        let period = (self.shortest / 3).min(WALK);
        let all = plane.buckets();
        for peer in &mut self.peers {
            if !peer.is_up(now) {
                continue;
            }
            let Some(walk) = peer.walk else {
                peer.begin_walk(false, now);
                continue;
            };
            let is_urgent = walk.snapshot || peer.missed.is_some();
            let share = LOOK_EVERY.as_secs_f64() / period.as_secs_f64() * f64::from(all);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive, and saturating is right"
            )]
            let buckets = if is_urgent {
                WALK_BUCKETS
            } else {
                (share as u32 + 1).min(WALK_BUCKETS)
            };
            let (told, mut found) = (&self.told, Vec::new());
            let next = plane.walk(walk.at, buckets, peer.session.room(), |connection| {
                let is_told = told.has(connection.address.ip());
                found.extend(is_told.then_some(*connection));
                is_told
            });
            for record in tellable(plane, &found) {
                // There is room for as many.
                let _told = peer.session.send(&record, now);
            }
            match next {
                Some(at) => peer.walk = Some(Walk { at, ..walk }),
                None => peer.end_walk(walk, now),
            }
        }
    }

    /// Obeys the sessions.
    fn obey(&mut self, plane: &DataPlane, now: Instant) {
        for at in 0..self.peers.len() {
            while let Some(output) = self.peers.get_mut(at).and_then(|p| p.session.poll_output()) {
                self.obey_one(at, output, plane, now);
            }
        }
    }

    fn obey_one(&mut self, at: usize, output: Output, plane: &DataPlane, now: Instant) {
        let Some(peer) = self.peers.get_mut(at) else {
            return;
        };
        let news = match output {
            Output::Send(datagram) => {
                return peer.send(&self.socket, self.config.port, &datagram, now);
            }
            Output::Install(record) => return self.install(plane, record, now),
            Output::Remove(flow) => {
                self.pending.forget(&flow);
                let removed = plane.remove(&words::own_flow(&flow));
                self.received.removed += u64::from(removed);
                return;
            }
            Output::WantSnapshot => return peer.begin_anew(now),
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

    /// Enters a connection that a peer told, or keeps it until its real server is there.
    fn install(&mut self, plane: &DataPlane, record: Record, now: Instant) {
        self.pending.forget(&record.flow);
        let received = &mut self.received;
        let installed = words::mirrored(&record).map(|mirrored| plane.install(&mirrored));
        let counter = match installed {
            Some(Installed::Entered | Installed::Changed) => &mut received.installed,
            Some(Installed::Kept) => &mut received.kept,
            Some(Installed::UnknownService) => &mut received.unknown_service,
            Some(Installed::UnknownServer) => return self.pending.keep(record, now),
            Some(Installed::NoRoom) => &mut received.no_room,
            Some(Installed::Senseless) | None => &mut received.senseless,
        };
        *counter += 1;
    }
}

/// The records of what a peer would not find by itself: not what the consistent hash says of an unknown flow.
fn tellable(plane: &DataPlane, found: &[Connection]) -> Vec<Record> {
    let needed = found.iter().filter(|c| !plane.is_placed_by_hash(c));
    needed.filter_map(words::record).collect()
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

fn random() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}
