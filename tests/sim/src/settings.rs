//! How a cluster is configured, and edits of that.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use evenkeel_model::{
    AdvertChecksum, Cadence, Check, CheckKind, ConnectionSync, Director, Forwarding, Listens,
    OnFailure, Priority, Protocol, RealServer, Scheduler, ServiceKey, ServiceOptions, SyncPeer,
    TableSizes, Thresholds, VirtualRouter, VirtualRouterId, VirtualService, VrrpVersion, Weight,
    XdpPreference,
};

use crate::node::Node;
use evenkeel_testkit::Dice;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How servers are checked.
pub const CADENCE: Cadence = Cadence {
    every: ms(500),
    timeout: ms(400),
    fall: 2,
    rise: 2,
};

/// Longest wait for the first round of checks.
pub const STARTUP_WAIT: Duration = ms(2500);

/// The number as a real server of the first director.
pub const DIRECTORS: usize = 100;

/// The port of connection sync.
pub const SYNC_PORT: u16 = 8694;

/// Connection sync of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncSettings {
    /// How old a change may be that a partner does not have, while it counts as in sync.
    pub lag: Duration,
    /// Longest wait of a preemption.
    pub wait: Duration,
}

/// A service of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Virtual address and port.
    pub address: SocketAddrV4,
    /// How flows are placed.
    pub scheduler: Scheduler,
    /// What becomes of a server whose check fails.
    pub on_failure: OnFailure,
    /// Numbers and weights of its servers; from [`DIRECTORS`] on they are directors.
    pub servers: Vec<(usize, u16)>,
    /// Whether it is configured.
    pub present: bool,
}

impl ServiceSettings {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> ServiceKey {
        ServiceKey::single(Protocol::Tcp, SocketAddr::V4(self.address))
    }

    /// The address of one of its servers.
    #[must_use]
    pub fn server(&self, number: usize) -> SocketAddr {
        let node = match number.checked_sub(DIRECTORS) {
            Some(director) => Node::Director(director),
            None => Node::Server(number),
        };
        SocketAddr::new(node.address().into(), self.address.port())
    }

    fn service(&self) -> VirtualService {
        VirtualService {
            name: self.address.to_string(),
            key: self.key(),
            group: Listens::default(),
            scheduler: self.scheduler,
            options: ServiceOptions::default(),
            on_failure: self.on_failure,
            check: Some(Check {
                kind: CheckKind::Tcp,
                port: None,
                cadence: CADENCE,
            }),
            servers: self
                .servers
                .iter()
                .map(|(number, weight)| RealServer {
                    address: self.server(*number),
                    weight: Weight::try_from(i64::from(*weight)).expect("in range"),
                    forwarding: Forwarding::DirectRouting,
                    thresholds: Thresholds::default(),
                    drained: false,
                })
                .collect(),
            sorry_server: None,
        }
    }
}

/// A virtual router of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterSettings {
    /// Its number.
    pub id: u8,
    /// Its addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// The priority of each director.
    pub priorities: Vec<u8>,
    /// Whether directors preempt.
    pub preempt: bool,
}

/// The configuration of all directors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many directors there are.
    pub directors: usize,
    /// How many real servers there are.
    pub servers: usize,
    /// Time between advertisements.
    pub interval: Duration,
    /// Whether advertisements are sent to each director and not to the group.
    pub unicast: bool,
    /// Virtual routers.
    pub routers: Vec<RouterSettings>,
    /// Services.
    pub services: Vec<ServiceSettings>,
    /// Connection sync, if the directors have it.
    pub sync: Option<SyncSettings>,
    /// What one director's file lacks that the others' have: a server of a service.
    pub lacks: Option<Lack>,
}

/// A server of a service that is not in a director's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The director.
    pub director: usize,
    /// The service.
    pub service: usize,
    /// The server.
    pub server: usize,
}

/// A change of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Gives a server of a service a weight; it joins if it was not there.
    Weigh(usize, usize, u16),
    /// Takes a server out of a service.
    Leave(usize, usize),
    /// Takes a service out of the configuration, or puts it back.
    Present(usize, bool),
    /// Gives a director a priority in a virtual router.
    Prioritise(usize, usize, u8),
    /// Directors preempt in a virtual router, or don't.
    Preempt(usize, bool),
}

/// The virtual address of a number.
#[must_use]
pub const fn virtual_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 9, number)
}

impl Settings {
    /// One virtual router with one service over three servers.
    #[must_use]
    pub fn of(directors: usize, scheduler: Scheduler) -> Self {
        let priorities = (0..directors).map(|n| 150 - 50 * u8::try_from(n).expect("a few"));
        let address = virtual_address(1);
        Self {
            directors,
            servers: 3,
            interval: ms(100),
            unicast: false,
            routers: vec![RouterSettings {
                id: 51,
                addresses: vec![address],
                priorities: priorities.collect(),
                preempt: true,
            }],
            services: vec![ServiceSettings {
                address: SocketAddrV4::new(address, 80),
                scheduler,
                on_failure: OnFailure::Remove,
                servers: vec![(0, 1), (1, 1), (2, 1)],
                present: true,
            }],
            sync: None,
            lacks: None,
        }
    }

    /// The same with connection sync.
    #[must_use]
    pub fn synced(directors: usize, scheduler: Scheduler) -> Self {
        Self {
            sync: Some(SyncSettings {
                lag: ms(100),
                wait: ms(5000),
            }),
            ..Self::of(directors, scheduler)
        }
    }

    /// A cluster with connection sync that chance makes.
    pub fn any_synced(dice: &mut Dice) -> Self {
        let mut settings = Self::any(dice);
        settings.sync = Some(SyncSettings {
            lag: dice.pick(&[ms(40), ms(100), ms(100), ms(400)]),
            wait: dice.pick(&[ms(500), ms(2000), ms(5000)]),
        });
        settings.lacks = dice.chance(10).then(|| Lack {
            director: dice.index(settings.directors),
            service: dice.index(settings.services.len()),
            server: dice.index(settings.servers),
        });
        settings
    }

    /// A cluster that chance makes.
    pub fn any(dice: &mut Dice) -> Self {
        let directors = if dice.chance(65) { 2 } else { 3 };
        let servers = 3 + dice.index(2);
        let mut settings = Self {
            directors,
            servers,
            interval: dice.pick(&[ms(50), ms(100), ms(100), ms(200)]),
            unicast: dice.chance(25),
            routers: Vec::new(),
            services: Vec::new(),
            sync: None,
            lacks: None,
        };
        let count = if dice.chance(50) { 1 } else { 2 };
        for number in 1..=count {
            settings.add_any_router(number, dice);
        }
        settings
    }

    /// A virtual router with one address or two, and a service at each.
    fn add_any_router(&mut self, number: u8, dice: &mut Dice) {
        let mut addresses = vec![virtual_address(2 * number)];
        if dice.chance(20) {
            addresses.push(virtual_address(2 * number + 1));
        }
        let numbers = [80_u8, 100, 120, 120, 200, 254, 255];
        let priorities: Vec<u8> = (0..self.directors).map(|_| dice.pick(&numbers)).collect();
        for address in &addresses {
            let mut list = Vec::new();
            for server in 0..self.servers {
                if dice.chance(85) {
                    list.push((server, dice.pick(&[1, 1, 1, 2, 3, 0])));
                }
            }
            if dice.chance(15) {
                let all = (0..self.directors).map(|director| (DIRECTORS + director, 1));
                list.extend(all);
            }
            self.services.push(ServiceSettings {
                address: SocketAddrV4::new(*address, 80),
                scheduler: dice.pick(&[
                    Scheduler::RoundRobin,
                    Scheduler::WeightedLeastConnection,
                    Scheduler::ShortestExpectedDelay,
                    Scheduler::Maglev,
                    Scheduler::Maglev,
                ]),
                on_failure: dice.pick(&[OnFailure::Remove, OnFailure::Quiesce]),
                servers: list,
                present: true,
            });
        }
        self.routers.push(RouterSettings {
            id: 50 + number,
            addresses,
            priorities,
            preempt: dice.chance(75),
        });
    }

    /// An edit that chance makes.
    pub fn any_edit(&self, dice: &mut Dice) -> Edit {
        let service = dice.index(self.services.len());
        let router = dice.index(self.routers.len());
        let server = dice.index(self.servers);
        match dice.below(8) {
            6 | 7 => Edit::Present(service, !self.services[service].present),
            0..=2 => Edit::Weigh(service, server, dice.pick(&[0, 1, 1, 2, 3])),
            3 => Edit::Leave(service, server),
            4 => {
                let priority = dice.pick(&[50, 90, 110, 200, 254]);
                Edit::Prioritise(router, dice.index(self.directors), priority)
            }
            _ => Edit::Preempt(router, dice.chance(50)),
        }
    }

    /// Makes an edit.
    pub fn edit(&mut self, edit: &Edit) {
        match *edit {
            Edit::Weigh(service, server, weight) => {
                let servers = &mut self.services[service].servers;
                match servers.iter_mut().find(|(number, _)| *number == server) {
                    Some(known) => known.1 = weight,
                    None => servers.push((server, weight)),
                }
            }
            Edit::Leave(service, server) => {
                let servers = &mut self.services[service].servers;
                servers.retain(|(number, _)| *number != server);
            }
            Edit::Present(service, present) => self.services[service].present = present,
            Edit::Prioritise(router, director, priority) => {
                self.routers[router].priorities[director] = priority;
            }
            Edit::Preempt(router, preempt) => self.routers[router].preempt = preempt,
        }
    }

    /// The services that are configured.
    pub fn present(&self) -> impl Iterator<Item = &ServiceSettings> {
        self.services.iter().filter(|service| service.present)
    }

    /// The services that directors are real servers of.
    pub fn served_by_directors(&self) -> impl Iterator<Item = SocketAddrV4> {
        let services = self.services.iter();
        let by_directors = services.filter(|s| s.servers.iter().any(|(n, _)| *n >= DIRECTORS));
        by_directors.map(|service| service.address)
    }

    /// All virtual addresses.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let routers = self.routers.iter();
        routers.flat_map(|router| router.addresses.iter().copied())
    }

    /// The longest time that a Backup waits for an advertisement.
    #[must_use]
    pub fn master_down(&self) -> Duration {
        self.interval * 4
    }

    /// What a director's file says.
    #[must_use]
    pub fn director(&self, number: usize) -> Director {
        Director {
            name: format!("d{number}"),
            interface: "eth0".to_owned(),
            more_interfaces: Vec::new(),
            xdp: XdpPreference::Auto,
            tables: TableSizes::default(),
            startup_wait: STARTUP_WAIT,
            sync: self.sync.map(|sync| self.sync(sync, number).into()),
            virtual_routers: self
                .routers
                .iter()
                .map(|r| self.router(r, number))
                .collect(),
            services: self.services_of(number).collect(),
        }
    }

    /// Whether every director has a server of a service that takes new connections.
    #[must_use]
    pub fn is_usable(&self, service: &ServiceSettings) -> bool {
        let lacking = self.lacks.filter(|lack| {
            let lacks = self.services.get(lack.service);
            lacks.is_some_and(|lacks| lacks.address == service.address)
        });
        service.servers.iter().any(|(server, weight)| {
            *weight > Weight::QUIESCED.get() && lacking.is_none_or(|lack| lack.server != *server)
        })
    }

    fn services_of(&self, director: usize) -> impl Iterator<Item = VirtualService> {
        let present = self.services.iter().enumerate().filter(|(_, s)| s.present);
        present.map(move |(number, settings)| {
            let mut service = settings.service();
            if let Some(lack) = self.lacks
                && (lack.director, lack.service) == (director, number)
            {
                let lacking = settings.server(lack.server);
                service.servers.retain(|server| server.address != lacking);
            }
            service
        })
    }

    fn sync(&self, sync: SyncSettings, number: usize) -> ConnectionSync {
        let others = (0..self.directors).filter(|other| *other != number);
        ConnectionSync {
            key_files: Vec::new(),
            port: SYNC_PORT,
            lag: sync.lag,
            wait: sync.wait,
            peers: others
                .map(|other| SyncPeer {
                    name: format!("d{other}"),
                    addresses: vec![Node::Director(other).address().into()],
                })
                .collect(),
        }
    }

    fn router(&self, router: &RouterSettings, number: usize) -> VirtualRouter {
        let others = (0..self.directors).filter(|other| *other != number && self.unicast);
        VirtualRouter {
            name: format!("r{}", router.id),
            id: VirtualRouterId::try_from(i64::from(router.id)).expect("in range"),
            version: VrrpVersion::V3,
            priority: Priority::try_from(i64::from(router.priorities[number])).expect("in range"),
            advert_interval: self.interval,
            preempt: router.preempt,
            preempt_delay: Duration::ZERO,
            addresses: router.addresses.iter().map(|a| IpAddr::V4(*a)).collect(),
            peers: others.map(|n| Node::Director(n).address().into()).collect(),
            source: None,
            checksum: AdvertChecksum::PseudoHeader,
            announcements: 2,
            announce_again: ms(1000),
        }
    }
}
