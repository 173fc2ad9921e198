use evenkeel_api::Role;
use evenkeel_api::{Protocol, ServiceId};
use evenkeel_model::VirtualService;

use super::*;
use crate::paper::evidence::{Held, Partner, Standing};
use crate::paper::listing::tests::{FIVES, NOTHING};
use crate::paper::roles::Roles;

/// No expectation was refused.
pub(crate) const NONE: [usize; 0] = [];

/// A moment with room before it.
pub(crate) fn moment() -> Instant {
    Instant::now() + Duration::from_secs(1000)
}

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn setup() -> Setup {
    Setup::of_the_paper(None).unwrap()
}

/// Request number `number` from port 10000 on, one every 5 ms, answered after 2 ms or failed at 900 ms.
pub(crate) fn record(start: Instant, number: u16, outcome: Result<&str, &str>) -> Record {
    let started = start + millis(5) * u32::from(number);
    Record {
        client_port: 10_000 + number,
        started,
        finished: started + millis(if outcome.is_ok() { 2 } else { 900 }),
        outcome: outcome.map(String::from).map_err(String::from),
    }
}

fn without_laico2() -> String {
    FIVES
        .lines()
        .filter(|line| !line.contains("laico2"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// How a director stands that holds these servers for both services.
pub(crate) fn standing(setup: &Setup, servers: &[&Server], acts: bool) -> Standing {
    let held = |service: &VirtualService| Held {
        service: ServiceId::Single {
            protocol: Protocol::Tcp,
            address: service.key.address().unwrap(),
        },
        open: acts,
        servers: servers
            .iter()
            .map(|server| (server.ip, service.key.port()).into())
            .collect(),
    };
    Standing {
        listing: String::from(if acts { FIVES } else { NOTHING }),
        services: vec![held(&setup.service), held(&setup.echo)],
        has_address: acts,
    }
}

/// A Backup that was always one.
pub(crate) fn backup(setup: &Setup, servers: &[&Server]) -> Partner {
    Partner {
        roles: Roles(vec![(moment(), Role::Backup)]),
        end: standing(setup, servers, false),
    }
}

fn place(setup: &Setup, history: &mut History, number: u16, server: usize) {
    history
        .placed
        .entry(10_000 + number)
        .or_default()
        .insert(setup.servers[server].address);
}

fn shares(setup: &Setup, counts: [u64; 2]) -> BTreeMap<SocketAddr, u64> {
    let servers = setup.survivors();
    servers
        .iter()
        .map(|server| server.address)
        .zip(counts)
        .collect()
}

fn addresses(servers: &[&Server]) -> BTreeSet<SocketAddr> {
    servers.iter().map(|server| server.address).collect()
}

fn in_turn(setup: &Setup, start: Instant, numbers: std::ops::Range<u16>) -> Vec<Record> {
    numbers
        .map(|number| {
            let server = &setup.servers[usize::from(number) % setup.servers.len()];
            record(start, number, Ok(&server.node))
        })
        .collect()
}

pub(crate) fn refused(figure: &Figure) -> Vec<usize> {
    assert_eq!(
        figure.held(),
        figure.expectations().iter().all(|one| one.held)
    );
    figure
        .expectations()
        .iter()
        .enumerate()
        .filter(|(_, expectation)| !expectation.held)
        .map(|(place, _)| place)
        .collect()
}

fn sharing(setup: &Setup) -> Sharing {
    let start = moment();
    let load = in_turn(setup, start, 15..316);
    let mut history = History::default();
    for number in 15..316 {
        place(setup, &mut history, number, usize::from(number) % 3);
    }
    Sharing {
        sequence: in_turn(setup, start, 0..15),
        listing: String::from(FIVES),
        load,
        history,
        partner: backup(setup, &setup.all()),
    }
}

#[test]
fn figure_5_holds_where_everybody_has_a_share() {
    let setup = setup();
    assert_eq!(refused(&figure5(&setup, &sharing(&setup))), NONE);
}

#[test]
fn figure_5_falls_with_each_of_its_expectations() {
    let setup = setup();
    let refused_after = |change: &dyn Fn(&mut Sharing)| {
        let mut seen = sharing(&setup);
        change(&mut seen);
        refused(&figure5(&setup, &seen))
    };
    let a_failure = Err(String::from("connect: refused"));
    assert_eq!(
        refused_after(&|seen| seen.sequence[3].outcome = a_failure.clone()),
        [0]
    );
    assert_eq!(refused_after(&|seen| seen.sequence.truncate(14)), [0]);
    let six = FIVES.replacen("5  ", "6  ", 1);
    assert_eq!(refused_after(&|seen| seen.listing = six.clone()), [1]);
    assert_eq!(
        refused_after(&|seen| seen.load[0].outcome = a_failure.clone()),
        [2]
    );
    // One request more on one server and one less on another: 102, 100, 99.
    assert_eq!(
        refused_after(&|seen| seen.load[1].outcome = Ok(String::from("laico2"))),
        [3]
    );
    let laico2 = setup.servers[0].address;
    assert_eq!(
        refused_after(&|seen| {
            seen.history.placed.insert(10_016, BTreeSet::from([laico2]));
        }),
        [4]
    );
    assert_eq!(
        refused_after(&|seen| drop(seen.history.placed.remove(&10_020))),
        [4],
        "a request without a record"
    );
    assert_eq!(
        refused_after(&|seen| {
            // Request 16 was laico3's.
            seen.history
                .placed
                .entry(10_016)
                .or_default()
                .insert(laico2);
        }),
        [4],
        "a request that was moved"
    );
    assert_eq!(refused_after(&|seen| seen.load.clear()), [2]);
    assert_eq!(
        refused_after(&|seen| seen.partner.roles.0.push((moment(), Role::Active))),
        [5]
    );
    assert_eq!(
        refused_after(&|seen| seen.partner.roles.0.clear()),
        [5],
        "nobody knows"
    );
    assert_eq!(
        refused_after(&|seen| seen.partner.end = standing(&setup, &setup.survivors(), false)),
        [5],
        "it does not hold all of them"
    );
    assert_eq!(
        refused_after(&|seen| seen.partner.end = standing(&setup, &setup.all(), true)),
        [5],
        "it acts for them"
    );
    assert_eq!(
        refused_after(&|seen| drop(seen.partner.end.services.pop())),
        [5],
        "it does not hold both services"
    );
}

/// laico2 loses power at 1 s and is out of the list 1 s later; what it got meanwhile fails, and the load
/// goes on until 5 s.
fn fault(setup: &Setup) -> Fault {
    let start = moment();
    let fault = start + millis(1000);
    let mut records = Vec::new();
    let mut history = History::default();
    for number in 0..1000_u16 {
        let three = !(400..).contains(&number);
        let server = if three {
            usize::from(number) % 3
        } else {
            1 + usize::from(number) % 2
        };
        place(setup, &mut history, number, server);
        let dead = server == 0 && number >= 200;
        records.push(record(
            start,
            number,
            if dead {
                Err("deadline passed")
            } else {
                Ok(&setup.servers[server].node)
            },
        ));
    }
    history.conns = shares(setup, [400, 401]);
    history.lists = vec![
        (start, addresses(&setup.all())),
        (fault + millis(1000), addresses(&setup.survivors())),
    ];
    Fault {
        fault,
        records,
        history,
        frames: vec![start, fault + millis(30), fault + millis(1010)],
        listing_removed: without_laico2(),
        listing_end: without_laico2(),
        partner: backup(setup, &setup.survivors()),
    }
}

#[test]
fn figures_6_and_7_hold_where_only_the_dead_servers_requests_fail() {
    let setup = setup();
    let seen = fault(&setup);
    assert_eq!(refused(&figure6(&setup, &seen)), NONE);
    assert_eq!(refused(&figure7(&setup, &seen)), NONE);
    let json = serde_json::to_value(figure6(&setup, &seen)).unwrap();
    assert_eq!(json["requests"], 500);
    assert_eq!(json["failed"], 67);
    assert_eq!(json["bound_ms"], 1500);
    assert_eq!(json["misdirected_packets"], 2);
    assert_eq!(json["last_misdirected_ms"], 1010);
    assert_eq!(json["removed_ms"], 1000);
    let json = serde_json::to_value(figure7(&setup, &seen)).unwrap();
    assert_eq!(
        (&json["requests"], &json["failed"]),
        (&500.into(), &0.into())
    );
}

#[test]
fn figure_6_falls_with_each_of_its_expectations() {
    let setup = setup();
    let refused_after = |change: &dyn Fn(&mut Fault)| {
        let mut seen = fault(&setup);
        change(&mut seen);
        refused(&figure6(&setup, &seen))
    };
    assert_eq!(
        refused_after(&|seen| seen.listing_removed = String::from(FIVES)),
        [0]
    );
    let late = Err(String::from("deadline passed"));
    // Request 211 was laico3's.
    assert_eq!(
        refused_after(&|seen| seen.records[211].outcome = late.clone()),
        [1]
    );
    assert_eq!(
        refused_after(&|seen| drop(seen.history.placed.remove(&10_210))),
        [1],
        "a failed request without a record"
    );
    assert_eq!(
        refused_after(&|seen| seen.frames = Vec::new()),
        [2],
        "who sees nothing proves nothing"
    );
    assert_eq!(
        refused_after(&|seen| seen.frames.push(seen.fault + millis(1501))),
        [3]
    );
    assert_eq!(
        refused_after(&|seen| seen.frames.push(seen.fault + millis(1500))),
        NONE
    );
}

#[test]
fn figure_7_falls_with_each_of_its_expectations() {
    let setup = setup();
    let refused_after = |change: &dyn Fn(&mut Fault)| {
        let mut seen = fault(&setup);
        change(&mut seen);
        refused(&figure7(&setup, &seen))
    };
    assert_eq!(
        refused_after(&|seen| seen.listing_end = String::from(FIVES)),
        [0]
    );
    assert_eq!(
        refused_after(&|seen| seen.records[700].outcome = Err(String::from("reset"))),
        [1]
    );
    assert_eq!(
        refused_after(&|seen| seen.frames.push(seen.fault + millis(3000))),
        [2],
        "a repeated SYN"
    );
    assert_eq!(
        refused_after(&|seen| seen.records.truncate(400)),
        [2],
        "nobody asked"
    );
    let placed = |counts| refused_after(&|seen| seen.history.conns = shares(&setup, counts));
    assert_eq!(placed([400, 402]), NONE);
    assert_eq!(placed([400, 403]), [3]);
    assert_eq!(refused_after(&|seen| seen.history.conns.clear()), [3]);
    let all = standing(&setup, &setup.all(), false);
    assert_eq!(
        refused_after(&|seen| seen.partner.end = all.clone()),
        [4],
        "its partner still holds the dead server"
    );
}

/// laico2 is powered on at 1 s, and serves again 1.3 s later.
fn restoration(setup: &Setup) -> Restoration {
    let start = moment();
    let power_on = start + millis(1000);
    let records = (0..900)
        .map(|number| {
            let count = if number < 460 { 2 } else { 3 };
            let server = &setup.servers[2 - usize::from(number) % count];
            record(start, number, Ok(&server.node))
        })
        .collect();
    Restoration {
        power_on,
        records,
        history: History {
            lists: vec![
                (start, addresses(&setup.survivors())),
                (power_on + millis(1280), addresses(&setup.all())),
            ],
            conns: shares(setup, [700, 701]),
            ..History::default()
        },
        listing: String::from(FIVES),
        partner: backup(setup, &setup.all()),
    }
}

#[test]
fn figure_8_holds_where_nobody_notices() {
    let setup = setup();
    let figure = figure8(&setup, &restoration(&setup));
    assert_eq!(refused(&figure), NONE);
    let json = serde_json::to_value(figure).unwrap();
    assert_eq!(json["listed_ms"], 1280);
    // Request 461 is laico2's first: 2305 ms after the start, answered 2 ms later.
    assert_eq!(json["served_ms"], 1307);
    assert_eq!(json["failed"], 0);
}

#[test]
fn figure_8_falls_with_each_of_its_expectations() {
    let setup = setup();
    let refused_after = |change: &dyn Fn(&mut Restoration)| {
        let mut seen = restoration(&setup);
        change(&mut seen);
        refused(&figure8(&setup, &seen))
    };
    assert_eq!(refused_after(&|seen| seen.listing = without_laico2()), [0]);
    assert_eq!(
        refused_after(&|seen| seen.history.lists[1].0 = seen.power_on + millis(2251)),
        [1]
    );
    assert_eq!(refused_after(&|seen| seen.history.lists.truncate(1)), [1]);
    assert_eq!(
        refused_after(&|seen| seen.records.truncate(461)),
        [2],
        "it never served"
    );
    assert_eq!(
        refused_after(&|seen| {
            for record in &mut seen.records[460..660] {
                if record.outcome.as_deref() == Ok("laico2") {
                    record.outcome = Ok(String::from("laico3"));
                }
            }
        }),
        [2],
        "it served too late"
    );
    let reset = Err(String::from("reset"));
    assert_eq!(
        refused_after(&|seen| seen.records[500].outcome = reset.clone()),
        [3]
    );
    // It ended before the power-on.
    assert_eq!(
        refused_after(&|seen| seen.records[10].outcome = reset.clone()),
        NONE
    );
    // It was sent before, but failed after.
    assert_eq!(
        refused_after(&|seen| {
            seen.records[190].outcome = reset.clone();
            seen.records[190].finished += millis(900);
        }),
        [3]
    );
    let placed = |counts| refused_after(&|seen| seen.history.conns = shares(&setup, counts));
    assert_eq!(placed([703, 700]), NONE);
    assert_eq!(placed([704, 700]), [4]);
    let two = standing(&setup, &setup.survivors(), false);
    assert_eq!(
        refused_after(&|seen| seen.partner.end = two.clone()),
        [5],
        "its partner does not hold the server yet"
    );
}

#[test]
fn the_longest_gap_is_between_answers_and_the_ends_of_its_time() {
    let start = moment();
    let setup = setup();
    let mut records = in_turn(&setup, start, 0..100);
    let gap = |records: &[Record]| gap_between(records, start, start + millis(500));
    assert_eq!(gap(&records), millis(5));
    for record in &mut records[20..30] {
        // Failures end late, and are no answers.
        record.outcome = Err(String::from("deadline passed"));
        record.finished += millis(900);
    }
    assert_eq!(gap(&records), millis(55));
    assert_eq!(gap(&records[..50]), millis(253));
    assert_eq!(gap(&[]), millis(500));
}
