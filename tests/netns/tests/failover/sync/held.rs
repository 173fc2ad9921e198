//! A Backup whose own check of a real server fails, and what is told of connections there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use evenkeel_api::{Role, ServerState};
use evenkeel_lab::probe::UdpProbe;
use evenkeel_netns_tests::backend::{HEALTH, Health};
use evenkeel_netns_tests::cluster::{server, vip};
use evenkeel_netns_tests::streams::STREAMS;
use evenkeel_netns_tests::texts::ECHO;
use evenkeel_netns_tests::{Director, Streams};

use super::{Synced, config_of, write_key};
use crate::{FRONT, HIGH, LOW, Pair, TCP};

/// The real server that only one director finds dead.
const FIRST: &str = "198.18.14.12";

/// As the director checks, `TCP`, both servers are well as long as they run; by the partner's check this page decides.
fn page() -> String {
    format!(
        "check = {{ http = \"/\", status = 200, port = {HEALTH}, every = \"200ms\", timeout = \"200ms\", fall = 10, rise = 1 }}"
    )
}

impl Synced {
    /// The first server's page says that.
    fn boot_differing(name: &str, first: Health) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let key = keys.path().join("sync.key");
        write_key(&key, "0123456789abcdef");
        let mut pair = Pair::dark(name);
        pair._backends[0].set_health(first);
        pair.start_director(&config_of("director", HIGH, &key, "rr"));
        let _router = pair.cluster.director().becomes(FRONT, Role::Active);
        let config = config_of("partner", LOW, &key, "rr").replace(TCP, &page());
        pair.start_partner(&config);
        let partner = pair.cluster.partner();
        let _router = partner.becomes(FRONT, Role::Backup);
        pair.cluster.eventually("the partner may take over", || {
            partner.router(FRONT).is_some_and(|r| r.may_take_over)
        });
        pair.stands_back(partner);
        let synced = Self { pair, keys };
        synced.in_sync();
        synced
    }

    /// The first server's page says that from now on, and all of the partner's services take it for so.
    fn turns(&self, health: Health, state: ServerState) {
        self.pair._backends[0].set_health(health);
        self.stands(state);
    }

    fn stands(&self, state: ServerState) {
        let cluster = &self.pair.cluster;
        let partner = cluster.partner();
        cluster.eventually(&format!("the first server is {state:?}"), || {
            let services = partner.status().services;
            let servers = services.iter().flat_map(|service| &service.servers);
            let mut first = servers.filter(|s| s.address.ip().to_string() == FIRST);
            let listed = state == ServerState::Up;
            first.all(|s| s.state == state && s.listed == listed)
        });
    }

    fn power_off_director(&mut self) {
        let daemon = self.pair.director.take().unwrap();
        let ended = thread::spawn(move || daemon.wait());
        self.pair.cluster.lab.power_off("director").unwrap();
        let _killed = ended.join().unwrap();
        let _router = self.pair.cluster.partner().becomes(FRONT, Role::Active);
    }
}

/// Where each established flow is.
type Places = BTreeMap<(SocketAddr, SocketAddr), SocketAddr>;

fn places(director: Director<'_>) -> Places {
    let connections = director.connections().connections.into_iter();
    let established = connections.filter(|connection| !connection.half_open);
    established
        .map(|c| ((c.client, c.virtual_address), c.destination))
        .collect()
}

/// The partner has each flow where it was told of it.
fn assert_none_moved(synced: &Synced, told: &Places) {
    let now = places(synced.pair.cluster.partner());
    let moved = |(flow, server): &(_, _)| now.get(*flow) != Some(*server);
    assert_eq!(told.iter().filter(moved).count(), 0, "{told:?}\n{now:?}");
}

/// Flows that live for long: TCP and UDP, half of each on either server.
struct Flows {
    streams: Streams,
    probes: Vec<UdpProbe>,
}

impl Flows {
    fn start(synced: &Synced) -> Self {
        let cluster = &synced.pair.cluster;
        let every = Duration::from_millis(5);
        let probe = |_| UdpProbe::start(cluster.node("client"), vip(ECHO), every).unwrap();
        let flows = Self {
            streams: Streams::start(cluster, 8),
            probes: (0..4).map(probe).collect(),
        };
        flows.go_on(synced);
        flows
    }

    fn go_on(&self, synced: &Synced) {
        self.streams.all_get_on(&synced.pair.cluster);
        self.echoes_go_on(synced);
    }

    fn echoes_go_on(&self, synced: &Synced) {
        let answered = || self.probes.iter().map(UdpProbe::answered);
        let before: Vec<u64> = answered().collect();
        synced.pair.cluster.eventually("more echoes of each", || {
            answered().zip(&before).all(|(now, then)| now >= then + 50)
        });
    }

    /// Waits until the partner has all of them as the director has them; where they are.
    fn are_told(&self, synced: &Synced) -> Places {
        let cluster = &synced.pair.cluster;
        let mut told = Places::new();
        cluster.eventually("the partner has every flow", || {
            told = places(cluster.director());
            told.len() == 12 && told == places(cluster.partner())
        });
        let on_first = told
            .values()
            .filter(|server| server.ip().to_string() == FIRST);
        assert_eq!(on_first.count(), 6, "in turns: {told:?}");
        told
    }

    /// All go on at the partner, each at its server, and new ones avoid the one that is held.
    fn survive(&self, synced: &Synced, told: &Places) {
        let cluster = &synced.pair.cluster;
        let partner = cluster.partner();
        self.go_on(synced);
        assert_none_moved(synced, told);
        assert_eq!(cluster.answers(80, 6), vec![server(2); 6]);
        let listing = partner.tell(&["ipvsadm", "-Ln"]).succeeded();
        assert!(!listing.contains(FIRST), "{listing}");
        let listing = partner.tell(&["ipvsadm", "-Lnc"]).succeeded();
        assert!(listing.contains(&format!("{FIRST}:{STREAMS}")), "{listing}");
        let status = partner.evenkeel(&["status"]).succeeded();
        assert!(status.contains(" held "), "{status}");
    }
}

#[test]
fn flows_survive_on_a_server_that_the_successor_never_found_alive() {
    let mut synced = Synced::boot_differing("t-synheld", Health::Bad);
    synced.stands(ServerState::Held);
    let flows = Flows::start(&synced);
    let told = flows.are_told(&synced);
    synced.power_off_director();
    flows.survive(&synced, &told);

    // It is found alive, with its flows, and then dies under the eyes of the Active.
    synced.turns(Health::Good, ServerState::Up);
    flows.go_on(&synced);
    assert_none_moved(&synced, &told);
    let partner = synced.pair.cluster.partner();
    let streams = partner.status().services.into_iter();
    let mut streams = streams.filter(|s| s.name == "streams");
    let servers = streams.next().unwrap().servers;
    let first = servers.iter().find(|s| s.address.ip().to_string() == FIRST);
    assert_eq!(first.unwrap().active, 4, "it has them in the list again");
    synced.turns(Health::Bad, ServerState::Down);
    synced
        .pair
        .cluster
        .eventually("its connections are dropped", || {
            partner.dropped("server-gone") > 0
        });
    flows.echoes_go_on(&synced);
}

#[test]
fn flows_survive_on_a_server_that_dies_for_the_backup_alone() {
    let mut synced = Synced::boot_differing("t-synheld2", Health::Good);
    let flows = Flows::start(&synced);
    let told = flows.are_told(&synced);
    synced.turns(Health::Bad, ServerState::Held);
    assert_eq!(flows.are_told(&synced), told);
    synced.power_off_director();
    flows.survive(&synced, &told);
    let events = synced.pair.cluster.partner().evenkeel(&["events"]);
    let events = events.succeeded();
    assert!(events.contains("server-held"), "{events}");
    // Its next daemon lets none go.
    synced.pair.partner.take().unwrap().kill();
    let partner = synced.pair.cluster.partner();
    synced.pair.partner = Some(partner.start_daemon_from("evenkeel".as_ref()));
    let _router = partner.becomes(FRONT, Role::Active);
    synced.stands(ServerState::Held);
    flows.survive(&synced, &told);
}
