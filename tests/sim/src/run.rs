//! Runs seeds, and tells how to see a failed one again.

use std::any::Any;
use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::fault::any_plan;
use crate::settings::Settings;
use crate::world::{Trace, World};
use evenkeel_testkit::Dice;

/// Lines of a trace that a failure shows.
const LINES: usize = 120;

/// From `EVENKEEL_SEED` on, as many seeds as `EVENKEEL_SEEDS` says.
///
/// # Panics
/// If they are no numbers.
#[must_use]
pub fn seeds(usual: u64) -> Range<u64> {
    let number = |name: &str, default| {
        let given = std::env::var(name).ok();
        given.map_or(default, |text| text.parse().expect("a number"))
    };
    let first = number("EVENKEEL_SEED", 0);
    first..first + number("EVENKEEL_SEEDS", usual)
}

/// Runs each seed; the first that fails is run again, and told with what happened.
///
/// # Panics
/// If one fails.
pub fn run_all(test: &str, seeds: Range<u64>, run: impl Fn(u64, Option<Trace>)) {
    for seed in seeds {
        let first = catch_unwind(AssertUnwindSafe(|| run(seed, None)));
        let Err(panic) = first else {
            continue;
        };
        let trace = Trace::default();
        let again = catch_unwind(AssertUnwindSafe(|| run(seed, Some(trace.clone()))));
        let mut report = format!("seed {seed}: {}\n", message(&*panic));
        match again {
            Ok(()) => {
                report.push_str("IT DID NOT FAIL AGAIN: something depends on more than the seed\n")
            }
            Err(again) if message(&*again) != message(&*panic) => {
                let _written = writeln!(report, "AGAIN IT FAILED OTHERWISE: {}", message(&*again));
            }
            Err(_) => {}
        }
        let _written = writeln!(
            report,
            "see it again: EVENKEEL_SEED={seed} EVENKEEL_SEEDS=1 cargo test -p evenkeel-sim-tests {test}"
        );
        let lines = trace.borrow();
        let skipped = lines.len().saturating_sub(LINES);
        for line in lines.iter().skip(skipped) {
            let _written = writeln!(report, "{line}");
        }
        panic!("{report}");
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic".to_owned())
}

/// A cluster that the seed makes goes through what the seed plans, and settles.
pub fn ordeal(seed: u64, any: impl Fn(&mut Dice) -> Settings, trace: Option<Trace>) -> World {
    let mut dice = Dice::new(seed);
    let settings = any(&mut dice);
    let begin = Duration::from_millis(3000);
    let end = Duration::from_millis(11_000);
    let plan = any_plan(&settings, begin, end, &mut dice);
    if let Some(trace) = &trace {
        trace.borrow_mut().push(format!("{settings:?}"));
    }
    let mut world = World::new(settings, dice, trace);
    for director in 0..world.directors.len() {
        let at = world.dice.time(Duration::ZERO, Duration::from_millis(30));
        world.run(at);
        world.power_on(director);
    }
    world.plan(plan);
    world.run(end.saturating_sub(world.now));
    world.settle();
    world
}
