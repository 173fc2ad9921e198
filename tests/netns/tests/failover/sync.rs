//! Connection sync: connections of schedulers that no other director would repeat survive every change of director.

mod held;

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_api::Role;
use evenkeel_netns_tests::Daemon;
use evenkeel_netns_tests::Director;
use evenkeel_netns_tests::cluster::{DIRECTOR, PARTNER};
use evenkeel_netns_tests::streams::STREAMS;
use evenkeel_netns_tests::sync::{is_in_sync, named, peer, table, write_key};
use evenkeel_netns_tests::texts::{ECHO, config, scheduled, service, udp};
use tempfile::TempDir;

use crate::{FRONT, HIGH, LOW, Pair, TCP, Traffic, front, lost};

/// Two directors that tell each other their connections.
struct Synced {
    pair: Pair,
    keys: TempDir,
}

/// Services whose flows go round in turns, so that a director that knows nothing of them breaks half of them; the web's
/// by this scheduler. Its connections live for a millisecond, and those that a director placed just before it fails are
/// told to nobody: only where it hands over in order may they go round in turns too.
pub(crate) fn in_turns(web: &str) -> String {
    [
        scheduled(&service("web", 80, &[1, 2], TCP), web),
        service("streams", STREAMS, &[1, 2], TCP),
        udp(&service("echo", ECHO, &[1, 2], TCP)),
    ]
    .concat()
}

fn config_of(name: &str, priority: u8, key: &Path, web: &str) -> String {
    let directors = [("director", DIRECTOR), ("partner", PARTNER)];
    let tables = [table(key, &directors), front(priority, ""), in_turns(web)];
    named(&config(&tables), name)
}

impl Synced {
    fn boot(name: &str, web: &str) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let key = keys.path().join("sync.key");
        write_key(&key, "0123456789abcdef");
        let mut pair = Pair::dark(name);
        pair.start_director(&config_of("director", HIGH, &key, web));
        let _router = pair.cluster.director().becomes(FRONT, Role::Active);
        pair.start_partner(&config_of("partner", LOW, &key, web));
        pair.settle();
        let synced = Self { pair, keys };
        synced.in_sync();
        synced
    }

    /// Waits until either director has what the other one tells.
    fn in_sync(&self) {
        let cluster = &self.pair.cluster;
        cluster.eventually("both are in sync", || {
            [
                (cluster.director(), "partner"),
                (cluster.partner(), "director"),
            ]
            .into_iter()
            .all(|(director, other)| peer(director, other).is_some_and(|p| is_in_sync(&p)))
        });
    }
}

#[test]
fn connections_placed_in_turns_survive_a_power_off_and_the_return() {
    let mut synced = Synced::boot("t-sync", "maglev");
    let traffic = Traffic::start(&synced.pair.cluster);
    synced.in_sync();
    let sync = synced.pair.cluster.partner().status().sync.unwrap();
    let installed = sync.received.iter().any(|count| count.kind == "installed");
    assert!(installed, "{sync:?}");

    let daemon = synced.pair.director.take().unwrap();
    let ended = thread::spawn(move || daemon.wait());
    synced.pair.cluster.lab.power_off("director").unwrap();
    let _killed = ended.join().unwrap();
    let _router = synced.pair.cluster.partner().becomes(FRONT, Role::Active);
    traffic.goes_on(&synced.pair.cluster);

    synced.pair.cluster.lab.power_on("director").unwrap();
    synced.pair.restart_director();
    synced.pair.settle();
    traffic.goes_on(&synced.pair.cluster);
    let _ended = traffic.end(&synced.pair.macs());
}

#[test]
fn connections_placed_in_turns_survive_handovers_by_command() {
    let synced = Synced::boot("t-synchand", "rr");
    let pair = &synced.pair;
    let (director, partner) = (pair.cluster.director(), pair.cluster.partner());
    let traffic = Traffic::start(&pair.cluster);
    let begun = Instant::now();
    for (from, to, mac) in [
        (director, partner, pair.partner_mac),
        (partner, director, pair.director_mac),
    ] {
        synced.in_sync();
        let told = from.evenkeel(&["failover"]).succeeded();
        assert!(told.contains("took over in"), "{told}");
        let _router = to.becomes(FRONT, Role::Active);
        pair.client_reaches(mac);
        traffic.goes_on(&pair.cluster);
    }
    let (echoes, _record) = traffic.end(&pair.macs());
    assert_eq!(lost(&echoes, begun), 0, "probes were lost");
}

#[test]
fn who_returns_asks_and_is_handed_the_role_without_a_loss() {
    let mut synced = Synced::boot("t-syncask", "rr");
    let _ended = synced.pair.director.take().unwrap().terminate();
    let _router = synced.pair.cluster.partner().becomes(FRONT, Role::Active);
    let traffic = Traffic::start(&synced.pair.cluster);
    let begun = Instant::now();
    synced.pair.restart_director();
    synced.pair.settle();
    let cluster = &synced.pair.cluster;
    let reasons =
        [cluster.director(), cluster.partner()].map(|it| it.router(FRONT).unwrap().reason);
    assert!(reasons[0].contains("stopped (priority 0)"), "{reasons:?}");
    assert!(reasons[1].ends_with("as it asked"), "{reasons:?}");
    let events = cluster.partner().evenkeel(&["events"]).succeeded();
    assert!(events.contains("handover as a partner asked"), "{events}");
    traffic.goes_on(cluster);
    let (echoes, _record) = traffic.end(&synced.pair.macs());
    assert_eq!(lost(&echoes, begun), 0, "probes were lost");
}

#[test]
fn connections_placed_in_turns_survive_the_end_and_the_death_of_a_daemon() {
    let mut synced = Synced::boot("t-syncend", "maglev");
    let traffic = Traffic::start(&synced.pair.cluster);
    synced.in_sync();
    let status = synced.pair.director.take().unwrap().terminate();
    assert!(status.success(), "{status}");
    let _router = synced.pair.cluster.partner().becomes(FRONT, Role::Active);
    traffic.goes_on(&synced.pair.cluster);

    synced.pair.restart_director();
    synced.pair.settle();
    synced.in_sync();
    traffic.goes_on(&synced.pair.cluster);

    let _killed = synced.pair.kill_director();
    let _router = synced.pair.cluster.partner().becomes(FRONT, Role::Active);
    traffic.goes_on(&synced.pair.cluster);
    let _ended = traffic.end(&synced.pair.macs());
}

#[test]
fn who_returns_waits_for_connections_only_so_long() {
    let mut synced = Synced::boot("t-syncwait", "rr");
    let _killed = synced.pair.director.take().map(Daemon::kill);
    let _router = synced.pair.cluster.partner().becomes(FRONT, Role::Active);
    // With another key it never gets what the partner has.
    let other = synced.keys.path().join("other.key");
    write_key(&other, "fedcba9876543210");
    let config =
        config_of("director", HIGH, &other, "rr").replace("[sync]\n", "[sync]\nwait = \"2s\"\n");
    let begun = Instant::now();
    synced.pair.start_director(&config);
    let router = synced.pair.cluster.director().becomes(FRONT, Role::Active);
    assert!(router.reason.starts_with("preempted"), "{router:?}");
    assert!(begun.elapsed() >= Duration::from_secs(2));
    let director = synced.pair.cluster.director();
    let status = director.evenkeel(&["status"]).succeeded();
    assert!(status.contains("keys differ"), "{status}");
}

#[test]
fn other_services_are_told_and_the_rest_is_synchronised() {
    let mut synced = Synced::boot("t-syncother", "rr");
    let cluster = &synced.pair.cluster;
    let _ended = synced.pair.partner.take().unwrap().terminate();
    let key = synced.keys.path().join("sync.key");
    let config = config_of("partner", LOW, &key, "rr");
    let lacks_web = config
        .replace("name = \"web\"", "name = \"other\"")
        .replace(":80\"\nprotocol", ":8080\"\nprotocol");
    assert_ne!(config, lacks_web);
    synced.pair.partner = Some(cluster.partner().start_daemon(&lacks_web));
    synced.pair.settle();
    synced.in_sync();
    let status = cluster.director().evenkeel(&["status"]).succeeded();
    assert!(
        status.contains("its services or servers are others"),
        "{status}"
    );
    let traffic = Traffic::start(cluster);
    cluster.eventually(
        "connections of the service that the partner lacks wait",
        || {
            let sync = cluster.partner().status().sync.unwrap();
            sync.received
                .iter()
                .any(|count| count.kind == "waiting-for-service-or-server" && count.count > 0)
        },
    );
    let _ended = traffic.end(&synced.pair.macs());
}

/// Makes a director's pins those of a schema that nobody can adopt.
fn pretend_another_version(director: Director<'_>) {
    let constants = evenkeel_bpf::pinned_constants(&director.pins());
    let constants = constants.unwrap().unwrap();
    constants.get(0).unwrap().store(77, SeqCst);
}

#[test]
fn who_handed_over_drops_pins_of_another_version_and_gets_its_connections_back() {
    let mut synced = Synced::boot("t-syncnew", "rr");
    let traffic = Traffic::start(&synced.pair.cluster);
    synced.in_sync();
    let begun = Instant::now();
    let status = synced.pair.director.take().unwrap().terminate();
    assert!(status.success(), "{status}");
    let cluster = &synced.pair.cluster;
    let _router = cluster.partner().becomes(FRONT, Role::Active);
    synced.pair.client_reaches(synced.pair.partner_mac);
    traffic.goes_on(cluster);

    pretend_another_version(cluster.director());
    synced.pair.restart_director();
    synced.pair.settle();
    synced.in_sync();
    let cluster = &synced.pair.cluster;
    let director = cluster.director();
    assert!(!director.status().adopted);
    let log = director.log();
    assert!(
        log.contains("pins-dropped") && log.contains("schema 77"),
        "{log}"
    );
    synced.pair.client_reaches(synced.pair.director_mac);
    traffic.goes_on(cluster);
    let (echoes, _record) = traffic.end(&synced.pair.macs());
    assert_eq!(lost(&echoes, begun), 0, "probes were lost");

    // Killed it leaves no mark.
    let _killed = synced.pair.kill_director();
    let director = synced.pair.cluster.director();
    pretend_another_version(director);
    let refused = director.evenkeel_with_config("run");
    refused.assert_refused(1, &["schema 77", "hand over first"]);
}
