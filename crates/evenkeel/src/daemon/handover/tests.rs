use std::net::IpAddr;

use evenkeel_api::HandoverOutcome;
use evenkeel_model::{AdvertChecksum, Priority, VirtualRouter, VrrpVersion};
use evenkeel_vrrp::{Machine, Start};

use super::*;
use crate::daemon::vrrp::Lateness;

const PARTNER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));

/// A virtual router, Active or Backup, with or without a partner that was heard.
fn seat(name: &str, id: i64, role: Role, heard: bool) -> SeatView {
    let config = VirtualRouter {
        name: name.to_owned(),
        id: VirtualRouterId::try_from(id).unwrap(),
        version: VrrpVersion::V3,
        priority: Priority::DEFAULT,
        advert_interval: Duration::from_secs(1),
        preempt: true,
        preempt_delay: Duration::ZERO,
        addresses: vec![IpAddr::from([198, 18, 14, 146])],
        peers: Vec::new(),
        source: None,
        checksum: AdvertChecksum::PseudoHeader,
        announcements: 5,
        announce_again: Duration::ZERO,
    };
    let now = Instant::now();
    let start = match role {
        Role::Active => Start::Active,
        Role::Backup => Start::Backup,
        Role::Initialize => Start::LinkDown,
    };
    let machine = Machine::new(config.clone(), IpAddr::from([192, 0, 2, 1]), start, now);
    let mut view = machine.view();
    view.partner = heard.then_some(evenkeel_vrrp::Partner {
        address: PARTNER,
        priority: 50,
        last_heard: now,
        interval: Duration::from_secs(1),
    });
    SeatView {
        config,
        machine: view,
        master_down: Duration::from_secs(4),
    }
}

fn thread(seats: Vec<SeatView>) -> ThreadView {
    ThreadView {
        seats,
        lateness: Lateness::default(),
        no_real_time: None,
        no_locked_memory: None,
        lost_news: 0,
    }
}

fn request(order: HandoverOrder, routers: &[&str], to: Option<IpAddr>) -> HandoverRequest {
    HandoverRequest {
        order,
        routers: routers.iter().map(|name| String::from(*name)).collect(),
        to,
        patience_ms: None,
    }
}

/// The names of what an order is for, or why it is refused.
fn chosen(request: &HandoverRequest, view: &ThreadView) -> Result<Vec<String>, String> {
    match choose(request, Some(view)) {
        Ok(seats) => Ok(seats.into_iter().map(|seat| seat.config.name).collect()),
        Err(refusal) => Err(format!("{} {}", refusal.error, refusal.hints.concat())),
    }
}

#[test]
fn failover_takes_what_is_active_and_the_other_orders_take_all() {
    let view = thread(vec![
        seat("a", 1, Role::Active, false),
        seat("b", 2, Role::Backup, true),
    ]);
    let names = |order, routers: &[&str]| chosen(&request(order, routers, None), &view);
    assert_eq!(names(HandoverOrder::Failover, &[]).unwrap(), ["a"]);
    assert_eq!(names(HandoverOrder::Failover, &["a"]).unwrap(), ["a"]);
    assert_eq!(names(HandoverOrder::Standby, &[]).unwrap(), ["a", "b"]);
    assert_eq!(names(HandoverOrder::Standby, &["b"]).unwrap(), ["b"]);
    assert_eq!(names(HandoverOrder::Maintenance, &[]).unwrap(), ["a", "b"]);
}

#[test]
fn what_cannot_be_done_is_refused_with_what_to_do_instead() {
    let view = thread(vec![
        seat("a", 1, Role::Active, true),
        seat("b", 2, Role::Backup, true),
        seat("c", 3, Role::Initialize, false),
    ]);
    let refused = |request: HandoverRequest, words: &[&str]| {
        let why = chosen(&request, &view).unwrap_err();
        for word in words {
            assert!(why.contains(word), "no `{word}` in {why}");
        }
    };
    let failover = |routers: &[&str], to| request(HandoverOrder::Failover, routers, to);
    refused(
        failover(&["a", "b"], None),
        &["not Active for virtual router `b`", "backup", "192.0.2.9"],
    );
    refused(
        failover(&["c"], None),
        &["`c`", "initialize", "evenkeel status"],
    );
    refused(
        failover(&["d"], None),
        &["no virtual router `d`", "a, b, c"],
    );
    let other = IpAddr::from([192, 0, 2, 77]);
    refused(
        failover(&["a"], Some(other)),
        &["192.0.2.77 is no partner", "192.0.2.9"],
    );
    let patient = HandoverRequest {
        patience_ms: Some(PATIENCE_MS_MAX + 1),
        ..failover(&[], None)
    };
    refused(patient, &["ten minutes"]);
    let nothing = choose(&failover(&[], None), None).unwrap_err();
    assert!(nothing.error.contains("no virtual router"));

    let backups = thread(vec![seat("b", 2, Role::Backup, false)]);
    let none = chosen(&failover(&[], None), &backups).unwrap_err();
    assert!(none.contains("not Active"), "{none}");
}

#[test]
fn a_partner_is_whom_it_heard_or_who_is_configured_and_one_that_was_not_heard_may_be_there() {
    let named = |seat: SeatView, to| {
        chosen(
            &request(HandoverOrder::Failover, &[], Some(to)),
            &thread(vec![seat]),
        )
        .is_ok()
    };
    let other = IpAddr::from([192, 0, 2, 77]);
    assert!(named(seat("a", 1, Role::Active, true), PARTNER));
    assert!(!named(seat("a", 1, Role::Active, true), other));
    assert!(
        named(seat("a", 1, Role::Active, false), other),
        "it is silent"
    );
    let mut unicast = seat("a", 1, Role::Active, true);
    unicast.config.peers = vec![other];
    assert!(named(unicast.clone(), other));
    assert!(!named(unicast, PARTNER));
}

#[test]
fn orders_stand_until_they_are_ended() {
    let names = |names: &[&str]| names.iter().map(|name| String::from(*name)).collect();
    let none = Standing::default();
    assert_eq!(after(&none, HandoverOrder::Failover, names(&["a"])), none);
    let standby = after(&none, HandoverOrder::Standby, names(&["a", "b"]));
    let both = after(&standby, HandoverOrder::MaintenanceForced, names(&["a"]));
    assert!(both.maintenance);
    assert_eq!(
        after(&both, HandoverOrder::EndMaintenance, names(&["a"])),
        standby
    );
    let one = after(&standby, HandoverOrder::Resume, names(&["a"]));
    assert_eq!(one.standby, names(&["b"]));
}

#[test]
fn an_end_is_told_with_who_took_over_or_what_to_do() {
    let took = Duration::from_millis(57);
    let successor = HandoverEnd::Successor {
        address: PARTNER,
        priority: 50,
        took,
    };
    let waited = Duration::from_secs(1);
    let cases = [
        (Some(successor), None, HandoverOutcome::HandedOver, ""),
        (
            Some(successor),
            Some(IpAddr::from([192, 0, 2, 77])),
            HandoverOutcome::OtherSuccessor,
            "highest priority",
        ),
        (
            Some(HandoverEnd::NotActive),
            None,
            HandoverOutcome::NotActive,
            "",
        ),
        (
            Some(HandoverEnd::Nobody { waited }),
            None,
            HandoverOutcome::Nobody,
            "Look at 192.0.2.9",
        ),
        (
            Some(HandoverEnd::Unprepared { waited }),
            None,
            HandoverOutcome::NotReady,
            "--timeout",
        ),
        (
            Some(HandoverEnd::LinkDown),
            None,
            HandoverOutcome::Failed,
            "evenkeel status",
        ),
        (None, None, HandoverOutcome::Resumed, ""),
    ];
    for (end, to, expected, hint) in cases {
        let request = request(HandoverOrder::Failover, &[], to);
        let told = words::outcome(&request, &seat("a", 1, Role::Active, true), end);
        assert_eq!(told.outcome, expected, "{told:?}");
        assert_eq!(told.hints.is_empty(), hint.is_empty(), "{told:?}");
        assert!(told.hints.concat().contains(hint), "{told:?}");
        assert_eq!(told.outcome.is_good(), hint.is_empty(), "{told:?}");
    }
    let request = request(HandoverOrder::Maintenance, &[], None);
    let end = Some(HandoverEnd::Nobody { waited });
    let told = words::outcome(&request, &seat("a", 1, Role::Active, false), end);
    assert!(told.hints[0].starts_with("No partner was ever heard here"));
    assert!(told.hints[1].contains("--force"));
}

#[test]
fn an_answer_waits_for_the_end_of_its_own_handover() {
    let (sender, _receiver) = oneshot::channel();
    let mut waiting = Waiting {
        request: request(HandoverOrder::Failover, &[], None),
        routers: vec![
            Router {
                seat: seat("a", 1, Role::Active, true),
                progress: Progress::GoesOn(4),
            },
            Router {
                seat: seat("b", 2, Role::Active, true),
                progress: Progress::Ended(None),
            },
        ],
        before: Standing::default(),
        until: Instant::now(),
        sender,
    };
    let id = |id| VirtualRouterId::try_from(id).unwrap();
    for (router, number, over) in [(1, 3, false), (2, 4, false), (1, 4, true)] {
        waiting.end(id(router), number, HandoverEnd::LinkDown);
        assert_eq!(waiting.is_over(), over, "{router} {number}");
    }
}
