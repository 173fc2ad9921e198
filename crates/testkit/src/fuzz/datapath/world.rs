//! The services of the data plane's target.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{Egress, GateState, Link, SchedulerId, Server, Tick};

use super::wide;
use crate::fuzz::input::{Input, pick};
use crate::{NativeTables, TestServer, TestService};

/// The service that resets the clients of servers that left.
const RESETTING: u8 = 0;

/// The schedulers that a byte of the input chooses from.
pub(super) const SCHEDULERS: [u64; 15] = [
    SchedulerId::RR,
    SchedulerId::WRR,
    SchedulerId::WLC,
    SchedulerId::MAGLEV,
    SchedulerId::LC,
    SchedulerId::SED,
    SchedulerId::NQ,
    SchedulerId::FO,
    SchedulerId::OVF,
    SchedulerId::DH,
    SchedulerId::SH,
    SchedulerId::MH,
    SchedulerId::TWOS,
    SchedulerId::LBLC,
    SchedulerId::LBLCR,
];

/// Services: the even ones are of TCP, each odd one of UDP at the address of the one before it.
pub(super) const SERVICES: u8 = 4;

/// Servers of each service; the last is the director itself.
pub(super) const SERVERS: u32 = 4;

/// The virtual router that addresses may belong to.
pub(super) const ROUTER: u8 = 51;

/// The number of a service's first server.
pub(super) const fn first_server(service: u32) -> u32 {
    service * 8 + 1
}

/// The address and port of a service.
pub(super) const fn address_of(service: u8) -> SocketAddrV4 {
    let service = service % SERVICES;
    let port = if service & 1 == 0 { 80 } else { 53 };
    SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 146 + service / 2), port)
}

/// A service of the world.
pub(super) struct Entry {
    pub(super) service: TestService,
    pub(super) servers: Vec<TestServer>,
}

pub(super) struct World {
    pub(super) tables: NativeTables,
    /// By number; the first are those of [`address_of`].
    pub(super) services: Vec<Entry>,
}

/// In the byte of sizes: the world has the services of [`super::wide`] too, each with a byte for its scheduler.
pub(super) const WIDE: u8 = 0x20;

impl World {
    /// A byte of sizes, then one for each service.
    pub(super) fn begin(input: &mut Input<'_>) -> Option<Self> {
        let sizes = input.byte()?;
        let conns = pick(&[4, 1, 16, 64], sizes & 3);
        let buckets = pick(&[1, 2, 8, 4], sizes >> 2 & 3);
        let mut world = Self {
            tables: NativeTables::new(conns, buckets),
            services: Vec::new(),
        };
        // One bucket is filled soon.
        world.tables.fragments.truncate(1);
        if sizes & 0x80 != 0 {
            // An interface without an address sends no ICMP time exceeded.
            world.tables.globals.address.store(0, SeqCst);
            for word in &world.tables.globals.address6 {
                word.store(0, SeqCst);
            }
        }
        if sizes & 0x40 != 0 {
            world.spread();
        }
        for number in 0..SERVICES {
            let scheduler = pick(&SCHEDULERS, input.byte()?);
            let mut service = TestService::new(address_of(number)).scheduled(scheduler);
            service.number = u32::from(number);
            if number & 1 != 0 {
                service = service.udp();
            }
            if number == RESETTING {
                service = service.with_resets();
            }
            if number == 3 {
                service = service.with_fragments_by_address();
            }
            world.add(service);
        }
        if sizes & WIDE != 0 {
            for service in wide::services() {
                let scheduler = pick(&SCHEDULERS, input.byte()?);
                world.add(service.scheduled(scheduler));
            }
        }
        Some(world)
    }

    fn add(&mut self, service: TestService) {
        let first = first_server(service.number);
        let servers = first..first + SERVERS - 1;
        self.services.push(Entry {
            service,
            servers: servers.map(|server| TestServer::new(server, 1)).collect(),
        });
        self.put(self.services.len() - 1);
    }

    /// Has servers behind another interface, with a tag, and behind one without the program.
    fn spread(&mut self) {
        let other = Link::default();
        other.index.store(7, SeqCst);
        other
            .mac
            .store(Server::pack_mac([2, 0, 0, 0, 7, 7], 0), SeqCst);
        self.tables.other_links.push(other);
        let ways = [
            Egress::default(),
            Egress::by(7, 0),
            Egress::by(1, 30),
            Egress::by(8, 0),
        ];
        for (server, way) in self.tables.servers.iter().zip(ways.iter().cycle()) {
            server.egress.store(way.0, SeqCst);
        }
    }

    /// Puts the service with its present servers; the gates that there are stay as they are.
    pub(super) fn put(&mut self, service: usize) {
        let gates = self.tables.vips.values().chain(self.tables.vips6.values());
        let state = |gate: &u32| (*gate, self.gate_state(*gate));
        let states: Vec<_> = gates.map(state).collect();
        let Entry { service, servers } = &self.services[service];
        self.tables.put_service(*service, servers);
        for (gate, state) in states {
            self.tables.gates[gate as usize].state.store(state, SeqCst);
        }
    }

    fn gate_state(&self, gate: u32) -> u64 {
        self.tables.gates[gate as usize].state.load(SeqCst)
    }

    pub(super) fn tick(&self, ticks: u64) {
        self.tables.now.fetch_add(ticks, SeqCst);
    }

    /// Bit 0 the address, bits 1 and 2 the state, bit 3 whether it belongs to the virtual router.
    pub(super) fn set_gate(&self, what: u8) {
        let states = [GateState::OPEN, GateState::DRAINING, GateState::CLOSED];
        let gate = &self.tables.gates[usize::from(what & 1) * 2];
        gate.state.store(pick(&states, what >> 1 & 3), SeqCst);
        let router = u64::from(what >> 3 & 1) * u64::from(ROUTER);
        gate.virtual_router.store(router, SeqCst);
    }

    /// Bit 0 whether this director takes part in it, the others seconds of the lease.
    pub(super) fn set_router(&self, what: u8) {
        self.lead(ROUTER.into(), what);
    }

    /// The same of the virtual router in this place of the map.
    pub(super) fn lead(&self, router: usize, what: u8) {
        let router = &self.tables.routers[router];
        router.used.store(u64::from(what & 1), SeqCst);
        let lease = Tick::in_secs(u32::from(what >> 1));
        let until = self.tables.now.load(SeqCst) + lease;
        router.lease.store(until, SeqCst);
        router.yielded.store(0, SeqCst);
    }

    /// Gives a server (service in bits 0 and 1, place in bits 2 and 3) a weight, or takes it out (255).
    pub(super) fn set_server(&mut self, which: u8, weight: u8) {
        let weight = (weight != u8::MAX).then_some(u32::from(weight));
        let place = u32::from(which >> 2) % SERVERS;
        let is_sorted = which & 0x80 == 0;
        self.weigh_server(usize::from(which % SERVICES), (place, weight), is_sorted);
    }

    /// Gives the server in a place a weight, or takes it out; not sorted, it is the last of its service's list.
    pub(super) fn weigh_server(
        &mut self,
        number: usize,
        (place, weight): (u32, Option<u32>),
        is_sorted: bool,
    ) {
        let Entry { service, servers } = &mut self.services[number];
        let server = first_server(service.number) + place;
        servers.retain(|present| present.number != server);
        if let Some(weight) = weight {
            servers.push(match place == SERVERS - 1 {
                true => TestServer::local(server, weight),
                false => TestServer::new(server, weight),
            });
            if is_sorted {
                servers.sort_by_key(|server| server.number);
            }
        }
        self.put(number);
    }

    /// Writes the hint of a service (bits 0 and 1): the number of one (bits 2 to 4), right or not.
    pub(super) fn set_hint(&self, what: u8) {
        let Entry { service, .. } = &self.services[usize::from(what % SERVICES)];
        let hint = &self.tables.service_hints[self
            .tables
            .service_key(service.address, service.protocol)
            .hint() as usize];
        hint.store(u64::from(what >> 2 & 7), SeqCst);
    }
}
