//! A service, its clients, and the invariants that hold after every packet.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::ConnState;
use evenkeel_datapath::Verdict;
use evenkeel_testkit::packet::flags::{ACK, SYN};
use evenkeel_testkit::packet::{Datagram, Segment, as_v6};
use evenkeel_testkit::{NativeTables, TestServer, TestService};

pub(crate) const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 14, 146), 80);
pub(crate) const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 1), 40_000);

/// One of many clients.
pub(crate) fn client(i: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 2), 10_000 + i)
}

/// The number of the server that this director is itself, where it is one.
pub(crate) const LOCAL: u32 = 200;

pub(crate) struct World {
    pub(crate) tables: NativeTables,
    service: TestService,
    weights: Vec<Option<u32>>,
    local: Option<u32>,
    last: std::cell::Cell<u32>,
}

impl World {
    /// Servers 1, 2, .. with these weights.
    pub(crate) fn with_weights(weights: &[u32]) -> Self {
        Self::with_sizes(weights, 1024, 64)
    }

    pub(crate) fn with_sizes(weights: &[u32], conns: u32, buckets: u32) -> Self {
        Self::of(TestService::new(SERVICE), weights, conns, buckets)
    }

    /// A UDP service.
    pub(crate) fn udp(weights: &[u32]) -> Self {
        Self::udp_with_sizes(weights, 1024, 64)
    }

    pub(crate) fn udp_with_sizes(weights: &[u32], conns: u32, buckets: u32) -> Self {
        Self::of(TestService::new(SERVICE).udp(), weights, conns, buckets)
    }

    /// A service with another scheduler.
    pub(crate) fn scheduled(scheduler: u64, weights: &[u32]) -> Self {
        let service = TestService::new(SERVICE).scheduled(scheduler);
        Self::of(service, weights, 1024, 64)
    }

    pub(crate) fn of(service: TestService, weights: &[u32], conns: u32, buckets: u32) -> Self {
        let mut world = Self {
            tables: NativeTables::new(conns, buckets),
            service,
            weights: weights.iter().copied().map(Some).collect(),
            local: None,
            last: Default::default(),
        };
        world.put();
        world
    }

    /// An address of the world's family.
    pub(crate) fn at(&self, address: SocketAddrV4) -> SocketAddr {
        if self.service.address.is_ipv6() {
            as_v6(address)
        } else {
            address.into()
        }
    }

    fn put(&mut self) {
        let servers: Vec<_> = (1..)
            .zip(&self.weights)
            .filter_map(|(number, w)| w.map(|weight| TestServer::new(number, weight)))
            .chain(self.local.map(|weight| TestServer::local(LOCAL, weight)))
            .collect();
        self.tables.put_service(self.service, &servers);
    }

    /// Gives the service the director itself as a further server, last in the list.
    pub(crate) fn set_local(&mut self, weight: Option<u32>) {
        self.local = weight;
        self.put();
    }

    pub(crate) fn remove(&mut self, server: u32) {
        self.weights[server as usize - 1] = None;
        self.put();
    }

    pub(crate) fn set_weight(&mut self, server: u32, weight: u32) {
        self.weights[server as usize - 1] = Some(weight);
        self.put();
    }

    pub(crate) fn send_frame(&self, bytes: &[u8]) -> (Verdict, Vec<u8>) {
        let (verdict, out) = self.tables.judged(bytes);
        self.last.set(0);
        if verdict == Verdict::Transmit && out[..4] == [2, 0, 0, 1] {
            self.last.set(u32::from_be_bytes([0, 0, out[4], out[5]]));
        }
        (verdict, out)
    }

    pub(crate) fn send(&self, client: SocketAddrV4, flags: u8) -> Verdict {
        self.send_frame(&Segment::new(self.at(client), self.at(SERVICE), flags).frame())
            .0
    }

    /// Sends a datagram of a byte.
    pub(crate) fn send_udp(&self, client: SocketAddrV4) -> Verdict {
        let datagram = Datagram {
            payload: 1,
            ..Datagram::new(self.at(client), self.at(SERVICE))
        };
        self.send_frame(&datagram.frame()).0
    }

    /// Opens a connection and returns its server.
    pub(crate) fn open(&self, client: SocketAddrV4) -> u32 {
        assert_eq!(self.send(client, SYN), Verdict::Transmit);
        let server = self.last_server();
        assert_eq!(self.send(client, ACK), Verdict::Transmit);
        assert_eq!(
            self.last_server(),
            server,
            "the handshake stays at one server"
        );
        server
    }

    /// The server that got the last packet; 0: none did, it was answered or dropped.
    pub(crate) fn last_server(&self) -> u32 {
        self.last.get()
    }

    pub(crate) fn gate(&self, state: u64) {
        self.tables.gates[0].state.store(state, SeqCst);
    }

    /// ActiveConn and InActConn.
    pub(crate) fn counts(&self, server: u32) -> (u64, u64) {
        let load = &self.tables.loads[server as usize];
        (load.active.load(SeqCst), load.inactive.load(SeqCst))
    }

    pub(crate) fn conns(&self, server: u32) -> u64 {
        self.tables
            .server_stats
            .lock()
            .expect("no test panics while it holds the lock")[&server]
            .conns
    }

    pub(crate) fn half_open(&self) -> u64 {
        self.tables.state.half_open.load(SeqCst)
    }

    pub(crate) fn established(&self) -> u64 {
        self.tables.state.established.load(SeqCst)
    }

    pub(crate) fn unassured(&self) -> u64 {
        self.tables.state.unassured.load(SeqCst)
    }

    /// State of an established flow.
    pub(crate) fn state_of(&self, client: SocketAddrV4) -> Option<ConnState> {
        let (client, service) = (self.at(client), self.at(SERVICE));
        let key = self.tables.flow(client, service, self.service.protocol).key;
        let word = self.tables.established(&key)?;
        // An expired entry waits for the sweep, and is none to packets.
        let lives = word.expiry().0 > self.tables.now.load(SeqCst);
        lives.then(|| ConnState::ALL[usize::from(word.state())])
    }

    /// Every counter equals what the tables hold, and every key leads to its entry.
    pub(crate) fn check(&self) {
        self.tables.check();
    }
}
