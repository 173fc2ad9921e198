//! Three directors that tell each other their connections: two may fail one after the other, and one returns.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::thread;
use std::time::Duration;

use evenkeel_api::Role;
use evenkeel_lab::probe::UdpProbe;
use evenkeel_netns_tests::cluster::{DIRECTOR, PARTNER, VIP, server, vip};
use evenkeel_netns_tests::streams::STREAMS;
use evenkeel_netns_tests::sync::{count, is_in_sync, named, peer, table, write_key};
use evenkeel_netns_tests::texts::{ECHO, config, node, pair_topology};
use evenkeel_netns_tests::{Backend, Cluster, Daemon, Director, Streams};
use evenkeel_testkit::packet::Datagram;
use tempfile::TempDir;

use crate::sync::in_turns;
use crate::{FRONT, Traffic, front};

const THIRD: Ipv4Addr = Ipv4Addr::new(198, 18, 14, 8);

/// Names, addresses and priorities, the preferred one first.
const PLACES: [(&str, Ipv4Addr, u8); 3] = [
    ("director", DIRECTOR, 150),
    ("partner", PARTNER, 100),
    ("third", THIRD, 50),
];

/// Three directors and their daemons, as long as these run.
struct Three {
    daemons: [Option<Daemon>; 3],
    _backends: Vec<Backend>,
    _keys: TempDir,
    cluster: Cluster,
}

impl Three {
    /// The first is Active, the others Backups, and all are in sync.
    fn boot(name: &str) -> Self {
        let third = node("third", "director", THIRD, "");
        let cluster = Cluster::boot_from(&(pair_topology(name, 2, &[VIP]) + &third), 2);
        let keys = tempfile::tempdir().unwrap();
        let key = keys.path().join("sync.key");
        write_key(&key, "0123456789abcdef");
        let mut three = Self {
            daemons: [None, None, None],
            _backends: (1..=2)
                .map(|number| Backend::start(&cluster, &server(number)))
                .collect(),
            _keys: keys,
            cluster,
        };
        for (place, (_, _, priority)) in PLACES.into_iter().enumerate() {
            let director = three.director(place);
            director.write_config(&config_of(place, priority, &key));
            three.start(place);
            let role = if place == 0 {
                Role::Active
            } else {
                Role::Backup
            };
            let _router = three.director(place).becomes(FRONT, role);
        }
        three.ready(&[0, 1, 2]);
        three
    }

    fn director(&self, place: usize) -> Director<'_> {
        self.cluster.director_at(PLACES[place].0)
    }

    /// Entries of its established table.
    fn held(&self, place: usize) -> u64 {
        self.director(place).status().tables.connections
    }

    /// Starts its daemon with the config that it has.
    fn start(&mut self, place: usize) {
        let daemon = self.director(place).start_daemon_from("evenkeel".as_ref());
        self.daemons[place] = Some(daemon);
    }

    fn power_off(&mut self, place: usize) {
        let daemon = self.daemons[place].take().unwrap();
        // The node is off once its processes are waited for, and this one is ours.
        let ended = thread::spawn(move || daemon.wait());
        self.cluster.lab.power_off(PLACES[place].0).unwrap();
        let _killed = ended.join().unwrap();
    }

    /// Waits until these are ready, could take over, and are in sync with each other.
    fn ready(&self, places: &[usize]) {
        self.cluster.eventually("all are ready", || {
            places.iter().all(|place| {
                let director = self.director(*place);
                let warm = director.router(FRONT).is_some_and(|r| r.may_take_over);
                warm && director.is_ready()
            })
        });
        self.in_sync(places);
    }

    fn in_sync(&self, places: &[usize]) {
        self.cluster.eventually("all are in sync", || {
            places.iter().all(|place| {
                let mut others = places.iter().filter(|other| *other != place);
                others.all(|other| {
                    let peer = peer(self.director(*place), PLACES[*other].0);
                    peer.is_some_and(|peer| is_in_sync(&peer))
                })
            })
        });
    }

    /// The lasting flows that a director has an entry for, by the virtual port and the client, and their servers.
    fn flows(&self, place: usize) -> Flows {
        let connections = self.director(place).connections().connections;
        let lasting = connections.into_iter().filter_map(|flow| {
            let port = flow.virtual_address.port();
            let lasts = [STREAMS, ECHO].contains(&port) && !flow.half_open;
            lasts.then_some(((port, flow.client), flow.destination))
        });
        lasting.collect()
    }

    /// Waits until these directors have so many flows of UDP, and are in sync.
    fn know(&self, places: &[usize], flows: usize) {
        self.cluster.eventually("all have all flows of UDP", || {
            let mut places = places.iter();
            places.all(|place| of_udp(&self.flows(*place)).count() == flows)
        });
        self.in_sync(places);
    }

    /// Waits until the heir is Active; it has the flows that there were, on the same servers. Of TCP it needs those alone
    /// that the consistent hash does not place alike: the streams themselves tell.
    fn taken_over(&self, heir: usize, before: &Flows) {
        let _router = self.director(heir).becomes(FRONT, Role::Active);
        let after = self.flows(heir);
        for (flow, server) in &after {
            assert_eq!(before.get(flow).unwrap_or(server), server, "{flow:?}");
        }
        for flow in of_udp(before) {
            assert!(after.contains_key(flow), "{flow:?} is unknown");
        }
    }
}

/// Flows by the virtual port and the client, and their servers.
type Flows = BTreeMap<(u16, SocketAddr), SocketAddr>;

fn of_udp(flows: &Flows) -> impl Iterator<Item = &(u16, SocketAddr)> {
    flows.keys().filter(|(port, _)| *port == ECHO)
}

fn config_of(place: usize, priority: u8, key: &Path) -> String {
    let directors = PLACES.map(|(name, address, _)| (name, address));
    let tables = [
        table(key, &directors),
        front(priority, ""),
        in_turns("maglev"),
    ];
    let text = config(&tables).replace("connections = 16384", "connections = 65536");
    let text = text.replace("half-open = 4096", "half-open = 65536");
    named(&text, PLACES[place].0)
}

/// Flows of UDP beside that of the traffic.
fn echoes(cluster: &Cluster) -> Vec<UdpProbe> {
    let every = Duration::from_millis(20);
    let start = || UdpProbe::start(cluster.node("client"), vip(ECHO), every).unwrap();
    (0..4).map(|_| start()).collect()
}

/// Waits until all of them are answered again.
fn all_answered(cluster: &Cluster, probes: &[UdpProbe]) {
    let before: Vec<u64> = probes.iter().map(UdpProbe::answered).collect();
    cluster.eventually("every flow of UDP gets on", || {
        let mut both = probes.iter().zip(&before);
        both.all(|(probe, before)| probe.answered() >= before + 3)
    });
}

#[test]
fn flows_survive_the_loss_of_two_directors_of_three_and_the_return_of_the_first() {
    let mut three = Three::boot("t-three");
    let macs = [0, 1, 2].map(|place| three.director(place).mac());
    let traffic = Traffic::start(&three.cluster);
    let mut probes = echoes(&three.cluster);
    all_answered(&three.cluster, &probes);
    three.know(&[0, 1, 2], 5);

    let before = three.flows(0);
    three.power_off(0);
    three.taken_over(1, &before);
    traffic.goes_on(&three.cluster);
    all_answered(&three.cluster, &probes);

    // Made under the second, while a peer is dead.
    let later = Streams::start_from(&three.cluster, 8, 8);
    later.all_get_on(&three.cluster);
    probes.extend(echoes(&three.cluster));
    all_answered(&three.cluster, &probes);
    three.know(&[1, 2], 9);

    let before = three.flows(1);
    three.power_off(1);
    three.taken_over(2, &before);
    traffic.goes_on(&three.cluster);
    later.all_get_on(&three.cluster);
    all_answered(&three.cluster, &probes);

    let before = three.flows(2);
    three.cluster.lab.power_on(PLACES[0].0).unwrap();
    three.start(0);
    three.taken_over(0, &before);
    let backup = three.director(2).becomes(FRONT, Role::Backup);
    assert!(backup.reason.ends_with("as it asked"), "{backup:?}");
    traffic.goes_on(&three.cluster);
    later.all_get_on(&three.cluster);
    all_answered(&three.cluster, &probes);

    for (number, end) in later.stop().into_iter().enumerate() {
        end.unwrap_or_else(|error| panic!("later stream {number} broke: {error}"));
    }
    for probe in probes {
        let _echoes = probe.stop().unwrap();
    }
    let _ended = traffic.end(&macs);
}

/// Where flows seem to come from; no real server has a way back there.
const SOURCES: &str = "10.64.0.0/10";

/// Datagrams of that many flows, one of each.
fn datagrams(director: [u8; 6], flows: u16) -> Vec<Vec<u8>> {
    let ports = (1024..).take(flows.into());
    let frames = ports.map(|port| {
        let client = SocketAddrV4::new(Ipv4Addr::new(10, 64, 0, 1), port);
        let datagram = Datagram {
            destination: director,
            ..Datagram::new(client, vip(ECHO))
        };
        datagram.frame()
    });
    frames.collect()
}

#[test]
fn a_director_that_takes_little_delays_no_other() {
    const FLOWS: u16 = 20_000;
    let three = Three::boot("t-threeslow");
    for number in 1..=2 {
        let words = ["ip", "route", "add", "blackhole", SOURCES];
        let _nothing = three.cluster.run(&server(number), &words);
    }
    // The third gets a thousand connections a second.
    let slowly = ["rate", "200kbit", "burst", "4k", "limit", "30k"];
    let queue = ["tc", "qdisc", "add", "dev", "third", "root", "tbf"];
    three.cluster.at_switch(&[&queue[..], &slowly].concat());

    let frames = datagrams(three.director(0).mac(), FLOWS);
    // A flow of UDP is established by a datagram that comes a second or more after its first.
    three.cluster.eventually("all are established", || {
        three.cluster.send_frames("client", frames.clone());
        three.held(0) >= FLOWS.into()
    });
    let mut at_third = 0;
    three.cluster.eventually("the partner has all of them", || {
        at_third = three.held(2);
        three.held(1) >= FLOWS.into()
    });
    assert!(
        at_third < 14_000,
        "the partner waited for the third: {at_third}"
    );
    let missed = || {
        let peer = peer(three.director(0), "third").unwrap();
        count(&peer.counters, "missed")
    };
    assert!(missed() > 0, "the third took all");

    three
        .cluster
        .at_switch(&["tc", "qdisc", "del", "dev", "third", "root"]);
    three.cluster.eventually("the third has all of them", || {
        three.held(2) >= FLOWS.into()
    });
    three.in_sync(&[0, 1, 2]);
}
