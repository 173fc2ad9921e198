//! The services of the data plane's target.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{Egress, GateState, Link, SchedulerId, Server, Tick};

use crate::fuzz::input::{Input, pick};
use crate::{NativeTables, TestServer, TestService};

/// The service that resets the clients of servers that left.
const RESETTING: u8 = 0;

/// The schedulers that a byte of the input chooses from.
const SCHEDULERS: [u64; 15] = [
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
const SERVERS: u32 = 4;

/// The virtual router that addresses may belong to.
pub(super) const ROUTER: u8 = 51;

/// The address and port of a service.
pub(super) const fn address_of(service: u8) -> SocketAddrV4 {
    let service = service % SERVICES;
    let port = if service & 1 == 0 { 80 } else { 53 };
    SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 146 + service / 2), port)
}

pub(super) struct World {
    pub(super) tables: NativeTables,
    services: Vec<(TestService, Vec<TestServer>)>,
}

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
            let first = service.number * 8 + 1;
            let servers = (first..first + SERVERS - 1).map(|server| TestServer::new(server, 1));
            world.services.push((service, servers.collect()));
            world.put(number);
        }
        Some(world)
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

    /// Puts the service with its present servers; its gate stays as it is.
    fn put(&mut self, service: u8) {
        let (service, servers) = &self.services[usize::from(service)];
        let gate = self.tables.gate_number(service.address.ip());
        let state = gate.map(|gate| self.gate_state(gate));
        self.tables.put_service(*service, servers);
        if let (Some(gate), Some(state)) = (gate, state) {
            self.tables.gates[gate as usize].state.store(state, SeqCst);
        }
        let slot = &self.tables.services[service.number as usize];
        let key = self.tables.service_key(service.address, service.protocol);
        slot.key.store(key.packed(), SeqCst);
        slot.used.store(1, SeqCst);
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
        let router = &self.tables.routers[usize::from(ROUTER)];
        router.used.store(u64::from(what & 1), SeqCst);
        let lease = Tick::in_secs(u32::from(what >> 1));
        let until = self.tables.now.load(SeqCst) + lease;
        router.lease.store(until, SeqCst);
        router.yielded.store(0, SeqCst);
    }

    /// Gives a server (service in bits 0 and 1, place in bits 2 and 3) a weight, or takes it out (255).
    pub(super) fn set_server(&mut self, which: u8, weight: u8) {
        let number = which % SERVICES;
        let (service, servers) = &mut self.services[usize::from(number)];
        let place = u32::from(which >> 2) % SERVERS;
        let server = service.number * 8 + 1 + place;
        servers.retain(|present| present.number != server);
        if weight != u8::MAX {
            let weight = u32::from(weight);
            servers.push(match place == SERVERS - 1 {
                true => TestServer::local(server, weight),
                false => TestServer::new(server, weight),
            });
            // Twice the same number would be another list's order.
            if which & 0x80 == 0 {
                servers.sort_by_key(|server| server.number);
            }
        }
        self.put(number);
    }

    /// Writes the hint of a service (bits 0 and 1): the number of one (bits 2 to 4), right or not.
    pub(super) fn set_hint(&self, what: u8) {
        let (service, _) = &self.services[usize::from(what % SERVICES)];
        let hint = &self.tables.service_hints[self
            .tables
            .service_key(service.address, service.protocol)
            .hint() as usize];
        hint.store(u64::from(what >> 2 & 7), SeqCst);
    }
}
