//! A director: a host and perhaps a daemon.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use evenkeel_model::Role;

use crate::Time;
use crate::clock::Clock;
use crate::daemon::{Daemon, Input};
use crate::host::{Host, Received};
use crate::network::Frame;
use crate::node::Node;
use crate::plane::Plane;
use crate::server::Server;
use crate::settings::Settings;
use evenkeel_testkit::Dice;

/// Frames that a virtual machine's interface holds while it stands still.
const RING: usize = 256;

/// A director.
pub struct Director {
    /// Its host.
    pub host: Host,
    /// Its daemon, if one runs.
    pub daemon: Option<Daemon>,
    /// Whether it has power.
    pub on: bool,
    /// Whether its virtual machine stands still.
    pub frozen: bool,
    /// Whether a daemon is to run: one that ends is followed by another.
    pub wanted: bool,
    /// Number of its daemon, so that what was meant for an earlier one is told apart.
    pub run: u64,
    /// Frames that came while it stood still.
    pub waiting: VecDeque<Frame>,
    /// When the event loop looks at what waits.
    loop_at: Option<Time>,
}

impl Director {
    /// One without power.
    #[must_use]
    pub fn new(number: usize, origin: Instant, dice: &mut Dice) -> Self {
        let node = Node::Director(number);
        Self {
            host: Host {
                node,
                now: Time::ZERO,
                clock: Clock::new(origin),
                boot: 0,
                link_up: true,
                plane: new_plane(node, dice),
                addresses: Default::default(),
                released: Default::default(),
                longest_way: 0,
                serves: Default::default(),
                server: Server::new(node),
                drains: Duration::ZERO,
                watched: Default::default(),
                socket: VecDeque::new(),
                out: Vec::new(),
                wrongs: Vec::new(),
            },
            daemon: None,
            on: false,
            frozen: false,
            wanted: false,
            run: 0,
            waiting: VecDeque::new(),
            loop_at: None,
        }
    }

    /// Whether it does anything.
    #[must_use]
    pub const fn runs(&self) -> bool {
        self.on && !self.frozen
    }

    /// Whether its daemon takes part in virtual routers just now.
    #[must_use]
    pub fn speaks(&self) -> bool {
        let daemon = self.daemon.as_ref().filter(|_| self.runs());
        daemon.is_some_and(|daemon| !daemon.paused)
    }

    /// Whether its daemon takes part in all virtual routers and has completed its first checks.
    #[must_use]
    pub fn may_take_over(&self) -> bool {
        let daemon = self.daemon.as_ref().filter(|_| self.speaks());
        daemon.is_some_and(|daemon| {
            let mut views = daemon.seats.iter().map(|seat| seat.machine().view());
            !daemon.seats.is_empty() && views.all(|view| view.may_take_over && !view.stopping)
        })
    }

    /// Its roles, in the order in which its virtual routers were configured.
    #[must_use]
    pub fn roles(&self) -> Vec<(u8, Role)> {
        let seats = self.daemon.iter().flat_map(|daemon| &daemon.seats);
        seats
            .map(|seat| (seat.config().id.get(), seat.machine().view().role))
            .collect()
    }

    /// Gives it power: nothing is left of before.
    pub fn boot(&mut self, link_up: bool, dice: &mut Dice) {
        self.on = true;
        self.host.boot += 1;
        self.host.link_up = link_up;
        self.host.plane = new_plane(self.host.node, dice);
    }

    /// Takes its power away.
    pub fn power_off(&mut self) {
        self.kill();
        self.on = false;
        self.frozen = false;
        self.waiting.clear();
        self.host.addresses.clear();
        self.host.released.clear();
        self.host.server.power(true);
        self.host.watched.clear();
    }

    /// Starts a daemon, if one is wanted, none runs and one can.
    pub fn start(&mut self, settings: &Settings, now: Time) -> bool {
        let can = self.wanted && self.runs() && self.daemon.is_none();
        if can {
            let Node::Director(number) = self.host.node else {
                return false;
            };
            self.run += 1;
            self.host.tick(now);
            let local = self.host.clock.now(now);
            let config = settings.director(number);
            self.host.serves = settings.served_by_directors().collect();
            // A master-down interval is this and a skew; clocks may be a bit fast.
            self.host.drains = settings.interval * 59 / 20;
            self.daemon = Some(Daemon::start(config, self.run, &mut self.host, local));
        }
        can
    }

    /// Ends its daemon at once.
    pub fn kill(&mut self) {
        self.daemon = None;
        self.loop_at = None;
        self.host.socket.clear();
        self.host.watched.clear();
    }

    /// Takes a frame from the link.
    pub fn receive(&mut self, frame: Frame, now: Time) {
        if !self.on || !self.host.link_up {
            return;
        }
        if self.frozen {
            if self.waiting.len() < RING {
                self.waiting.push_back(frame);
            }
            return;
        }
        let Some(received) = self.host.receive(&frame, now) else {
            return;
        };
        let local = self.host.clock.now(now);
        match &mut self.daemon {
            Some(daemon) => daemon.receive(received, &mut self.host, local),
            None => debug_assert!(!matches!(received, Received::Neighbour(..))),
        }
    }

    /// Gives an input to the event loop.
    pub fn input(&mut self, input: Input) {
        if let Some(daemon) = &mut self.daemon {
            daemon.inputs.push_back(input);
        }
    }

    /// The kernel's and the event loop's periodic work.
    pub fn every_second(&mut self, now: Time) {
        if self.runs() {
            self.host.tick(now);
            self.host.resolve();
            let busy = self.daemon.as_ref().is_none_or(|d| d.busy_until > now);
            if self.speaks() && !busy {
                self.host.plane.sweep();
            }
        }
    }

    /// Does what is due.
    pub fn turn(&mut self, now: Time) {
        if !self.speaks() {
            return;
        }
        self.host.tick(now);
        let local = self.host.clock.now(now);
        let Some(daemon) = &mut self.daemon else {
            return;
        };
        daemon.turn(&mut self.host, local);
        let due = daemon.is_late(local) || self.loop_at.is_some_and(|at| at <= now);
        if daemon.busy_until <= now && due {
            self.loop_at = None;
            daemon.turn_loop(&mut self.host, local);
        }
        if daemon.has_ended(local) {
            self.kill();
        }
    }

    /// When it has something to do by itself.
    pub fn due(&mut self, dice: &mut Dice, now: Time) -> Option<Time> {
        if !self.speaks() {
            return None;
        }
        let daemon = self.daemon.as_ref()?;
        if daemon.is_called() && self.loop_at.is_none() {
            let least = Duration::from_micros(20);
            self.loop_at = Some(now + dice.time(least, Duration::from_micros(600)));
        }
        let busy = daemon.busy_until > now;
        let timer = daemon.due(!busy).map(|due| self.host.clock.when(due, now));
        let looks = if busy {
            Some(daemon.busy_until)
        } else {
            self.loop_at
        };
        timer.into_iter().chain(looks).min()
    }
}

fn new_plane(node: Node, dice: &mut Dice) -> Plane {
    let first = u32::try_from(dice.below(16)).expect("a small number");
    Plane::new(node, dice.below(u64::MAX), first)
}
