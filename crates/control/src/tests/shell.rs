//! A shell that executes the core's commands against a simulated world, and checks after every event
//! that the world is in order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use evenkeel_model::{
    Cadence, Check, CheckKind, Director, Forwarding, GateState, MacAddress, OnFailure, Protocol,
    RealServer, Scheduler, ServiceEntry, ServiceKey, TableSizes, VirtualService, Weight,
    XdpPreference,
};

use crate::{Command, Control, Event, Report, ServerHealth};

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
    ServiceKey {
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
    }
}

/// The paper's service: three servers of weight 1.
pub(super) fn web() -> VirtualService {
    VirtualService {
        name: "web".to_owned(),
        key: key(146, 80),
        scheduler: Scheduler::RoundRobin,
        on_failure: OnFailure::Remove,
        check: Some(tcp()),
        servers: vec![server(12, 1), server(13, 1), server(14, 1)],
    }
}

pub(super) fn director(services: Vec<VirtualService>) -> Director {
    Director {
        name: "laicoz".to_owned(),
        interface: "eth0".to_owned(),
        xdp: XdpPreference::Auto,
        tables: TableSizes::default(),
        startup_wait: ms(3000),
        services,
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
    pub(super) gates: BTreeMap<IpAddr, GateState>,
    /// Addresses of the director's interface.
    pub(super) addresses: BTreeSet<IpAddr>,
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
    /// Services whose latest put failed.
    not_put: BTreeSet<ServiceKey>,
    /// Puts that are yet to fail.
    pub(super) failing_puts: u32,
}

impl Shell {
    pub(super) fn start(director: Director) -> Self {
        Self::restart(director, Vec::new())
    }

    /// A world of servers 12 to 19 on the link, and a director that finds `adopted` in its data plane.
    pub(super) fn restart(director: Director, adopted: Vec<ServiceEntry>) -> Self {
        let now = Instant::now();
        let open = adopted.iter().map(|entry| entry.key.address.ip());
        let mut shell = Self {
            control: Control::new(director, adopted.clone(), now),
            begin: now,
            now,
            gates: open.clone().map(|ip| (ip, GateState::Open)).collect(),
            addresses: open.collect(),
            told: adopted
                .iter()
                .flat_map(|entry| &entry.servers)
                .map(|server| (server.address.ip(), server.mac))
                .collect(),
            data_plane: adopted
                .into_iter()
                .map(|entry| (entry.key, entry))
                .collect(),
            link: (12..20).map(|n| (real(n).ip(), mac(n))).collect(),
            watched: BTreeSet::new(),
            hosts: BTreeMap::new(),
            coming: Vec::new(),
            log: Vec::new(),
            probes: Vec::new(),
            reports: Vec::new(),
            ready: 0,
            not_put: BTreeSet::new(),
            failing_puts: 0,
        };
        shell.execute();
        shell
    }

    pub(super) fn event(&mut self, event: Event) {
        self.control.handle_event(event, self.now);
        self.execute();
    }

    pub(super) fn configure(&mut self, services: Vec<VirtualService>) {
        self.log.clear();
        self.event(Event::Configure(director(services)));
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
            self.coming
                .push((self.now, Event::Neighbour { address, mac }));
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
        while let Some(command) = self.control.poll_output() {
            if let Command::PutService(entry) = &command
                && self.failing_puts > 0
            {
                self.not_put.insert(entry.key);
                self.failing_puts -= 1;
                failed.push(command);
                continue;
            }
            self.obey(command);
        }
        for what in failed {
            let (what, reason) = (Box::new(what), "map full".to_owned());
            self.event(Event::CommandFailed { what, reason });
        }
        self.check();
    }

    fn obey(&mut self, command: Command) {
        match command.clone() {
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
                    assert!(!self.addresses.contains(&address), "address goes first");
                }
                self.gates.insert(address, state);
            }
            Command::AddAddress(address) => {
                assert_eq!(self.gates.get(&address), Some(&GateState::Open));
                self.addresses.insert(address);
            }
            Command::RemoveAddress(address) => {
                self.addresses.remove(&address);
            }
            Command::Announce(address) => assert!(self.addresses.contains(&address)),
            Command::WatchNeighbour(address) => {
                assert!(self.watched.insert(address), "{address} watched twice");
                if let Some(mac) = self.link.get(&address).copied() {
                    self.told.insert(address, mac);
                    self.coming
                        .push((self.now + ms(1), Event::Neighbour { address, mac }));
                }
            }
            Command::UnwatchNeighbour(address) => {
                assert!(self.watched.remove(&address), "{address} not watched");
            }
            Command::Ready => self.ready += 1,
        }
        self.log.push(command);
    }

    /// The world is as the view says, and nobody is listed who must not be.
    fn check(&self) {
        let view = self.control.view();
        let keys: Vec<ServiceKey> = view.services.iter().map(|s| s.key).collect();
        assert!(self.data_plane.keys().all(|key| keys.contains(key)));
        for service in &view.services {
            let address = service.key.address.ip();
            if !self.not_put.contains(&service.key) {
                assert_eq!(self.data_plane[&service.key], service.entry);
            }
            if !service.entry.servers.is_empty() && !self.not_put.contains(&service.key) {
                assert_eq!(self.gates.get(&address), Some(&GateState::Open));
                assert!(self.addresses.contains(&address));
            }
            for server in &service.servers {
                let listed = service.entry.servers.iter();
                let listed = listed.filter(|s| s.address == server.address);
                let weights: Vec<Weight> = listed.map(|s| s.weight).collect();
                assert_eq!(weights, Vec::from_iter(server.in_force));
                assert!(self.watched.contains(&server.address.ip()));
                if server.in_force.is_some() {
                    assert_ne!(server.health, ServerHealth::Gated);
                    assert!(server.mac.is_some());
                    assert!(self.told.contains_key(&server.address.ip()));
                }
                let up = server.health == ServerHealth::Up && server.mac.is_some();
                assert_eq!(
                    up,
                    server.in_force.is_some() && server.health == ServerHealth::Up
                );
            }
            assert!(service.entry.servers.len() <= service.servers.len());
        }
        for (address, state) in &self.gates {
            let wanted = keys.iter().any(|key| key.address.ip() == *address);
            let open = *state == GateState::Open;
            assert!(wanted || !open, "{address} stays open for nobody");
            assert_eq!(self.addresses.contains(address), open);
        }
        assert!(self.ready <= 1);
        assert_eq!(self.ready == 1, view.ready);
    }
}
