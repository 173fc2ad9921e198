use std::time::Duration;

use evenkeel_chaos::fault::{Fault, Planned};
use evenkeel_chaos::node::Node;
use evenkeel_chaos::rule::{Action, Rule, Traffic, Whom};

use super::{Broken, Course, Held, broken};
use crate::crowd::Outcome;
use crate::paper::chaos::cluster::Edit;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Faults that begin and end at these milliseconds, and when the directors were seen in sync.
fn course<const N: usize>(faults: [(u64, u64, Fault<Edit>); N], whole: &[u64]) -> Course {
    let played = faults.map(|(at, end, fault)| Planned {
        at: ms(at),
        lasts: ms(end - at),
        fault,
    });
    Course {
        played: played.into(),
        whole: whole.iter().copied().map(ms).collect(),
    }
}

fn lose(from: Whom, to: Whom, traffic: Traffic) -> Fault<Edit> {
    let action = Action::Lose(10);
    Fault::Rules(vec![Rule {
        from,
        to,
        traffic,
        action,
    }])
}

/// Whether a power-off of the first director may break connections, together with another fault at that time.
fn may_break_with(fault: Fault<Edit>) -> bool {
    course([(3000, 4000, Fault::PowerOff(0)), (3100, 3200, fault)], &[]).may_break()
}

#[test]
fn a_power_off_excuses_only_with_a_fault_of_the_partner_or_of_the_link_between_them() {
    assert!(!course([(0, 10, Fault::PowerOff(0))], &[]).may_break());
    assert!(!course([(0, 10, Fault::Kill(0)), (0, 10, Fault::Kill(1))], &[]).may_break());
    for on_partner in [
        Fault::PowerOff(1),
        Fault::Pause(1),
        Fault::Kill(1),
        Fault::Stop(1),
        Fault::Unplug(Node::Director(1)),
        Fault::Unplug(Node::Director(0)),
    ] {
        assert!(may_break_with(on_partner.clone()), "{on_partner:?}");
    }
    for elsewhere in [
        Fault::PowerOff(0),
        Fault::Pause(0),
        Fault::Kill(0),
        Fault::ServerOff(1),
        Fault::Unplug(Node::Server(1)),
        Fault::HandOver(1),
        Fault::StandBy(1),
        Fault::TakeAddresses(1),
        Fault::Configure(Edit::Maintain(1)),
    ] {
        assert!(!may_break_with(elsewhere.clone()), "{elsewhere:?}");
    }
}

#[test]
fn lost_frames_excuse_only_where_they_carry_connections_from_one_director_to_the_other() {
    let [own, partner] = [0, 1].map(|number| Whom::One(Node::Director(number)));
    let client = Whom::One(Node::Client(0));
    assert!(may_break_with(lose(own, partner, Traffic::Any)));
    assert!(may_break_with(lose(partner, Whom::Anybody, Traffic::Sync)));
    assert!(may_break_with(lose(
        Whom::Anybody,
        Whom::Directors,
        Traffic::Arp
    )));
    assert!(!may_break_with(lose(own, partner, Traffic::Adverts)));
    assert!(!may_break_with(lose(own, partner, Traffic::Tcp)));
    assert!(!may_break_with(lose(client, partner, Traffic::Any)));
    assert!(!may_break_with(lose(partner, client, Traffic::Any)));
}

#[test]
fn a_fault_of_the_partner_counts_until_both_are_in_sync_again() {
    let kill = (500, 1000, Fault::Kill(1));
    let off = |at| (at, at + 1000, Fault::PowerOff(0));
    // In sync again at 1.5 s, and the power goes a second and a tenth after that, or before it.
    assert!(!course([kill.clone(), off(2601)], &[1500]).may_break());
    assert!(course([kill.clone(), off(2599)], &[1500]).may_break());
    // Never in sync, or only before the kill was over.
    assert!(course([kill.clone(), off(6000)], &[]).may_break());
    assert!(course([kill, off(6000)], &[400, 900]).may_break());
}

#[test]
fn a_power_off_counts_until_both_are_in_sync_again() {
    let off = (500, 1000, Fault::PowerOff(0));
    let kill = (3000, 3100, Fault::Kill(1));
    assert!(!course([off.clone(), kill.clone()], &[400, 2900, 5000]).may_break());
    assert!(course([off.clone(), kill.clone()], &[400, 900, 3001]).may_break());
    assert!(course([off, kill], &[]).may_break());
}

#[test]
fn a_dead_server_excuses_its_own_connections_alone() {
    let lost = |server| Held {
        server: Some(server),
        outcome: Outcome::Reset,
    };
    let whole = Held {
        server: Some(0),
        outcome: Outcome::Answered,
    };
    let course = course([(0, 10, Fault::ServerOff(1))], &[]);
    let found = broken(&[lost(1), lost(0), whole], &course);
    let expected = Broken {
        with_server: 1,
        excused: 0,
        unexcused: 1,
        reset: 1,
        answered_by_another: 0,
    };
    assert_eq!(found, expected);
}
