//! The state machine as a table: every state and every event, in both versions.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Initialize, the link being down.
    Down,
    /// Backup that may not take over yet.
    Held,
    Backup,
    WithoutPreemption,
    /// Backup with a preempt delay that is not over.
    Delaying,
    Active,
    /// Active, back from a pause.
    Silent,
    Resigning,
    Draining,
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// An advertisement of priority 0.
    Zero,
    Lower,
    /// Of the same priority, from a lower address.
    EqualBelow,
    EqualAbove,
    Higher,
    Timer,
    LinkDown,
    LinkUp,
    MayTakeOver,
    ShutDown,
}

/// The next deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Never,
    Interval,
    /// What was left of the interval.
    IntervalGoesOn,
    Skew,
    MasterDown,
    /// What was left of the master-down interval.
    MasterDownGoesOn,
}

use Event::{EqualAbove, EqualBelow, Higher, LinkDown, LinkUp, Lower, MayTakeOver, ShutDown, Zero};
use Next::{Interval, IntervalGoesOn, MasterDown, MasterDownGoesOn, Never, Skew};

/// Time from the last event of the preparation to the event.
const SINCE: Duration = ms(50);

const STATES: [State; 10] = [
    State::Down,
    State::Held,
    State::Backup,
    State::WithoutPreemption,
    State::Delaying,
    State::Active,
    State::Silent,
    State::Resigning,
    State::Draining,
    State::Stopped,
];

const EVENTS: [Event; 10] = [
    Zero,
    Lower,
    EqualBelow,
    EqualAbove,
    Higher,
    Event::Timer,
    LinkDown,
    LinkUp,
    MayTakeOver,
    ShutDown,
];

const TAKE: &str = "advert 100, open, claim, announce 5, active";
const YIELD: &str = "drain, release, backup";
const LAST_WORD: &str = "advert 100, drain, release, backup";

/// What a machine orders, and its next deadline.
fn expected(version: VrrpVersion, state: State, event: Event) -> (&'static str, Next) {
    let answers = version == VrrpVersion::V3;
    match (state, event) {
        (State::Down, LinkUp) => ("backup", MasterDown),
        (State::Down, ShutDown) => ("stopped", Never),
        (State::Down, _) => ("", Never),

        // RFC 9568 §6.4.2.
        (State::Held | State::Backup | State::WithoutPreemption | State::Delaying, Zero) => {
            ("", Skew)
        }
        (State::Backup, Lower) => ("", MasterDownGoesOn),
        (
            State::Held | State::WithoutPreemption | State::Delaying | State::Backup,
            Lower | EqualBelow | EqualAbove | Higher,
        ) => ("", MasterDown),
        (State::Held, Event::Timer) => ("", Never),
        (State::Backup | State::WithoutPreemption | State::Delaying, Event::Timer) => {
            (TAKE, Interval)
        }
        (State::Held | State::Backup | State::WithoutPreemption | State::Delaying, LinkDown) => {
            ("initialize", Never)
        }
        (State::Held | State::Backup | State::WithoutPreemption | State::Delaying, ShutDown) => {
            ("initialize, stopped", Never)
        }
        (
            State::Held | State::Backup | State::WithoutPreemption | State::Delaying,
            LinkUp | MayTakeOver,
        ) => ("", MasterDownGoesOn),

        // RFC 9568 §6.4.3; version 2 discards the advertisement of a loser, RFC 3768 §6.4.3.
        (State::Active, Zero) => ("advert 100", Interval),
        (State::Active, Lower | EqualBelow) if answers => ("advert 100", IntervalGoesOn),
        (State::Active, Lower | EqualBelow) => ("", IntervalGoesOn),
        // The last word goes beyond the RFCs.
        (State::Active, EqualAbove | Higher) => (LAST_WORD, MasterDown),
        (State::Active, Event::Timer) => ("advert 100", Interval),

        (State::Silent, Zero) => ("", IntervalGoesOn),
        // Of its own accord a lower Active does not go, so that this one goes by its own interval.
        (State::Silent, Lower | EqualBelow | EqualAbove | Higher) => (YIELD, MasterDown),
        (State::Silent, Event::Timer) => ("advert 100, open, announce 5", Interval),

        (State::Active | State::Silent, LinkDown) => ("drain, release, initialize", MasterDown),
        (State::Active | State::Silent, LinkUp | MayTakeOver) => ("", IntervalGoesOn),
        (State::Active | State::Silent, ShutDown) => ("advert 0, initialize", Interval),

        (State::Resigning, Lower | EqualBelow | EqualAbove | Higher | LinkDown) => {
            ("drain, release", MasterDown)
        }
        (State::Resigning, Event::Timer) => ("advert 0", Interval),
        (State::Resigning, Zero | LinkUp | MayTakeOver | ShutDown) => ("", IntervalGoesOn),

        (State::Draining, Event::Timer) => ("close, stopped", Never),
        (State::Draining, _) => ("", MasterDownGoesOn),
        (State::Stopped, _) => ("", Never),
    }
}

fn prepare(version: VrrpVersion, state: State) -> Bench {
    let config = config(version);
    let mut bench = match state {
        State::Down => {
            let mut bench = Bench::new(config, Start::LinkDown);
            bench.pass(ms(10_000));
            bench
        }
        State::Held => {
            let mut bench = Bench::new(config, Start::Backup);
            bench.hear_for(5, ABOVE, 150);
            bench
        }
        State::Backup => Bench::backup(config),
        State::WithoutPreemption => Bench::backup(VirtualRouter {
            preempt: false,
            ..config
        }),
        State::Delaying => Bench::backup(VirtualRouter {
            preempt_delay: ms(60_000),
            ..config
        }),
        State::Active => Bench::active(config),
        State::Silent => {
            let mut bench = Bench::active(config);
            bench.sleep(ms(10_000));
            bench.machine.handle_timeout(bench.now);
            bench
        }
        State::Resigning => {
            let mut bench = Bench::active(config);
            bench.machine.shut_down(bench.now);
            bench
        }
        State::Draining => {
            let mut bench = Bench::active(config);
            bench.machine.handle_link(false, bench.now);
            bench.machine.handle_link(true, bench.now);
            bench.machine.shut_down(bench.now);
            bench
        }
        State::Stopped => {
            let mut bench = Bench::backup(config);
            bench.machine.shut_down(bench.now);
            bench
        }
    };
    bench.sleep(SINCE);
    bench.drain();
    bench
}

fn apply(bench: &mut Bench, event: Event) {
    let now = bench.now;
    match event {
        Zero => bench.hear(ABOVE, 0),
        Lower => bench.hear(ABOVE, 99),
        EqualBelow => bench.hear(BELOW, 100),
        EqualAbove => bench.hear(ABOVE, 100),
        Higher => bench.hear(BELOW, 101),
        Event::Timer => {
            if bench.machine.poll_timeout().is_some() {
                bench.fire();
            } else {
                bench.machine.handle_timeout(now);
            }
        }
        LinkDown => bench.machine.handle_link(false, now),
        LinkUp => bench.machine.handle_link(true, now),
        MayTakeOver => bench.machine.may_take_over(now),
        ShutDown => bench.machine.shut_down(now),
    }
}

#[test]
fn every_event_in_every_state_does_what_the_rfcs_say() {
    for version in [VrrpVersion::V2, VrrpVersion::V3] {
        let (interval, skew) = match version {
            VrrpVersion::V2 => (ms(1_000), us(609_375)),
            VrrpVersion::V3 => (ms(100), Duration::from_nanos(60_937_500)),
        };
        for state in STATES {
            for event in EVENTS {
                let mut bench = prepare(version, state);
                apply(&mut bench, event);
                let (words, next) = expected(version, state, event);
                let what = format!("{version:?}, {state:?}, {event:?}");
                assert_eq!(bench.words(), words, "{what}");
                let master_down = interval * 3 + skew;
                let next = match next {
                    Never => None,
                    Interval => Some(interval),
                    IntervalGoesOn => Some(interval - SINCE),
                    Skew => Some(skew),
                    MasterDown => Some(master_down),
                    MasterDownGoesOn => Some(master_down - SINCE),
                };
                assert_eq!(bench.next(), next, "{what}");
            }
        }
    }
}

#[test]
fn early_timeouts_do_nothing() {
    for version in [VrrpVersion::V2, VrrpVersion::V3] {
        for state in STATES {
            let mut bench = prepare(version, state);
            let before = bench.machine.poll_timeout();
            bench.machine.handle_timeout(bench.now);
            assert_eq!(bench.words(), "", "{state:?}");
            assert_eq!(bench.machine.poll_timeout(), before, "{state:?}");
        }
    }
}

#[test]
fn a_change_of_role_is_told_with_where_it_came_from() {
    for state in STATES {
        for event in EVENTS {
            let mut bench = prepare(VrrpVersion::V3, state);
            let before = bench.role();
            apply(&mut bench, event);
            let changes: Vec<_> = bench
                .drain()
                .into_iter()
                .filter_map(|output| match output {
                    Output::StateChanged { from, to, reason } => Some((from, to, reason)),
                    Output::SendAdvert { .. }
                    | Output::SetGate(_)
                    | Output::ClaimAddresses
                    | Output::ReleaseAddresses
                    | Output::Announce { .. }
                    | Output::Noticed(_)
                    | Output::Stopped => None,
                })
                .collect();
            let view = bench.machine.view();
            if before == view.role {
                assert_eq!(changes, [], "{state:?}, {event:?}");
            } else {
                assert_eq!(changes, [(before, view.role, view.reason)]);
                assert_eq!(view.since, bench.now);
            }
        }
    }
}
