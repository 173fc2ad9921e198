//! The cluster, its clients and the link, and what happens next.

mod faults;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evenkeel_model::Role;
use evenkeel_wire::tcp;

use crate::Time;
use crate::client::Client;
use crate::daemon::{INPUTS_MAX, Input, Later};
use crate::director::Director;
use crate::fault::Planned;
use crate::frame::{Arp, Segment};
use crate::network::{Frame, Network};
use crate::node::Node;
use crate::server::Server;
use crate::settings::Settings;
use crate::watch::{Forwarded, Watch};
use evenkeel_testkit::Dice;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Frames on their way and other things to come: a loop would exceed this at once.
const QUEUE_MAX: usize = 4000;

/// What happened last, for a failure's report.
pub type Trace = Rc<RefCell<Vec<String>>>;

/// Something to come.
#[derive(Debug)]
enum Happening {
    Arrive(Node, Frame),
    /// An input for the daemon of this run.
    Input(usize, u64, Input),
    /// The daemon of this run reads its file again.
    Reload(usize, u64),
    Second(usize),
    Act(usize),
    Begin(usize),
    End(usize),
}

/// Everything.
pub struct World {
    /// The true time.
    pub now: Time,
    /// All chance.
    pub dice: Dice,
    /// How the directors are configured.
    pub settings: Settings,
    /// Directors.
    pub directors: Vec<Director>,
    /// Real servers.
    pub servers: Vec<Server>,
    /// Clients.
    pub clients: Vec<Client>,
    /// The link.
    pub network: Network,
    /// Looks on.
    pub watch: Watch,
    faults: Vec<Planned>,
    /// Numbers of the faults that last.
    lasting: BTreeSet<usize>,
    /// When everything was last disturbed.
    disturbed: Time,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    /// When each director has something to do.
    due: Vec<Option<Time>>,
    trace: Option<Trace>,
    /// Roles as last told.
    roles: Vec<Vec<(u8, Role)>>,
    /// Something has happened to a director or the link.
    unchecked: bool,
}

impl World {
    /// A cluster without power, and two clients.
    #[must_use]
    pub fn new(settings: Settings, mut dice: Dice, trace: Option<Trace>) -> Self {
        let origin = Instant::now();
        let directors: Vec<Director> = (0..settings.directors)
            .map(|number| Director::new(number, origin, &mut dice))
            .collect();
        let servers: Vec<Server> = (0..settings.servers)
            .map(|number| Server::new(Node::Server(number)))
            .collect();
        let clients = vec![Client::new(0), Client::new(1)];
        let mut nodes: Vec<Node> = directors.iter().map(|d| d.host.node).collect();
        nodes.extend(servers.iter().map(|s| s.node));
        nodes.extend(clients.iter().map(|c| c.node));
        let mut world = Self {
            now: Time::ZERO,
            dice,
            due: vec![None; directors.len()],
            roles: vec![Vec::new(); directors.len()],
            directors,
            servers,
            clients,
            network: Network::new(nodes),
            watch: Watch::default(),
            faults: Vec::new(),
            lasting: BTreeSet::new(),
            disturbed: Time::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            settings,
            trace,
            unchecked: false,
        };
        for client in 0..world.clients.len() {
            let at = world.dice.time(ms(0), ms(40));
            world.schedule(at, Happening::Act(client));
        }
        for director in 0..world.directors.len() {
            let at = world.dice.time(ms(0), ms(1000));
            world.schedule(at, Happening::Second(director));
        }
        world
    }

    /// The same with all directors on, until they have settled.
    #[must_use]
    pub fn settled(settings: Settings, seed: u64, trace: Option<Trace>) -> Self {
        let mut world = Self::new(settings, Dice::new(seed), trace);
        for director in 0..world.directors.len() {
            world.power_on(director);
        }
        world.run(ms(4000));
        world.watch.longest_unheld = Duration::ZERO;
        world
    }

    /// Lets time pass.
    ///
    /// # Panics
    /// If something does not hold.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let coming = self.queue.first_key_value().map(|((at, _), _)| *at);
            let due = self.due.iter().enumerate();
            let due = due.filter_map(|(d, at)| Some(((*at)?, d))).min();
            let first = coming.into_iter().chain(due.map(|(at, _)| at)).min();
            let Some(at) = first.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            match due.filter(|(due, _)| *due == at) {
                Some((_, director)) => {
                    self.directors[director].turn(self.now);
                    self.touched(director);
                }
                None => {
                    if let Some((_, happening)) = self.queue.pop_first() {
                        self.happen(happening);
                    }
                }
            }
            self.check();
        }
        self.now = end;
    }

    fn say(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let line = format!("{:>10.6} {}", self.now.as_secs_f64(), line());
            trace.borrow_mut().push(line);
        }
    }

    /// Tells of a director's roles if they are others than before.
    fn say_roles(&mut self, director: usize) {
        if self.trace.is_some() {
            let roles = self.directors[director].roles();
            if self.roles[director] != roles {
                self.say(|| format!("director {director}: {roles:?}"));
                self.roles[director] = roles;
            }
        }
    }

    fn schedule(&mut self, at: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive(to, frame) => self.arrive(to, frame),
            Happening::Input(director, run, input) => {
                if self.directors[director].run == run {
                    self.directors[director].input(input);
                    self.touched(director);
                }
            }
            Happening::Reload(director, run) => {
                if self.directors[director].run == run {
                    let config = Box::new(self.settings.director(director));
                    self.directors[director].input(Input::Configure(config));
                    self.touched(director);
                }
            }
            Happening::Second(director) => {
                self.directors[director].every_second(self.now);
                self.touched(director);
                self.schedule(self.now + ms(1000), Happening::Second(director));
            }
            Happening::Act(client) => {
                let services: Vec<SocketAddrV4> =
                    self.settings.present().map(|s| s.address).collect();
                self.clients[client].act(&services, &mut self.dice, self.now);
                self.client_acted(client);
                let next = self.now + self.dice.time(ms(15), ms(45));
                self.schedule(next, Happening::Act(client));
            }
            Happening::Begin(number) => {
                self.lasting.insert(number);
                self.unchecked = true;
                let planned = self.faults[number].clone();
                self.say(|| format!("begins: {planned}"));
                self.begin(number, &planned.fault);
            }
            Happening::End(number) => {
                self.lasting.remove(&number);
                self.disturbed = self.now;
                self.unchecked = true;
                let planned = self.faults[number].clone();
                self.say(|| format!("is over: {planned}"));
                self.end(number, &planned.fault);
            }
        }
    }

    fn arrive(&mut self, to: Node, frame: Frame) {
        if !self.network.is_up(to) {
            return;
        }
        match to {
            Node::Director(director) => {
                self.directors[director].receive(frame, self.now);
                self.touched(director);
            }
            Node::Server(server) => {
                if is_for(&frame.bytes, to) && self.servers[server].on {
                    self.arrive_at_server(server, &frame.bytes);
                }
            }
            Node::Client(client) => {
                if is_for(&frame.bytes, to) {
                    let it = &mut self.clients[client];
                    if let Some(arp) = Arp::parse(&frame.bytes) {
                        it.arp(&arp, self.now);
                    } else if let Some(segment) = Segment::parse(&frame.bytes) {
                        it.receive(&segment, &mut self.dice, self.now);
                    }
                    self.client_acted(client);
                }
            }
        }
    }

    fn arrive_at_server(&mut self, number: usize, bytes: &[u8]) {
        let server = &mut self.servers[number];
        if let Some(arp) = Arp::parse(bytes) {
            if let Some(reply) = server.arp(&arp) {
                self.send(Node::Server(number), Frame::new(reply));
            }
            return;
        }
        let Some(segment) = Segment::parse(bytes) else {
            return;
        };
        let answer = server.receive(&segment);
        if !segment.has(tcp::SYN) && server.knows(segment.from, segment.to) {
            self.watch.established(segment.from, server);
        }
        let from = server.node;
        if let Some(answer) = answer
            && let Some(to) = Node::of_address(*answer.to.ip())
        {
            self.send(from, Frame::new(answer.frame(from.mac(), to.mac())));
        }
    }

    fn client_acted(&mut self, client: usize) {
        for bytes in self.clients[client].take_out() {
            self.send(Node::Client(client), Frame::new(bytes));
        }
    }

    fn send(&mut self, from: Node, frame: Frame) {
        for arrival in self.network.send(self.now, from, &frame, &mut self.dice) {
            if arrival.corrupt {
                for bytes in [&frame.bytes, &arrival.frame.bytes] {
                    if let Some(segment) = Segment::peek(bytes) {
                        self.watch.taint(segment.from);
                    }
                }
            }
            self.schedule(arrival.at, Happening::Arrive(arrival.to, arrival.frame));
        }
    }

    /// Something may have happened to a director: sends what it sends, and finds out when it acts next.
    fn touched(&mut self, director: usize) {
        self.unchecked = true;
        if self.directors[director].start(&self.settings, self.now) {
            self.say(|| format!("director {director}: a daemon starts"));
        }
        self.say_roles(director);
        let node = Node::Director(director);
        let frames = std::mem::take(&mut self.directors[director].host.out);
        for frame in frames {
            if frame.via.is_some() {
                self.look_at(&frame);
            }
            self.send(node, frame);
        }
        let it = &mut self.directors[director];
        let later = it.daemon.as_mut().map(|d| std::mem::take(&mut d.later));
        let run = it.run;
        for Later::Input(after, input) in later.into_iter().flatten() {
            self.schedule(self.now + after, Happening::Input(director, run, input));
        }
        self.due[director] = self.directors[director].due(&mut self.dice, self.now);
    }

    /// A director sends a frame on.
    fn look_at(&mut self, frame: &Frame) {
        let Some(segment) = Segment::peek(&frame.bytes) else {
            return;
        };
        if frame.hops > 1 {
            // Two directors forward, and one is a real server of the other: tables may say either.
            self.watch.taint(segment.from);
        }
        let to = frame.bytes.get(..6).and_then(|mac| mac.try_into().ok());
        let Some(Node::Server(to)) = to.and_then(Node::of_mac) else {
            return;
        };
        let mut services = self.settings.services.iter();
        let service = services.find(|service| service.address == segment.to);
        let client = Node::of_address(*segment.from.ip());
        let (Some(service), Some(Node::Client(client)), Some(via)) = (service, client, frame.via)
        else {
            return;
        };
        let port = segment.from.port();
        let client = self.clients.get(client);
        let forwarded = Forwarded {
            service,
            client: segment.from,
            via,
            to,
            is_syn: segment.has(tcp::SYN),
            closing: client.is_none_or(|client| client.closing.contains(&port)),
        };
        let looked = self
            .watch
            .forwarded(&forwarded, &self.directors, &self.servers, self.now);
        if let Err(wrong) = looked {
            self.fail(&wrong);
        }
    }

    fn check(&mut self) {
        assert!(self.queue.len() < QUEUE_MAX, "too much is on its way");
        if !std::mem::take(&mut self.unchecked) {
            return;
        }
        let wrong = self.directors.iter_mut().find_map(|d| d.host.wrongs.pop());
        if let Some(wrong) = wrong {
            self.fail(&wrong);
        }
        if self.settings.sync.is_some() {
            let looked = self
                .watch
                .look_at_tables(&self.settings, &self.directors, self.now);
            if let Err(wrong) = looked {
                self.fail(&wrong);
            }
        }
        for director in &mut self.directors {
            director.host.plane.check();
            let waiting = director.daemon.as_ref().map_or(0, |d| d.inputs.len());
            assert!(waiting < INPUTS_MAX, "the event loop has {waiting} inputs");
        }
        let calm = self.lasting.is_empty() && self.directors.iter().all(Director::may_take_over);
        if !calm {
            self.disturbed = self.now;
        }
        let calm = self.now - self.disturbed;
        let looked = self
            .watch
            .look_at_calm(&self.settings, &self.directors, calm, self.now);
        if let Err(wrong) = looked {
            self.fail(&wrong);
        }
        let looked = self
            .watch
            .look(&self.settings, &self.directors, &self.network, self.now);
        if let Err(wrong) = looked {
            self.fail(&wrong);
        }
    }

    /// Ends a run for what must not be.
    ///
    /// # Panics
    /// Always.
    pub fn fail(&self, wrong: &str) -> ! {
        panic!("at {:?}: {wrong}", self.now)
    }
}

/// Whether an interface takes a frame.
fn is_for(bytes: &[u8], node: Node) -> bool {
    bytes
        .get(..6)
        .is_some_and(|mac| mac == node.mac() || mac[0] & 1 != 0)
}
