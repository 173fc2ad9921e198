//! A director's daemon: the cores, and between them what the real daemon's event loop and VRRP thread do.
//!
//! The VRRP thread acts at once; its news, results of probes and what the kernel tells go to the event loop,
//! which may be busy.

mod sync;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use evenkeel_control::mirror::Mirror;
use evenkeel_control::{Command, Control, Event};
use evenkeel_health::TargetId;
use evenkeel_model::{
    Director, MacAddress, Overlay, VirtualRouter, VirtualRouterId, VirtualService,
};
use evenkeel_vrrp::{Order, PREPARATION_MAX, Packet};
use evenkeel_wire::{ipv4, tcp, vrrp};

use crate::Time;
use crate::frame::{Segment, address_at, ip_header};
use crate::host::{Host, Received};
use crate::node::Node;
use crate::seat::{News, Seat, give_up, v4};

/// News and results that may wait for the event loop, in all.
pub const INPUTS_MAX: usize = 512;

/// What giving up the roles may take longer than the protocol's own times.
const STOP_SLACK: Duration = Duration::from_secs(2);

/// What the event loop takes in.
#[derive(Clone, Debug)]
pub enum Input {
    /// The VRRP thread tells.
    News(News),
    /// A check is complete.
    Event(Event),
    /// The interface is up or down.
    Link(bool),
    /// Somebody removed an address.
    AddressLost(Ipv4Addr),
    /// There is another configuration.
    Configure(Box<Director>),
    /// A probe has taken too long.
    Overdue(u16),
    /// An operator orders something of all virtual routers.
    Order(Order),
}

/// What is to be scheduled.
#[derive(Debug)]
pub enum Later {
    /// An input of the event loop, after so long.
    Input(Duration, Input),
}

/// A probe that waits for an answer.
#[derive(Debug)]
struct Probe {
    target: TargetId,
    attempt: u64,
}

/// A daemon.
pub struct Daemon {
    /// The director's brain.
    pub control: Control,
    /// The VRRP thread.
    pub seats: Vec<Seat>,
    configured: BTreeMap<VirtualRouterId, VirtualRouter>,
    /// Whether the VRRP thread runs.
    runs: bool,
    /// Stopped by SIGSTOP.
    pub paused: bool,
    /// The event loop is busy until then.
    pub busy_until: Time,
    /// What waits for it.
    pub inputs: VecDeque<Input>,
    /// Told to end, and when it ends at the latest.
    ends_by: Option<Instant>,
    /// Connection sync, if it is configured.
    pub mirror: Option<Mirror>,
    /// Datagrams of it in its socket.
    pub datagrams: VecDeque<(SocketAddrV4, Vec<u8>)>,
    probes: BTreeMap<u16, Probe>,
    next_port: u16,
    /// What is to be scheduled.
    pub later: Vec<Later>,
    news: Vec<News>,
}

fn virtual_addresses(director: &Director) -> BTreeSet<IpAddr> {
    let services = director.services.iter().flat_map(VirtualService::addresses);
    let routers = director.virtual_routers.iter();
    let routers = routers.flat_map(|router| &router.addresses);
    services.chain(routers.copied()).collect()
}

impl Daemon {
    /// Starts it: adopts what it finds, and removes addresses that are nobody's.
    pub fn start(config: Director, run: u64, host: &mut Host, now: Instant) -> Self {
        let mirror = sync::start(&config, run, now);
        let wanted = virtual_addresses(&config);
        host.addresses
            .retain(|address| wanted.contains(&IpAddr::V4(*address)));
        // A netlink socket of an earlier daemon is gone.
        host.watched.clear();
        host.socket.clear();
        let own = BTreeSet::from([IpAddr::V4(host.node.address())]);
        let adopted = host.plane.adopt();
        let mut daemon = Self {
            control: Control::new(config, Overlay::default(), adopted, own, now),
            seats: Vec::new(),
            configured: BTreeMap::new(),
            runs: false,
            paused: false,
            busy_until: Time::ZERO,
            inputs: VecDeque::new(),
            ends_by: None,
            mirror,
            datagrams: VecDeque::new(),
            probes: BTreeMap::new(),
            next_port: 0,
            later: Vec::new(),
            news: Vec::new(),
        };
        daemon.obey(host, now);
        daemon
    }

    /// When it has something to do by itself; the event loop's part only where `loops`.
    #[must_use]
    pub fn due(&self, loops: bool) -> Option<Instant> {
        let seats = self.seats.iter().filter_map(|s| s.machine().poll_timeout());
        let control = self.control.poll_timeout().filter(|_| loops);
        let ends = self.ends_by.filter(|_| loops);
        let mirror = self.mirror.as_ref().filter(|_| loops);
        let mirror = mirror.map(Mirror::poll_timeout);
        seats.chain(control).chain(ends).chain(mirror).min()
    }

    /// Takes what the stack hands up. A stopped daemon leaves advertisements in its socket.
    pub fn receive(&mut self, received: Received, host: &mut Host, now: Instant) {
        match received {
            Received::Advert(packet) => {
                if self.paused {
                    if host.socket.len() < crate::host::SOCKET_MAX {
                        host.socket.push_back(packet);
                    }
                } else {
                    self.read_packet(&packet, host, now);
                }
            }
            Received::Neighbour(address, mac) => {
                let event = Event::Neighbour {
                    address: address.into(),
                    hop: MacAddress(mac).into(),
                };
                self.tell(Input::Event(event));
            }
            Received::Segment(segment) => self.answered(&segment),
            Received::Sync(from, payload) => self.keep_datagram(from, payload),
        }
    }

    fn read_packet(&mut self, packet: &[u8], host: &mut Host, now: Instant) {
        let Some(header) = ip_header(packet) else {
            return;
        };
        let payload = packet.get(ipv4::MIN_LEN..).unwrap_or_default();
        let id = payload.get(vrrp::VIRTUAL_ROUTER).copied();
        let mut seats = self.seats.iter_mut();
        if let Some(seat) = seats.find(|seat| Some(seat.config().id.get()) == id) {
            let packet = Packet {
                source: address_at(&header, ipv4::SOURCE).into(),
                destination: address_at(&header, ipv4::DESTINATION).into(),
                ttl: header[ipv4::TTL],
                payload,
            };
            seat.handle_packet(&packet, host, &mut self.news, now);
        }
        self.pass_news();
    }

    /// The VRRP thread's turn: packets, then timers.
    pub fn turn(&mut self, host: &mut Host, now: Instant) {
        while let Some(packet) = host.socket.pop_front() {
            self.read_packet(&packet, host, now);
        }
        for seat in &mut self.seats {
            seat.handle_time(host, &mut self.news, now);
        }
        self.pass_news();
    }

    /// The event loop's turn: timers, then what waits.
    pub fn turn_loop(&mut self, host: &mut Host, now: Instant) {
        while let Some(input) = self.inputs.pop_front() {
            self.take(input, host, now);
        }
        if self.control.poll_timeout().is_some_and(|due| due <= now) {
            self.control.handle_timeout(now);
            self.obey(host, now);
        }
        self.turn_sync(host, now);
    }

    /// Whether something waits for the event loop.
    #[must_use]
    pub fn is_called(&self) -> bool {
        !self.inputs.is_empty() || !self.datagrams.is_empty()
    }

    /// Whether a timer of the event loop has run out.
    #[must_use]
    pub fn is_late(&self, now: Instant) -> bool {
        let control = self.control.poll_timeout().is_some_and(|due| due <= now);
        control
            || self
                .mirror
                .as_ref()
                .is_some_and(|m| m.poll_timeout() <= now)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self, now: Instant) -> bool {
        self.ends_by
            .is_some_and(|by| by <= now || self.seats.iter().all(Seat::has_stopped))
    }

    /// SIGTERM.
    pub fn stop(&mut self, host: &mut Host, now: Instant) {
        let longest = self
            .seats
            .iter()
            .map(|s| s.machine().master_down_interval());
        let within = PREPARATION_MAX + 2 * longest.max().unwrap_or_default() + STOP_SLACK;
        self.ends_by = Some(now + within);
        for seat in &mut self.seats {
            seat.shut_down(host, &mut self.news, now);
        }
        self.pass_news();
    }

    fn take(&mut self, input: Input, host: &mut Host, now: Instant) {
        match input {
            Input::News(News::Role {
                router,
                from,
                to,
                reason,
            }) => {
                self.sync_role(router, to, now);
                let event = Event::Role {
                    router,
                    from,
                    to,
                    reason,
                };
                self.control.handle_event(event, now);
            }
            Input::News(News::Trouble { router, what }) => {
                let event = Event::RouterTrouble { router, what };
                self.control.handle_event(event, now);
            }
            Input::News(News::Wants { router, wants }) => self.sync_wants(router, wants),
            Input::News(News::Preparing { router }) => self.sync_prepare(router, host, now),
            Input::News(News::HandoverEnded { router, end }) => {
                self.sync_handed_over(router, end, host, now);
            }
            Input::Order(order) => {
                for seat in &mut self.seats {
                    seat.order(order, host, &mut self.news, now);
                }
            }
            Input::Event(event) => self.control.handle_event(event, now),
            Input::Link(up) => {
                for seat in &mut self.seats {
                    seat.handle_link(up, host, &mut self.news, now);
                }
            }
            Input::AddressLost(address) => {
                for seat in &mut self.seats {
                    seat.address_lost(address, host, &mut self.news);
                }
            }
            Input::Configure(director) => {
                self.control.handle_event(Event::Configure(*director), now);
                self.sync_configure(now);
            }
            Input::Overdue(port) => self.conclude(port, Err("no answer in time".to_owned())),
        }
        self.obey(host, now);
        self.pass_news();
    }

    /// Executes what control orders.
    fn obey(&mut self, host: &mut Host, now: Instant) {
        while let Some(command) = self.control.poll_output() {
            match command {
                Command::PutService(entry) => {
                    host.plane.put_service(&entry, host.now);
                    self.sync_service(&entry.key);
                }
                Command::RemoveService(key) => {
                    host.plane.remove_service(&key);
                    self.sync_service(&key);
                }
                Command::SetGate { address, state } => host.plane.set_gate(address, state),
                Command::AddAddress(address) => {
                    host.addresses.insert(v4(address));
                }
                Command::RemoveAddress(address) => {
                    host.addresses.remove(&v4(address));
                }
                Command::Announce(address) => host.announce(v4(address)),
                Command::WatchNeighbour(address) => {
                    host.watched.insert(v4(address), None);
                    host.resolve();
                }
                Command::UnwatchNeighbour(address) => {
                    host.watched.remove(&v4(address));
                }
                Command::Probe {
                    target,
                    attempt,
                    address,
                    timeout,
                    ..
                } => {
                    let to = SocketAddrV4::new(v4(address.ip()), address.port());
                    self.probe(Probe { target, attempt }, to, timeout, host);
                }
                Command::ConfigureRouters(routers) => self.configure(&routers, host, now),
                Command::MayTakeOver(router) => {
                    if !self.control.view().ready {
                        let wrong = "may take over before the first checks are complete";
                        host.wrongs.push(wrong.to_owned());
                    }
                    let mut seats = self.seats.iter_mut();
                    if let Some(seat) = seats.find(|seat| seat.config().id == router) {
                        seat.may_take_over(host, &mut self.news, now);
                    }
                }
                Command::KeepEdits(_) | Command::Report(_) | Command::Ready => {}
            }
        }
        self.pass_news();
    }

    /// Takes part in exactly these virtual routers.
    fn configure(&mut self, routers: &[VirtualRouter], host: &mut Host, now: Instant) {
        let wanted: BTreeMap<_, _> = routers.iter().map(|r| (r.id, r.clone())).collect();
        self.retire(&wanted, host);
        let list: Vec<VirtualRouter> = wanted.values().cloned().collect();
        host.plane.reserve_gates(&list);
        if !self.runs && !list.is_empty() {
            self.runs = true;
            for router in &list {
                if !(host.link_up && host.plane.standing(router.id).goes_on) {
                    give_up(router, host);
                }
            }
        }
        for router in list {
            let mut known = self.seats.iter_mut();
            match known.find(|seat| seat.config().id == router.id) {
                Some(seat) => seat.reconfigure(router, host, &mut self.news, now),
                None => {
                    let syncs = self.mirror.is_some();
                    let seat = Seat::take(router, syncs, host, &mut self.news, now);
                    self.seats.push(seat);
                }
            }
        }
        self.configured = wanted;
    }

    /// Leaves virtual routers that are not wanted, and gives up addresses that are in none of those that stay.
    fn retire(&mut self, wanted: &BTreeMap<VirtualRouterId, VirtualRouter>, host: &mut Host) {
        let (mut leaving, mut addresses) = (Vec::new(), Vec::new());
        for router in self.configured.values() {
            let stays = wanted
                .get(&router.id)
                .filter(|new| new.version == router.version && new.source == router.source);
            match stays {
                None => leaving.push(router.id),
                Some(new) => {
                    let old = router.addresses.iter();
                    let gone = old.filter(|address| !new.addresses.contains(address));
                    addresses.extend(gone.copied().map(v4));
                }
            }
        }
        for id in leaving {
            if let Some(index) = self.seats.iter().position(|s| s.config().id == id) {
                self.seats.swap_remove(index).leave(host);
            }
        }
        for seat in &mut self.seats {
            seat.retire_addresses(&addresses, host);
        }
    }

    fn probe(&mut self, probe: Probe, to: SocketAddrV4, timeout: Duration, host: &mut Host) {
        let port = 20_000 + self.next_port % 10_000;
        self.next_port += 1;
        let segment = Segment {
            from: SocketAddrV4::new(host.node.address(), port),
            to,
            flags: tcp::SYN,
            number: 0,
        };
        if *to.ip() == host.node.address() {
            self.tell(Input::Event(Event::CheckResult {
                target: probe.target,
                attempt: probe.attempt,
                outcome: Ok(()),
            }));
            return;
        }
        // Its own way to a server is not the data plane's: the kernel resolves it again.
        if let Some(server) = Node::of_address(*to.ip()) {
            host.send(segment.frame(host.node.mac(), server.mac()));
        }
        self.probes.insert(port, probe);
        self.later.push(Later::Input(timeout, Input::Overdue(port)));
    }

    fn answered(&mut self, segment: &Segment) {
        let outcome = match segment.has(tcp::RST) {
            true => Err("connection refused".to_owned()),
            false => Ok(()),
        };
        self.conclude(segment.to.port(), outcome);
    }

    fn conclude(&mut self, port: u16, outcome: Result<(), String>) {
        if let Some(Probe { target, attempt }) = self.probes.remove(&port) {
            self.tell(Input::Event(Event::CheckResult {
                target,
                attempt,
                outcome,
            }));
        }
    }

    fn pass_news(&mut self) {
        for news in std::mem::take(&mut self.news) {
            self.tell(Input::News(news));
        }
    }

    fn tell(&mut self, input: Input) {
        self.inputs.push_back(input);
    }
}
