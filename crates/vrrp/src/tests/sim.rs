//! Directors on one link, with one clock.

use std::collections::BTreeMap;

use evenkeel_testkit::Dice;

use super::*;

/// What one director sends to another goes through this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// Percent of packets that are lost.
    pub(super) loss: u64,
    /// Longest delay; packets may overtake each other.
    pub(super) delay: Duration,
}

impl Path {
    pub(super) const CLEAN: Self = Self {
        loss: 0,
        delay: us(50),
    };
    pub(super) const CUT: Self = Self {
        loss: 100,
        delay: us(50),
    };
}

struct Frame {
    to: usize,
    bytes: Vec<u8>,
}

/// A director, and what the machine's orders made of it.
pub(super) struct Node {
    address: IpAddr,
    pub(super) config: VirtualRouter,
    /// `None`: powered off.
    pub(super) machine: Option<Machine>,
    /// Longest lateness of its timers.
    pub(super) jitter: Duration,
    late: Duration,
    /// Stopped by SIGSTOP; what it receives is queued.
    paused: bool,
    queue: Vec<Vec<u8>>,
    pub(super) link_up: bool,
    gate: GateState,
    claimed: bool,
    pub(super) stopped: bool,
    /// Its shell has nothing to prepare at a handover; else it does so when it is told.
    pub(super) is_prepared: bool,
    /// It would preempt.
    pub(super) wants: bool,
    pub(super) ends: Vec<(Instant, HandoverEnd)>,
    pub(super) sent: u64,
    pub(super) bursts: Vec<Instant>,
    pub(super) notices: Vec<Notice>,
    pub(super) changes: Vec<(Instant, Role, Reason)>,
}

impl Node {
    pub(super) fn role(&self) -> Role {
        self.machine
            .as_ref()
            .map_or(Role::Initialize, |m| m.view().role)
    }

    /// Whether it answers ARP for the addresses.
    pub(super) fn answers(&self) -> bool {
        self.claimed && self.gate == GateState::Open && self.machine.is_some()
    }
}

pub(super) struct Sim {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    paths: Vec<Vec<Path>>,
    frames: BTreeMap<(Instant, u64), Frame>,
    sequence: u64,
    pub(super) dice: Dice,
    /// Since when two directors that run and hear each other are both Active.
    double_since: Option<Instant>,
    pub(super) longest_double: Duration,
    /// Since when nobody answers for the addresses.
    unheld_since: Option<Instant>,
    pub(super) longest_unheld: Duration,
}

impl Sim {
    pub(super) fn new(seed: u64, configs: Vec<VirtualRouter>) -> Self {
        let now = Instant::now();
        let count = configs.len();
        let nodes = configs.into_iter().zip(1..).map(|(config, host)| Node {
            address: IpAddr::from([192, 0, 2, host]),
            config,
            machine: None,
            jitter: Duration::ZERO,
            late: Duration::ZERO,
            paused: false,
            queue: Vec::new(),
            link_up: true,
            gate: GateState::Closed,
            claimed: false,
            stopped: false,
            is_prepared: true,
            wants: false,
            ends: Vec::new(),
            sent: 0,
            bursts: Vec::new(),
            notices: Vec::new(),
            changes: Vec::new(),
        });
        Self {
            now,
            nodes: nodes.collect(),
            paths: vec![vec![Path::CLEAN; count]; count],
            frames: BTreeMap::new(),
            sequence: 0,
            dice: Dice::new(seed),
            double_since: None,
            longest_double: Duration::ZERO,
            unheld_since: None,
            longest_unheld: Duration::ZERO,
        }
    }

    /// All nodes are on, may take over, and have settled.
    pub(super) fn settled(seed: u64, configs: Vec<VirtualRouter>) -> Self {
        let mut sim = Self::new(seed, configs);
        for node in 0..sim.nodes.len() {
            sim.power_on(node);
            sim.may_take_over(node);
        }
        sim.run(sim.bound());
        sim.longest_unheld = Duration::ZERO;
        for node in &mut sim.nodes {
            node.changes.clear();
            node.bursts.clear();
        }
        sim
    }

    /// The longest master-down interval.
    pub(super) fn master_down(&self) -> Duration {
        let of = |node: &Node| {
            let skew = match node.config.version {
                VrrpVersion::V2 => ms(1_000),
                VrrpVersion::V3 => node.config.advert_interval,
            };
            node.config.advert_interval * 3 + skew
        };
        self.nodes.iter().map(of).max().unwrap()
    }

    /// Time within which one is Active once nothing goes wrong any more: a master-down interval for the
    /// takeover, one more interval for whatever was on its way.
    pub(super) fn bound(&self) -> Duration {
        self.master_down() + self.nodes[0].config.advert_interval + ms(2)
    }

    pub(super) fn power_on(&mut self, node: usize) {
        let now = self.now;
        let it = &mut self.nodes[node];
        let start = match it.link_up {
            true => Start::Backup,
            false => Start::LinkDown,
        };
        let config = it.config.clone();
        it.machine = Some(Machine::new(config, it.address, start, now));
        (it.gate, it.claimed) = (GateState::Draining, false);
        (it.stopped, it.paused) = (false, false);
        it.queue.clear();
        self.obey(node);
    }

    pub(super) fn power_off(&mut self, node: usize) {
        self.nodes[node].machine = None;
        self.measure();
    }

    pub(super) fn pause(&mut self, node: usize) {
        self.nodes[node].paused = true;
        self.measure();
    }

    /// Continues: the queue comes before the timers.
    pub(super) fn resume(&mut self, node: usize) {
        self.nodes[node].paused = false;
        for bytes in std::mem::take(&mut self.nodes[node].queue) {
            self.deliver(node, &bytes);
        }
        self.with(node, Machine::handle_timeout);
    }

    pub(super) fn may_take_over(&mut self, node: usize) {
        self.with(node, Machine::may_take_over);
    }

    pub(super) fn shut_down(&mut self, node: usize) {
        self.with(node, Machine::shut_down);
    }

    pub(super) fn order(&mut self, node: usize, order: Order) {
        self.with(node, |machine, now| machine.order(order, now));
    }

    /// What it waits for at a handover is there.
    pub(super) fn prepare(&mut self, node: usize) {
        self.nodes[node].is_prepared = true;
        self.with(node, Machine::prepared);
    }

    pub(super) fn wait_for_sync(&mut self, node: usize, wait: bool) {
        self.with(node, |machine, now| machine.wait_for_sync(wait, now));
    }

    pub(super) fn stance(&self, node: usize) -> Stance {
        let machine = self.nodes[node].machine.as_ref();
        machine.map_or(Stance::Ordinary, |machine| machine.view().stance)
    }

    pub(super) fn set_link(&mut self, node: usize, up: bool) {
        self.nodes[node].link_up = up;
        self.with(node, |machine, now| machine.handle_link(up, now));
    }

    pub(super) fn set_path(&mut self, from: usize, to: usize, path: Path) {
        self.paths[from][to] = path;
        self.measure();
    }

    /// Nothing is wrong any more, and nothing old is on its way.
    pub(super) fn clean(&mut self) {
        self.frames.clear();
        for path in self.paths.iter_mut().flatten() {
            *path = Path::CLEAN;
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].jitter = Duration::ZERO;
            if self.nodes[node].paused {
                self.resume(node);
            }
            if !self.nodes[node].link_up {
                self.set_link(node, true);
            }
            self.may_take_over(node);
            self.prepare(node);
        }
        self.measure();
    }

    fn with(&mut self, node: usize, act: impl FnOnce(&mut Machine, Instant)) {
        let now = self.now;
        if let Some(machine) = &mut self.nodes[node].machine {
            act(machine, now);
            self.obey(node);
        }
    }

    fn deliver(&mut self, node: usize, bytes: &[u8]) {
        let octets = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap());
        let packet = Packet {
            source: octets(ipv4::SOURCE),
            destination: octets(ipv4::DESTINATION),
            ttl: bytes[ipv4::TTL],
            payload: &bytes[ipv4::MIN_LEN..],
        };
        self.with(node, |machine, now| machine.handle_packet(&packet, now));
    }

    fn obey(&mut self, node: usize) {
        loop {
            let it = &mut self.nodes[node];
            let machine = it.machine.as_mut().unwrap();
            let Some(output) = machine.poll_output() else {
                break;
            };
            match output {
                Output::SendAdvert { priority } => self.send(node, priority),
                Output::SetGate(gate) => it.gate = gate,
                Output::ClaimAddresses => it.claimed = true,
                Output::ReleaseAddresses => it.claimed = false,
                Output::Announce { .. } => it.bursts.push(self.now),
                Output::StateChanged { to, reason, .. } => {
                    it.changes.push((self.now, to, reason));
                }
                Output::PrepareHandover if it.is_prepared => machine.prepared(self.now),
                Output::PrepareHandover => {}
                Output::Wants(wants) => it.wants = wants,
                Output::HandoverEnded(end) => it.ends.push((self.now, end)),
                Output::Noticed(notice) => it.notices.push(notice),
                Output::Stopped => it.stopped = true,
            }
        }
        let it = &mut self.nodes[node];
        it.late = self.dice.time(Duration::ZERO, it.jitter);
        self.measure();
    }

    fn send(&mut self, node: usize, priority: u8) {
        let it = &mut self.nodes[node];
        it.sent += 1;
        if !it.link_up {
            return;
        }
        let machine = it.machine.as_ref().unwrap();
        let peers = &machine.config().peers;
        let destinations = match peers.is_empty() {
            true => vec![GROUP],
            false => peers.clone(),
        };
        let mut packets = Vec::new();
        for destination in destinations {
            let mut bytes = vec![0; vrrp::PACKET_LEN_MAX];
            let len = machine.write_advert(priority, destination, &mut bytes);
            bytes.truncate(len.unwrap());
            packets.push((destination, bytes));
        }
        for (destination, bytes) in packets {
            for to in (0..self.nodes.len()).filter(|to| *to != node) {
                let path = self.paths[node][to];
                let is_for = destination == GROUP || destination == self.nodes[to].address;
                if is_for && !self.dice.chance(path.loss) {
                    let at = self.now + us(1) + self.dice.time(Duration::ZERO, path.delay);
                    self.sequence += 1;
                    let bytes = bytes.clone();
                    self.frames.insert((at, self.sequence), Frame { to, bytes });
                }
            }
        }
    }

    fn next_due(&self) -> Option<(Instant, usize)> {
        let nodes = self.nodes.iter().enumerate();
        let due = nodes
            .filter(|(_, node)| !node.paused)
            .filter_map(|(index, node)| {
                let due = node.machine.as_ref()?.poll_timeout()?;
                Some((due + node.late, index))
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
                (Some(frame), Some((due, _))) => frame <= due,
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
                let (_, Frame { to, bytes }) = self.frames.pop_first().unwrap();
                match &mut self.nodes[to] {
                    node if node.machine.is_none() || !node.link_up => {}
                    node if node.paused => node.queue.push(bytes),
                    _ => self.deliver(to, &bytes),
                }
            } else if let Some((_, node)) = due {
                self.with(node, Machine::handle_timeout);
            }
        }
        self.now = end;
        self.measure();
    }

    /// Looks for directors that are Active together though they hear each other, and for none at all.
    fn measure(&mut self) {
        let active = |node: usize| {
            let it = &self.nodes[node];
            it.answers() && !it.paused && it.link_up
        };
        let hears = |a: usize, b: usize| self.paths[a][b].loss == 0;
        let count = self.nodes.len();
        let mut pairs = (0..count).flat_map(|a| (0..a).map(move |b| (a, b)));
        let double = pairs.any(|(a, b)| active(a) && active(b) && hears(a, b) && hears(b, a));
        let unheld = !self.nodes.iter().any(|node| node.answers() && node.link_up);
        let now = self.now;
        track(
            &mut self.double_since,
            &mut self.longest_double,
            double,
            now,
        );
        track(
            &mut self.unheld_since,
            &mut self.longest_unheld,
            unheld,
            now,
        );
    }

    pub(super) fn active(&self) -> Vec<usize> {
        let nodes = self.nodes.iter().enumerate();
        let active = nodes.filter(|(_, node)| node.role() == Role::Active);
        active.map(|(index, _)| index).collect()
    }

    /// The highest priority of those that run and take over; whoever has it is Active where everybody
    /// preempts.
    pub(super) fn best(&self) -> Option<Priority> {
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        let views = machines.map(Machine::view);
        let running = views.filter(|view| !view.stopping && view.stance != Stance::Maintenance);
        running.map(|view| view.priority_in_force).max()
    }

    /// Whether somebody has handed over by order, and does not preempt since.
    pub(super) fn any_handed_over(&self) -> bool {
        let nodes = 0..self.nodes.len();
        nodes
            .into_iter()
            .any(|node| self.stance(node) == Stance::HandedOver)
    }
}

fn track(since: &mut Option<Instant>, longest: &mut Duration, lasts: bool, now: Instant) {
    if let Some(since) = *since {
        *longest = (*longest).max(now - since);
    }
    match lasts {
        true => *since = since.or(Some(now)),
        false => *since = None,
    }
}
