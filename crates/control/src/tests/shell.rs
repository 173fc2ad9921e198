//! A shell that executes the core's commands against a simulated world, and checks after every event
//! that the world is in order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use evenkeel_model::{
    AdvertChecksum, Cadence, Check, CheckKind, ConnectionSync, Director, Edit, EditRefused,
    Forwarding, GateState, Hop, Listens, MacAddress, OnFailure, Overlay, Priority, Protocol,
    RealServer, Role, Scheduler, ServiceEntry, ServiceKey, ServiceOptions, TableSizes, Thresholds,
    VirtualRouter, VirtualRouterId, VirtualService, VrrpVersion, Weight, XdpPreference,
};

use super::thread::Thread;
use crate::{Command, Control, Event, Report, ServerHealth, ServerView, ServiceView};

pub(super) const CADENCE: Cadence = Cadence {
    every: ms(500),
    timeout: ms(250),
    fall: 2,
    rise: 2,
};

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn real(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 18, 14, last], 80))
}

pub(super) fn mac(last: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, last])
}

pub(super) fn weight(weight: i64) -> Weight {
    Weight::try_from(weight).unwrap()
}

pub(super) fn key(host: u8, port: u16) -> ServiceKey {
    ServiceKey::Single {
        protocol: Protocol::Tcp,
        address: SocketAddr::from(([198, 18, 14, host], port)),
    }
}

pub(super) fn tcp() -> Check {
    Check {
        kind: CheckKind::Tcp,
        port: None,
        cadence: CADENCE,
    }
}

pub(super) fn server(last: u8, w: i64) -> RealServer {
    RealServer {
        address: real(last),
        weight: weight(w),
        forwarding: Forwarding::DirectRouting,
        thresholds: Thresholds::default(),
        drained: false,
    }
}

/// The paper's service: three servers of weight 1.
pub(super) fn web() -> VirtualService {
    VirtualService {
        name: "web".to_owned(),
        key: key(146, 80),
        group: Listens::default(),
        scheduler: Scheduler::RoundRobin,
        options: ServiceOptions::default(),
        on_failure: OnFailure::Remove,
        check: Some(tcp()),
        servers: vec![server(12, 1), server(13, 1), server(14, 1)],
        sorry_server: None,
    }
}

pub(super) fn director(services: Vec<VirtualService>) -> Director {
    Director {
        name: "laicoz".to_owned(),
        interface: "eth0".to_owned(),
        more_interfaces: Vec::new(),
        xdp: XdpPreference::Auto,
        tables: TableSizes::default(),
        startup_wait: ms(3000),
        sync: None,
        virtual_routers: Vec::new(),
        services,
    }
}

/// The same with virtual routers.
pub(super) fn shared(services: Vec<VirtualService>, routers: Vec<VirtualRouter>) -> Director {
    Director {
        virtual_routers: routers,
        ..director(services)
    }
}

/// The same with another director that it shares its connections with.
pub(super) fn synced(services: Vec<VirtualService>, routers: Vec<VirtualRouter>) -> Director {
    Director {
        sync: Some(Box::new(ConnectionSync {
            key_files: vec!["key".into()],
            port: 8848,
            lag: ms(100),
            wait: ms(30_000),
            peers: Vec::new(),
        })),
        ..shared(services, routers)
    }
}

pub(super) fn id(id: u8) -> VirtualRouterId {
    VirtualRouterId::try_from(i64::from(id)).unwrap()
}

/// A virtual router of addresses 198.18.14.N.
pub(super) fn router(number: u8, addresses: &[u8]) -> VirtualRouter {
    let address = |last: &u8| IpAddr::from([198, 18, 14, *last]);
    VirtualRouter {
        name: format!("r{number}"),
        id: id(number),
        version: VrrpVersion::V3,
        priority: Priority::DEFAULT,
        advert_interval: ms(100),
        preempt: true,
        preempt_delay: Duration::ZERO,
        addresses: addresses.iter().map(address).collect(),
        peers: Vec::new(),
        source: None,
        checksum: AdvertChecksum::PseudoHeader,
        announcements: VirtualRouter::ANNOUNCEMENTS,
        announce_again: VirtualRouter::ANNOUNCE_AGAIN,
    }
}

pub(super) fn vip(last: u8) -> IpAddr {
    IpAddr::from([198, 18, 14, last])
}

/// The commands that open a stand-alone address.
pub(super) fn opening(address: IpAddr) -> [Command; 3] {
    let state = GateState::Open;
    [
        Command::SetGate { address, state },
        Command::AddAddress(address),
        Command::Announce(address),
    ]
}

/// The address that a command is about, where that is one of those that belong to a virtual router.
pub(super) const fn about(command: &Command) -> Option<IpAddr> {
    match command {
        Command::SetGate { address, .. }
        | Command::AddAddress(address)
        | Command::RemoveAddress(address)
        | Command::Announce(address) => Some(*address),
        Command::ConfigureRouters(_)
        | Command::MayTakeOver(_)
        | Command::KeepEdits(_)
        | Command::PutService(_)
        | Command::RemoveService(_)
        | Command::WatchNeighbour(_)
        | Command::UnwatchNeighbour(_)
        | Command::Probe { .. }
        | Command::Report(_)
        | Command::Ready => None,
    }
}

/// How a real server answers its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Passes,
    Fails,
    Hangs,
}

/// The world outside of the core.
pub(super) struct Shell {
    pub(super) control: Control,
    begin: Instant,
    pub(super) now: Instant,
    /// What the data plane holds.
    pub(super) data_plane: BTreeMap<ServiceKey, ServiceEntry>,
    /// The edits that the next start would find.
    pub(super) kept: Overlay,
    /// The VRRP thread, with all gates and addresses, stand-alone ones too.
    pub(super) thread: Thread,
    own: BTreeSet<IpAddr>,
    /// Who answers neighbour requests on the link.
    pub(super) link: BTreeMap<IpAddr, MacAddress>,
    watched: BTreeSet<IpAddr>,
    told: BTreeMap<IpAddr, MacAddress>,
    /// How hosts answer; `Passes` where none is given.
    pub(super) hosts: BTreeMap<SocketAddr, Host>,
    coming: Vec<(Instant, Event)>,
    /// Commands, without probes and reports.
    pub(super) log: Vec<Command>,
    pub(super) probes: Vec<(Duration, SocketAddr)>,
    pub(super) reports: Vec<Report>,
    pub(super) ready: u32,
    /// Whether the last attempt to keep the edits failed.
    not_kept: bool,
    /// Services whose latest put failed.
    not_put: BTreeSet<ServiceKey>,
    /// Puts that are yet to fail.
    pub(super) failing_puts: u32,
    /// Attempts to keep the edits that are yet to fail.
    pub(super) failing_keeps: u32,
    /// Orders to routers that are yet to fail.
    pub(super) failing_orders: u32,
    /// Whether an order to routers failed since one was executed.
    orders_failed: bool,
    /// What was executed since the last event, without probes and reports.
    turn: Vec<Command>,
    /// Whether the last event was a start or a new configuration.
    configuring: bool,
}

impl Shell {
    pub(super) fn start(director: Director) -> Self {
        Self::restart(director, Vec::new(), &[])
    }

    /// The same, with a server that hangs from the first check on.
    pub(super) fn hanging(director: Director, host: SocketAddr) -> Self {
        let hosts = BTreeMap::from([(host, Host::Hangs)]);
        Self::world(director, Overlay::default(), Vec::new(), &[], hosts)
    }

    /// A world of servers 12 to 19 on the link, and a director that finds `adopted` in its data plane and has
    /// the addresses 198.18.14.N itself.
    pub(super) fn restart(director: Director, adopted: Vec<ServiceEntry>, own: &[u8]) -> Self {
        Self::world(director, Overlay::default(), adopted, own, BTreeMap::new())
    }

    /// The same, and it finds edits that were kept.
    pub(super) fn edited(
        director: Director,
        overlay: Overlay,
        adopted: Vec<ServiceEntry>,
        own: &[u8],
    ) -> Self {
        Self::world(director, overlay, adopted, own, BTreeMap::new())
    }

    fn world(
        director: Director,
        overlay: Overlay,
        adopted: Vec<ServiceEntry>,
        own: &[u8],
        hosts: BTreeMap<SocketAddr, Host>,
    ) -> Self {
        let now = Instant::now();
        let open = adopted.iter().flat_map(ServiceEntry::addresses);
        let open: BTreeSet<IpAddr> = open.collect();
        let own: BTreeSet<IpAddr> = own.iter().map(|n| real(*n).ip()).collect();
        let mut shell = Self {
            control: Control::new(director, overlay.clone(), adopted.clone(), own.clone(), now),
            kept: overlay,
            begin: now,
            now,
            thread: Thread {
                seats: BTreeMap::new(),
                gates: open
                    .iter()
                    .copied()
                    .map(|ip| (ip, GateState::Open))
                    .collect(),
                addresses: open,
            },
            own,
            told: adopted
                .iter()
                .flat_map(|entry| entry.servers.iter().chain(&entry.held))
                .map(|server| (server.address.ip(), server.hop.mac))
                .collect(),
            data_plane: adopted
                .into_iter()
                .map(|entry| (entry.key, entry))
                .collect(),
            link: (12..20).map(|n| (real(n).ip(), mac(n))).collect(),
            watched: BTreeSet::new(),
            hosts,
            coming: Vec::new(),
            log: Vec::new(),
            probes: Vec::new(),
            reports: Vec::new(),
            ready: 0,
            not_kept: false,
            not_put: BTreeSet::new(),
            failing_puts: 0,
            failing_keeps: 0,
            failing_orders: 0,
            orders_failed: false,
            turn: Vec::new(),
            configuring: true,
        };
        shell.execute();
        shell
    }

    pub(super) fn event(&mut self, event: Event) {
        self.control.handle_event(event, self.now);
        self.execute();
    }

    pub(super) fn configure(&mut self, services: Vec<VirtualService>) {
        self.reload(director(services));
    }

    pub(super) fn reload(&mut self, director: Director) {
        self.log.clear();
        self.configuring = true;
        self.event(Event::Configure(director));
    }

    /// Makes an edit by hand; a listing shows what stands in the data plane behind an open gate.
    pub(super) fn edit(&mut self, edit: Edit) -> Result<(), EditRefused> {
        self.edit_all(&[edit]).remove(0)
    }

    pub(super) fn edit_all(&mut self, edits: &[Edit]) -> Vec<Result<(), EditRefused>> {
        self.log.clear();
        let (data_plane, gates) = (&self.data_plane, &self.thread.gates);
        let listed = |key: ServiceKey, server: Option<SocketAddr>| {
            let open = |entry: &&ServiceEntry| {
                let mut addresses = entry.addresses();
                addresses.any(|address| gates.get(&address) == Some(&GateState::Open))
            };
            let held = data_plane.get(&key).filter(open);
            held.is_some_and(|entry| {
                server.is_none_or(|server| entry.servers.iter().any(|s| s.address == server))
            })
        };
        let outcomes = self.control.edit(edits, listed, self.now);
        self.execute();
        outcomes
    }

    pub(super) fn take_back(&mut self, key: ServiceKey, before: &Overlay) {
        self.control
            .take_back(&BTreeSet::from([key]), before, self.now);
        self.execute();
    }

    pub(super) fn forget_edits(&mut self) {
        self.log.clear();
        self.control.forget_edits(self.now);
        self.execute();
    }

    /// Makes the addresses 198.18.14.N the director's own, and no others.
    pub(super) fn own(&mut self, own: &[u8]) {
        self.own = own.iter().map(|n| real(*n).ip()).collect();
        self.event(Event::OwnAddresses(self.own.clone()));
    }

    /// Has the VRRP thread change a role, if it may.
    pub(super) fn switch(&mut self, router: u8) {
        let before = self.thread.seats.get(&id(router)).cloned();
        self.thread.switch(id(router));
        if let Some(seat) = before.filter(|seat| seat.may_take_over) {
            let (from, to) = if seat.active {
                (Role::Active, Role::Backup)
            } else {
                (Role::Backup, Role::Active)
            };
            self.event(Event::Role {
                router: id(router),
                from,
                to,
                reason: "as the test says".to_owned(),
            });
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.coming.sort_by_key(|(at, _)| *at);
            let event = self.coming.first().map(|(at, _)| *at);
            let timer = self.control.poll_timeout();
            let Some(next) = event.into_iter().chain(timer).min().filter(|t| *t <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if event == Some(next) {
                let (_, event) = self.coming.remove(0);
                self.event(event);
            } else {
                self.control.handle_timeout(self.now);
                self.execute();
            }
        }
        self.now = end;
    }

    /// Changes who answers at an address, as the kernel would tell.
    pub(super) fn move_neighbour(&mut self, address: IpAddr, mac: MacAddress) {
        self.link.insert(address, mac);
        if self.watched.contains(&address) {
            self.told.insert(address, mac);
            self.coming.push((
                self.now,
                Event::Neighbour {
                    address,
                    hop: mac.into(),
                },
            ));
        }
    }

    /// The list of a service as `(last octet, weight)`, head first.
    pub(super) fn list(&self, key: ServiceKey) -> Vec<(u8, u16)> {
        let octet = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(ip) => ip.octets()[15],
        };
        let entry = &self.data_plane[&key];
        let listed = entry.servers.iter();
        listed
            .map(|s| (octet(s.address.ip()), s.weight.get()))
            .collect()
    }

    pub(super) fn puts(&self) -> usize {
        let puts = self.log.iter();
        puts.filter(|c| matches!(c, Command::PutService(_))).count()
    }

    pub(super) fn said(&self) -> String {
        let lines: Vec<String> = self.reports.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    fn execute(&mut self) {
        let mut failed = Vec::new();
        self.turn.clear();
        while let Some(command) = self.control.poll_output() {
            if self.fails(&command) {
                failed.push(command);
            } else {
                self.obey(command);
            }
        }
        self.configuring = false;
        for what in failed {
            let (what, reason) = (Box::new(what), "map full".to_owned());
            self.event(Event::CommandFailed {
                what,
                reason,
                again: false,
            });
        }
        self.check();
    }

    fn watch(&mut self, address: IpAddr) {
        assert!(self.watched.insert(address), "{address} watched twice");
        if let Some(mac) = self.link.get(&address).copied() {
            self.told.insert(address, mac);
            let found = Event::Neighbour {
                address,
                hop: mac.into(),
            };
            self.coming.push((self.now + ms(1), found));
        }
    }

    /// Whether a command fails, as the test wants.
    fn fails(&mut self, command: &Command) -> bool {
        if let Command::PutService(entry) = command
            && self.failing_puts > 0
        {
            self.not_put.insert(entry.key);
            self.failing_puts -= 1;
            return true;
        }
        if matches!(command, Command::KeepEdits(_)) && self.failing_keeps > 0 {
            self.failing_keeps -= 1;
            self.not_kept = true;
            return true;
        }
        let order = matches!(
            command,
            Command::ConfigureRouters(_) | Command::MayTakeOver(_)
        );
        if order && self.failing_orders > 0 {
            self.failing_orders -= 1;
            self.orders_failed = true;
            for seat in self.thread.seats.values_mut() {
                seat.unclear |= matches!(command, Command::ConfigureRouters(_));
            }
            return true;
        }
        false
    }

    fn configure_routers(&mut self, routers: &[VirtualRouter]) {
        if self.configuring {
            assert!(self.turn.is_empty(), "not first: {:?}", self.turn);
        }
        self.thread.configure(routers);
        self.orders_failed = false;
    }

    fn let_take_over(&mut self, router: VirtualRouterId) {
        assert_eq!(self.ready, 1, "the first checks are not complete");
        let seat = self.thread.seats.get_mut(&router).expect("a known router");
        assert!(!seat.may_take_over || seat.unclear, "told twice");
        seat.may_take_over = true;
        for service in self.control.view().services {
            let seat = &self.thread.seats[&router];
            let mut addresses = service.entry.addresses();
            let under = addresses.any(|address| seat.addresses().any(|a| a == address));
            let put = self.data_plane.contains_key(&service.key);
            let known = self.not_put.contains(&service.key);
            assert!(!under || put || known, "{} is not put", service.key);
        }
    }

    fn keep(&mut self, edits: Overlay) {
        let first = self.turn.is_empty() || self.not_kept;
        assert!(first, "kept after it was in force: {:?}", self.turn);
        assert_ne!(self.kept, edits, "kept in vain");
        self.not_kept = false;
        self.kept = edits;
    }

    /// Whether control has an address for its own, and so has the thread.
    fn is_stand_alone(&self, address: IpAddr) -> bool {
        let routers = &self.control.director().virtual_routers;
        let mut addresses = routers.iter().flat_map(|router| &router.addresses);
        !addresses.any(|own| *own == address) && self.thread.seat_of(address).is_none()
    }

    fn obey(&mut self, command: Command) {
        if let Some(address) = about(&command) {
            assert!(self.is_stand_alone(address), "{command:?}");
        }
        match command.clone() {
            Command::ConfigureRouters(routers) => self.configure_routers(&routers),
            Command::MayTakeOver(router) => self.let_take_over(router),
            Command::Probe {
                target,
                attempt,
                address,
                ..
            } => {
                self.probes.push((self.now - self.begin, address));
                let outcome = match self.hosts.get(&address) {
                    None | Some(Host::Passes) => Ok(()),
                    Some(Host::Fails) => Err("connection refused".to_owned()),
                    Some(Host::Hangs) => return,
                };
                let result = Event::CheckResult {
                    target,
                    attempt,
                    outcome,
                };
                self.coming.push((self.now + ms(1), result));
                return;
            }
            Command::Report(report) => {
                assert!(!report.to_string().is_empty());
                self.reports.push(report);
                return;
            }
            Command::KeepEdits(edits) => self.keep(edits),
            Command::PutService(entry) => {
                let failed_before = self.not_put.remove(&entry.key);
                let in_vain = self.data_plane.get(&entry.key) == Some(&entry);
                assert!(failed_before || !in_vain, "put in vain");
                self.data_plane.insert(entry.key, entry);
            }
            Command::RemoveService(key) => {
                let failed_before = self.not_put.remove(&key);
                let was_there = self.data_plane.remove(&key).is_some();
                assert!(failed_before || was_there, "{key} is not there");
            }
            Command::SetGate { address, state } => {
                if state == GateState::Closed {
                    let there = self.thread.addresses.contains(&address);
                    assert!(!there, "address goes first");
                }
                self.thread.gates.insert(address, state);
            }
            Command::AddAddress(address) => {
                assert_eq!(self.thread.gates.get(&address), Some(&GateState::Open));
                self.thread.addresses.insert(address);
            }
            Command::RemoveAddress(address) => {
                self.thread.addresses.remove(&address);
            }
            Command::Announce(address) => assert!(self.thread.addresses.contains(&address)),
            Command::WatchNeighbour(address) => self.watch(address),
            Command::UnwatchNeighbour(address) => {
                assert!(self.watched.remove(&address), "{address} not watched");
            }
            Command::Ready => self.ready += 1,
        }
        self.turn.push(command.clone());
        self.log.push(command);
    }

    /// The world is as the view says, and nobody is listed who must not be.
    fn check(&self) {
        let view = self.control.view();
        assert!(self.not_kept || &self.kept == self.control.overlay());
        let configured = self.control.configured();
        assert_eq!(&self.control.wanted(configured), self.control.director());
        let timer = self.control.poll_timeout();
        // Another turn is due at once.
        let due = timer.is_some_and(|timer| timer <= self.now);
        let keys: Vec<ServiceKey> = view.services.iter().map(|s| s.key).collect();
        assert!(self.data_plane.keys().all(|key| keys.contains(key)));
        for service in &view.services {
            if !self.not_put.contains(&service.key) {
                assert_eq!(self.data_plane[&service.key], service.entry);
            }
            let lists = !service.entry.servers.is_empty() && !self.not_put.contains(&service.key);
            for address in service.entry.addresses() {
                if lists && !due && !self.orders_failed && self.is_stand_alone(address) {
                    assert_eq!(self.thread.gates.get(&address), Some(&GateState::Open));
                    assert!(self.thread.addresses.contains(&address));
                }
            }
            for server in &service.servers {
                self.check_server(service, server);
            }
            check_sorry_server(service);
        }
        for (address, state) in &self.thread.gates {
            let open = *state == GateState::Open;
            assert_eq!(self.thread.addresses.contains(address), open);
            let mut wanted = view.services.iter().flat_map(|s| s.entry.addresses());
            let wanted = wanted.any(|wanted| wanted == *address);
            let settled = !due && self.is_stand_alone(*address) && !self.orders_failed;
            assert!(wanted || !open || !settled, "{address} is open for nobody");
        }
        for seat in self.thread.seats.values() {
            for address in seat.addresses() {
                let open = self.thread.gates.get(&address) == Some(&GateState::Open);
                assert_eq!(open, seat.active, "{address} is not as its role");
            }
        }
        assert!(self.ready <= 1);
        assert_eq!(self.ready == 1, view.ready);
    }

    fn check_server(&self, service: &ServiceView, server: &ServerView) {
        let ip = server.address.ip();
        let listed = service.entry.servers.iter();
        let listed: Vec<_> = listed.filter(|s| s.address == server.address).collect();
        let weights: Vec<Weight> = listed.iter().map(|s| s.weight).collect();
        assert_eq!(weights, Vec::from_iter(server.in_force));
        let own = self.own.contains(&ip);
        assert_eq!(own, server.forwarding == Forwarding::Local);
        assert_eq!(own, !self.watched.contains(&ip), "{ip} watched?");
        for entry in listed {
            assert_eq!(entry.forwarding, server.forwarding);
            let hop = server.hop.unwrap_or(Hop::NONE);
            assert_eq!(entry.hop, hop);
            assert_ne!(server.health, ServerHealth::Gated);
            assert_eq!(own, hop == Hop::NONE);
            assert!(own || self.told.contains_key(&ip));
        }
        let up = server.health == ServerHealth::Up && (own || server.hop.is_some());
        let in_force = server.in_force.is_some() && server.health == ServerHealth::Up;
        assert_eq!(up, in_force);
        let mut held = service.entry.held.iter();
        assert_eq!(held.any(|s| s.address == server.address), server.held);
        if server.held {
            assert_eq!((server.health, server.in_force), (ServerHealth::Down, None));
            assert!(own || server.hop.is_some());
            assert!(
                !service
                    .entry
                    .addresses()
                    .all(|address| self.is_stand_alone(address))
            );
        }
        if server.drained_since.is_some() {
            assert!(server.in_force.is_none_or(|w| w == Weight::QUIESCED));
        }
    }
}

/// The sorry server is listed where nobody else takes new flows or may soon.
fn check_sorry_server(service: &ServiceView) {
    let listed = service.servers.iter().filter_map(|server| server.in_force);
    let (usable, of_servers) = (listed.clone().any(|w| w > Weight::QUIESCED), listed.count());
    let Some(sorry) = &service.sorry_server else {
        assert_eq!(service.entry.servers.len(), of_servers);
        return;
    };
    let first = service.entry.servers.first().map(|first| first.address);
    assert_eq!(first == Some(sorry.address), sorry.in_force.is_some());
    let listed = of_servers + usize::from(sorry.in_force.is_some());
    assert_eq!(service.entry.servers.len(), listed);
    assert!(sorry.in_force.is_none_or(|w| w == Weight::ONE && !usable));
    let waits = |server: &ServerView| {
        let unreachable = server.hop.is_none() && server.forwarding != Forwarding::Local;
        let out = server.health == ServerHealth::Down && service.on_failure == OnFailure::Remove;
        server.health == ServerHealth::Gated || unreachable && !out
    };
    if sorry.in_force.is_none() && !waits(sorry) {
        assert!(usable || service.servers.iter().any(waits), "{service:?}");
    }
}
