//! The verdicts on Figures 9 to 13, and on the director whose daemon is told to end.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use evenkeel_api::Role;

use crate::load::Record;
use crate::paper::evidence::{Handover, Partner, Return, Standing, Takeover};
use crate::paper::figure::{Expectation, Figure, Measures, Name, ms};
use crate::paper::judge::{failed, listed, since};
use crate::paper::listing;
use crate::paper::numbers::Numbers;
use crate::paper::setup::{SILENCE_BOUND, Server, Setup};

const STORY_9: &str = "\
laicoy is Backup: it holds the same services and checks the same real servers, but laicoz has the
address. So laicoy lists:
";

const STORY_10: &str = "\
The client sends a datagram every millisecond, opens a connection every 5 ms, and keeps some busy
all the time. Under that load laicoz loses its power: its advertisements end from one to the next.
As soon as laicoy has taken over, it lists:
";

const STORY_11: &str = "\
The load goes on, and laicoy serves it. Then it lists:
";

const STORY_12: &str = "\
Under such a load laicoz is powered on: a cold boot. It checks its real servers first and takes
over then, because its priority is higher. As soon as it has, laicoz lists:
";

const STORY_13: &str = "\
The load goes on through laicoz. laicoy is Backup again, and lists:
";

const STORY_STOP: &str = "\
No fault this time: under such a load laicoz's daemon is told to end (SIGTERM), as for an update, and
is started again. While it is away, laicoy lists:
";

/// Figure 9: the Backup holds everything and lists nothing.
pub(crate) fn figure9(setup: &Setup, seen: &Takeover) -> Figure {
    let expectations = vec![
        lists_nothing(setup, &seen.before.end),
        stays_backup(setup, &seen.before, &setup.all()),
        address(setup, &setup.partner, &seen.before.end, false),
    ];
    let title = format!("{} waits, and lists nothing", setup.partner);
    Figure::new(
        Name::Figure(9),
        &title,
        &seen.before.end.listing,
        expectations,
    )
    .told(STORY_9)
}

/// Figure 10: the director loses its power, and its partner takes over.
pub(crate) fn figure10(setup: &Setup, seen: &Takeover) -> Figure {
    let handover = &seen.handover;
    let mut expectations = vec![
        listed(setup, &setup.partner, &seen.listing, &setup.all(), None),
        took_over(setup, &setup.partner, handover),
    ];
    expectations.extend(silences(handover));
    let title = format!(
        "{} loses power, and {} takes over",
        setup.director, setup.partner
    );
    measured(
        Figure::new(Name::Figure(10), &title, &seen.listing, expectations).told(STORY_10),
        handover,
    )
}

/// Figure 11: the partner serves.
pub(crate) fn figure11(setup: &Setup, seen: &Takeover) -> Figure {
    let handover = &seen.handover;
    let from = handover.cause + SILENCE_BOUND;
    let expectations = vec![
        listed(setup, &setup.partner, &seen.end.listing, &setup.all(), None),
        address(setup, &setup.partner, &seen.end, true),
        served_from(handover, from),
        every_server_answers(setup, handover, from),
    ];
    let later = started_from(handover, from);
    let title = format!("{} serves alone", setup.partner);
    Figure::new(Name::Figure(11), &title, &seen.end.listing, expectations)
        .told(STORY_11)
        .with_load(
            later.len(),
            failed_of(&later),
            Numbers::load_silence(handover, from).length,
        )
}

/// Figure 12: the director is back, and takes over again.
pub(crate) fn figure12(setup: &Setup, seen: &Return) -> Figure {
    let handover = &seen.handover;
    let mut expectations = vec![
        listed(setup, &setup.director, &seen.listing, &setup.all(), None),
        back_in_time(setup, handover),
        address(setup, &setup.director, &seen.director, true),
    ];
    expectations.extend(silences(handover));
    let title = format!("{} is powered on, and takes over again", setup.director);
    measured(
        Figure::new(Name::Figure(12), &title, &seen.listing, expectations).told(STORY_12),
        handover,
    )
}

/// Figure 13: the partner is Backup again.
pub(crate) fn figure13(setup: &Setup, seen: &Return) -> Figure {
    let handover = &seen.handover;
    let active = handover.heir.became(Role::Active, handover.cause);
    let from = active.unwrap_or(handover.to) + SILENCE_BOUND;
    let expectations = vec![
        lists_nothing(setup, &seen.partner.end),
        is_backup_again(setup, &seen.partner),
        holds_warm(setup, &seen.partner.end, &setup.all()),
        address(setup, &setup.partner, &seen.partner.end, false),
        served_from(handover, from),
        every_server_answers(setup, handover, from),
    ];
    let later = started_from(handover, from);
    let title = format!("{} lists nothing again", setup.partner);
    let listing = &seen.partner.end.listing;
    Figure::new(Name::Figure(13), &title, listing, expectations)
        .told(STORY_13)
        .with_load(
            later.len(),
            failed_of(&later),
            Numbers::load_silence(handover, from).length,
        )
}

/// The director's daemon is told to end, and is started again.
pub(crate) fn stop(setup: &Setup, stopped: &Takeover, restarted: &Return) -> Figure {
    let gone = &stopped.handover;
    let ended = since(stopped.ended, gone.cause);
    let mut expectations = vec![
        listed(
            setup,
            &setup.partner,
            &stopped.end.listing,
            &setup.all(),
            None,
        ),
        took_over(setup, &setup.partner, gone),
        Expectation {
            expected: format!(
                "{}'s daemon ends at most {} ms after it was told to",
                setup.director,
                ms(SILENCE_BOUND)
            ),
            measured: ended.map_or_else(
                || String::from("it did not"),
                |time| format!("after {} ms", ms(time)),
            ),
            held: ended.is_some_and(|time| time <= SILENCE_BOUND),
        },
        address(setup, &setup.partner, &stopped.end, true),
    ];
    expectations.extend(silences(gone));
    expectations.push(served_from(gone, gone.cause + SILENCE_BOUND));
    let back = &restarted.handover;
    expectations.extend([
        listed(
            setup,
            &setup.director,
            &restarted.listing,
            &setup.all(),
            None,
        ),
        back_in_time(setup, back),
        lists_nothing(setup, &restarted.partner.end),
        is_backup_again(setup, &restarted.partner),
        address(setup, &setup.partner, &restarted.partner.end, false),
    ]);
    expectations.extend(silences(back));
    let title = format!("{}'s daemon is stopped and started again", setup.director);
    measured(
        Figure::new(Name::STOP, &title, &stopped.end.listing, expectations).told(STORY_STOP),
        gone,
    )
}

/// The Backup was nothing else meanwhile, and holds the services with these servers.
pub(crate) fn stays_backup(setup: &Setup, partner: &Partner, servers: &[&Server]) -> Expectation {
    let warm = holds_warm(setup, &partner.end, servers);
    Expectation {
        expected: format!("{} is Backup throughout; {}", setup.partner, warm.expected),
        measured: format!("{}; {}", partner.roles.in_words(), warm.measured),
        held: partner.roles.are_only(Role::Backup) && warm.held,
    }
}

fn holds_warm(setup: &Setup, standing: &Standing, servers: &[&Server]) -> Expectation {
    let names: Vec<&str> = servers.iter().map(|server| server.node.as_str()).collect();
    let hosts: BTreeSet<_> = servers.iter().map(|server| server.address.ip()).collect();
    let held = [&setup.service, &setup.echo].into_iter().all(|wanted| {
        standing.services.iter().any(|service| {
            let found: BTreeSet<_> = service.servers.iter().map(SocketAddr::ip).collect();
            let same = service.service.address() == wanted.key.address();
            same && !service.open && found == hosts
        })
    });
    let found: Vec<String> = standing
        .services
        .iter()
        .map(|service| {
            let names: Vec<String> = service.servers.iter().map(|s| setup.name_of(*s)).collect();
            let gate = if service.open { "open" } else { "not open" };
            format!("{} with {}, {gate}", service.service, names.join(", "))
        })
        .collect();
    Expectation {
        expected: format!(
            "it holds {} and {} warm with {}",
            setup.service.name,
            setup.echo.name,
            names.join(", ")
        ),
        measured: match held {
            true => String::from("so it does"),
            false => found.join("; "),
        },
        held,
    }
}

fn lists_nothing(setup: &Setup, standing: &Standing) -> Expectation {
    let held = listing::shows_nothing(&standing.listing);
    Expectation {
        expected: format!("{} lists nothing", setup.partner),
        measured: String::from(if held {
            "so it does"
        } else {
            "see its listing"
        }),
        held,
    }
}

fn is_backup_again(setup: &Setup, partner: &Partner) -> Expectation {
    let last = partner.roles.0.last().map(|(_when, role)| *role);
    Expectation {
        expected: format!("{} is Backup again", setup.partner),
        measured: partner.roles.in_words(),
        held: last == Some(Role::Backup),
    }
}

fn address(setup: &Setup, director: &str, standing: &Standing, wanted: bool) -> Expectation {
    let word = |has: bool| if has { "has" } else { "does not have" };
    let address = setup.virtual_address();
    Expectation {
        expected: format!("{director} {} {address} on its interface", word(wanted)),
        measured: format!("it {} it", word(standing.has_address)),
        held: standing.has_address == wanted,
    }
}

fn took_over(setup: &Setup, heir: &str, handover: &Handover) -> Expectation {
    let active = since(
        handover.heir.became(Role::Active, handover.cause),
        handover.cause,
    );
    Expectation {
        expected: format!(
            "{heir} is Active at most {} ms later (advertisements every {} ms)",
            ms(SILENCE_BOUND),
            setup.router.advert_interval.as_millis()
        ),
        measured: active.map_or_else(
            || handover.heir.in_words(),
            |time| format!("after {} ms", ms(time)),
        ),
        held: active.is_some_and(|time| time <= SILENCE_BOUND),
    }
}

fn back_in_time(setup: &Setup, handover: &Handover) -> Expectation {
    let bound = setup.takeover_bound();
    let active = since(
        handover.heir.became(Role::Active, handover.cause),
        handover.cause,
    );
    Expectation {
        expected: format!(
            "{} is Active again at most {} ms after it was started",
            setup.director,
            ms(bound)
        ),
        measured: active.map_or_else(
            || handover.heir.in_words(),
            |time| format!("after {} ms", ms(time)),
        ),
        held: active.is_some_and(|time| time <= bound),
    }
}

/// Neither the probe nor new connections are without an answer for too long.
fn silences(handover: &Handover) -> [Expectation; 2] {
    let numbers = Numbers::of(handover);
    let expectation = |who: &str, gap_us: u64, answered: bool| Expectation {
        expected: format!(
            "{who} without an answer for at most {} ms",
            ms(SILENCE_BOUND)
        ),
        measured: match answered {
            true => format!("for {} ms", gap_us.div_ceil(1000)),
            false => String::from("no answer at all"),
        },
        held: answered && u128::from(gap_us) <= SILENCE_BOUND.as_micros(),
    };
    let echoed = handover.echoes.requests.iter().any(|echo| echo.answers > 0);
    let answered = handover.records.iter().any(|record| record.outcome.is_ok());
    [
        expectation("the probe is", numbers.probe_gap_us, echoed),
        expectation("new connections are", numbers.load_gap_us, answered),
    ]
}

/// Requests fail only while the address moves.
fn served_from(handover: &Handover, from: Instant) -> Expectation {
    let later = started_from(handover, from);
    let failed = failed_of(&later);
    Expectation {
        expected: format!(
            "no request fails that begins {} ms later or more",
            ms(SILENCE_BOUND)
        ),
        measured: format!("{failed} of {} failed", later.len()),
        held: failed == 0 && !later.is_empty(),
    }
}

fn every_server_answers(setup: &Setup, handover: &Handover, from: Instant) -> Expectation {
    let answered: BTreeSet<&str> = started_from(handover, from)
        .iter()
        .filter_map(|record| record.outcome.as_deref().ok())
        .collect();
    let names: Vec<&str> = answered.iter().copied().collect();
    Expectation {
        expected: String::from("all real servers answer them"),
        measured: names.join(", "),
        held: setup
            .servers
            .iter()
            .all(|server| answered.contains(server.node.as_str())),
    }
}

fn started_from(handover: &Handover, from: Instant) -> Vec<&Record> {
    let records = handover.records.iter();
    records.filter(|record| record.started >= from).collect()
}

fn failed_of(records: &[&Record]) -> usize {
    records
        .iter()
        .filter(|record| record.outcome.is_err())
        .count()
}

/// What was measured while the address moved.
fn measured(figure: Figure, handover: &Handover) -> Figure {
    let numbers = Numbers::of(handover);
    let gap = Numbers::load_silence(handover, handover.from).length;
    figure
        .with_load(handover.records.len(), failed(&handover.records).len(), gap)
        .with(Measures {
            numbers: Some(numbers),
            ..Measures::default()
        })
}

#[cfg(test)]
mod tests;
