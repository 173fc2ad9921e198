//! The verdicts: from what was seen of a figure to whether it held, and why not.
//!
//! Pure: knows no lab, no clock and no file.

mod handover;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::load::{Record, longest_gap};
use crate::paper::evidence::{Fault, Restoration, Sharing};
use crate::paper::figure::{Expectation, Figure, Measures, Name, ms};
use crate::paper::listing;
use crate::paper::setup::{Server, Setup};
use crate::paper::watch::History;
use crate::silence::longest_silence;

use self::handover::stays_backup;
pub(crate) use self::handover::{figure9, figure10, figure11, figure12, figure13, stop};

/// Requests that Figure 5 sends one after the other.
pub(crate) const SEQUENCE: usize = 15;

/// Failed requests that are shown one by one.
const SHOWN_MAX: usize = 5;

const STORY_5: &str = "\
The client sends 15 requests, one after the other, each on a connection of its own. Then
laicoz lists:
";

const STORY_6: &str = "\
The client opens a connection every 5 ms, whatever becomes of those before. Under that load
laico2 loses its power: it falls silent from one packet to the next. As soon as laicoz has
noticed, it lists:
";

const STORY_7: &str = "\
The load goes on until every connection that laico2 could have had is over. Then laicoz lists:
";

const STORY_8: &str = "\
Under such a load laico2 is powered on: a cold boot. Two seconds after it is back in the list,
laicoz lists:
";

/// Figure 5: every server gets its share.
pub(crate) fn figure5(setup: &Setup, seen: &Sharing) -> Figure {
    let servers = setup.all();
    let each = SEQUENCE / servers.len().max(1);
    let answered = seen.sequence.iter().filter(|r| r.outcome.is_ok()).count();
    let answers = shares_of_answers(&servers, &seen.load);
    let (placed, unknown) = shares_of_records(&servers, &seen.load, &seen.history);
    let failed_in_load = failed(&seen.load).len();
    let expectations = vec![
        Expectation {
            expected: format!("all {SEQUENCE} requests, sent one after the other, are answered"),
            measured: format!("{answered} answered"),
            held: answered == SEQUENCE && seen.sequence.len() == SEQUENCE,
        },
        listed(
            setup,
            &setup.director,
            &seen.listing,
            &servers,
            Some(u64::try_from(each).unwrap_or(u64::MAX)),
        ),
        Expectation {
            expected: String::from("no request of the load after it fails"),
            measured: format!("{failed_in_load} of {} failed", seen.load.len()),
            held: failed_in_load == 0 && !seen.load.is_empty(),
        },
        Expectation {
            expected: String::from("by the answers, the servers' shares differ by at most 1"),
            measured: in_words(&answers),
            held: difference(&answers) <= 1,
        },
        Expectation {
            expected: format!(
                "by {}'s connection records, they differ by at most 1",
                setup.director
            ),
            measured: match unknown {
                0 => in_words(&placed),
                _ => format!("{}, {unknown} not recorded", in_words(&placed)),
            },
            held: difference(&placed) <= 1 && unknown == 0,
        },
        stays_backup(setup, &seen.partner, &servers),
    ];
    let measures = Measures {
        share_difference: Some(difference(&answers).max(difference(&placed))),
        ..Measures::default()
    };
    let records: Vec<Record> = seen.sequence.iter().chain(&seen.load).cloned().collect();
    let gap = longest_gap(&seen.sequence).max(longest_gap(&seen.load));
    Figure::new(
        Name::Figure(5),
        "three real servers share the work",
        &seen.listing,
        expectations,
    )
    .told(STORY_5)
    .with_load(records.len(), failed(&records).len(), gap)
    .with(measures)
}

/// Figure 6: a server loses power, and leaves the list in time.
pub(crate) fn figure6(setup: &Setup, seen: &Fault) -> Figure {
    let bound = setup.removal_bound();
    let victim = &setup.victim;
    let end = seen.fault + bound;
    let (records, _later) = split(&seen.records, end);
    let start = records.first().map_or(end, |record| record.started);
    let before = seen
        .frames
        .iter()
        .filter(|when| **when <= seen.fault)
        .count();
    let last = since(seen.frames.last().copied(), seen.fault);
    let removed = since(
        seen.history.first(seen.fault, victim.address, false),
        seen.fault,
    );
    let expectations = vec![
        listed(
            setup,
            &setup.director,
            &seen.listing_removed,
            &setup.survivors(),
            None,
        ),
        failures_were_placed_on(setup, records, &seen.history),
        Expectation {
            expected: format!("{} had its share of packets before", victim.node),
            measured: format!("{before} packets"),
            held: before > 0,
        },
        Expectation {
            expected: format!(
                "the last packet to {} leaves at most {} ms after the fault",
                victim.node,
                ms(bound)
            ),
            measured: last.map_or_else(
                || String::from("none after the fault"),
                |last| format!("{} ms after the fault", ms(last)),
            ),
            held: last.is_none_or(|last| last <= bound),
        },
    ];
    let measures = Measures {
        bound_ms: Some(ms(bound)),
        misdirected_packets: Some(after(&seen.frames, seen.fault)),
        last_misdirected_ms: last.map(ms),
        removed_ms: removed.map(ms),
        ..Measures::default()
    };
    let title = format!("{} loses power under load", victim.node);
    Figure::new(Name::Figure(6), &title, &seen.listing_removed, expectations)
        .told(STORY_6)
        .with_load(
            records.len(),
            failed(records).len(),
            gap_between(&seen.records, start, end),
        )
        .with(measures)
}

/// Figure 7: the others carry on.
pub(crate) fn figure7(setup: &Setup, seen: &Fault) -> Figure {
    let bound = setup.removal_bound();
    let victim = &setup.victim;
    let end = seen.fault + bound;
    let (_earlier, records) = split(&seen.records, end);
    let last = records.last().map_or(end, |record| record.started);
    let late = after(&seen.frames, end);
    let shares = shares_of_connections(&setup.survivors(), &seen.history);
    let expectations = vec![
        listed(
            setup,
            &setup.director,
            &seen.listing_end,
            &setup.survivors(),
            None,
        ),
        failures_were_placed_on(setup, records, &seen.history),
        Expectation {
            expected: format!(
                "from {} ms after the fault on no packet goes to {}, no client's repeated SYN either",
                ms(bound),
                victim.node
            ),
            measured: format!("{late} packets"),
            held: late == 0 && !records.is_empty(),
        },
        even(&shares, 1),
        stays_backup(setup, &seen.partner, &setup.survivors()),
    ];
    let measures = Measures {
        share_difference: Some(difference(&shares)),
        bound_ms: Some(ms(bound)),
        misdirected_packets: Some(late),
        ..Measures::default()
    };
    let survivors: Vec<&str> = setup
        .survivors()
        .iter()
        .map(|server| server.node.as_str())
        .collect();
    let title = format!("{} carry on", survivors.join(" and "));
    Figure::new(Name::Figure(7), &title, &seen.listing_end, expectations)
        .told(STORY_7)
        .with_load(
            records.len(),
            failed(records).len(),
            gap_between(&seen.records, end, last),
        )
        .with(measures)
}

/// Figure 8: the server is back, and nobody noticed.
pub(crate) fn figure8(setup: &Setup, seen: &Restoration) -> Figure {
    let bound = setup.return_bound();
    let victim = &setup.victim;
    let listed_after = since(
        seen.history.first(seen.power_on, victim.address, true),
        seen.power_on,
    );
    let served_after = seen
        .records
        .iter()
        .filter(|record| record.outcome.as_ref() == Ok(&victim.node))
        .filter_map(|record| record.finished.checked_duration_since(seen.power_on))
        .min();
    let failed_since: Vec<&Record> = failed(&seen.records)
        .into_iter()
        .filter(|record| record.finished >= seen.power_on)
        .collect();
    let shares = shares_of_connections(&setup.survivors(), &seen.history);
    let in_time = |what: &str, time: Option<Duration>| Expectation {
        expected: format!(
            "{} {what} at most {} ms after its power-on",
            victim.node,
            ms(bound)
        ),
        measured: time.map_or_else(
            || String::from("never"),
            |time| format!("after {} ms", ms(time)),
        ),
        held: time.is_some_and(|time| time <= bound),
    };
    let expectations = vec![
        listed(setup, &setup.director, &seen.listing, &setup.all(), None),
        in_time("is listed", listed_after),
        in_time("serves", served_after),
        Expectation {
            expected: String::from("no request fails from its power-on on"),
            measured: format!(
                "{} failed{}",
                failed_since.len(),
                one_by_one(setup, &failed_since, &seen.history)
            ),
            held: failed_since.is_empty() && !seen.records.is_empty(),
        },
        even(&shares, 2),
        stays_backup(setup, &seen.partner, &setup.all()),
    ];
    let measures = Measures {
        share_difference: Some(difference(&shares)),
        bound_ms: Some(ms(bound)),
        listed_ms: listed_after.map(ms),
        served_ms: served_after.map(ms),
        ..Measures::default()
    };
    let gap = longest_gap(&seen.records);
    let title = format!("{} is back", victim.node);
    Figure::new(Name::Figure(8), &title, &seen.listing, expectations)
        .told(STORY_8)
        .with_load(seen.records.len(), failed(&seen.records).len(), gap)
        .with(measures)
}

fn listed(
    setup: &Setup,
    director: &str,
    text: &str,
    servers: &[&Server],
    inactive: Option<u64>,
) -> Expectation {
    let names: Vec<&str> = servers.iter().map(|server| server.node.as_str()).collect();
    let counts = inactive.map_or_else(String::new, |count| {
        format!(", ActiveConn 0, InActConn {count}")
    });
    let held = listing::shows(text, setup, servers, inactive);
    Expectation {
        expected: format!(
            "{director} lists {} and no other, Route, weight 1{counts}",
            names.join(", ")
        ),
        measured: String::from(if held {
            "so it does"
        } else {
            "see the listing"
        }),
        held,
    }
}

/// Every failed request had been placed on the server that lost power.
fn failures_were_placed_on(setup: &Setup, records: &[Record], history: &History) -> Expectation {
    let victim = &setup.victim;
    let failed = failed(records);
    let elsewhere: Vec<&Record> = failed
        .iter()
        .filter(|record| {
            history
                .placed
                .get(&record.client_port)
                .is_none_or(|servers| !servers.contains(&victim.address))
        })
        .copied()
        .collect();
    Expectation {
        expected: format!(
            "every failed request had been placed on {}, by {}'s connection records",
            victim.node, setup.director
        ),
        measured: format!(
            "{} failed, {} of them not placed there{}",
            failed.len(),
            elsewhere.len(),
            one_by_one(setup, &elsewhere, history)
        ),
        held: elsewhere.is_empty(),
    }
}

/// The first of some requests, with why they failed and where they had been placed.
fn one_by_one(setup: &Setup, records: &[&Record], history: &History) -> String {
    records
        .iter()
        .take(SHOWN_MAX)
        .map(|record| {
            let places = history.placed.get(&record.client_port).map_or_else(
                || String::from("nowhere"),
                |servers| {
                    let names: Vec<String> = servers.iter().map(|s| setup.name_of(*s)).collect();
                    names.join(" and ")
                },
            );
            let reason = record.outcome.as_ref().err().map_or("", String::as_str);
            format!(
                "; from port {}: {reason}, placed on {places}",
                record.client_port
            )
        })
        .collect()
}

fn failed(records: &[Record]) -> Vec<&Record> {
    records
        .iter()
        .filter(|record| record.outcome.is_err())
        .collect()
}

/// The longest time without an answer between two moments.
fn gap_between(records: &[Record], from: Instant, to: Instant) -> Duration {
    let answers = records
        .iter()
        .filter(|record| record.outcome.is_ok())
        .map(|record| record.finished);
    longest_silence(answers, from, to).length
}

/// Requests that started before `when`, and the others.
fn split(records: &[Record], when: Instant) -> (&[Record], &[Record]) {
    records.split_at(records.partition_point(|record| record.started < when))
}

fn since(when: Option<Instant>, start: Instant) -> Option<Duration> {
    when.and_then(|when| when.checked_duration_since(start))
}

fn after(frames: &[Instant], when: Instant) -> u64 {
    let count = frames.iter().filter(|frame| **frame > when).count();
    u64::try_from(count).unwrap_or(u64::MAX)
}

type Shares = BTreeMap<String, u64>;

fn none_yet(servers: &[&Server]) -> Shares {
    servers
        .iter()
        .map(|server| (server.node.clone(), 0))
        .collect()
}

fn shares_of_answers(servers: &[&Server], load: &[Record]) -> Shares {
    let mut shares = none_yet(servers);
    for name in load
        .iter()
        .filter_map(|record| record.outcome.as_ref().ok())
    {
        *shares.entry(name.clone()).or_default() += 1;
    }
    shares
}

/// Shares by the director's records, and how many requests have no record or several.
fn shares_of_records(servers: &[&Server], load: &[Record], history: &History) -> (Shares, u64) {
    let mut shares = none_yet(servers);
    let mut unknown = 0;
    for record in load {
        let place = history.placed.get(&record.client_port).and_then(single);
        match servers.iter().find(|server| Some(server.address) == place) {
            Some(server) => *shares.entry(server.node.clone()).or_default() += 1,
            None => unknown += 1,
        }
    }
    (shares, unknown)
}

/// Connections that the director has placed on each of the servers since it started.
fn shares_of_connections(servers: &[&Server], history: &History) -> Shares {
    servers
        .iter()
        .filter_map(|server| {
            let count = history.conns.get(&server.address)?;
            Some((server.node.clone(), *count))
        })
        .collect()
}

/// Servers that were always in the list got as much, but for one connection and one per change of it.
fn even(shares: &Shares, changes: u64) -> Expectation {
    Expectation {
        expected: format!(
            "the connections placed on the others since the start differ by at most {}: 1, and 1 per \
             change of the set",
            1 + changes
        ),
        measured: in_words(shares),
        held: shares.len() > 1 && difference(shares) <= 1 + changes,
    }
}

fn single(places: &BTreeSet<SocketAddr>) -> Option<SocketAddr> {
    let mut places = places.iter();
    places.next().copied().filter(|_| places.next().is_none())
}

fn difference(shares: &Shares) -> u64 {
    let most = shares.values().max().copied().unwrap_or_default();
    let least = shares.values().min().copied().unwrap_or_default();
    most - least
}

fn in_words(shares: &Shares) -> String {
    let words: Vec<String> = shares
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    words.join(", ")
}

#[cfg(test)]
pub(crate) mod tests;
