//! Clusters that chance makes, under faults that chance plans.

use std::cell::Cell;

use evenkeel_sim_tests::run::{ordeal, run_all, seeds};
use evenkeel_sim_tests::settings::Settings;

#[test]
fn whatever_goes_wrong_a_cluster_keeps_its_laws_and_recovers() {
    let seeds = seeds(2000);
    let count = seeds.end - seeds.start;
    let (claims, across, calm) = (Cell::new(0), Cell::new(0), Cell::new(0));
    run_all("whatever_goes_wrong", seeds, |seed, trace| {
        let world = ordeal(seed, Settings::any, trace);
        claims.set(claims.get() + world.watch.claims);
        across.set(across.get() + world.watch.claims_across);
        calm.set(calm.get() + world.watch.calm_looks);
    });
    // The laws about connections were looked at, also across directors.
    assert!(count < 50 || claims.get() > 50 * count, "{claims:?}");
    assert!(count < 50 || across.get() > count, "{across:?}");
    assert!(count < 50 || calm.get() > 50 * count, "{calm:?}");
}

#[test]
fn what_a_partner_places_otherwise_it_is_told() {
    // One director's file lacks a server.
    let _world = ordeal(97, Settings::any_synced, None);
}

#[test]
fn who_becomes_active_after_its_partner_returned_has_not_told_it_all_yet() {
    let _world = ordeal(3, Settings::any_synced, None);
}

#[test]
fn what_joins_a_datagram_that_has_begun_is_as_old_as_it_is() {
    let _world = ordeal(109, Settings::any_synced, None);
}

#[test]
fn of_two_owners_one_stays_active() {
    let _world = ordeal(1020, Settings::any_synced, None);
}

#[test]
fn whatever_goes_wrong_directors_that_sync_forget_no_connection() {
    let seeds = seeds(150);
    let count = seeds.end - seeds.start;
    let (claims, looked) = (Cell::new(0), Cell::new(0));
    run_all("directors_that_sync", seeds, |seed, trace| {
        let world = ordeal(seed, Settings::any_synced, trace);
        claims.set(claims.get() + world.watch.claims_synced);
        looked.set(looked.get() + world.watch.mirrors.looked);
    });
    assert!(count < 50 || claims.get() > count, "{claims:?}");
    assert!(count < 50 || looked.get() > 50 * count, "{looked:?}");
}
