//! Connection sync as the API shows it.

use std::time::{Duration, Instant};

use evenkeel_api::{SyncCount, SyncDirection, SyncPeerStatus, SyncStatus};
use evenkeel_control::mirror::{Peer, Received};
use evenkeel_sync::{DirectionView, Rejection};

use super::Sync;

impl Sync {
    /// How it stands.
    pub(crate) fn status(&self, now: Instant) -> SyncStatus {
        let (mirror, config) = (&self.mirror, self.mirror.config());
        let peers = mirror.peers().iter();
        SyncStatus {
            port: config.port,
            lag_bound_ms: millis(config.lag),
            peers: peers.map(|it| peer(it, mirror.digest(), now)).collect(),
            received: received(mirror.received(), mirror.pending()),
        }
    }
}

fn peer(peer: &Peer, digest: u64, now: Instant) -> SyncPeerStatus {
    let view = peer.session().view(now);
    let session = view.session;
    let counters = &view.counters;
    let happened = [
        ("datagrams-sent", counters.datagrams_sent),
        ("bytes-sent", counters.bytes_sent),
        ("datagrams-received", counters.datagrams_received),
        ("bytes-received", counters.bytes_received),
        ("records-sent", counters.records_sent),
        ("removals-sent", counters.removals_sent),
        ("records-received", counters.records_received),
        ("removals-received", counters.removals_received),
        ("resent", counters.resent),
        ("missed", peer.missed()),
        ("duplicates", counters.duplicates),
        ("sessions", counters.sessions),
    ];
    let rejected = Rejection::ALL.into_iter();
    let rejected = rejected.map(|why| (why.name(), counters.rejected(why)));
    SyncPeerStatus {
        name: peer.config().name.clone(),
        addresses: peer.config().addresses.clone(),
        way: peer.way(),
        lag_most_ms: peer.lag_most(now).map(millis),
        outgoing: direction(&view.outgoing),
        incoming: direction(&view.incoming),
        since_s: session.map(|session| now.saturating_duration_since(session.since).as_secs()),
        round_trip_us: session
            .and_then(|session| session.round_trip)
            .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        active: session
            .and_then(|session| session.peer_active)
            .map_or_else(Vec::new, |active| active.iter().collect()),
        same_services: session
            .and_then(|session| session.peer_digest)
            .map(|theirs| theirs == digest),
        troubles: view.troubles.iter().map(ToString::to_string).collect(),
        counters: counts(happened.into_iter().chain(rejected)),
    }
}

fn direction(view: &DirectionView) -> SyncDirection {
    SyncDirection {
        state: view.state.name().to_owned(),
        outstanding: view.outstanding,
        lag_ms: view.lag.map(millis),
    }
}

fn received(received: &Received, pending: usize) -> Vec<SyncCount> {
    let kinds = [
        ("installed", received.installed),
        ("removed", received.removed),
        ("kept", received.kept),
        ("waiting-for-service-or-server", pending as u64),
        ("no-room", received.no_room),
        ("senseless", received.senseless),
    ];
    counts(kinds.into_iter())
}

fn counts<'k>(kinds: impl Iterator<Item = (&'k str, u64)>) -> Vec<SyncCount> {
    let occurred = kinds.filter(|(_, count)| *count > 0);
    let count = |(kind, count): (&str, u64)| SyncCount {
        kind: kind.to_owned(),
        count,
    };
    occurred.map(count).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
