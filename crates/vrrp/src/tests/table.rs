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
    /// Active, told to hand over, and the shell prepares that.
    Preparing,
    /// The same, and that is done.
    Leaving,
    /// Backup that has handed over by order.
    HandedOver,
    Standby,
    Maintenance,
    /// Told to stop, and the shell prepares that.
    Stopping,
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
    HandOver,
    StandBy,
    Maintain,
    Yield,
    Resume,
    EndMaintenance,
    Prepared,
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
    /// The same of the lowest priority.
    LastSkew,
    LastMasterDown,
    LastMasterDownGoesOn,
}

use Event::{
    EndMaintenance, EqualAbove, EqualBelow, HandOver, Higher, LinkDown, LinkUp, Lower, Maintain,
    MayTakeOver, Prepared, Resume, ShutDown, StandBy, Yield, Zero,
};
use Next::{
    Interval, IntervalGoesOn, LastMasterDown, LastMasterDownGoesOn, LastSkew, MasterDown,
    MasterDownGoesOn, Never, Skew,
};

/// Time from the last event of the preparation to the event.
const SINCE: Duration = ms(50);

const STATES: [State; 16] = [
    State::Down,
    State::Held,
    State::Backup,
    State::WithoutPreemption,
    State::Delaying,
    State::Active,
    State::Silent,
    State::Preparing,
    State::Leaving,
    State::HandedOver,
    State::Standby,
    State::Maintenance,
    State::Stopping,
    State::Resigning,
    State::Draining,
    State::Stopped,
];

const EVENTS: [Event; 17] = [
    Zero,
    Lower,
    EqualBelow,
    EqualAbove,
    Higher,
    Event::Timer,
    LinkDown,
    LinkUp,
    MayTakeOver,
    HandOver,
    StandBy,
    Maintain,
    Yield,
    Resume,
    EndMaintenance,
    Prepared,
    ShutDown,
];

const TAKE: &str = "advert 100, open, claim, announce 5, active";
const TAKE_LAST: &str = "advert 1, open, claim, announce 5, active";
const YIELD: &str = "drain, release, backup";
const LAST_WORD: &str = "advert 100, drain, release, backup";

/// What a machine orders, and its next deadline.
fn expected(version: VrrpVersion, state: State, event: Event) -> (&'static str, Next) {
    match state {
        State::Down => down(event),
        State::Held
        | State::Backup
        | State::WithoutPreemption
        | State::Delaying
        | State::HandedOver
        | State::Maintenance => backup(state, event),
        State::Standby => standby(event),
        State::Active | State::Silent => active(version, state, event),
        State::Preparing => preparing(version, event),
        State::Leaving => leaving(event),
        State::Stopping | State::Resigning | State::Draining | State::Stopped => {
            stopping(version, state, event)
        }
    }
}

fn down(event: Event) -> (&'static str, Next) {
    match event {
        LinkUp => ("backup", MasterDown),
        ShutDown => ("stopped", Never),
        HandOver | StandBy | Maintain | Yield => ("not active", Never),
        Zero
        | Lower
        | EqualBelow
        | EqualAbove
        | Higher
        | Event::Timer
        | LinkDown
        | MayTakeOver
        | Resume
        | EndMaintenance
        | Prepared => ("", Never),
    }
}

/// RFC 9568 §6.4.2.
fn backup(state: State, event: Event) -> (&'static str, Next) {
    match (state, event) {
        (_, Zero) => ("", Skew),
        (State::Backup, Lower) => ("", MasterDownGoesOn),
        (_, Lower | EqualBelow | EqualAbove | Higher) => ("", MasterDown),
        (State::Held | State::Maintenance, Event::Timer) => ("", Never),
        (_, Event::Timer) => (TAKE, Interval),
        (_, LinkDown) => ("initialize", Never),
        (_, ShutDown) => ("initialize, stopped", Never),
        (_, HandOver | Maintain | Yield) => ("not active", MasterDownGoesOn),
        // It becomes the last choice, and its timer begins anew.
        (_, StandBy) => ("not active", LastMasterDown),
        (_, LinkUp | MayTakeOver | Resume | EndMaintenance | Prepared) => ("", MasterDownGoesOn),
    }
}

/// As a Backup of priority 1.
fn standby(event: Event) -> (&'static str, Next) {
    match event {
        Zero => ("", LastSkew),
        Lower | EqualBelow | EqualAbove | Higher => ("", LastMasterDown),
        Event::Timer => (TAKE_LAST, Interval),
        LinkDown => ("initialize", Never),
        ShutDown => ("initialize, stopped", Never),
        HandOver | StandBy | Maintain | Yield => ("not active", LastMasterDownGoesOn),
        Resume => ("", MasterDown),
        LinkUp | MayTakeOver | EndMaintenance | Prepared => ("", LastMasterDownGoesOn),
    }
}

/// RFC 9568 §6.4.3; version 2 discards the advertisement of a loser, RFC 3768 §6.4.3.
fn active(version: VrrpVersion, state: State, event: Event) -> (&'static str, Next) {
    let answers = version == VrrpVersion::V3;
    match (state, event) {
        (State::Active, Zero) => ("advert 100", Interval),
        (State::Active, Lower | EqualBelow) if answers => ("advert 100", IntervalGoesOn),
        (State::Active, Lower | EqualBelow) => ("", IntervalGoesOn),
        // The last word goes beyond the RFCs.
        (State::Active, EqualAbove | Higher) => (LAST_WORD, MasterDown),
        (State::Active, Event::Timer) => ("advert 100", Interval),

        (_, Zero) => ("", IntervalGoesOn),
        // Of its own accord a lower Active does not go, so that this one goes by its own interval.
        (_, Lower | EqualBelow | EqualAbove | Higher) => (YIELD, MasterDown),
        (_, Event::Timer) => ("advert 100, open, announce 5", Interval),

        (_, LinkDown) => ("drain, release, initialize", MasterDown),
        (_, HandOver | StandBy | Maintain | Yield | ShutDown) => ("prepare", IntervalGoesOn),
        (_, LinkUp | MayTakeOver | Resume | EndMaintenance | Prepared) => ("", IntervalGoesOn),
    }
}

/// Active as ever, but that whoever takes over is the successor.
fn preparing(version: VrrpVersion, event: Event) -> (&'static str, Next) {
    match event {
        EqualAbove => (
            "advert 100, drain, release, backup, handed to 192.0.2.200",
            MasterDown,
        ),
        Higher => (
            "advert 100, drain, release, backup, handed to 192.0.2.1",
            MasterDown,
        ),
        LinkDown => ("drain, release, initialize, no link", MasterDown),
        HandOver | StandBy | Maintain | Yield => ("", IntervalGoesOn),
        Prepared => ("advert 0", Interval),
        ShutDown => ("stops", IntervalGoesOn),
        Zero
        | Lower
        | EqualBelow
        | Event::Timer
        | LinkUp
        | MayTakeOver
        | Resume
        | EndMaintenance => active(version, State::Active, event),
    }
}

/// Resigning by order: it holds everything until somebody is heard.
fn leaving(event: Event) -> (&'static str, Next) {
    match event {
        Lower | EqualAbove => ("drain, release, backup, handed to 192.0.2.200", MasterDown),
        EqualBelow | Higher => ("drain, release, backup, handed to 192.0.2.1", MasterDown),
        Event::Timer => ("advert 0", Interval),
        LinkDown => ("drain, release, initialize, no link", MasterDown),
        ShutDown => ("stops, advert 0, initialize", Interval),
        Zero => ("advert 100, open, announce 5, rival", Interval),
        HandOver | StandBy | Maintain | Yield | LinkUp | MayTakeOver | Resume | EndMaintenance
        | Prepared => ("", IntervalGoesOn),
    }
}

fn stopping(version: VrrpVersion, state: State, event: Event) -> (&'static str, Next) {
    let on = if matches!(state, State::Stopping | State::Resigning) {
        IntervalGoesOn
    } else if state == State::Draining {
        MasterDownGoesOn
    } else {
        Never
    };
    match (state, event) {
        (_, HandOver | StandBy | Maintain | Yield) => ("stops", on),
        (State::Stopping, Prepared) => ("advert 0, initialize", Interval),
        (State::Stopping, EqualAbove | Higher) => {
            ("advert 100, drain, release, initialize", MasterDown)
        }
        (State::Stopping, LinkDown) => ("drain, release, initialize", MasterDown),
        (State::Stopping, Zero | Lower | EqualBelow | Event::Timer) => {
            active(version, State::Active, event)
        }
        (State::Resigning, Lower | EqualBelow | EqualAbove | Higher | LinkDown) => {
            ("drain, release", MasterDown)
        }
        (State::Resigning, Event::Timer) => ("advert 0", Interval),
        (State::Draining, Event::Timer) => ("close, stopped", Never),
        (_, _) => ("", on),
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
        State::Preparing
        | State::Leaving
        | State::HandedOver
        | State::Standby
        | State::Maintenance => prepare_ordered(config, state),
        State::Stopping => {
            let mut bench = Bench::active(config);
            bench.machine.shut_down(bench.now);
            bench
        }
        State::Resigning => {
            let mut bench = Bench::active(config);
            bench.shut_down();
            bench
        }
        State::Draining => {
            let mut bench = Bench::active(config);
            bench.machine.handle_link(false, bench.now);
            bench.machine.handle_link(true, bench.now);
            bench.shut_down();
            bench
        }
        State::Stopped => {
            let mut bench = Bench::backup(config);
            bench.shut_down();
            bench
        }
    };
    bench.sleep(SINCE);
    bench.drain();
    bench
}

fn prepare_ordered(config: VirtualRouter, state: State) -> Bench {
    let is_backup = matches!(state, State::Standby | State::Maintenance);
    let mut bench = match is_backup {
        true => Bench::backup(config),
        false => Bench::active(config),
    };
    if state == State::Preparing {
        bench.machine.order(HAND_OVER, bench.now);
    } else if state == State::Standby {
        bench.order(STAND_BY);
        bench.hear(BELOW, 50);
    } else if state == State::Maintenance {
        bench.order(MAINTAIN);
    } else {
        bench.order(HAND_OVER);
    }
    if state == State::HandedOver {
        bench.hear_for(5, BELOW, 50);
        assert_eq!(bench.stance(), Stance::HandedOver);
    }
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
        HandOver => bench.machine.order(HAND_OVER, now),
        StandBy => bench.machine.order(STAND_BY, now),
        Maintain => bench.machine.order(MAINTAIN, now),
        Yield => bench.machine.order(Order::Yield, now),
        Resume => bench.machine.order(Order::Resume, now),
        EndMaintenance => bench.machine.order(Order::EndMaintenance, now),
        Prepared => bench.machine.prepared(now),
        ShutDown => bench.machine.shut_down(now),
    }
}

#[test]
fn every_event_in_every_state_does_what_the_rfcs_say() {
    for version in [VrrpVersion::V2, VrrpVersion::V3] {
        // Of priority 100, and of 1.
        let (interval, skew, last_skew) = match version {
            VrrpVersion::V2 => (ms(1_000), us(609_375), Duration::from_nanos(996_093_750)),
            VrrpVersion::V3 => {
                let [skew, last] = [60_937_500, 99_609_375].map(Duration::from_nanos);
                (ms(100), skew, last)
            }
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
                    LastSkew => Some(last_skew),
                    LastMasterDown => Some(interval * 3 + last_skew),
                    LastMasterDownGoesOn => Some(interval * 3 + last_skew - SINCE),
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
                    | Output::PrepareHandover
                    | Output::Wants(_)
                    | Output::HandoverEnded(_)
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
