//! Whole lives, good and bad.

use super::sim::{Path, Sim};
use super::*;

/// From `EVENKEEL_SEED` on, as many seeds as `EVENKEEL_SEEDS` says.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name, default| {
        let given = std::env::var(name).ok();
        given.map_or(default, |text| text.parse().expect(name))
    };
    let first = number("EVENKEEL_SEED", 0);
    first..first + number("EVENKEEL_SEEDS", default)
}

/// Within this time after the last fault, all are in sync: a session that only one side knows ends by silence.
const HEALED: Duration = ms(4_000);

fn strike(sim: &mut Sim) {
    let count = sim.paths.len();
    let node = sim.dice.index(count);
    let other = (node + 1 + sim.dice.index(count - 1)) % count;
    match sim.dice.below(12) {
        0..3 => {
            sim.paths[node][other] = Path {
                loss: sim.dice.below(60),
                twice: sim.dice.below(40),
                damage: sim.dice.below(20),
                delay: sim.dice.time(Duration::ZERO, ms(60)),
            };
        }
        3 => sim.paths[node][other] = Path::CUT,
        4 => {
            sim.paths[node][other] = Path::CUT;
            sim.paths[other][node] = Path::CUT;
        }
        5 => sim.paths[node][other] = Path::CLEAN,
        6 => {
            let keeps_table = sim.dice.chance(50);
            sim.restart(node, keeps_table);
        }
        7 => sim.pause(node),
        8 => sim.resume(node),
        9 => (0..50).for_each(|_| sim.attack()),
        10 => (0..sim.dice.below(300)).for_each(|_| sim.change(node)),
        _ => sim.busy = sim.dice.below(95),
    }
}

fn live(seed: u64, count: usize) {
    let mut sim = Sim::new(seed, count, 40);
    for _ in 0..15 {
        strike(&mut sim);
        let most = if sim.dice.chance(20) {
            ms(4_000)
        } else {
            ms(300)
        };
        let time = sim.dice.time(Duration::ZERO, most);
        sim.run(time);
    }
    sim.heal();
    sim.run(HEALED);
    for ((node, other), view) in sim.views() {
        let states = (view.outgoing.state, view.incoming.state);
        let in_sync = (State::InSync, State::InSync);
        assert_eq!(
            states, in_sync,
            "seed {seed}: {node} with {other}: {view:?}"
        );
    }
    sim.busy = 0;
    sim.run(ms(300));
    sim.check_that_all_agree();
    assert!(sim.claims > 100, "seed {seed}: {} claims", sim.claims);
}

#[test]
fn two_agree_soon_after_whatever_went_wrong_and_never_claim_too_much() {
    for seed in seeds(100) {
        live(seed, 2);
    }
}

#[test]
fn three_agree_soon_after_whatever_went_wrong_and_never_claim_too_much() {
    for seed in seeds(30) {
        live(seed, 3);
    }
}

#[test]
fn what_a_shell_holds_back_is_never_claimed_to_be_told() {
    for seed in seeds(5) {
        let mut sim = Sim::settled(seed, 2, 300);
        sim.pace = Some(5);
        sim.busy = 0;
        let mut lagged = 0;
        for _ in 0..3 {
            (0..400).for_each(|_| sim.change(0));
            for _ in 0..60 {
                sim.run(ms(10));
                let views = sim.views();
                lagged += u64::from(views[1].1.incoming.state == State::Lagging);
            }
        }
        assert!(lagged > 60, "seed {seed}: {lagged}");
        sim.pace = None;
        sim.run(ms(300));
        sim.check_that_all_agree();
    }
}

#[test]
fn a_table_that_is_larger_than_the_window_goes_over_a_bad_link() {
    for seed in seeds(2) {
        let mut sim = Sim::new(seed, 2, 10_000);
        sim.busy = 80;
        for (from, to) in [(0, 1), (1, 0)] {
            sim.paths[from][to] = Path {
                loss: 20,
                twice: 10,
                damage: 5,
                delay: ms(3),
            };
        }
        sim.run(ms(3_000));
        for (_, view) in sim.views() {
            assert_ne!(
                view.incoming.state,
                State::Snapshot,
                "seed {seed}: {view:?}"
            );
            assert!(view.counters.resent > 10, "seed {seed}: {view:?}");
        }
        sim.heal();
        sim.busy = 0;
        sim.run(ms(500));
        sim.check_that_all_agree();
    }
}
