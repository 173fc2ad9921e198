//! Two directors, and a virtual address that moves between them: what clients see of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod apart;
mod backup;
mod edits;
mod handover;
mod killed;
mod local;
mod paused;
mod power;
mod preemption;
mod reload;
mod routers;
mod source;
mod stopped;
mod strangers;
mod sync;
mod sync_three;
mod troubles;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use evenkeel_api::{GateStatus, Role};
use evenkeel_lab::load::OpenLoad;
use evenkeel_lab::probe::{Echoes, UdpProbe};
use evenkeel_netns_tests::cluster::{Cluster, VIP, assert_all_succeeded, server, vip};
use evenkeel_netns_tests::streams::STREAMS;
use evenkeel_netns_tests::texts::{ECHO, config, maglev, router, service, udp};
use evenkeel_netns_tests::watch::{Mac, Record, assert_none_refused};
use evenkeel_netns_tests::{Backend, Daemon, Director, Streams, Watch};

/// The virtual router of [`VIP`].
const FRONT: &str = "front";
const ID: u8 = 51;

/// Priorities: the director's and the partner's, unless a test says otherwise.
const HIGH: u8 = 200;
const LOW: u8 = 100;

/// Time between advertisements.
const ADVERTS: Duration = Duration::from_millis(100);

/// What a busy machine may be late.
const SLACK: Duration = Duration::from_millis(250);

/// A quick check by connection; one that a busy machine delays does no harm.
const TCP: &str = "check = { tcp = true, port = 80, every = \"200ms\", timeout = \"200ms\", fall = 10, rise = 1 }";

/// A virtual router with [`VIP`]; `more` are further lines of its table.
fn front(priority: u8, more: &str) -> String {
    let more = format!("adverts = \"{}ms\"\n{more}", ADVERTS.as_millis());
    router(FRONT, ID, &[VIP], priority, &more)
}

/// Services whose flows any director places alike: web, streams and UDP echo.
fn services() -> String {
    let all = [
        service("web", 80, &[1, 2], TCP),
        service("streams", STREAMS, &[1, 2], TCP),
        udp(&service("echo", ECHO, &[1, 2], TCP)),
    ];
    all.map(|service| maglev(&service)).concat()
}

/// A config with these tables and [`services`].
fn with_services(tables: &str) -> String {
    config(&[tables.to_owned(), services()])
}

/// Silence after which a Backup of that priority takes over, at [`ADVERTS`] (RFC 9568 §6.1).
fn master_down(priority: u8) -> Duration {
    ADVERTS * 3 + skew(priority)
}

fn skew(priority: u8) -> Duration {
    ADVERTS * (256 - u32::from(priority)) / 256
}

/// Two directors and their daemons, as long as these run, in front of two real servers.
struct Pair {
    director: Option<Daemon>,
    partner: Option<Daemon>,
    director_mac: Mac,
    partner_mac: Mac,
    _backends: Vec<Backend>,
    cluster: Cluster,
}

impl Pair {
    /// Without daemons.
    fn dark(name: &str) -> Self {
        Self::of(Cluster::boot_pair(name, 2))
    }

    fn of(cluster: Cluster) -> Self {
        Self {
            director: None,
            partner: None,
            director_mac: cluster.director().mac(),
            partner_mac: cluster.partner().mac(),
            _backends: (1..=2)
                .map(|number| Backend::start(&cluster, &server(number)))
                .collect(),
            cluster,
        }
    }

    /// Both with [`services`]: the director Active, the partner a warm Backup, with these lines for both.
    ///
    /// The partner starts once the director is Active: started together, either may be the first.
    fn boot(name: &str, more: &str) -> Self {
        let mut pair = Self::dark(name);
        pair.start_director(&with_services(&front(HIGH, more)));
        let _router = pair.cluster.director().becomes(FRONT, Role::Active);
        pair.start_partner(&with_services(&front(LOW, more)));
        pair.settle();
        pair
    }

    fn start_director(&mut self, config: &str) {
        self.director = Some(self.cluster.director().start_daemon(config));
    }

    fn start_partner(&mut self, config: &str) {
        self.partner = Some(self.cluster.partner().start_daemon(config));
    }

    /// Starts it with the config that it had.
    fn restart_director(&mut self) {
        let director = self.cluster.director();
        self.director = Some(director.start_daemon_from("evenkeel".as_ref()));
    }

    /// SIGKILL; when that was.
    fn kill_director(&mut self) -> Instant {
        let when = Instant::now();
        self.director.take().unwrap().kill();
        when
    }

    /// Waits until the director is Active, the partner a warm Backup, and both are ready.
    fn settle(&self) {
        let cluster = &self.cluster;
        let (director, partner) = (cluster.director(), cluster.partner());
        let _router = director.becomes(FRONT, Role::Active);
        let _router = partner.becomes(FRONT, Role::Backup);
        cluster.eventually("both are ready", || {
            let warm = partner.router(FRONT).is_some_and(|r| r.may_take_over);
            warm && director.is_ready() && partner.is_ready()
        });
        self.stands_back(partner);
    }

    /// Waits until a director has nothing of the address any more: gates closed, address gone.
    fn stands_back(&self, director: Director<'_>) {
        self.cluster.eventually("it has closed its gates", || {
            let status = director.status();
            status.services.iter().all(|s| s.gate == GateStatus::Closed)
        });
        assert!(!director.has_address(VIP));
    }

    fn macs(&self) -> [Mac; 2] {
        [self.director_mac, self.partner_mac]
    }

    /// Waits until the client's own stack has found the way there.
    fn client_reaches(&self, mac: Mac) {
        let [a, b, c, d, e, f] = mac;
        let wanted = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        self.cluster.eventually("the client's neighbour entry", || {
            self.cluster.neighbour("client", VIP) == Some(wanted.clone())
        });
    }
}

/// Changes of role since a director's daemon started: each contains its words, and there are no others.
fn assert_roles(director: Director<'_>, expected: &[&str]) {
    let changes = director.role_changes();
    let fits = changes.len() == expected.len()
        && changes
            .iter()
            .zip(expected)
            .all(|(change, words)| change.contains(words));
    assert!(fits, "{changes:#?}\nis not\n{expected:#?}");
}

/// All kinds of clients at once, and a watch over who serves them.
struct Traffic {
    streams: Streams,
    load: OpenLoad,
    probe: UdpProbe,
    watch: Watch,
}

impl Traffic {
    /// Begins; all are served when this returns.
    fn start(cluster: &Cluster) -> Self {
        let client = cluster.node("client");
        let ten = Duration::from_millis(10);
        let load = OpenLoad::start(client, &cluster.target(80), &cluster.ports, ten);
        let traffic = Self {
            streams: Streams::start(cluster, 8),
            load: load.unwrap(),
            probe: UdpProbe::start(client, vip(ECHO), Duration::from_millis(1)).unwrap(),
            watch: Watch::start(cluster, &[VIP]),
        };
        traffic.goes_on(cluster);
        traffic
    }

    /// Waits until all of them have got on.
    fn goes_on(&self, cluster: &Cluster) {
        let (sent, answered) = (self.load.sent(), self.probe.answered());
        self.streams.all_get_on(cluster);
        cluster.eventually("more connections and more echoes", || {
            self.load.sent() >= sent + 20 && self.probe.answered() >= answered + 100
        });
    }

    /// Ends: no connection was lost, no datagram was doubled, and no director refused anything.
    fn end(self, directors: &[Mac]) -> (Echoes, Record) {
        for (number, end) in self.streams.stop().into_iter().enumerate() {
            end.unwrap_or_else(|error| panic!("stream {number} broke: {error}"));
        }
        assert_all_succeeded(&self.load.stop().unwrap());
        let echoes = self.probe.stop().unwrap();
        let doubled = echoes.requests.iter().filter(|echo| echo.answers > 1);
        assert_eq!(doubled.count(), 0, "datagrams were doubled");
        let record = self.watch.record();
        assert_none_refused(&record, directors);
        (echoes, record)
    }
}

/// Echoes that never came, of what was sent from `from` on.
fn lost(echoes: &Echoes, from: Instant) -> usize {
    let sent = echoes.requests.iter().filter(|echo| echo.sent >= from);
    sent.filter(|echo| echo.answered.is_none()).count()
}

/// When an advertisement that is no resignation was first sent from there.
fn first_advert(record: &Record, from: Ipv4Addr) -> Instant {
    let adverts = record.adverts(from).into_iter();
    let mut adverts = adverts.filter(|(_, priority)| *priority > 0);
    adverts.next().expect("it advertises").0
}
