//! Faults: how they begin, how they end, and what a cluster is told to do.

use std::time::Duration;

use super::{Happening, World, ms};
use crate::daemon::Input;
use crate::fault::{Fault, Planned};
use crate::node::Node;
use crate::settings::Edit;
use evenkeel_vrrp::Order;

impl World {
    /// Plans faults.
    pub fn plan(&mut self, plan: Vec<Planned>) {
        for planned in plan {
            let number = self.faults.len();
            self.schedule(planned.at, Happening::Begin(number));
            self.schedule(planned.at + planned.lasts, Happening::End(number));
            self.faults.push(planned);
        }
    }

    /// Has something go wrong for a while from now on.
    pub fn suffer(&mut self, fault: Fault, lasts: Duration) {
        let at = self.now;
        self.plan(vec![Planned { at, lasts, fault }]);
        self.run(Duration::ZERO);
    }

    /// Everything that went wrong is over, and what is off is started.
    pub fn heal(&mut self) {
        self.say(|| "everything heals".to_owned());
        self.lasting.clear();
        self.disturbed = self.now;
        for fault in 0..self.faults.len() {
            self.network.lift(fault);
        }
        for director in 0..self.directors.len() {
            self.plug(Node::Director(director), true);
            self.thaw(director);
            self.resume(director);
            if let Some(daemon) = &mut self.directors[director].daemon {
                daemon.busy_until = self.now;
            }
            self.directors[director].host.clock.drift(0, self.now);
            self.power_on(director);
            self.order(director, Order::Resume);
        }
        for server in 0..self.servers.len() {
            self.plug(Node::Server(server), true);
            self.servers[server].ill = false;
            if !self.servers[server].on {
                self.servers[server].power(true);
            }
        }
        self.run(Duration::ZERO);
    }

    /// Boots a director where it is off, and starts its daemon where none runs.
    pub fn power_on(&mut self, director: usize) {
        let link_up = self.network.is_up(Node::Director(director));
        if !self.directors[director].on {
            self.directors[director].boot(link_up, &mut self.dice);
        }
        self.start(director);
    }

    /// A daemon is to run from now on.
    fn start(&mut self, director: usize) {
        self.directors[director].wanted = true;
        self.touched(director);
    }

    pub(super) fn begin(&mut self, number: usize, fault: &Fault) {
        let lasts = self.faults[number].lasts;
        match fault {
            Fault::Rules(rules) => self.network.lay(number, rules),
            Fault::Unplug(node) => self.plug(*node, false),
            Fault::Pause(director) => {
                if let Some(daemon) = &mut self.directors[*director].daemon {
                    daemon.paused = true;
                }
                self.touched(*director);
            }
            Fault::Busy(director) => {
                if let Some(daemon) = &mut self.directors[*director].daemon {
                    daemon.busy_until = self.now + lasts;
                }
                self.touched(*director);
            }
            Fault::Freeze(director) => {
                self.directors[*director].frozen = self.directors[*director].on;
                self.touched(*director);
            }
            Fault::Kill(director) => {
                if !self.directors[*director].frozen {
                    self.directors[*director].kill();
                    self.directors[*director].wanted = false;
                }
                self.touched(*director);
            }
            Fault::Stop(director) => self.stop(*director),
            Fault::PowerOff(director) => {
                self.directors[*director].power_off();
                self.touched(*director);
            }
            Fault::ServerOff(server) => self.servers[*server].power(false),
            Fault::ServerIll(server) => self.servers[*server].ill = true,
            Fault::Drift(director, millionths) => {
                let clock = &mut self.directors[*director].host.clock;
                clock.drift(*millionths, self.now);
                self.touched(*director);
            }
            Fault::TakeAddresses(director) => {
                let host = &mut self.directors[*director].host;
                for address in std::mem::take(&mut host.addresses) {
                    self.directors[*director].input(Input::AddressLost(address));
                }
                self.touched(*director);
            }
            Fault::Configure(edit) => self.configure(edit),
            Fault::HandOver(director) => {
                self.order(*director, Order::HandOver { patience: None });
            }
            Fault::StandBy(director) => {
                self.order(*director, Order::StandBy { patience: None });
            }
        }
    }

    pub(super) fn end(&mut self, number: usize, fault: &Fault) {
        match fault {
            Fault::Rules(_) => self.network.lift(number),
            Fault::Unplug(node) => self.plug(*node, true),
            Fault::Pause(director) => self.resume(*director),
            Fault::Freeze(director) => self.thaw(*director),
            Fault::Kill(director) | Fault::Stop(director) => self.start(*director),
            Fault::PowerOff(director) => self.power_on(*director),
            Fault::ServerOff(server) => {
                if !self.servers[*server].on {
                    self.servers[*server].power(true);
                }
            }
            Fault::ServerIll(server) => self.servers[*server].ill = false,
            Fault::Drift(director, _) => {
                self.directors[*director].host.clock.drift(0, self.now);
                self.touched(*director);
            }
            Fault::StandBy(director) => self.order(*director, Order::Resume),
            Fault::Busy(_) | Fault::TakeAddresses(_) | Fault::Configure(_) | Fault::HandOver(_) => {
            }
        }
    }

    /// Changes the configuration; each director reads it at a time of its own.
    pub fn configure(&mut self, edit: &Edit) {
        self.settings.edit(edit);
        for director in 0..self.directors.len() {
            let at = self.now + self.dice.time(ms(0), ms(400));
            let run = self.directors[director].run;
            self.schedule(at, Happening::Reload(director, run));
        }
    }

    fn plug(&mut self, node: Node, up: bool) {
        self.network.plug(node, up);
        if let Node::Director(director) = node
            && self.directors[director].host.link_up != up
        {
            self.directors[director].host.link_up = up;
            self.directors[director].input(Input::Link(up));
            self.touched(director);
        }
    }

    /// An operator orders something of a director.
    fn order(&mut self, director: usize, order: Order) {
        self.directors[director].input(Input::Order(order));
        self.touched(director);
    }

    fn stop(&mut self, director: usize) {
        let it = &mut self.directors[director];
        if it.speaks()
            && let Some(daemon) = &mut it.daemon
        {
            it.host.tick(self.now);
            let local = it.host.clock.now(self.now);
            daemon.stop(&mut it.host, local);
            it.wanted = false;
        }
        self.touched(director);
    }

    fn resume(&mut self, director: usize) {
        if let Some(daemon) = &mut self.directors[director].daemon {
            daemon.paused = false;
        }
        self.directors[director].turn(self.now);
        self.touched(director);
    }

    fn thaw(&mut self, director: usize) {
        let it = &mut self.directors[director];
        it.frozen = false;
        for frame in std::mem::take(&mut it.waiting) {
            self.arrive(Node::Director(director), frame);
        }
        self.directors[director].turn(self.now);
        self.touched(director);
    }
}
