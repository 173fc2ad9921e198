//! The services of a wide world besides the first four, and what changes of services.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{Egress, GateState, ROUTERS6, ServiceFlags, Tick, low, pair};
use evenkeel_datapath::table::weigh;

use super::world::{Entry, ROUTER, SCHEDULERS, SERVERS, SERVICES, World, first_server};
use crate::TestService;
use crate::fuzz::input::pick;
use crate::model::{Listen, Ports, Protocol};
use crate::packet::{DIRECTOR, as_v6};

/// Kinds of changes, in the low half of a change's first byte.
pub(super) mod change {
    /// A server's weight, or its end.
    pub(in crate::fuzz) const SERVER: u8 = 0;
    /// What flows of servers that leave meet.
    pub(in crate::fuzz) const REMOVAL: u8 = 1;
    /// Persistence.
    pub(in crate::fuzz) const PERSISTENCE: u8 = 2;
    /// One-packet scheduling, and what is hashed.
    pub(in crate::fuzz) const FLAGS: u8 = 3;
    /// Thresholds of a server.
    pub(in crate::fuzz) const THRESHOLDS: u8 = 4;
    /// The gates of a service's addresses.
    pub(in crate::fuzz) const GATES: u8 = 5;
    /// Part in a virtual router, and its lease.
    pub(in crate::fuzz) const ROUTER: u8 = 6;
    /// A service's scheduler.
    pub(in crate::fuzz) const SCHEDULER: u8 = 7;
    /// The way to a server.
    pub(in crate::fuzz) const WAY: u8 = 8;
    /// A service goes.
    pub(in crate::fuzz) const REMOVE: u8 = 9;
    /// A service comes back.
    pub(in crate::fuzz) const PUT: u8 = 10;
    /// Packets come in by the other interface.
    pub(in crate::fuzz) const INGRESS: u8 = 11;
    /// A group's addresses and ports.
    pub(in crate::fuzz) const GROUP: u8 = 12;
}

/// The virtual address that ends so.
pub(super) const fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 14, last)
}

const fn listen(last: u8, is_v6: bool, protocol: Protocol, ports: Ports) -> Listen {
    let address = SocketAddrV4::new(address(last), 0);
    Listen {
        address: match is_v6 {
            true => as_v6(address).ip(),
            false => IpAddr::V4(*address.ip()),
        },
        protocol,
        ports,
    }
}

const fn range(first: u16, last: u16) -> Ports {
    Ports::range(first, last).expect("a range")
}

use Protocol::{Sctp, Tcp, Udp};

/// Groups: of several addresses, ranges and protocols, of any port beside the range of the first, and of IPv6.
const GROUPS: [&[Listen]; 3] = [
    &[
        listen(149, false, Tcp, Ports::one(80)),
        listen(150, false, Tcp, range(8000, 8099)),
        listen(149, false, Udp, Ports::ANY),
    ],
    &[
        listen(150, false, Tcp, Ports::ANY),
        listen(150, false, Sctp, range(2900, 2999)),
    ],
    &[
        listen(149, true, Udp, Ports::ANY),
        listen(150, true, Tcp, range(8000, 8099)),
        listen(149, true, Sctp, Ports::one(2905)),
    ],
];

/// What a group of the same place takes after a change.
const OTHERS: [&[Listen]; 3] = [
    &[listen(149, false, Tcp, range(80, 99))],
    &[
        listen(149, false, Tcp, Ports::ANY),
        listen(150, false, Tcp, Ports::one(8042)),
    ],
    &[
        listen(150, true, Tcp, range(8050, 8060)),
        listen(150, true, Tcp, Ports::one(443)),
    ],
];

/// The number of the first group.
const FIRST_GROUP: u32 = 9;

/// Services of a wide world besides the first four.
pub(super) const MORE: u8 = 8;

/// They, with their numbers.
pub(super) fn services() -> impl Iterator<Item = TestService> {
    let v4 = |last, port| SocketAddrV4::new(address(last), port);
    let v6 = |last, port| TestService::at(as_v6(v4(last, port)));
    let any4 = TestService::at(SocketAddr::V4(v4(0, 0)));
    let services = [
        v6(146, 80),
        v6(146, 53).udp(),
        v6(147, 53).udp().with_fragments_by_address(),
        TestService::new(v4(148, 2905)).sctp(),
        v6(148, 2905).sctp(),
        any4.with_group(GROUPS[0]),
        any4.with_group(GROUPS[1]),
        v6(0, 0).with_group(GROUPS[2]),
    ];
    assert_eq!(services.len(), usize::from(MORE));
    let numbered = |(number, service)| TestService { number, ..service };
    (u32::from(SERVICES)..).zip(services).map(numbered)
}

/// The interface of the other way.
const OTHER: u32 = 7;

impl World {
    /// Changes something: the kind in the low half of the first byte, then a service and what else there is to say.
    pub(super) fn change(&mut self, [kind, which, what]: [u8; 3]) {
        let number = usize::from(which) % self.services.len();
        let place = u32::from(what) % SERVERS;
        let server = first_server(self.services[number].service.number) + place;
        match kind & 15 {
            change::SERVER => {
                let weights = [
                    Some(1),
                    Some(0),
                    None,
                    Some(3),
                    Some(1),
                    Some(100),
                    None,
                    Some(2),
                ];
                let weight = pick(&weights, what >> 2 & 7);
                self.weigh_server(number, (place, weight), what & 0x80 == 0);
            }
            change::THRESHOLDS => self.set_thresholds(server, what >> 2),
            change::GATES => self.set_gates(number, what),
            change::ROUTER => {
                let routers = [ROUTER.into(), ROUTERS6 as usize + usize::from(ROUTER), 52];
                self.lead(pick(&routers, which), what);
            }
            change::WAY => {
                let ways = [
                    Egress::default(),
                    Egress::by(OTHER, 0),
                    Egress::by(1, 30),
                    Egress::by(OTHER, 30),
                    Egress::by(8, 0),
                    Egress::by(1, 0),
                ];
                let way = pick(&ways, what >> 2);
                let server = &self.tables.servers[server as usize];
                server.egress.store(way.0, SeqCst);
            }
            change::REMOVE => {
                let service = self.services[number].service.number;
                self.tables.remove_service(service);
            }
            change::INGRESS => {
                if let Some(other) = self.tables.other_links.first_mut() {
                    std::mem::swap(&mut self.tables.link, other);
                }
            }
            kind => {
                self.set_option(kind, number, what);
                self.put(number);
            }
        }
    }

    /// Sets what concerns a service alone; the other kinds change nothing.
    fn set_option(&mut self, kind: u8, number: usize, what: u8) {
        let Entry { service, .. } = &mut self.services[number];
        match kind {
            change::REMOVAL => {
                service.resets = what & 3 == 1;
                service.flags &= !ServiceFlags::GONE_KEEP;
                service.flags |= u64::from(what & 3 == 2) * ServiceFlags::GONE_KEEP;
            }
            change::PERSISTENCE => {
                let lifetime = pick(&[300, 1, 60, 86_400], what >> 3);
                let lifetime = u32::try_from(Tick::in_secs(lifetime)).expect("not too long");
                let mask = match service.address {
                    SocketAddr::V4(_) => {
                        let masks = [u32::MAX, u32::MAX << 8, u32::MAX << 16, 0];
                        pick(&masks, what & 3).to_be()
                    }
                    SocketAddr::V6(_) => pick(&[128, 64, 113, 0], what & 3),
                };
                service.persistence = match what & 4 {
                    0 => (lifetime, mask),
                    _ => (0, 0),
                };
            }
            change::FLAGS => {
                let all = [
                    ServiceFlags::ONE_PACKET,
                    ServiceFlags::HASH_CLIENT,
                    ServiceFlags::HASH_PORT,
                    ServiceFlags::FALLBACK,
                ];
                for (bit, flag) in all.into_iter().enumerate() {
                    service.flags &= !flag;
                    service.flags |= u64::from(what >> bit & 1) * flag;
                }
            }
            change::SCHEDULER => service.scheduler = pick(&SCHEDULERS, what),
            change::GROUP => {
                if let Some(place) = service.number.checked_sub(FIRST_GROUP) {
                    let groups = if what & 1 == 0 { GROUPS } else { OTHERS };
                    service.group = groups[place as usize];
                }
            }
            _ => {}
        }
    }

    /// Upper threshold in bits 0 to 2, lower one in bits 3 to 5.
    fn set_thresholds(&self, server: u32, what: u8) {
        let upper = pick(&[0, 1, 2, 3, 4, 5, 8, 12], what & 7);
        let lower = pick(&[0, 0, 1, 2, 3, 5, 8, 12], what >> 3 & 7).min(upper);
        let load = &self.tables.loads[server as usize];
        let before = low(load.thresholds.load(SeqCst));
        load.thresholds.store(pair(upper, lower), SeqCst);
        if upper == 0 || upper > before {
            load.overloaded.store(0, SeqCst);
        }
        // Packets would find out with the server's next flow.
        weigh(load);
    }

    /// Bits 0 and 1 the state, bit 2 whether they belong to a virtual router of their family, bit 3 whether the second
    /// address is meant too.
    fn set_gates(&self, number: usize, what: u8) {
        let Entry { service, .. } = &self.services[number];
        let listens = service.group.iter().map(|listen| listen.address);
        let addresses: Vec<IpAddr> = match service.group {
            [] => vec![service.address.ip()],
            _ => listens.collect(),
        };
        let states = [
            GateState::OPEN,
            GateState::DRAINING,
            GateState::CLOSED,
            GateState::OPEN,
        ];
        for address in addresses.iter().take(1 + usize::from(what >> 3 & 1)) {
            let Some(gate) = self.tables.gate_number(*address) else {
                continue;
            };
            let gate = &self.tables.gates[gate as usize];
            gate.state.store(pick(&states, what), SeqCst);
            let router = u64::from(ROUTER) + u64::from(address.is_ipv6()) * u64::from(ROUTERS6);
            gate.virtual_router
                .store(u64::from(what >> 2 & 1) * router, SeqCst);
        }
    }

    /// The frame as it arrives by the interface that packets come in by.
    pub(super) fn arriving(&self, mut frame: Vec<u8>) -> Vec<u8> {
        if frame.starts_with(&DIRECTOR) {
            let own = evenkeel_abi::Server::unpack_mac(self.tables.link.mac.load(SeqCst));
            frame[..6].copy_from_slice(&own);
        }
        frame
    }
}
