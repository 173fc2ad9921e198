use std::time::Duration;

use super::*;
use crate::paper::judge::tests::{NONE, backup, millis, refused, setup, standing};
use crate::paper::listing::tests::{FIVES, NOTHING};
use crate::paper::numbers::tests::handover;
use crate::paper::roles::Roles;

/// The handover of the numbers' tests, whose traffic went on until 4 s after its cause.
fn long_handover() -> Handover {
    let mut handover = handover();
    let start = handover.from;
    for number in 200..900_u16 {
        let name = ["laico2", "laico3", "laico4"][usize::from(number) % 3];
        let record = crate::paper::judge::tests::record(start, number, Ok(name));
        handover.records.push(record);
    }
    for number in 1001..4500 {
        let mut echo = handover.echoes.requests[0];
        echo.sent = start + millis(number);
        echo.answered = Some(echo.sent);
        handover.echoes.requests.push(echo);
    }
    handover.to = start + millis(4500);
    handover
}

fn takeover(setup: &Setup) -> Takeover {
    let handover = long_handover();
    Takeover {
        before: backup(setup, &setup.all()),
        listing: String::from(FIVES),
        end: standing(setup, &setup.all(), true),
        ended: Some(handover.cause + millis(400)),
        handover,
    }
}

fn back(setup: &Setup) -> Return {
    let handover = long_handover();
    let mut partner = backup(setup, &setup.all());
    partner.roles = Roles(vec![
        (handover.from, Role::Active),
        (handover.cause, Role::Backup),
    ]);
    Return {
        listing: String::from(FIVES),
        director: standing(setup, &setup.all(), true),
        partner,
        handover,
    }
}

/// The places of what is refused after a change of the evidence.
fn after<E>(
    evidence: impl Fn(&Setup) -> E,
    judge: impl Fn(&Setup, &E) -> Figure,
    change: impl FnOnce(&mut E),
) -> Vec<usize> {
    let setup = setup();
    let mut seen = evidence(&setup);
    change(&mut seen);
    refused(&judge(&setup, &seen))
}

/// Nobody answers for that long from the cause on.
fn silent(handover: &mut Handover, length: Duration) {
    let end = handover.cause + length;
    for record in &mut handover.records {
        if record.started >= handover.cause && record.finished < end {
            record.outcome = Err(String::from("deadline passed"));
        }
    }
    for echo in &mut handover.echoes.requests {
        if echo.sent >= handover.cause && echo.sent < end {
            echo.answered = None;
            echo.answers = 0;
        }
    }
}

fn never_active(handover: &mut Handover) {
    handover.heir.0.retain(|(_, role)| *role != Role::Active);
}

fn active_after(handover: &mut Handover, time: Duration) {
    never_active(handover);
    handover.heir.0.push((handover.cause + time, Role::Active));
}

#[test]
fn figures_9_to_13_and_the_stop_hold_where_the_address_moves_in_time() {
    let setup = setup();
    let seen = takeover(&setup);
    for judge in [figure9, figure10, figure11] {
        assert_eq!(refused(&judge(&setup, &seen)), NONE);
    }
    let seen = back(&setup);
    for judge in [figure12, figure13] {
        assert_eq!(refused(&judge(&setup, &seen)), NONE);
    }
    let figure = stop(&setup, &takeover(&setup), &seen);
    assert_eq!(refused(&figure), NONE);
    let json = serde_json::to_value(&figure).unwrap();
    assert_eq!(json["figure"], "stop");
    assert_eq!(json["probe_gap_us"], 301_000);
    assert_eq!(json["streams_broken"], 1);
    // Its daemon was told 500 ms after the start: the load's first 100 requests are not of the outage.
    assert_eq!(
        (&json["requests"], &json["failed"]),
        (&900.into(), &60.into())
    );
    let json = serde_json::to_value(figure11(&setup, &takeover(&setup))).unwrap();
    // Requests from 2.5 s after the start on.
    assert_eq!(
        (&json["requests"], &json["failed"]),
        (&400.into(), &0.into())
    );
}

#[test]
fn figure_9_falls_with_each_of_its_expectations() {
    let refused = |change: fn(&mut Takeover)| after(takeover, figure9, change);
    assert_eq!(refused(|seen| seen.before.end.listing = FIVES.into()), [0]);
    assert_eq!(refused(|seen| seen.before.end.listing.clear()), [0]);
    assert_eq!(refused(|seen| seen.before.roles.0[0].1 = Role::Active), [1]);
    assert_eq!(
        refused(|seen| assert!(seen.before.end.services[1].servers.pop_first().is_some())),
        [1],
        "it would take over without one of them"
    );
    assert_eq!(refused(|seen| seen.before.end.has_address = true), [2]);
}

#[test]
fn figure_10_falls_with_each_of_its_expectations() {
    let refused = |change: fn(&mut Takeover)| after(takeover, figure10, change);
    assert_eq!(refused(|seen| seen.listing = NOTHING.into()), [0]);
    assert_eq!(refused(|seen| never_active(&mut seen.handover)), [1]);
    assert_eq!(
        refused(|seen| active_after(&mut seen.handover, millis(2001))),
        [1]
    );
    assert_eq!(
        refused(|seen| active_after(&mut seen.handover, millis(2000))),
        NONE
    );
    assert_eq!(
        refused(|seen| silent(&mut seen.handover, millis(1980))),
        NONE
    );
    assert_eq!(
        refused(|seen| silent(&mut seen.handover, millis(2100))),
        [2, 3]
    );
    assert_eq!(
        refused(|seen| seen.handover.echoes.requests.clear()),
        [2],
        "nobody asked"
    );
    assert_eq!(refused(|seen| seen.handover.records.clear()), [3]);
}

#[test]
fn figure_11_falls_with_each_of_its_expectations() {
    let refused = |change: fn(&mut Takeover)| after(takeover, figure11, change);
    assert_eq!(refused(|seen| seen.end.listing = NOTHING.into()), [0]);
    assert_eq!(refused(|seen| seen.end.has_address = false), [1]);
    let reset = |seen: &mut Takeover, number: usize| {
        seen.handover.records[number].outcome = Err(String::from("reset"));
    };
    // 2 s after the power-off request 500 is sent.
    assert_eq!(after(takeover, figure11, |seen| reset(seen, 500)), [2]);
    assert_eq!(after(takeover, figure11, |seen| reset(seen, 499)), NONE);
    assert_eq!(
        refused(|seen| seen.handover.records.truncate(500)),
        [2, 3],
        "nobody asked"
    );
    assert_eq!(
        refused(|seen| {
            for record in &mut seen.handover.records {
                record.outcome = Ok(String::from("laico3"));
            }
        }),
        [3]
    );
}

#[test]
fn figure_12_falls_with_each_of_its_expectations() {
    let refused = |change: fn(&mut Return)| after(back, figure12, change);
    assert_eq!(refused(|seen| seen.listing = NOTHING.into()), [0]);
    assert_eq!(refused(|seen| never_active(&mut seen.handover)), [1]);
    assert_eq!(
        refused(|seen| active_after(&mut seen.handover, millis(11_151))),
        [1]
    );
    assert_eq!(
        refused(|seen| active_after(&mut seen.handover, millis(11_150))),
        NONE,
        "a cold boot may take long, as long as somebody answers"
    );
    assert_eq!(refused(|seen| seen.director.has_address = false), [2]);
    assert_eq!(
        refused(|seen| silent(&mut seen.handover, millis(2100))),
        [3, 4]
    );
}

#[test]
fn figure_13_falls_with_each_of_its_expectations() {
    let refused = |change: fn(&mut Return)| after(back, figure13, change);
    assert_eq!(refused(|seen| seen.partner.end.listing = FIVES.into()), [0]);
    assert_eq!(
        refused(|seen| seen.partner.roles.0.truncate(1)),
        [1],
        "both are Active"
    );
    assert_eq!(
        refused(|seen| seen.partner.end.services[0].open = true),
        [2]
    );
    assert_eq!(refused(|seen| seen.partner.end.has_address = true), [3]);
    // laicoz is Active 295 ms after its power-on: request 559 is the first from 2 s after that on.
    assert_eq!(
        refused(|seen| seen.handover.records[559].outcome = Err(String::from("reset"))),
        [4]
    );
    assert_eq!(
        refused(|seen| seen.handover.records[558].outcome = Err(String::from("reset"))),
        NONE
    );
    assert_eq!(
        refused(|seen| never_active(&mut seen.handover)),
        [4, 5],
        "nobody knows when it was to be served"
    );
}

#[test]
fn the_stop_falls_with_each_of_its_expectations() {
    let refused_after = |change: &dyn Fn(&mut Takeover, &mut Return)| {
        let setup = setup();
        let (mut stopped, mut restarted) = (takeover(&setup), back(&setup));
        change(&mut stopped, &mut restarted);
        refused(&stop(&setup, &stopped, &restarted))
    };
    assert_eq!(refused_after(&|_, _| {}), NONE);
    assert_eq!(
        refused_after(&|stopped, _| stopped.end.listing = NOTHING.into()),
        [0]
    );
    assert_eq!(
        refused_after(&|stopped, _| never_active(&mut stopped.handover)),
        [1]
    );
    assert_eq!(refused_after(&|stopped, _| stopped.ended = None), [2]);
    assert_eq!(
        refused_after(&|stopped, _| {
            stopped.ended = Some(stopped.handover.cause + millis(2001));
        }),
        [2]
    );
    assert_eq!(
        refused_after(&|stopped, _| stopped.end.has_address = false),
        [3]
    );
    assert_eq!(
        refused_after(&|stopped, _| silent(&mut stopped.handover, millis(2100))),
        [4, 5, 6]
    );
    assert_eq!(
        refused_after(&|_, restarted| restarted.listing.clear()),
        [7]
    );
    assert_eq!(
        refused_after(&|_, restarted| never_active(&mut restarted.handover)),
        [8]
    );
    assert_eq!(
        refused_after(&|_, restarted| restarted.partner.end.listing = FIVES.into()),
        [9]
    );
    assert_eq!(
        refused_after(&|_, restarted| restarted.partner.roles.0.truncate(1)),
        [10]
    );
    assert_eq!(
        refused_after(&|_, restarted| restarted.partner.end.has_address = true),
        [11]
    );
    assert_eq!(
        refused_after(&|_, restarted| silent(&mut restarted.handover, millis(2100))),
        [12, 13]
    );
}
