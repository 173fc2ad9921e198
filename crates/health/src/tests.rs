use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use evenkeel_model::Cadence;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CADENCE: Cadence = Cadence {
    every: ms(500),
    timeout: ms(250),
    fall: 2,
    rise: 3,
};
const A: TargetId = TargetId(1);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How a simulated target answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Behaviour {
    Passes,
    Fails,
    Hangs,
}

/// A core, a clock, and probes that are answered 1 ms after they start.
struct Bench {
    health: Health,
    begin: Instant,
    now: Instant,
    behaviours: BTreeMap<TargetId, Behaviour>,
    answers: Vec<(Instant, TargetId, u64, Result<(), String>)>,
    probes: Vec<(Duration, TargetId)>,
    changes: Vec<(Duration, TargetId, bool, String)>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            health: Health::new(),
            begin: now,
            now,
            behaviours: BTreeMap::new(),
            answers: Vec::new(),
            probes: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn add(&mut self, id: TargetId, start: Start, behaviour: Behaviour) {
        self.behaviours.insert(id, behaviour);
        self.health.add(id, CADENCE, start, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        let at = self.now - self.begin;
        while let Some(output) = self.health.poll_output() {
            match output {
                Output::Probe {
                    target, attempt, ..
                } => {
                    self.probes.push((at, target));
                    let outcome = match self.behaviours[&target] {
                        Behaviour::Passes => Ok(()),
                        Behaviour::Fails => Err("refused".to_owned()),
                        Behaviour::Hangs => continue,
                    };
                    self.answers
                        .push((self.now + ms(1), target, attempt, outcome));
                }
                Output::Checked { .. } => {}
                Output::Changed { target, up, reason } => {
                    self.changes.push((at, target, up, reason));
                }
            }
        }
    }

    /// Lets time pass up to `end` after the beginning.
    fn run_to(&mut self, end: Duration) {
        let end = self.begin + end;
        loop {
            self.answers.sort_by_key(|answer| answer.0);
            let timer = self.health.poll_timeout();
            let answer = self.answers.first().map(|answer| answer.0);
            let Some(next) = timer.into_iter().chain(answer).min().filter(|t| *t <= end) else {
                break;
            };
            assert!(next >= self.now, "time runs backwards");
            self.now = next;
            if answer == Some(next) {
                let (_, id, attempt, outcome) = self.answers.remove(0);
                self.health.handle_result(id, attempt, outcome, next);
            } else {
                self.health.handle_timeout(next);
            }
            self.drain();
        }
        self.now = end;
    }

    fn starts(&self, id: TargetId) -> Vec<Duration> {
        let of = self.probes.iter().filter(|(_, target)| *target == id);
        of.map(|(at, _)| *at).collect()
    }
}

#[test]
fn the_first_result_decides_for_a_gated_target() {
    for (behaviour, up, reason) in [
        (Behaviour::Passes, true, "first check passed"),
        (Behaviour::Fails, false, "first check failed: refused"),
    ] {
        let mut bench = Bench::new();
        bench.add(A, Start::Gated, behaviour);
        assert_eq!(bench.health.is_up(A), None);
        bench.run_to(ms(10));
        assert_eq!(bench.changes, [(ms(1), A, up, reason.to_owned())]);
    }
}

#[test]
fn an_adopted_target_stays_up_until_fall_checks_fail() {
    let mut bench = Bench::new();
    bench.add(A, Start::Adopted, Behaviour::Fails);
    bench.run_to(ms(200));
    assert_eq!(bench.health.is_up(A), Some(true));
    bench.run_to(ms(600));
    let [(_, _, up, reason)] = bench.changes.as_slice() else {
        panic!("{:?}", bench.changes);
    };
    assert!(!up);
    assert_eq!(reason, "2 checks failed in a row, the last: refused");
}

#[test]
fn a_target_adopted_down_stays_down_until_rise_checks_pass() {
    let mut bench = Bench::new();
    bench.add(A, Start::AdoptedDown, Behaviour::Passes);
    bench.run_to(ms(10));
    assert!(bench.changes.is_empty());
    bench.run_to(ms(1100));
    assert_eq!(bench.probes.len(), 3);
    assert_eq!(bench.changes[0].3, "3 checks passed in a row");
}

#[test]
fn one_good_check_starts_the_count_of_failures_over() {
    let mut bench = Bench::new();
    bench.add(A, Start::Gated, Behaviour::Passes);
    bench.run_to(ms(10));
    for round in 0..10u64 {
        let behaviour = if round % 2 == 0 {
            Behaviour::Fails
        } else {
            Behaviour::Passes
        };
        bench.behaviours.insert(A, behaviour);
        let probes = bench.probes.len();
        while bench.probes.len() == probes || !bench.answers.is_empty() {
            let next = bench.now - bench.begin + ms(1);
            bench.run_to(next);
        }
    }
    assert_eq!(bench.changes.len(), 1, "{:?}", bench.changes);
}

#[test]
fn checks_start_an_interval_apart_from_start_to_start() {
    let mut bench = Bench::new();
    bench.add(A, Start::Gated, Behaviour::Passes);
    bench.run_to(ms(5000));
    let starts = bench.starts(A);
    assert_eq!(starts[0], ms(0));
    assert!((ms(250)..=ms(500)).contains(&starts[1]), "{:?}", starts[1]);
    for pair in starts[1..].windows(2) {
        assert_eq!(pair[1] - pair[0], ms(500));
    }
}

#[test]
fn targets_added_together_start_their_later_checks_apart() {
    let mut bench = Bench::new();
    for id in 0..100 {
        bench.add(TargetId(id), Start::Gated, Behaviour::Passes);
    }
    assert_eq!(bench.probes.len(), 100, "the first probes start at once");
    bench.run_to(ms(600));
    let mut per_ms: BTreeMap<u128, u32> = BTreeMap::new();
    for (at, _) in bench.probes.iter().filter(|(at, _)| !at.is_zero()) {
        *per_ms.entry(at.as_millis()).or_default() += 1;
    }
    assert!(per_ms.values().all(|count| *count <= 4), "{per_ms:?}");
}

#[test]
fn a_hung_target_is_given_up_on_and_delays_no_other() {
    let hung = TargetId(2);
    let mut bench = Bench::new();
    bench.add(A, Start::Gated, Behaviour::Passes);
    bench.add(hung, Start::Gated, Behaviour::Hangs);
    bench.run_to(ms(20_000));
    for pair in bench.starts(A)[1..].windows(2) {
        assert_eq!(pair[1] - pair[0], ms(500));
    }
    let reason = "first check failed: no answer within 250ms".to_owned();
    assert!(bench.changes.contains(&(ms(350), hung, false, reason)));
    assert!(bench.starts(hung).len() >= 39);
}

#[test]
fn a_target_that_dies_is_found_out_within_fall_intervals_and_a_timeout() {
    for died in (0..1000).step_by(7).map(|n| ms(2000 + n)) {
        let mut bench = Bench::new();
        bench.add(A, Start::Gated, Behaviour::Passes);
        bench.run_to(died);
        bench.behaviours.insert(A, Behaviour::Hangs);
        bench.run_to(died + CADENCE.every * CADENCE.fall + CADENCE.timeout + ms(100));
        assert_eq!(bench.health.is_up(A), Some(false), "died at {died:?}");
    }
}

#[test]
fn a_late_result_is_ignored_even_when_the_id_is_in_use_again() {
    let mut health = Health::new();
    let now = Instant::now();
    health.add(A, CADENCE, Start::Gated, now);
    let Some(Output::Probe { attempt, .. }) = health.poll_output() else {
        panic!("no probe");
    };
    health.handle_timeout(now + ms(350));
    assert_eq!(health.is_up(A), Some(false));
    health.handle_result(A, attempt, Ok(()), now + ms(351));
    assert_eq!(health.is_up(A), Some(false));

    health.add(A, CADENCE, Start::Gated, now + ms(352));
    health.handle_result(A, attempt, Ok(()), now + ms(353));
    assert_eq!(health.is_up(A), None);
    health.remove(A);
    health.handle_result(A, attempt, Ok(()), now + ms(354));
    assert_eq!(health.poll_timeout(), None);
}

#[test]
fn a_core_that_slept_gives_a_target_one_failure_and_not_many() {
    let mut health = Health::new();
    let now = Instant::now();
    health.add(A, CADENCE, Start::Adopted, now);
    health.handle_timeout(now + ms(60_000));
    assert_eq!(health.is_up(A), Some(true));
}

#[test]
fn a_shorter_interval_is_taken_up_at_once() {
    let mut bench = Bench::new();
    bench.add(A, Start::Gated, Behaviour::Passes);
    bench.run_to(ms(10));
    let faster = Cadence {
        every: ms(50),
        ..CADENCE
    };
    bench.health.set_cadence(A, faster, bench.now);
    bench.drain();
    bench.run_to(ms(1000));
    assert!(bench.probes.len() >= 19, "{}", bench.probes.len());
}

#[derive(Clone, Debug)]
enum Op {
    Add(u32, u8),
    Remove(u32),
    SetCadence(u32, u32),
    Result { id: u32, age: u64, passed: bool },
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => (0u32..4, 0u8..3).prop_map(|(id, start)| Op::Add(id, start)),
        1 => (0u32..4).prop_map(Op::Remove),
        1 => (0u32..4, 1u32..4).prop_map(|(id, n)| Op::SetCadence(id, n)),
        6 => (0u32..4, 0u64..3, any::<bool>())
            .prop_map(|(id, age, passed)| Op::Result { id, age, passed }),
        6 => (0u64..700).prop_map(Op::Pass),
    ]
}

proptest! {
    #[test]
    fn arbitrary_sequences_uphold_invariants(ops in vec(op(), 1..120)) {
        let mut health = Health::new();
        let mut now = Instant::now();
        let mut attempts: BTreeMap<u32, u64> = BTreeMap::new();
        let mut in_flight: BTreeMap<u32, Instant> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Add(id, start) => {
                    let start = [Start::Gated, Start::Adopted, Start::AdoptedDown][usize::from(start)];
                    health.add(TargetId(id), CADENCE, start, now);
                    in_flight.remove(&id);
                }
                Op::Remove(id) => {
                    health.remove(TargetId(id));
                    in_flight.remove(&id);
                }
                Op::SetCadence(id, n) => {
                    let cadence = Cadence { every: CADENCE.every * n, fall: n, rise: n, ..CADENCE };
                    health.set_cadence(TargetId(id), cadence, now);
                }
                Op::Result { id, age, passed } => {
                    let attempt = attempts.get(&id).copied().unwrap_or(0).saturating_sub(age);
                    let outcome = if passed { Ok(()) } else { Err("no".to_owned()) };
                    health.handle_result(TargetId(id), attempt, outcome, now);
                }
                Op::Pass(millis) => {
                    now += ms(millis);
                    health.handle_timeout(now);
                    prop_assert!(health.poll_timeout().is_none_or(|due| due > now));
                }
            }
            while let Some(output) = health.poll_output() {
                match output {
                    Output::Probe { target, attempt, timeout } => {
                        prop_assert!(attempts.values().all(|a| *a < attempt), "attempts grow");
                        attempts.insert(target.0, attempt);
                        let before = in_flight.insert(target.0, now + timeout);
                        prop_assert_eq!(before, None, "one probe in flight per target");
                    }
                    Output::Checked { target, .. } => {
                        prop_assert!(in_flight.remove(&target.0).is_some());
                    }
                    Output::Changed { target, up, .. } => {
                        prop_assert_eq!(health.is_up(target), Some(up));
                    }
                }
            }
        }
    }
}
