//! Services of a native data plane, laid out as user space lays them out.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{
    Costs, GateState, Locality, SchedulerId, Server, ServerFlags, Service, ServiceFlags, Span, pair,
};
use evenkeel_datapath::tcp::{SCTP_TIMEOUTS, TIMEOUTS};
use evenkeel_model::{Listen, buckets, hash_table, mh, wrr};
use evenkeel_wire::ipv4;

use crate::tables::NativeTables;

mod takes;

/// Words of a service's part of the arena that hold the port ranges of the gate of the same number.
const PORT_WORDS: u32 = 64;

/// A service of a test.
#[derive(Clone, Copy, Debug)]
pub struct TestService {
    /// Number, below 32; its gate has the same, if no other service has the address or the gate.
    pub number: u32,
    /// Virtual address and port; of a group any address of its family.
    pub address: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// What it takes in place of the address and the port, if it is a group.
    pub group: &'static [Listen],
    /// Further flags of [`ServiceFlags`].
    pub flags: u64,
    /// Persistence: how long templates live, in ticks (0: there are none), and the mask or prefix.
    pub persistence: (u32, u32),
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
            group: &[],
            flags: 0,
            persistence: (0, 0),
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

    /// The word of its flags.
    fn flags(&self) -> u64 {
        let flags = [
            (
                self.fragments_by_address,
                ServiceFlags::FRAGMENTS_BY_ADDRESS,
            ),
            (self.resets, ServiceFlags::GONE_RESET),
            (!self.group.is_empty(), ServiceFlags::GROUP),
            (self.address.is_ipv6(), ServiceFlags::IPV6),
        ];
        let set = flags.into_iter().filter(|(is_set, _)| *is_set);
        set.fold(self.flags, |all, (_, flag)| all | flag)
    }

    /// The same, as a group of these addresses and ports.
    #[must_use]
    pub const fn with_group(self, group: &'static [Listen]) -> Self {
        Self { group, ..self }
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
        let gates = self.take(&service);
        for gate in &gates {
            let state = &self.gates[*gate as usize].state;
            state.store(GateState::OPEN, SeqCst);
        }
        let owner = pair(number + 1, 0);
        self.take_out(number, service.flags & ServiceFlags::GONE_KEEP != 0);
        for server in servers {
            let entry = &self.servers[server.number as usize];
            let weights = pair(server.weight, server.weight.max(1));
            entry.weights.store(weights, SeqCst);
            entry.owner.store(owner, SeqCst);
            let mac = Server::pack_mac(server.mac(), server.flags());
            entry.mac.store(mac, SeqCst);
        }
        let half = &self.services[number as usize].halves[0];
        let gate = gates.first().copied().unwrap_or(0);
        half.gate.store(u64::from(gate), SeqCst);
        half.flags.store(service.flags(), SeqCst);
        let (lifetime, mask) = service.persistence;
        half.persistence.store(pair(lifetime, mask), SeqCst);
        let timeouts = match service.protocol {
            ipv4::SCTP => SCTP_TIMEOUTS,
            _ => TIMEOUTS,
        };
        for (word, ticks) in half.timeouts.iter().zip(timeouts) {
            word.store(ticks, SeqCst);
        }
        self.services[number as usize].used.store(1, SeqCst);
        half.scheduler.store(service.scheduler, SeqCst);
        half.costs.store(costs(service.scheduler).0, SeqCst);
        self.fill(half, (number, gates.len()), service.scheduler, servers);
    }

    /// Takes the servers of a service out; `keep`: their flows go on.
    fn take_out(&self, service: u32, keep: bool) {
        for server in &self.servers {
            if server.owner.load(SeqCst) != pair(service + 1, 0) {
                continue;
            }
            let mac = server.mac.load(SeqCst);
            let flags = Server::unpack_flags(mac);
            let kept = match keep && flags & ServerFlags::PRESENT != 0 {
                true => Server::pack_mac(Server::unpack_mac(mac), flags | ServerFlags::KEPT),
                false => 0,
            };
            server.mac.store(kept, SeqCst);
            server.weights.store(0, SeqCst);
        }
    }

    /// Takes a service away, if it is there: no packet finds it, and its servers are gone.
    pub fn remove_service(&mut self, number: u32) {
        self.services[number as usize].used.store(0, SeqCst);
        self.leave(number);
        self.take_out(number, false);
    }

    /// Fills the tables of a service, in the part of the arena that its number has.
    fn fill(
        &self,
        half: &Service,
        (number, addresses): (u32, usize),
        scheduler: u64,
        servers: &[TestServer],
    ) {
        let part = self.arena.len() / self.services.len();
        let cursor = u32::try_from(part).expect("the arena has 32-bit indices") * number;
        let fresh: Vec<_> = servers.iter().copied().filter(|s| s.weight > 0).collect();
        let quiesced = servers.len() - fresh.len();
        half.quiesced.store(quiesced as u64, SeqCst);
        let mut at = if scheduler == SchedulerId::WRR {
            self.arena[cursor as usize].store(0, SeqCst);
            self.lend_levels(&half.ring, cursor + 1, &fresh)
        } else if matches!(scheduler, SchedulerId::LBLC | SchedulerId::LBLCR) {
            self.lend_rows(half, cursor, (addresses, servers.len()))
        } else {
            let last = fresh.len().saturating_sub(1) as u64;
            self.arena[cursor as usize].store(last, SeqCst);
            self.lend(&half.ring, cursor + 1, &ring(scheduler, servers))
        };
        at = self.lend(&half.hash_all, at, &hashed(servers));
        at = self.lend(&half.hash_fresh, at, &hashed(&fresh));
        let all: Vec<_> = servers.iter().map(|server| server.number).collect();
        at = self.lend(&half.list, at, &all);
        let end = cursor as usize + part - PORT_WORDS as usize;
        assert!(at as usize <= end, "the tables fit");
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

    /// Writes the empty rows of addresses, with a place for each server if there are members, and the number of
    /// places before them; returns the first word after them.
    fn lend_rows(&self, half: &Service, cursor: u32, (addresses, servers): (usize, usize)) -> u32 {
        let replicated = half.scheduler.load(SeqCst) == SchedulerId::LBLCR;
        let len = |n: usize| u32::try_from(n).expect("a table fits the arena");
        let places = if replicated { len(servers) } else { 0 };
        let (rows, row) = (len(addresses), Locality::MEMBERS + places);
        let end = cursor + 1 + rows * row;
        for word in &self.arena[cursor as usize..end as usize] {
            word.store(0, SeqCst);
        }
        self.arena[cursor as usize].store(places.into(), SeqCst);
        for start in (0..rows).map(|number| cursor + 1 + number * row) {
            let servers = start + Locality::SERVERS;
            self.arena[servers as usize].store(places.into(), SeqCst);
        }
        half.ring.store(cursor + 1, rows);
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
