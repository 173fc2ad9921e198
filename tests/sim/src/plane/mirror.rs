//! The table of established connections as connection sync sees it, as `evenkeel_bpf` gives it.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use evenkeel_abi::{BUCKET_WAYS, Conn, FlowKey, Server, ServerFlags, Tick, Word, high, low};
use evenkeel_control::mirror::{Installed, Table};
use evenkeel_datapath as datapath;
use evenkeel_model::{GateState, Protocol as Model, ServiceKey};
use evenkeel_sync::{ConnState, Flow, Protocol, Record};
use evenkeel_wire::ipv4;

use super::{Plane, word};

/// What the sweep took out.
#[derive(Debug, Default)]
pub(super) struct Removals {
    queue: VecDeque<Flow>,
    most: usize,
}

impl Removals {
    /// Notes a flow, if somebody asks.
    pub(super) fn note(&mut self, flow: Flow) {
        if self.most == 0 {
            return;
        }
        if self.queue.len() >= self.most {
            self.queue.pop_front();
        }
        self.queue.push_back(flow);
    }
}

/// The flow of a key.
pub(super) fn flow_of(key: &FlowKey) -> Flow {
    let address = |word: u32| Ipv4Addr::from(word.to_ne_bytes());
    let [a, b, c, d] = low(key.ports_protocol).to_ne_bytes();
    let of = |address, port| SocketAddr::V4(SocketAddrV4::new(address, u16::from_be_bytes(port)));
    Flow {
        client: of(address(low(key.addresses)), [a, b]),
        address: of(address(high(key.addresses)), [c, d]),
        protocol: Protocol::Tcp,
        template: false,
    }
}

fn key_of(flow: &Flow) -> FlowKey {
    let ([a, b], [c, d]) = (
        flow.client.port().to_be_bytes(),
        flow.address.port().to_be_bytes(),
    );
    let ports = u32::from_ne_bytes([a, b, c, d]);
    let (client, address) = (word(flow.client.ip()), word(flow.address.ip()));
    FlowKey::new(client, address, ports, ipv4::TCP)
}

/// What a way holds, unless it has expired.
fn entry_of(conn: &Conn, now: u64) -> Option<(FlowKey, Word)> {
    let word = Word(conn.word.load(SeqCst));
    let key = FlowKey {
        addresses: conn.addresses.load(SeqCst),
        ports_protocol: conn.ports_protocol.load(SeqCst),
    };
    (word.is_live() && word.expiry().0 > now).then_some((key, word))
}

const fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

impl Plane {
    /// What stands in the established table of a flow and has not expired.
    #[must_use]
    pub fn established(&self, flow: &Flow) -> Option<Record> {
        let now = self.tables.now.load(SeqCst);
        let key = key_of(flow);
        let word = self.tables.established(&key)?;
        (word.expiry().0 > now).then(|| self.record(&key, word))?
    }

    /// What each way of the established table holds and has not expired: its key and its word.
    pub fn ways(&self) -> impl Iterator<Item = Option<(FlowKey, Word)>> {
        let now = self.tables.now.load(SeqCst);
        let ways = self.tables.conns.iter().flat_map(|bucket| &bucket.ways);
        ways.map(move |conn| entry_of(conn, now))
    }

    /// Whether a service lists a server, or keeps its connections.
    #[must_use]
    pub fn serves(&self, address: SocketAddr, server: SocketAddr) -> bool {
        let service = self.service_of(address);
        service.is_some_and(|service| self.server_at(service, server).is_some())
    }

    /// The entry of a way as it is told.
    #[must_use]
    pub fn record(&self, key: &FlowKey, word: Word) -> Option<Record> {
        let mut servers = self.book.servers.iter();
        let ((_, server), _) = servers.find(|(_, number)| **number == word.server())?;
        let left = word.expiry().0.saturating_sub(self.tables.now.load(SeqCst));
        Some(Record {
            flow: flow_of(key),
            server: *server,
            state: ConnState::try_from(word.state()).ok()?,
            remaining: Duration::from_nanos(left << Tick::SHIFT),
            assured: !word.is_unassured(),
        })
    }

    /// Gives the connections of a bucket.
    fn read(&self, bucket: u32, mut each: impl FnMut(&Record)) {
        let now = self.tables.now.load(SeqCst);
        let read = |conn: &Conn| {
            let (key, word) = entry_of(conn, now)?;
            self.record(&key, word)
        };
        let ways = &self.tables.conns[bucket as usize].ways;
        ways.iter().filter_map(read).for_each(|it| each(&it));
    }

    fn service_of(&self, address: SocketAddr) -> Option<u32> {
        let key = ServiceKey::single(Model::Tcp, address);
        let record = self.book.services.get(&key)?;
        record.entry.as_ref().map(|_| record.number)
    }

    fn server_at(&self, service: u32, server: SocketAddr) -> Option<u32> {
        let number = *self.book.servers.get(&(service, server))?;
        let mac = self.tables.servers[number as usize].mac.load(SeqCst);
        (Server::unpack_flags(mac) & ServerFlags::PRESENT != 0).then_some(number)
    }
}

impl Table for Plane {
    fn keep_removals(&mut self, most: usize) {
        let surplus = self.removals.queue.len().saturating_sub(most);
        self.removals.queue.drain(..surplus);
        self.removals.most = most;
    }

    fn take_removals(&mut self, most: usize) -> Vec<Flow> {
        let taken = self.removals.queue.len().min(most);
        let taken: Vec<Flow> = self.removals.queue.drain(..taken).collect();
        let gone = taken.into_iter();
        gone.filter(|flow| self.established(flow).is_none())
            .collect()
    }

    fn has_changes(&self) -> bool {
        self.tables.changed.iter().any(|w| w.load(SeqCst) != 0)
    }

    fn forget_changes(&self) {
        for word in &self.tables.changed {
            word.store(0, SeqCst);
        }
    }

    fn take_changes(&mut self, budget: usize, mut each: impl FnMut(&Record) -> bool) {
        let words = self.tables.changed.len();
        let (first, mut given) = (self.position, 0);
        for index in (0..words).map(|n| (first + n) % words) {
            let marks = self.tables.changed[index].swap(0, SeqCst);
            for bit in (0..u64::BITS).filter(|bit| marks >> bit & 1 != 0) {
                if budget - given < BUCKET_WAYS {
                    let rest = marks >> bit << bit;
                    self.tables.changed[index].fetch_or(rest, SeqCst);
                    self.position = index;
                    return;
                }
                let bucket = u32::try_from(index).expect("few") * u64::BITS + bit;
                self.read(bucket, |record| given += usize::from(each(record)));
            }
        }
    }

    fn buckets(&self) -> u32 {
        u32::try_from(self.tables.conns.len()).expect("few")
    }

    fn walk(
        &self,
        from: u32,
        buckets: u32,
        budget: usize,
        mut each: impl FnMut(&Record) -> bool,
    ) -> Option<u32> {
        let end = from.saturating_add(buckets).min(self.buckets());
        let mut given = 0;
        for bucket in from..end {
            if budget - given < BUCKET_WAYS {
                return Some(bucket);
            }
            self.read(bucket, |record| given += usize::from(each(record)));
        }
        (end < self.buckets()).then_some(end)
    }

    fn has_server(&self, record: &Record) -> bool {
        self.service_of(record.flow.address)
            .is_some_and(|service| self.server_at(service, record.server).is_some())
    }

    fn install(&self, record: &Record) -> Installed {
        let left = u64::try_from(record.remaining.as_nanos() >> Tick::SHIFT).expect("days");
        if left == 0 {
            return Installed::Senseless;
        }
        let Some(service) = self.service_of(record.flow.address) else {
            return Installed::UnknownService;
        };
        let Some(server) = self.server_at(service, record.server) else {
            return Installed::UnknownServer;
        };
        self.touched.set(true);
        let expiry = Tick(self.tables.now.load(SeqCst) + left);
        let word =
            Word::live(server, record.state.get(), expiry).unassured_if(u64::from(!record.assured));
        let overwrites = self.gate(v4(record.flow.address.ip())) != GateState::Open;
        match datapath::install(&self.tables, &key_of(&record.flow), word, overwrites) {
            datapath::Installed::Entered | datapath::Installed::Changed => Installed::Done,
            datapath::Installed::Kept => Installed::Kept,
            datapath::Installed::NoRoom => Installed::NoRoom,
        }
    }

    fn remove(&self, flow: &Flow) -> bool {
        self.touched.set(true);
        self.gate(v4(flow.address.ip())) == GateState::Closed
            && datapath::remove(&self.tables, &key_of(flow))
    }

    fn place_by_hash_in(&self, duration: Option<Duration>) {
        let from = match duration {
            None => 0,
            Some(Duration::ZERO) => 1,
            Some(duration) => {
                let ticks = duration.as_nanos().div_ceil(1 << Tick::SHIFT);
                self.tables.now.load(SeqCst) + u64::try_from(ticks).expect("seconds") + 1
            }
        };
        self.tables.state.hash_from.store(from, SeqCst);
    }
}
