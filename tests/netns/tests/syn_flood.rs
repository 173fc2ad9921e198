//! A SYN flood that fills the half-open table many times over, and everybody else's connections meanwhile.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_api::{ConnectionState, Connections, Services};
use evenkeel_lab::NetnsThread;
use evenkeel_lab::load::{OpenLoad, Target};
use evenkeel_netns_tests::backend::Backend;
use evenkeel_netns_tests::cluster::{CLIENT, VIP, config, node, server, service, topology, vip};
use evenkeel_netns_tests::streams::{FIRST_PORT, STREAMS, Streams};
use evenkeel_netns_tests::tap::{self, Packet, Seen, differences, to, wait_until_quiet};
use evenkeel_netns_tests::{Cluster, Tap};
use evenkeel_testkit::Dice;
use evenkeel_testkit::packet::{Segment, flags, rewrite};
use nix::sys::socket::{MsgFlags, bind, send};
use socket2::{Domain, Socket, Type};

const SERVERS: u8 = 3;
const STREAM_COUNT: u16 = 20;

/// Entries of the half-open table: the flood brings as many in a tenth of a second.
const HALF_OPEN: u64 = 1024;

/// A new connection so often, and how long it may take.
const EVERY: Duration = Duration::from_millis(5);
const WITHIN: Duration = Duration::from_secs(3);

/// SYNs of the flood at a time, so that the queue of no virtual interface overflows, and how often.
const BURST: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);

/// Where the flood seems to come from; no real server has a way back there.
const SOURCES: &str = "10.64.0.0/10";

/// A SYN flood from the node `attacker`; dropping it ends it.
struct Flood {
    thread: NetnsThread<u64>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Flood {
    fn start(cluster: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let director = cluster.link().mac.0;
        let thread = cluster.node("attacker").thread(move || {
            let socket = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
            bind(socket.as_raw_fd(), &tap::interface().unwrap()).unwrap();
            let mut syn = Syn::new(director);
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..BURST {
                    syn.change();
                    // A full queue is no reason to stop.
                    let _full = send(socket.as_raw_fd(), &syn.frame, MsgFlags::empty());
                }
                counted.fetch_add(BURST.into(), Ordering::Relaxed);
                thread::sleep(PAUSE);
            }
            counted.load(Ordering::Relaxed)
        });
        Self {
            thread: thread.unwrap(),
            stop,
            sent,
        }
    }

    /// SYNs sent so far.
    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A SYN, each time from another source.
struct Syn {
    frame: Vec<u8>,
    dice: Dice,
}

impl Syn {
    fn new(director: [u8; 6]) -> Self {
        let client: SocketAddr = "10.64.0.0:1024".parse().unwrap();
        let service = SocketAddr::from((VIP, 80));
        let segment = Segment {
            destination: director,
            ..Segment::new(client, service, flags::SYN)
        };
        Self {
            frame: segment.frame(),
            dice: Dice::new(1),
        }
    }

    /// Takes the next source address and port.
    fn change(&mut self) {
        let [a, b, c, d, e] = self.dice.bytes();
        rewrite(&mut self.frame, 26, [10, 64 | (a & 0x3f)], &[24, 50]);
        rewrite(&mut self.frame, 28, [b, c], &[24, 50]);
        rewrite(&mut self.frame, 34, [d | 4, e], &[50]);
    }
}

/// Counts how often flood mode begins and ends, and the most half-open entries.
#[derive(Debug, Default)]
struct Watch {
    flooded: bool,
    began: u32,
    ended: u32,
    half_open: u64,
}

impl Watch {
    fn look(&mut self, cluster: &Cluster) {
        let tables = cluster.status().tables;
        assert_eq!(tables.half_open_max, HALF_OPEN);
        match (self.flooded, tables.flood_mode) {
            (false, true) => self.began += 1,
            (true, false) => self.ended += 1,
            (false, false) | (true, true) => {}
        }
        self.flooded = tables.flood_mode;
        self.half_open = self.half_open.max(tables.half_open);
    }
}

fn boot() -> Cluster {
    let attacker = node("attacker", "client", Ipv4Addr::new(198, 18, 14, 66), "");
    let cluster = Cluster::boot_from(&(topology("t-flood", SERVERS) + &attacker), SERVERS);
    for number in 1..=SERVERS {
        let words = ["ip", "route", "add", "blackhole", SOURCES];
        let _nothing = cluster.run(&server(number), &words);
    }
    cluster
}

fn services() -> String {
    let check = "check = { tcp = true, every = \"1s\", timeout = \"1s\", fall = 10, rise = 1 }";
    let text = config(&[
        service("web", 80, &[1, 2, 3], check),
        service("streams", STREAMS, &[1, 2, 3], check),
    ]);
    text.replace("half-open = 4096", &format!("half-open = {HALF_OPEN}"))
}

#[test]
fn a_syn_flood_costs_established_connections_nothing_and_new_ones_little() {
    let cluster = boot();
    let backends: Vec<Backend> = (1..=SERVERS)
        .map(|number| Backend::start(&cluster, &server(number)))
        .collect();
    let daemon = cluster.start_daemon(&services());
    cluster.wait_until_ready();
    let client = Tap::start(&cluster, "client");
    let servers: Vec<Tap> = (1..=SERVERS)
        .map(|n| Tap::start(&cluster, &server(n)))
        .collect();
    let streams = Streams::start(&cluster, STREAM_COUNT);
    streams.all_get_on(&cluster);
    let target = Target {
        deadline: WITHIN,
        ..cluster.target(80)
    };
    let load = OpenLoad::start(cluster.node("client"), &target, &cluster.ports, EVERY).unwrap();
    cluster.eventually("load before the flood", || load.sent() >= 100);
    assert!(!cluster.status().tables.flood_mode);

    let flood = Flood::start(&cluster);
    let started = Instant::now();
    let mut watch = Watch::default();
    // Its entries are old enough to make room every three seconds: then flood mode ends, and begins again.
    cluster.eventually("flood mode begins three times and ends twice", || {
        watch.look(&cluster);
        watch.began >= 3 && watch.ended >= 2
    });
    streams.all_get_on(&cluster);
    let (sent, took) = (flood.sent(), started.elapsed());
    let rate = sent / took.as_secs().max(1);
    assert!(rate >= 2 * HALF_OPEN, "{rate} SYNs a second are no flood");
    // The mode begins as soon as one bucket is full of young entries, so some others may have room left.
    assert!(
        watch.half_open > HALF_OPEN / 2,
        "the table was not full: {watch:?}"
    );
    let _total = flood.stop();
    cluster.eventually("flood mode ends for good", || {
        watch.look(&cluster);
        watch.ended == watch.began
    });
    let then = load.sent();
    cluster.eventually("load after the flood", || load.sent() >= then + 200);
    streams.all_get_on(&cluster);

    let records = load.stop().unwrap();
    let late: Vec<_> = records
        .iter()
        .filter(|record| record.outcome.is_err())
        .collect();
    assert!(
        late.len() * 1000 <= records.len(),
        "{} of {}: {late:#?}",
        late.len(),
        records.len()
    );
    assert_streams_ended_well(&cluster, streams, &backends);
    let taps: Vec<&Tap> = servers.iter().chain([&client]).collect();
    wait_until_quiet(&cluster, &taps);
    let servers: Vec<Seen> = servers.into_iter().flat_map(Tap::stop).collect();
    assert_streams_lost_nothing(&client.stop(), &servers);
    assert_eq!(cluster.status().drops, [], "the director dropped something");

    // Whoever takes over counts the tables anew, and finds the same.
    assert_counts_are_those_of_the_tables(&cluster);
    daemon.kill();
    let _daemon = cluster.start_daemon(&services());
    cluster.wait_until_ready();
    assert_counts_are_those_of_the_tables(&cluster);
}

fn assert_streams_ended_well(cluster: &Cluster, streams: Streams, backends: &[Backend]) {
    for (number, end) in streams.stop().into_iter().enumerate() {
        let end = end.unwrap_or_else(|error| panic!("stream {number}: {error}"));
        assert!(end.sent > 0 && end.received > 0, "stream {number}: {end:?}");
    }
    cluster.eventually("the servers' ends are over", || {
        let ends = backends.iter().map(|backend| backend.ended().len());
        ends.sum::<usize>() == usize::from(STREAM_COUNT)
    });
    let ends = backends.iter().flat_map(Backend::ended);
    for (number, end) in ends {
        assert!(end.is_ok(), "the server's end of stream {number}: {end:?}");
    }
}

/// Every packet of the streams that was sent has come.
fn assert_streams_lost_nothing(client: &[Seen], servers: &[Seen]) {
    let of_streams = |packets: Vec<Packet>| -> Vec<Packet> {
        let ports = FIRST_PORT..FIRST_PORT + STREAM_COUNT;
        let is_of_stream =
            |p: &Packet| ports.contains(&p.from.port()) || ports.contains(&p.to.port());
        packets.into_iter().filter(is_of_stream).collect()
    };
    for address in [VIP, CLIENT] {
        let (one, other) = (
            of_streams(to(client, address)),
            of_streams(to(servers, address)),
        );
        let (sent, received) = if address == VIP {
            (one, other)
        } else {
            (other, one)
        };
        assert!(sent.len() > 1000, "{}", sent.len());
        let differ = differences(&sent, &received);
        assert_eq!(
            differ,
            (Vec::new(), Vec::new()),
            "of {} to {address}",
            sent.len()
        );
    }
}

/// ActiveConn and InActConn of every server are what a walk through the tables finds.
fn assert_counts_are_those_of_the_tables(cluster: &Cluster) {
    cluster.eventually("the counters are what the tables hold", || {
        let before = cluster.services();
        let held = cluster.connections();
        let tables = cluster.status().tables;
        // Where something changed meanwhile, the two can't be compared.
        let is_quiet = counted(&before) == counted(&cluster.services());
        let entries = u64::try_from(held.connections.len()).unwrap();
        is_quiet
            && walked(&held) == counted(&before)
            && entries == tables.connections + tables.half_open
    });
}

/// ActiveConn and InActConn by service and server.
type Counts = BTreeMap<(u16, String), (u64, u64)>;

fn counted(services: &Services) -> Counts {
    let servers = services.services.iter().flat_map(|service| {
        let port = service
            .service
            .address()
            .map_or(0, |address| address.port());
        service.servers.iter().map(move |server| (port, server))
    });
    servers
        .map(|(port, server)| {
            (
                (port, server.address.to_string()),
                (server.active, server.inactive),
            )
        })
        .filter(|(_, counts)| *counts != (0, 0))
        .collect()
}

fn walked(held: &Connections) -> Counts {
    let mut counts = Counts::new();
    for connection in &held.connections {
        let port = connection.virtual_address.port();
        assert_eq!(connection.virtual_address, vip(port));
        let entry = counts
            .entry((port, connection.destination.to_string()))
            .or_default();
        match connection.state {
            ConnectionState::Established
            | ConnectionState::SynSent
            | ConnectionState::SynRecv
            | ConnectionState::Synack => {
                entry.0 += 1;
            }
            ConnectionState::None
            | ConnectionState::FinWait
            | ConnectionState::TimeWait
            | ConnectionState::Close
            | ConnectionState::CloseWait
            | ConnectionState::LastAck
            | ConnectionState::Listen
            | ConnectionState::Udp
            | ConnectionState::Init1
            | ConnectionState::Init
            | ConnectionState::CookieEchoed
            | ConnectionState::ShutdownReceived
            | ConnectionState::Closed => entry.1 += 1,
        }
    }
    counts
}
