//! The daemon dies, comes back, and is replaced by another version, while packets flow.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_lab::load::OpenLoad;
use evenkeel_netns_tests::backend::Backend;
use evenkeel_netns_tests::cluster::{
    CLIENT, VIP, assert_all_succeeded, config, program, server, service, vip,
};
use evenkeel_netns_tests::streams::{Ended, STREAMS, Streams};
use evenkeel_netns_tests::tap::{Packet, Seen, differences, to, wait_until_quiet};
use evenkeel_netns_tests::{Cluster, Tap};

const SERVERS: u8 = 3;
const STREAM_COUNT: u16 = 20;

/// One new connection so often.
const EVERY: Duration = Duration::from_millis(10);

/// A constant of the scheduler twos, which no service here has, as it stands in the instruction that loads it; and the
/// one of the rebuilt program.
const CONSTANT: u64 = 0xbf58_476d_1ce4_e5b9;
const CONSTANT_REBUILT: u64 = 0xbf58_476d_1ce4_e5bb;

fn services() -> String {
    let web = "check = { http = \"/\", status = 200, every = \"500ms\", timeout = \"500ms\", fall = 6, rise = 1 }";
    let streams =
        "check = { tcp = true, every = \"500ms\", timeout = \"500ms\", fall = 6, rise = 1 }";
    config(&[
        service("web", 80, &[1, 2, 3], web),
        service("streams", STREAMS, &[1, 2, 3], streams),
    ])
}

/// Traffic that must not notice anything, and a record of each of its packets.
struct Traffic<'c> {
    cluster: &'c Cluster,
    backends: Vec<Backend>,
    client: Tap,
    servers: Vec<Tap>,
    streams: Streams,
    load: OpenLoad,
}

impl<'c> Traffic<'c> {
    fn start(cluster: &'c Cluster, backends: Vec<Backend>) -> Self {
        let client = Tap::start(cluster, "client");
        let servers = (1..=SERVERS).map(|number| Tap::start(cluster, &server(number)));
        let servers = servers.collect();
        let streams = Streams::start(cluster, STREAM_COUNT);
        let node = cluster.node("client");
        let load = OpenLoad::start(node, &cluster.target(80), &cluster.ports, EVERY);
        let traffic = Self {
            cluster,
            backends,
            client,
            servers,
            streams,
            load: load.expect("the client is on"),
        };
        traffic.goes_on();
        traffic
    }

    /// Every stream gets on, and fifty more connections are asked for.
    fn goes_on(&self) {
        self.streams.all_get_on(self.cluster);
        let then = self.load.sent();
        let enough = || self.load.sent() >= then + 50;
        self.cluster.eventually("fifty more connections", enough);
    }

    /// Ends all of it in good order and compares what was sent with what was received.
    fn stop(self) -> Counted {
        let records = self.load.stop().expect("the client is on");
        let ends = self.streams.stop();
        let all = || {
            let ended = self.backends.iter().map(|backend| backend.ended().len());
            ended.sum::<usize>() == usize::from(STREAM_COUNT)
        };
        self.cluster.eventually("the servers' ends are over", all);
        let taps: Vec<&Tap> = self.servers.iter().chain([&self.client]).collect();
        wait_until_quiet(self.cluster, &taps);

        assert_all_succeeded(&records);
        let served = self.backends.iter().flat_map(Backend::ended);
        assert_ends_agree(&ends, &served.collect());

        let client = self.client.stop();
        let servers: Vec<Seen> = self.servers.into_iter().flat_map(Tap::stop).collect();
        let asked = to(&client, VIP);
        assert_same(self.cluster, "to the service", &asked, &to(&servers, VIP));
        assert_same(
            self.cluster,
            "to the client",
            &to(&servers, CLIENT),
            &to(&client, CLIENT),
        );
        Counted {
            requests: u64::try_from(records.len()).unwrap(),
            asked,
        }
    }
}

/// What the client sent.
struct Counted {
    requests: u64,
    asked: Vec<Packet>,
}

/// What each end of a stream sent, the other one received, and nothing was cut off.
fn assert_ends_agree(
    client: &[Result<Ended, String>],
    servers: &BTreeMap<u64, Result<Ended, String>>,
) {
    assert_eq!(client.len(), servers.len());
    for (end, (number, served)) in client.iter().zip(servers) {
        let (end, served) = (end.clone().unwrap(), served.clone().unwrap());
        assert_eq!(
            (end.sent, end.received),
            (served.received, served.sent),
            "stream {number}"
        );
        assert!(end.received > 0, "stream {number}");
    }
}

fn assert_same(cluster: &Cluster, what: &str, sent: &[Packet], received: &[Packet]) {
    assert!(!sent.is_empty(), "{what}");
    let (lost, odd) = differences(sent, received);
    assert!(
        lost.is_empty() && odd.is_empty(),
        "{what}: sent {}, received {}; lost {lost:?}; not sent {odd:?}\n{}",
        sent.len(),
        received.len(),
        cluster.losses()
    );
}

/// Each connection was asked for once.
fn assert_no_syn_was_repeated(asked: &[Packet]) {
    let mut sources = BTreeSet::new();
    for packet in asked.iter().filter(|packet| packet.is_syn()) {
        assert!(sources.insert(packet.from), "asked twice: {packet:?}");
    }
}

/// The program on the interface is another one, and the daemon has taken over all connections.
fn assert_replaced(cluster: &Cluster, before: Option<u32>) -> Option<u32> {
    cluster.wait_until_ready();
    let program = cluster.link().xdp_program;
    assert!(program.is_some());
    assert_ne!(program, before, "every start puts its own program in");
    let status = cluster.status();
    assert!(status.adopted, "{status:?}");
    assert_eq!(status.problems, [], "{status:?}");
    let told = cluster.evenkeel(&["status"]).succeeded();
    assert!(told.contains("took over pinned state"), "{told}");
    assert_streams_are_active(cluster);
    program
}

/// ActiveConn of the stream service, in status and in the listing.
fn assert_streams_are_active(cluster: &Cluster) {
    let servers = cluster.service(STREAMS).servers;
    let active: u64 = servers.iter().map(|server| server.active).sum();
    assert_eq!(active, u64::from(STREAM_COUNT), "{servers:?}");
    let listing = cluster.run(
        "director",
        &["ipvsadm", "-Ln", "-t", &vip(STREAMS).to_string()],
    );
    let rows = listing
        .lines()
        .filter(|line| line.trim_start().starts_with("-> 198"));
    let active = rows.map(|row| {
        row.split_whitespace()
            .nth(4)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    });
    assert_eq!(active.sum::<u64>(), u64::from(STREAM_COUNT), "{listing}");
}

/// The listing's connections and packets of a service so far; columns as `--stats --exact` has them.
fn totals(cluster: &Cluster, port: u16) -> (u64, u64) {
    let service = vip(port).to_string();
    let listing = cluster.run(
        "director",
        &["ipvsadm", "-Ln", "--stats", "--exact", "-t", &service],
    );
    let row = listing
        .lines()
        .find(|line| line.starts_with("TCP"))
        .unwrap();
    let number = |place| row.split_whitespace().nth(place).unwrap().parse().unwrap();
    (number(2), number(3))
}

/// A copy of the daemon whose program has another constant: another build.
fn rebuilt(folder: &Path) -> PathBuf {
    let mut bytes = fs::read(program()).unwrap();
    let object = evenkeel_bpf::OBJECT;
    // The object is aligned to its 64-bit words, and a search at every byte takes long.
    let places = (0..bytes.len() - object.len()).step_by(8);
    let places: Vec<usize> = places
        .filter(|place| bytes[*place..].starts_with(object))
        .collect();
    assert_eq!(
        places.len(),
        1,
        "build the program and this test from the same sources"
    );
    let wanted = immediate(CONSTANT);
    let embedded = &mut bytes[places[0]..][..object.len()];
    let found = embedded.windows(wanted.len()).enumerate();
    let found: Vec<usize> = found
        .filter(|(_, part)| *part == wanted)
        .map(|(place, _)| place)
        .collect();
    assert_eq!(found.len(), 1, "the object loads the constant once");
    let rebuilt = immediate(CONSTANT_REBUILT);
    embedded[found[0]..][..rebuilt.len()].copy_from_slice(&rebuilt);
    let path = folder.join("evenkeel");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A 64-bit constant as the instruction has it that loads it: its halves stand 8 bytes apart
/// (Documentation/bpf/standardization/instruction-set.rst).
fn immediate(constant: u64) -> Vec<u8> {
    let bytes = constant.to_le_bytes();
    [&bytes[..4], &[0; 4], &bytes[4..]].concat()
}

/// What the kernel calls the program that forwards: a hash of its instructions.
fn tag(cluster: &Cluster) -> String {
    let words = ["ip", "-d", "link", "show", "dev", "eth0"];
    let shown = cluster.run("director", &words);
    let mut words = shown.split_whitespace().skip_while(|word| *word != "tag");
    words.nth(1).expect("a program is attached").to_owned()
}

#[test]
fn a_daemon_killed_restarted_and_upgraded_under_load_loses_no_packet() {
    let cluster = Cluster::boot("t-restart", SERVERS);
    cluster.retransmit_only_losses();
    let backends = (1..=SERVERS).map(|number| Backend::start(&cluster, &server(number)));
    let backends = backends.collect();
    let folder = tempfile::tempdir().unwrap();
    let rebuilt = rebuilt(folder.path());
    let daemon = cluster.start_daemon(&services());
    cluster.wait_until_ready();
    let before = cluster.link().xdp_program;
    let retransmitted = cluster.retransmitted();
    let traffic = Traffic::start(&cluster, backends);
    let first_build = tag(&cluster);
    assert_streams_are_active(&cluster);
    let first = (totals(&cluster, 80), totals(&cluster, STREAMS));

    // Killed: nobody looks after the pinned program, and it goes on.
    daemon.kill();
    assert!(cluster.try_status().is_none());
    assert_eq!(cluster.link().xdp_program, before);
    traffic.goes_on();

    let daemon = cluster.start_daemon_from(Path::new("evenkeel"));
    let restarted = assert_replaced(&cluster, before);
    traffic.goes_on();
    assert_eq!(tag(&cluster), first_build);

    // Killed and upgraded.
    daemon.kill();
    let daemon = cluster.start_daemon_from(&rebuilt);
    let upgraded = assert_replaced(&cluster, restarted);
    traffic.goes_on();
    assert_ne!(tag(&cluster), first_build);

    // Ended in good order, and back to the first version.
    assert!(daemon.terminate().success());
    traffic.goes_on();
    let _daemon = cluster.start_daemon_from(Path::new("evenkeel"));
    let _downgraded = assert_replaced(&cluster, upgraded);
    traffic.goes_on();
    assert_eq!(tag(&cluster), first_build);

    let counted = traffic.stop();
    assert_no_syn_was_repeated(&counted.asked);
    assert_eq!(
        cluster.retransmitted() - retransmitted,
        0,
        "segments were sent again"
    );
    assert_eq!(cluster.status().drops, []);
    // The counters went on over all of it: they have every connection and every packet.
    let (web, streams) = (totals(&cluster, 80), totals(&cluster, STREAMS));
    assert!(web.0 > first.0.0 && streams.1 > first.1.1);
    let to_port = |port| {
        let packets = counted
            .asked
            .iter()
            .filter(|packet| packet.to.port() == port);
        u64::try_from(packets.count()).unwrap()
    };
    assert_eq!(web, (counted.requests, to_port(80)));
    assert_eq!(streams, (u64::from(STREAM_COUNT), to_port(STREAMS)));
    let log = cluster.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}
