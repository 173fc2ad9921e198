//! What connection sync says of roles: who returns waits for the Active's connections and then asks for the role, and
//! who hands over waits until its partner has its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use evenkeel_model::{Director, Role, VirtualRouterId};
use evenkeel_sync::Routers;

use super::{Mirror, Table};

/// How long new flows are placed by the consistent hash for a handover, unless it is over before.
const HASHING: Duration = Duration::from_secs(30);

/// How long a handover waits for the handshakes that began before it: half-open flows are not told of, and the partner
/// would place the rest of them by the hash.
const HANDSHAKES: Duration = Duration::from_millis(500);

/// How long the Active is asked to hand over before it is preempted by the RFC: it may prepare for ten seconds, and then
/// waits for this director.
const ASKING: Duration = Duration::from_secs(15);

/// How long they still are when it has succeeded: for those that come to this director still.
const HASHING_ON: Duration = Duration::from_secs(2);

/// An order to the VRRP thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Do not preempt, or do so again.
    Wait(VirtualRouterId, bool),
    /// The handover is prepared.
    Prepared(VirtualRouterId),
    /// Hand over: a peer asks for it.
    Yield(VirtualRouterId),
}

/// Who waits for what.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Longest wait of a preemption.
    longest: Duration,
    /// Since when a Backup lacks connections.
    lacking: BTreeMap<VirtualRouterId, Instant>,
    /// Those that would be preempted, but for waiting.
    wanted: BTreeSet<VirtualRouterId>,
    /// Since when their Active is asked to hand over.
    asking: BTreeMap<VirtualRouterId, Instant>,
    /// As the peers were told.
    asks: Routers,
    /// Those that a peer was heard to ask for.
    asked: BTreeSet<VirtualRouterId>,
    /// What the thread was told last; at first all wait.
    told: BTreeMap<VirtualRouterId, bool>,
    /// Handovers that go on.
    handovers: BTreeMap<VirtualRouterId, Handover>,
    /// Until when new flows are placed by the hash.
    hashing: Option<Instant>,
    /// What control was told last.
    known: BTreeSet<VirtualRouterId>,
}

/// A handover that goes on.
#[derive(Clone, Copy, Debug)]
struct Handover {
    /// Until when the peers need what changes: handshakes that began under the scheduler are over then.
    until: Instant,
    /// The thread was told that it is prepared.
    prepared: bool,
}

impl Waiting {
    pub(super) const fn new(longest: Duration) -> Self {
        Self {
            longest,
            lacking: BTreeMap::new(),
            wanted: BTreeSet::new(),
            asking: BTreeMap::new(),
            asks: Routers::NONE,
            asked: BTreeSet::new(),
            told: BTreeMap::new(),
            handovers: BTreeMap::new(),
            hashing: None,
            known: BTreeSet::new(),
        }
    }

    /// Whether a Backup has to wait: for connections that it lacks, or for the Active, which is asked to hand over.
    fn waits(&mut self, router: VirtualRouterId, lacks: bool, now: Instant) -> bool {
        if lacks {
            let since = *self.lacking.entry(router).or_insert(now);
            return now.saturating_duration_since(since) < self.longest;
        }
        self.lacking.remove(&router);
        if !self.wanted.contains(&router) {
            return true;
        }
        let since = *self.asking.entry(router).or_insert(now);
        now.saturating_duration_since(since) < ASKING
    }
}

impl Mirror {
    /// This director's role in a virtual router changed.
    pub fn role(&mut self, router: VirtualRouterId, to: Role, director: &Director, now: Instant) {
        self.told.role(router, to, now);
        self.told.reckon(director, now);
        self.waiting.lacking.remove(&router);
        if to != Role::Backup {
            self.wants(router, false);
        }
        let active = self.told.active();
        for peer in &mut self.peers {
            peer.session.set_active(active, now);
            // What it is to be told is another part of the table now, of which it may have nothing.
            if to == Role::Active && peer.is_up(now) {
                peer.lack(now.checked_sub(self.config.lag).unwrap_or(now), now);
            }
        }
        self.look_at = now;
    }

    /// Only waiting keeps this director from preempting, or no longer.
    pub fn wants(&mut self, router: VirtualRouterId, wants: bool) {
        let waiting = &mut self.waiting;
        if wants {
            waiting.wanted.insert(router);
        } else {
            waiting.wanted.remove(&router);
            waiting.asking.remove(&router);
        }
    }

    /// A handover begins: from now on new flows are placed as a partner that does not know them places them.
    pub fn prepare(&mut self, router: VirtualRouterId, table: &impl Table, now: Instant) {
        self.waiting.hashing = Some(now + HASHING);
        let handover = Handover {
            until: now + HANDSHAKES,
            prepared: false,
        };
        self.waiting.handovers.insert(router, handover);
        self.put_off_hashing(table, now);
        self.look_at = now;
    }

    /// It is over.
    pub fn handed_over(
        &mut self,
        router: VirtualRouterId,
        done: bool,
        table: &impl Table,
        now: Instant,
    ) {
        self.waiting.handovers.remove(&router);
        // Another one needs the hash still.
        if self.waiting.handovers.is_empty() {
            self.waiting.hashing = done.then_some(now + HASHING_ON);
            self.put_off_hashing(table, now);
        }
    }

    /// Has new flows placed by the scheduler still for the time in which the peers are told of them: by the hash if this
    /// director dies before it comes here again. While it hands over, by the hash now.
    pub(super) fn put_off_hashing(&mut self, table: &impl Table, now: Instant) {
        let waiting = &mut self.waiting;
        waiting.hashing = waiting.hashing.filter(|until| *until > now);
        table.place_by_hash_in(if waiting.hashing.is_some() {
            Some(Duration::ZERO)
        } else if self.tells(now) {
            Some(self.config.lag)
        } else {
            None
        });
    }

    /// What the VRRP thread has to be told now.
    pub fn decide(&mut self, director: &Director, now: Instant) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let waiting = &mut self.waiting;
        for router in &director.virtual_routers {
            let id = router.id;
            // An Active is told beforehand: it may lose the role in the next moment.
            let waits = if self.told.is_active(id) {
                let mut peers = self.peers.iter();
                if !peers.any(|peer| peer.wants(id.get())) {
                    waiting.asked.remove(&id);
                } else if waiting.asked.insert(id) {
                    decisions.push(Decision::Yield(id));
                }
                true
            } else {
                let answers = self.peers.iter().map(|peer| peer.synced(id.get(), now));
                let answers: Vec<Option<bool>> = answers.collect();
                let in_touch = self.peers.iter().all(|peer| peer.has_said());
                // Where none of the peers is Active, somebody is who tells nothing: it is preempted by the RFC.
                let is_foreign = in_touch && answers.iter().all(Option::is_none);
                let lacks =
                    !answers.contains(&Some(true)) || self.pending.has(&router.addresses, now);
                !is_foreign && waiting.waits(id, lacks, now)
            };
            if waiting.told.insert(id, waits).unwrap_or(true) != waits {
                decisions.push(Decision::Wait(id, waits));
            }
        }
        for (router, handover) in &mut waiting.handovers {
            let mut peers = self.peers.iter();
            if !handover.prepared && peers.all(|peer| peer.has_all(handover.until, now)) {
                handover.prepared = true;
                decisions.push(Decision::Prepared(*router));
            }
        }
        let asks = waiting.asking.keys().map(|id| id.get()).collect();
        if asks != waiting.asks {
            waiting.asks = asks;
            for peer in &mut self.peers {
                peer.session.set_wanted(asks, now);
            }
        }
        decisions
    }

    /// The virtual routers whose connections this director has from their Active, if they are others than at the last
    /// call.
    pub fn known(&mut self, director: &Director) -> Option<BTreeSet<VirtualRouterId>> {
        let routers = director.virtual_routers.iter().map(|router| router.id);
        let has = |id: &VirtualRouterId| self.peers.iter().any(|p| p.told_us.contains(id.get()));
        let known: BTreeSet<VirtualRouterId> = routers.filter(has).collect();
        (known != self.waiting.known).then(|| {
            self.waiting.known.clone_from(&known);
            known
        })
    }
}
