//! Directors that tell each other their connections, whose servers no hash would find.

use std::time::Duration;

use evenkeel_model::{Role, Scheduler};
use evenkeel_sim_tests::fault::Fault;
use evenkeel_sim_tests::node::Node;
use evenkeel_sim_tests::rule::{Action, Rule, Traffic, Whom};
use evenkeel_sim_tests::run::{run_all, seeds};
use evenkeel_sim_tests::settings::{Edit, Settings};
use evenkeel_sim_tests::world::{Trace, World};

use crate::{FOR_GOOD, SLACK, broken, role, secs, takeovers};

const SCHEDULERS: [Scheduler; 2] = [Scheduler::RoundRobin, Scheduler::WeightedLeastConnection];

/// A cluster under load for some seconds, in sync.
fn busy(directors: usize, seed: u64, trace: Option<Trace>) -> World {
    let scheduler = SCHEDULERS[usize::from(seed % 2 == 1)];
    let mut world = World::settled(Settings::synced(directors, scheduler), seed, trace);
    world.run(secs(4));
    assert!(world.clients.iter().all(|client| client.established() > 2));
    world
}

/// Lets no new connections begin, and those that there are grow older than the lag.
fn grow_old(world: &mut World) {
    for client in &mut world.clients {
        client.opens = false;
    }
    world.run(secs(1));
}

/// The director that is Active, if it is the only one.
fn active(world: &World) -> Option<usize> {
    let all = 0..world.directors.len();
    let mut active = all.filter(|director| role(world, *director) == Some(Role::Active));
    active.next().filter(|_| active.next().is_none())
}

/// Loses what directors say to each other of connections.
fn without_sync() -> Fault {
    Fault::Rules(vec![Rule {
        from: Whom::Directors,
        to: Whom::Directors,
        traffic: Traffic::Sync,
        action: Action::Lose(100),
    }])
}

#[test]
fn connections_survive_a_power_off_and_the_return() {
    run_all(
        "connections_survive_a_power_off",
        seeds(20),
        |seed, trace| {
            let mut world = busy(2, seed, trace);
            grow_old(&mut world);
            world.suffer(Fault::PowerOff(0), secs(3));
            world.run(secs(2));
            assert_eq!(active(&world), Some(1));
            assert!(world.watch.longest_unheld <= world.settings.master_down() + SLACK);
            assert_eq!(broken(&mut world), 0);
            world.settle();
            assert_eq!(active(&world), Some(0));
            assert_eq!(broken(&mut world), 0);
            assert!(world.watch.claims_synced > 0);
        },
    );
}

#[test]
fn connections_survive_the_death_of_a_daemon_and_the_next_one() {
    run_all("connections_survive_the_death", seeds(20), |seed, trace| {
        let mut world = busy(2, seed, trace);
        grow_old(&mut world);
        world.suffer(Fault::Kill(0), secs(3));
        world.run(secs(2));
        assert_eq!(active(&world), Some(1));
        assert_eq!(broken(&mut world), 0);
        world.settle();
        assert_eq!(active(&world), Some(0));
        assert_eq!(broken(&mut world), 0);
    });
}

#[test]
fn handovers_there_and_back_break_nothing_that_begins_meanwhile() {
    run_all("handovers_there_and_back", seeds(20), |seed, trace| {
        let mut world = busy(2, seed, trace);
        for from in [0, 1, 0, 1] {
            world.suffer(Fault::HandOver(from), Duration::ZERO);
            world.run(secs(3));
            assert_eq!(active(&world), Some(1 - from));
        }
        assert_eq!(world.watch.longest_unheld, Duration::ZERO);
        assert_eq!(broken(&mut world), 0);
    });
}

#[test]
fn a_handover_waits_for_handshakes_of_clients_that_are_far_away() {
    run_all(
        "a_handover_waits_for_handshakes",
        seeds(20),
        |seed, trace| {
            let mut world = busy(2, seed, trace);
            let far = (0..world.clients.len()).map(|client| Rule {
                from: Whom::Anybody,
                to: Whom::One(Node::Client(client)),
                traffic: Traffic::Tcp,
                action: Action::Delay(100, Duration::from_millis(240)),
            });
            let far = Fault::Rules(far.collect());
            world.suffer(far, FOR_GOOD);
            world.run(secs(2));
            for from in [0, 1] {
                world.suffer(Fault::HandOver(from), Duration::ZERO);
                world.run(secs(3));
                assert_eq!(active(&world), Some(1 - from));
            }
            assert_eq!(broken(&mut world), 0);
        },
    );
}

#[test]
fn a_daemon_that_ends_hands_over_and_takes_its_role_back() {
    run_all("a_daemon_that_ends_hands_over", seeds(20), |seed, trace| {
        let mut world = busy(2, seed, trace);
        world.suffer(Fault::Stop(0), secs(3));
        world.run(secs(2));
        assert_eq!(active(&world), Some(1));
        world.settle();
        assert_eq!(active(&world), Some(0));
        assert_eq!(world.watch.longest_unheld, Duration::ZERO);
        assert_eq!(broken(&mut world), 0);
    });
}

#[test]
fn who_returns_waits_for_connections_only_so_long() {
    run_all("who_returns_waits", seeds(10), |seed, trace| {
        let mut world = busy(2, seed, trace);
        world.suffer(Fault::PowerOff(0), secs(1));
        world.run(secs(1));
        world.suffer(without_sync(), FOR_GOOD);
        let wait = world
            .settings
            .sync
            .map(|sync| sync.wait)
            .unwrap_or_default();
        world.run(wait);
        assert_eq!(active(&world), Some(1), "it waits");
        world.run(secs(4));
        assert_eq!(active(&world), Some(0), "it has waited long enough");
    });
}

#[test]
fn who_waits_takes_over_at_once_when_the_active_dies() {
    run_all("who_waits_takes_over", seeds(10), |seed, trace| {
        let mut world = busy(2, seed, trace);
        world.suffer(Fault::PowerOff(0), secs(1));
        world.run(secs(1));
        world.suffer(without_sync(), FOR_GOOD);
        world.run(secs(3));
        assert_eq!(active(&world), Some(1), "it waits");
        world.watch.longest_unheld = Duration::ZERO;
        world.suffer(Fault::PowerOff(1), FOR_GOOD);
        world.run(secs(1));
        assert_eq!(active(&world), Some(0));
        assert!(world.watch.longest_unheld <= world.settings.master_down() + SLACK);
    });
}

#[test]
fn connections_survive_the_loss_of_two_directors_of_three() {
    run_all(
        "connections_survive_the_loss_of_two",
        seeds(10),
        |seed, trace| {
            let mut world = busy(3, seed, trace);
            grow_old(&mut world);
            world.suffer(Fault::PowerOff(0), FOR_GOOD);
            world.run(secs(2));
            assert_eq!(active(&world), Some(1));
            world.suffer(Fault::Kill(1), FOR_GOOD);
            world.run(secs(2));
            assert_eq!(active(&world), Some(2));
            assert_eq!(broken(&mut world), 0);
            world.settle();
            assert_eq!(active(&world), Some(0));
            assert_eq!(broken(&mut world), 0);
        },
    );
}

#[test]
fn a_director_that_dies_a_moment_after_an_edit_has_told_enough() {
    for scheduler in [Scheduler::RoundRobin, Scheduler::Maglev] {
        run_all("a_moment_after_an_edit", seeds(10), |seed, trace| {
            let mut settings = Settings::synced(2, scheduler);
            settings.servers = 4;
            let mut world = World::settled(settings, seed, trace);
            world.run(secs(4));
            grow_old(&mut world);
            world.configure(&Edit::Weigh(0, 3, 1));
            world.run(Duration::from_millis(500));
            world.suffer(Fault::PowerOff(0), FOR_GOOD);
            world.run(secs(2));
            assert_eq!(active(&world), Some(1));
            assert_eq!(broken(&mut world), 0);
            assert_eq!(takeovers(&world, 1), 1);
        });
    }
}

#[test]
fn a_new_service_is_told_of_to_who_reads_of_it_later() {
    run_all("a_new_service_is_told_of", seeds(20), |seed, trace| {
        let mut settings = Settings::synced(2, SCHEDULERS[usize::from(seed % 2 == 1)]);
        settings.services[0].present = false;
        let mut world = World::settled(settings, seed, trace);
        // Each director reads it at a time of its own.
        world.configure(&Edit::Present(0, true));
        world.run(secs(2));
        grow_old(&mut world);
        assert!(world.clients.iter().all(|client| client.established() > 2));
        world.suffer(Fault::PowerOff(0), FOR_GOOD);
        world.run(secs(2));
        assert_eq!(active(&world), Some(1));
        assert_eq!(broken(&mut world), 0);
    });
}
