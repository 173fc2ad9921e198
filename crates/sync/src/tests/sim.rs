//! Directors that sync with each other over a faulty network, with one clock; and somebody who listens and forges.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use evenkeel_testkit::Dice;

use super::*;

/// What one director sends to another goes through this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// Percent of datagrams that are lost, come twice, and have a bit turned or their end cut.
    pub(super) loss: u64,
    pub(super) twice: u64,
    pub(super) damage: u64,
    /// Longest delay; datagrams overtake each other.
    pub(super) delay: Duration,
}

impl Path {
    pub(super) const CLEAN: Self = Self {
        loss: 0,
        twice: 0,
        damage: 0,
        delay: us(200),
    };
    pub(super) const CUT: Self = Self {
        loss: 100,
        ..Self::CLEAN
    };
}

struct Frame {
    from: usize,
    to: usize,
    bytes: Vec<u8>,
}

/// A session with one peer, and what its shell keeps for it.
struct Peer {
    session: Session,
    /// Flows that changed and were not handed in: the bits of the table.
    marked: BTreeSet<u32>,
    /// All of them changed after this.
    marked_after: Instant,
    /// The flow that the walk is at.
    walk: Option<u32>,
    /// What the peer told.
    mirror: BTreeMap<u32, u32>,
    /// Of the mirror, what was told in earlier sessions only, and would expire.
    stale: BTreeSet<u32>,
    /// The highest version of each flow that was ever told.
    highest: BTreeMap<u32, u32>,
    in_sync: bool,
    /// When its claim was last held against the truth.
    checked: Instant,
}

struct Node {
    /// Flow, and the version of its record.
    table: BTreeMap<u32, u32>,
    /// Every change of each flow that may matter; `None`: it ended.
    changes: BTreeMap<u32, Vec<(Instant, Option<u32>)>>,
    peers: BTreeMap<usize, Peer>,
    paused: bool,
    queue: Vec<Frame>,
    scan: Instant,
}

pub(super) struct Sim {
    seed: u64,
    pub(super) now: Instant,
    nodes: Vec<Node>,
    pub(super) paths: Vec<Vec<Path>>,
    frames: BTreeMap<(Instant, u64), Frame>,
    sequence: u64,
    pub(super) dice: Dice,
    flows: BTreeMap<Flow, u32>,
    version: u32,
    /// By version: whose it is, and which flow's.
    sent: HashMap<u32, (usize, u32)>,
    /// What somebody has listened to.
    recorded: Vec<Frame>,
    /// Percent of scans at which something changes.
    pub(super) busy: u64,
    /// Changes that a shell hands in at each scan; all that there is room for, where there is no limit.
    pub(super) pace: Option<usize>,
    pub(super) claims: u64,
    /// Calls of timers.
    pub(super) fired: u64,
}

const NAMES: [&str; 3] = ["a", "b", "c"];
/// How often a shell looks for changes.
const SCAN: Duration = ms(10);

impl Sim {
    pub(super) fn new(seed: u64, count: usize, flows: u32) -> Self {
        let now = Instant::now();
        let mut sim = Self {
            seed,
            now,
            nodes: Vec::new(),
            paths: vec![vec![Path::CLEAN; count]; count],
            frames: BTreeMap::new(),
            sequence: 0,
            dice: Dice::new(seed),
            flows: (0..flows).map(|number| (flow(number), number)).collect(),
            version: 0,
            sent: HashMap::new(),
            recorded: Vec::new(),
            busy: 50,
            pace: None,
            claims: 0,
            fired: 0,
        };
        for node in 0..count {
            sim.nodes.push(Node {
                table: BTreeMap::new(),
                changes: BTreeMap::new(),
                peers: BTreeMap::new(),
                paused: false,
                queue: Vec::new(),
                scan: now,
            });
            for _ in 0..flows / 2 {
                sim.change(node);
            }
        }
        for node in 0..count {
            sim.start(node, false);
        }
        sim
    }

    /// Everything is told, and everybody is in sync.
    pub(super) fn settled(seed: u64, count: usize, flows: u32) -> Self {
        let mut sim = Self::new(seed, count, flows);
        sim.run(ms(1_000));
        for (_, view) in sim.views() {
            assert_eq!(view.incoming.state, State::InSync, "seed {seed}: {view:?}");
        }
        sim
    }

    fn start(&mut self, node: usize, keeps_mirror: bool) {
        let now = self.now;
        let others = (0..self.paths.len()).filter(|other| *other != node);
        for other in others {
            let config = config(NAMES[node], NAMES[other]);
            let session = Session::new(config, self.dice.bytes(), now).unwrap();
            let before = self.nodes[node].peers.remove(&other);
            let (mirror, highest) = before
                .map(|peer| (peer.mirror, peer.highest))
                .unwrap_or_default();
            let mirror = if keeps_mirror {
                mirror
            } else {
                BTreeMap::new()
            };
            let peer = Peer {
                session,
                marked: BTreeSet::new(),
                marked_after: now,
                walk: None,
                stale: mirror.keys().copied().collect(),
                mirror,
                highest,
                in_sync: false,
                checked: now,
            };
            self.nodes[node].peers.insert(other, peer);
        }
        self.nodes[node].paused = false;
        self.nodes[node].queue.clear();
    }

    /// A daemon is killed and started again, maybe after its host.
    pub(super) fn restart(&mut self, node: usize, keeps_table: bool) {
        if !keeps_table {
            for flow in std::mem::take(&mut self.nodes[node].table).into_keys() {
                self.note_change(node, flow, None);
            }
        }
        self.start(node, keeps_table);
    }

    pub(super) fn pause(&mut self, node: usize) {
        self.nodes[node].paused = true;
    }

    pub(super) fn resume(&mut self, node: usize) {
        self.nodes[node].paused = false;
        for frame in std::mem::take(&mut self.nodes[node].queue) {
            self.deliver(frame);
        }
    }

    /// A flow of a director begins, goes on or ends.
    pub(super) fn change(&mut self, node: usize) {
        let flow = u32::try_from(self.dice.index(self.flows.len())).unwrap();
        let ends = self.nodes[node].table.contains_key(&flow) && self.dice.chance(30);
        if ends {
            self.nodes[node].table.remove(&flow);
            self.note_change(node, flow, None);
        } else {
            self.version += 1;
            self.sent.insert(self.version, (node, flow));
            self.nodes[node].table.insert(flow, self.version);
            self.note_change(node, flow, Some(self.version));
        }
    }

    fn note_change(&mut self, node: usize, flow: u32, version: Option<u32>) {
        let node = &mut self.nodes[node];
        let changes = node.changes.entry(flow).or_default();
        changes.push((self.now, version));
        for peer in node.peers.values_mut() {
            peer.marked.insert(flow);
        }
    }

    /// The shell hands in what there is room for: changes, then the walk.
    fn pump(&mut self, node: usize, other: usize, scans: bool) {
        let now = self.now;
        let it = &mut self.nodes[node];
        let peer = it.peers.get_mut(&other).unwrap();
        let tell = |session: &mut Session, flow: u32| {
            let told = match it.table.get(&flow) {
                Some(version) => session.send(&record(flow, *version), now),
                None => session.remove(&self::flow(flow), now),
            };
            assert_eq!(told, Ok(()), "there was room");
        };
        let mut pace = match scans {
            true => self.pace.unwrap_or(usize::MAX),
            false => self.pace.map_or(usize::MAX, |_| 0),
        };
        while pace > 0
            && peer.session.room() > 0
            && let Some(flow) = peer.marked.pop_first()
        {
            tell(&mut peer.session, flow);
            pace -= 1;
        }
        if scans {
            let is_clear = peer.marked.is_empty();
            if is_clear {
                peer.marked_after = now;
            }
            peer.session
                .backlog((!is_clear).then_some(peer.marked_after), now);
        }
        while peer.session.room() > 0
            && let Some(at) = peer.walk
        {
            match it.table.range(at..).next() {
                Some((flow, _)) => {
                    tell(&mut peer.session, *flow);
                    peer.walk = Some(flow + 1);
                }
                None => {
                    peer.session.snapshot_done(now);
                    peer.walk = None;
                }
            }
        }
        if scans {
            peer.session.flush(now);
        }
    }

    fn obey(&mut self, node: usize, other: usize) {
        loop {
            let seed = self.seed;
            let peer = self.nodes[node].peers.get_mut(&other).unwrap();
            let Some(output) = peer.session.poll_output() else {
                break;
            };
            match output {
                Output::Send(bytes) => self.send(node, other, bytes),
                Output::WantSnapshot => {
                    // What changed before this is part of the walk.
                    peer.marked.clear();
                    peer.marked_after = self.now;
                    peer.walk = Some(0);
                    peer.stale = peer.mirror.keys().copied().collect();
                }
                Output::Install(told) => {
                    let flow = self.flows[&told.flow];
                    let version = version_of(&told);
                    assert_eq!(told, record(flow, version), "seed {seed}: never sent");
                    assert_eq!(
                        self.sent[&version],
                        (other, flow),
                        "seed {seed}: never sent"
                    );
                    let highest = peer.highest.entry(flow).or_default();
                    assert!(*highest <= version, "seed {seed}: {flow} goes backwards");
                    *highest = version;
                    peer.mirror.insert(flow, version);
                    peer.stale.remove(&flow);
                }
                Output::Remove(told) => {
                    let flow = self.flows[&told];
                    peer.mirror.remove(&flow);
                    peer.stale.remove(&flow);
                }
                Output::SnapshotComplete => {
                    for flow in std::mem::take(&mut peer.stale) {
                        peer.mirror.remove(&flow);
                    }
                }
                Output::StateChanged {
                    direction: Direction::Incoming,
                    to,
                    ..
                } => peer.in_sync = to == State::InSync,
                Output::StateChanged { .. }
                | Output::PeerChanged { .. }
                | Output::Lost(_)
                | Output::Noticed(_) => {}
            }
        }
        self.check(node, other);
    }

    /// Whoever claims to be in sync has every change that is older than the bound.
    fn check(&mut self, node: usize, other: usize) {
        let (seed, now) = (self.seed, self.now);
        let is_large = self.flows.len() > 100;
        let peer = self.nodes[node].peers.get_mut(&other).unwrap();
        // All of a large table only now and then, for the sake of time.
        if is_large && now < peer.checked + ms(5) {
            return;
        }
        peer.checked = now;
        let claims = peer.session.state(Direction::Incoming, now) == State::InSync;
        if !claims {
            return;
        }
        assert!(peer.in_sync, "seed {seed}: it was told");
        self.claims += 1;
        for (flow, changes) in &self.nodes[other].changes {
            let old = changes.partition_point(|(at, _)| *at + BOUND <= now);
            let Some(last) = old.checked_sub(1) else {
                continue;
            };
            let has = self.nodes[node].peers[&other].mirror.get(flow).copied();
            let is_there = changes[last..].iter().any(|(_, version)| *version == has);
            assert!(
                is_there,
                "seed {seed}: {node} has {has:?} of {other}'s {flow}: {changes:?}"
            );
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        assert!(bytes.len() <= 1_400, "{}", bytes.len());
        let path = self.paths[from][to];
        if self.recorded.len() < 300 || self.dice.chance(2) {
            let at = self.recorded.len().min(299);
            self.recorded.truncate(at);
            let bytes = bytes.clone();
            let place = self.dice.index(at + 1);
            self.recorded.insert(place, Frame { from, to, bytes });
        }
        let copies = if self.dice.chance(path.twice) { 2 } else { 1 };
        for _ in 0..copies {
            if self.dice.chance(path.loss) {
                continue;
            }
            let mut bytes = bytes.clone();
            if self.dice.chance(path.damage) {
                self.damage(&mut bytes);
            }
            let delay = us(1) + self.dice.time(Duration::ZERO, path.delay);
            self.post(delay, Frame { from, to, bytes });
        }
    }

    fn post(&mut self, delay: Duration, frame: Frame) {
        self.sequence += 1;
        self.frames.insert((self.now + delay, self.sequence), frame);
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        match self.dice.below(4) {
            0 => bytes.truncate(self.dice.index(bytes.len())),
            1 => bytes.extend([0; 3]),
            _ => {
                let at = self.dice.index(bytes.len());
                bytes[at] ^= 1 << self.dice.below(8);
            }
        }
    }

    /// Somebody without the key sends something that they recorded, as it was or changed, to the same director or
    /// another one; or anything else.
    pub(super) fn attack(&mut self) {
        let count = self.nodes.len();
        let frame = match self.dice.below(4) {
            0 => {
                let from = self.dice.index(count);
                let to = (from + 1 + self.dice.index(count - 1)) % count;
                let len = self.dice.index(200);
                let mut bytes = vec![b'e', b'k', 1, 1 + self.dice.bytes::<1>()[0] % 2];
                bytes.extend((0..len).flat_map(|_| self.dice.bytes::<1>()));
                Frame { from, to, bytes }
            }
            kind => {
                if self.recorded.is_empty() {
                    return;
                }
                let at = self.dice.index(self.recorded.len());
                let (from, to) = (self.recorded[at].from, self.recorded[at].to);
                let mut bytes = self.recorded[at].bytes.clone();
                if kind == 1 {
                    self.damage(&mut bytes);
                }
                // Back to its sender, too.
                match kind {
                    2 => Frame {
                        from: to,
                        to: from,
                        bytes,
                    },
                    _ => Frame { from, to, bytes },
                }
            }
        };
        let delay = self.dice.time(Duration::ZERO, ms(5));
        self.post(delay, frame);
    }

    fn deliver(&mut self, frame: Frame) {
        if self.nodes[frame.to].paused {
            self.nodes[frame.to].queue.push(frame);
            return;
        }
        let now = self.now;
        let peer = self.nodes[frame.to].peers.get_mut(&frame.from).unwrap();
        peer.session.handle_datagram(&frame.bytes, now);
        self.obey(frame.to, frame.from);
        self.pump(frame.to, frame.from, false);
        self.obey(frame.to, frame.from);
    }

    /// The next timer or scan of a director that runs: when, whose, and for which peer (`None`: a scan).
    fn next_due(&self) -> Option<(Instant, usize, Option<usize>)> {
        let nodes = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| !node.paused);
        let due = nodes.flat_map(|(index, node)| {
            let timers = node.peers.iter().filter_map(move |(other, peer)| {
                Some((peer.session.poll_timeout()?, index, Some(*other)))
            });
            timers.chain([(node.scan, index, None)])
        });
        due.min()
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let frame = self.frames.first_key_value().map(|((at, _), _)| *at);
            let due = self.next_due();
            let is_frame = match (frame, due) {
                (Some(frame), Some((due, ..))) => frame <= due,
                (frame, _) => frame.is_some(),
            };
            let next = if is_frame {
                frame
            } else {
                due.map(|due| due.0)
            };
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if is_frame {
                let (_, frame) = self.frames.pop_first().unwrap();
                self.deliver(frame);
            } else if let Some((_, node, other)) = due {
                self.act(node, other);
            }
        }
        self.now = end;
    }

    fn act(&mut self, node: usize, other: Option<usize>) {
        let now = self.now;
        if let Some(other) = other {
            self.fired += 1;
            let peer = self.nodes[node].peers.get_mut(&other).unwrap();
            peer.session.handle_timeout(now);
            self.obey(node, other);
            self.pump(node, other, false);
            self.obey(node, other);
            return;
        }
        self.nodes[node].scan = now + SCAN / 2 + self.dice.time(Duration::ZERO, SCAN);
        let old = now.checked_sub(ms(30_000)).unwrap();
        let others: Vec<usize> = self.nodes[node].peers.keys().copied().collect();
        for other in others {
            self.pump(node, other, true);
            self.obey(node, other);
        }
        // After the scan: such changes wait for the next one.
        while self.dice.chance(self.busy) {
            self.change(node);
        }
        for changes in self.nodes[node].changes.values_mut() {
            let past = changes.partition_point(|(at, _)| *at < old);
            changes.drain(..past.saturating_sub(1));
        }
    }

    /// Nothing is wrong any more.
    pub(super) fn heal(&mut self) {
        for path in self.paths.iter_mut().flatten() {
            *path = Path::CLEAN;
        }
        for node in 0..self.nodes.len() {
            self.resume(node);
        }
    }

    /// How each director stands with each other one.
    pub(super) fn views(&self) -> Vec<((usize, usize), View)> {
        let mut views = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for (other, peer) in &node.peers {
                views.push(((index, *other), peer.session.view(self.now)));
            }
        }
        views
    }

    /// After quiet, everybody has what everybody has.
    pub(super) fn check_that_all_agree(&self) {
        let seed = self.seed;
        for ((node, other), view) in self.views() {
            let told = &self.nodes[node].peers[&other].mirror;
            assert_eq!(
                *told, self.nodes[other].table,
                "seed {seed}: {node} of {other}"
            );
            for direction in [view.outgoing, view.incoming] {
                assert_eq!(direction.state, State::InSync, "seed {seed}: {view:?}");
                assert_eq!(direction.outstanding, 0, "seed {seed}: {view:?}");
            }
        }
    }
}
