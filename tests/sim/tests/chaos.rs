//! Clusters that chance makes, under faults that chance plans.

use std::cell::Cell;

use evenkeel_sim_tests::run::{ordeal, run_all, seeds};

#[test]
fn whatever_goes_wrong_a_cluster_keeps_its_laws_and_recovers() {
    let seeds = seeds(2000);
    let count = seeds.end - seeds.start;
    let (claims, across, calm) = (Cell::new(0), Cell::new(0), Cell::new(0));
    run_all("whatever_goes_wrong", seeds, |seed, trace| {
        let world = ordeal(seed, trace);
        claims.set(claims.get() + world.watch.claims);
        across.set(across.get() + world.watch.claims_across);
        calm.set(calm.get() + world.watch.calm_looks);
    });
    // The laws about connections were looked at, also across directors.
    assert!(count < 50 || claims.get() > 50 * count, "{claims:?}");
    assert!(count < 50 || across.get() > count, "{across:?}");
    assert!(count < 50 || calm.get() > 50 * count, "{calm:?}");
}
