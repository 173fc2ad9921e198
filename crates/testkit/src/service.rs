//! Services of a native data plane, laid out as user space lays them out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{
    Costs, GateState, Locality, SchedulerId, Server, ServerFlags, Service, ServiceFlags,
    ServiceKey, Span, high, low, pair,
};
use evenkeel_datapath::tcp::{SCTP_TIMEOUTS, TIMEOUTS};
use evenkeel_model::{buckets, hash_table, mh, wrr};
use evenkeel_wire::ipv4;

use crate::tables::{NativeTables, words};

/// A service of a test.
#[derive(Clone, Copy, Debug)]
pub struct TestService {
    /// Number, below 32; its gate has the same.
    pub number: u32,
    /// Virtual address and port.
    pub address: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// One of [`SchedulerId`].
    pub scheduler: u64,
    /// Whether fragments are placed by addresses and protocol alone.
    pub fragments_by_address: bool,
    /// Whether clients of a server that left are reset.
    pub resets: bool,
}

impl TestService {
    /// Number 0, TCP, rr.
    #[must_use]
    pub const fn new(address: SocketAddrV4) -> Self {
        Self::at(SocketAddr::V4(address))
    }

    /// The same, of either family.
    #[must_use]
    pub const fn at(address: SocketAddr) -> Self {
        Self {
            number: 0,
            address,
            protocol: ipv4::TCP,
            scheduler: SchedulerId::RR,
            fragments_by_address: false,
            resets: false,
        }
    }

    /// The same with UDP.
    #[must_use]
    pub const fn udp(self) -> Self {
        Self {
            protocol: ipv4::UDP,
            ..self
        }
    }

    /// The same with SCTP.
    #[must_use]
    pub const fn sctp(self) -> Self {
        Self {
            protocol: ipv4::SCTP,
            ..self
        }
    }

    /// The same, with fragments that are placed by addresses and protocol alone.
    #[must_use]
    pub const fn with_fragments_by_address(self) -> Self {
        Self {
            fragments_by_address: true,
            ..self
        }
    }

    /// The same, with resets for the clients of a server that left.
    #[must_use]
    pub const fn with_resets(self) -> Self {
        Self {
            resets: true,
            ..self
        }
    }

    /// The same with another scheduler.
    #[must_use]
    pub const fn scheduled(self, scheduler: u64) -> Self {
        Self { scheduler, ..self }
    }
}

/// A real server of a test's service; its number is also the end of its MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestServer {
    /// Number.
    pub number: u32,
    /// Weight in force.
    pub weight: u32,
    /// Whether it is the director itself.
    pub local: bool,
}

impl TestServer {
    /// A server that is reached by direct routing.
    #[must_use]
    pub const fn new(number: u32, weight: u32) -> Self {
        Self {
            number,
            weight,
            local: false,
        }
    }

    /// The director itself, whose MAC address nobody needs.
    #[must_use]
    pub const fn local(number: u32, weight: u32) -> Self {
        Self {
            number,
            weight,
            local: true,
        }
    }

    /// Its MAC address.
    #[must_use]
    pub fn mac(self) -> [u8; 6] {
        let [.., high, low] = self.number.to_be_bytes();
        if self.local {
            [0; 6]
        } else {
            [2, 0, 0, 1, high, low]
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(self, port: u16) -> SocketAddrV4 {
        let [.., high, low] = self.number.to_be_bytes();
        SocketAddrV4::new(Ipv4Addr::new(10, 1, high, low), port)
    }

    const fn flags(self) -> u16 {
        if self.local {
            ServerFlags::PRESENT | ServerFlags::LOCAL
        } else {
            ServerFlags::PRESENT
        }
    }
}

impl NativeTables {
    /// Puts a service with an open gate in place of the one of its number.
    ///
    /// # Panics
    ///
    /// If the servers don't fit the tables.
    pub fn put_service(&mut self, service: TestService, servers: &[TestServer]) {
        let number = service.number;
        let (gate, key) = self.gate_and_key(service);
        let packed = key.packed();
        self.services[number as usize].key.store(packed, SeqCst);
        self.gates[gate as usize]
            .state
            .store(GateState::OPEN, SeqCst);
        self.service_ids.insert(key, number);
        let owner = pair(number + 1, 0);
        for server in &self.servers {
            if server.owner.load(SeqCst) == owner {
                server.mac.store(0, SeqCst);
            }
        }
        for server in servers {
            let entry = &self.servers[server.number as usize];
            let weights = pair(server.weight, server.weight.max(1));
            entry.weights.store(weights, SeqCst);
            entry.owner.store(owner, SeqCst);
            let mac = Server::pack_mac(server.mac(), server.flags());
            entry.mac.store(mac, SeqCst);
        }
        let half = &self.services[number as usize].halves[0];
        half.gate.store(u64::from(gate), SeqCst);
        let by_address =
            u64::from(service.fragments_by_address) * ServiceFlags::FRAGMENTS_BY_ADDRESS;
        let resets = u64::from(service.resets) * ServiceFlags::GONE_RESET;
        half.flags.store(by_address | resets, SeqCst);
        let timeouts = match service.protocol {
            ipv4::SCTP => SCTP_TIMEOUTS,
            _ => TIMEOUTS,
        };
        for (word, ticks) in half.timeouts.iter().zip(timeouts) {
            word.store(ticks, SeqCst);
        }
        self.services[number as usize].used.store(1, SeqCst);
        let word = &self.gates[gate as usize].fragments;
        let (tcp, udp) = (low(word.load(SeqCst)), high(word.load(SeqCst)));
        let change = |old: u32| match service.fragments_by_address {
            true => number + 1,
            false if old == number + 1 => 0,
            false => old,
        };
        match service.protocol {
            ipv4::TCP => word.store(pair(change(tcp), udp), SeqCst),
            ipv4::UDP => word.store(pair(tcp, change(udp)), SeqCst),
            _ => {}
        }
        half.scheduler.store(service.scheduler, SeqCst);
        half.costs.store(costs(service.scheduler).0, SeqCst);
        self.fill(half, number, service.scheduler, servers);
    }

    /// The gate of a service's address, which is made if need be, and its key.
    fn gate_and_key(&mut self, service: TestService) -> (u32, ServiceKey) {
        let (port, number) = (service.address.port().to_be(), service.number);
        match service.address.ip() {
            IpAddr::V4(address) => {
                let address = u32::from_ne_bytes(address.octets());
                let gate = *self.vips.entry(address).or_insert(number);
                (gate, ServiceKey::new(address, port, service.protocol))
            }
            IpAddr::V6(address) => {
                let address = words(address);
                let gate = *self.vips6.entry(address).or_insert(number);
                for (word, value) in self.gates[gate as usize].address6.iter().zip(address) {
                    word.store(value, SeqCst);
                }
                (gate, ServiceKey::v6(gate, port, service.protocol))
            }
        }
    }

    /// Fills the tables of a service, in the part of the arena that its number has.
    fn fill(&self, half: &Service, number: u32, scheduler: u64, servers: &[TestServer]) {
        let part = self.arena.len() / self.services.len();
        let cursor = u32::try_from(part).expect("the arena has 32-bit indices") * number;
        let fresh: Vec<_> = servers.iter().copied().filter(|s| s.weight > 0).collect();
        let quiesced = servers.len() - fresh.len();
        half.quiesced.store(quiesced as u64, SeqCst);
        let mut at = if scheduler == SchedulerId::WRR {
            self.arena[cursor as usize].store(0, SeqCst);
            self.lend_levels(&half.ring, cursor + 1, &fresh)
        } else if matches!(scheduler, SchedulerId::LBLC | SchedulerId::LBLCR) {
            self.lend_row(half, cursor, servers.len())
        } else {
            let last = fresh.len().saturating_sub(1) as u64;
            self.arena[cursor as usize].store(last, SeqCst);
            self.lend(&half.ring, cursor + 1, &ring(scheduler, servers))
        };
        at = self.lend(&half.hash_all, at, &hashed(servers));
        at = self.lend(&half.hash_fresh, at, &hashed(&fresh));
        let all: Vec<_> = servers.iter().map(|server| server.number).collect();
        at = self.lend(&half.list, at, &all);
        assert!(at as usize <= cursor as usize + part, "the tables fit");
    }

    /// Writes a table; returns the first word after it.
    fn lend(&self, span: &Span, start: u32, entries: &[u32]) -> u32 {
        let len = u32::try_from(entries.len()).expect("a table fits the arena");
        span.store(start, len);
        self.write(start, entries)
    }

    fn write(&self, start: u32, entries: &[u32]) -> u32 {
        for (word, two) in (start..).zip(entries.chunks(2)) {
            let second = two.get(1).copied().unwrap_or(0);
            self.arena[word as usize].store(pair(two[0], second), SeqCst);
        }
        start + u32::try_from(entries.len().div_ceil(2)).expect("a table fits the arena")
    }

    /// Writes the empty row of an address, with a place for each server if there are members, and the number of
    /// places before it; returns the first word after it.
    fn lend_row(&self, half: &Service, cursor: u32, servers: usize) -> u32 {
        let replicated = half.scheduler.load(SeqCst) == SchedulerId::LBLCR;
        let places = if replicated { servers } else { 0 };
        let places = u32::try_from(places).expect("a table fits the arena");
        let end = cursor + 1 + Locality::MEMBERS + places;
        for word in &self.arena[cursor as usize..end as usize] {
            word.store(0, SeqCst);
        }
        self.arena[cursor as usize].store(places.into(), SeqCst);
        let servers = cursor + 1 + Locality::SERVERS;
        self.arena[servers as usize].store(places.into(), SeqCst);
        half.ring.store(cursor + 1, 1);
        end
    }

    /// Writes the levels of wrr and their lists; returns the first word after them.
    fn lend_levels(&self, span: &Span, start: u32, fresh: &[TestServer]) -> u32 {
        let list: Vec<_> = fresh.iter().map(|s| (s.number, s.weight)).collect();
        let levels = wrr::begin(&list).levels;
        let len = |n: usize| u32::try_from(n).expect("a table fits the arena");
        span.store(start, len(levels.len()));
        let mut at = start + 2 * len(levels.len());
        for (level, word) in levels.iter().zip((start as usize..).step_by(2)) {
            let list = pair(at, len(level.entries.len()));
            self.arena[word].store(list, SeqCst);
            self.arena[word + 1].store(pair(level.passes, 0), SeqCst);
            at = self.write(at, &level.entries);
        }
        at
    }
}

fn hashed(servers: &[TestServer]) -> Vec<u32> {
    let list: Vec<_> = servers
        .iter()
        .map(|s| (SocketAddr::V4(s.address(80)), s.weight.max(1)))
        .collect();
    hash_table::build(&list, 0)
        .into_iter()
        .map(|i| servers[i as usize].number)
        .collect()
}

/// What a scheduler goes by beside wrr: all servers' buckets, or the servers with a weight.
fn ring(scheduler: u64, servers: &[TestServer]) -> Vec<u32> {
    let places = match scheduler {
        SchedulerId::DH => buckets::destination_hash(servers.len()),
        SchedulerId::SH => {
            let weights = servers.iter().map(|s| u16::try_from(s.weight));
            let weights: Result<Vec<u16>, _> = weights.collect();
            buckets::source_hash(&weights.expect("weights have 16 bits"))
        }
        SchedulerId::MH => {
            let weighed = servers.iter().map(|s| {
                let weight = u16::try_from(s.weight.max(1)).expect("weights have 16 bits");
                (SocketAddr::V4(s.address(80)), weight)
            });
            mh::build(&weighed.collect::<Vec<_>>())
        }
        _ => {
            let fresh = servers.iter().filter(|s| s.weight > 0);
            return fresh.map(|s| s.number).collect();
        }
    };
    places.into_iter().map(|i| servers[i].number).collect()
}

const fn costs(scheduler: u64) -> Costs {
    match scheduler {
        SchedulerId::LC => Costs::LC,
        SchedulerId::WLC => Costs::WLC,
        SchedulerId::SED => Costs::SED,
        SchedulerId::NQ => Costs::NQ,
        SchedulerId::FO => Costs::FO,
        SchedulerId::OVF => Costs::OVF,
        _ => Costs(0),
    }
}
