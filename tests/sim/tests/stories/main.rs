//! Clusters to which one thing happens.

mod synced;

use std::cell::Cell;
use std::time::Duration;

use evenkeel_abi::DropReason;
use evenkeel_model::{Role, Scheduler};
use evenkeel_sim_tests::Time;
use evenkeel_sim_tests::fault::Fault;
use evenkeel_sim_tests::node::Node;
use evenkeel_sim_tests::rule::{Action, Rule, Traffic, Whom};
use evenkeel_sim_tests::run::{ordeal, run_all, seeds};
use evenkeel_sim_tests::settings::{DIRECTORS, Settings};
use evenkeel_sim_tests::world::{Trace, World};

/// Longer than any story.
const FOR_GOOD: Duration = Duration::from_secs(600);

/// Ticks of the data plane's clock, and timers that are a bit late.
const SLACK: Duration = Duration::from_millis(40);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A cluster under load for some seconds.
fn busy(directors: usize, scheduler: Scheduler, seed: u64, trace: Option<Trace>) -> World {
    let mut world = World::settled(Settings::of(directors, scheduler), seed, trace);
    world.run(secs(4));
    assert!(world.clients.iter().all(|client| client.established() > 2));
    world
}

/// Asks on every connection, and waits until they had time to be answered; how many were reset or not answered.
fn broken(world: &mut World) -> u64 {
    let now = world.now;
    for client in &mut world.clients {
        client.ask_all(now);
    }
    world.run(secs(8));
    let broken =
        |client: &evenkeel_sim_tests::client::Client| client.tally.reset + client.tally.unanswered;
    world.clients.iter().map(broken).sum()
}

/// Packets that director 0 had no server for.
fn refused(world: &World) -> [u64; 2] {
    let tables = &world.directors[0].host.plane.tables;
    [DropReason::ServerGone, DropReason::NoServer].map(|reason| tables.dropped(reason))
}

fn role(world: &World, director: usize) -> Option<Role> {
    let roles = world.directors[director].roles();
    roles.first().map(|(_, role)| *role)
}

fn takeovers(world: &World, director: usize) -> u64 {
    let daemon = world.directors[director].daemon.as_ref();
    let seats = daemon.into_iter().flat_map(|daemon| &daemon.seats);
    seats
        .map(|s| s.machine().view().counters.became_active)
        .sum()
}

#[test]
fn a_director_without_power_is_replaced_and_maglev_breaks_no_connection() {
    run_all("a_director_without_power", seeds(20), |seed, trace| {
        let mut world = busy(2, Scheduler::Maglev, seed, trace);
        world.suffer(Fault::PowerOff(0), FOR_GOOD);
        world.run(secs(1));
        let bound = world.settings.master_down() + SLACK;
        assert!(
            world.watch.longest_unheld <= bound,
            "{:?}",
            world.watch.longest_unheld
        );
        assert_eq!(role(&world, 1), Some(Role::Active));
        let before = world.watch.claims_across;
        assert_eq!(broken(&mut world), 0);
        assert!(world.watch.claims_across > before);
    });
}

#[test]
fn a_director_without_daemon_serves_until_its_partner_does() {
    run_all("a_director_without_daemon", seeds(20), |seed, trace| {
        let mut world = busy(2, Scheduler::Maglev, seed, trace);
        world.suffer(Fault::Kill(0), FOR_GOOD);
        world.run(secs(2));
        assert_eq!(world.watch.longest_unheld, Time::ZERO);
        assert_eq!(role(&world, 1), Some(Role::Active));
        assert_eq!(broken(&mut world), 0);
    });
}

#[test]
fn a_daemon_that_is_back_within_its_lease_goes_on_and_breaks_nothing() {
    run_all("a_daemon_that_is_back", seeds(20), |seed, trace| {
        let mut world = busy(2, Scheduler::RoundRobin, seed, trace);
        world.suffer(Fault::Kill(0), Duration::from_millis(150));
        world.run(secs(3));
        assert_eq!(role(&world, 0), Some(Role::Active));
        assert_eq!(takeovers(&world, 1), 0);
        assert_eq!(world.watch.longest_unheld, Time::ZERO);
        assert_eq!(broken(&mut world), 0);
    });
}

#[test]
fn a_new_daemon_keeps_servers_in_that_have_not_answered_it_yet() {
    run_all("a_new_daemon_keeps", seeds(20), |seed, trace| {
        let mut world = busy(2, Scheduler::RoundRobin, seed, trace);
        // Shorter than two checks, and a server is in until two have failed.
        let silent = |server| Rule {
            from: Whom::One(Node::Server(server)),
            to: Whom::One(Node::Director(0)),
            traffic: Traffic::Any,
            action: Action::Lose(100),
        };
        let rules = (0..3).map(silent).collect();
        let before = refused(&world);
        world.suffer(Fault::Rules(rules), Duration::from_millis(400));
        world.suffer(Fault::Kill(0), Duration::from_millis(50));
        world.run(secs(2));
        assert_eq!(refused(&world), before);
        assert_eq!(takeovers(&world, 1), 0);
    });
}

#[test]
fn a_backup_that_was_stopped_reads_what_it_missed_before_it_decides() {
    run_all("a_backup_that_was_stopped", seeds(20), |seed, trace| {
        let mut world = busy(2, Scheduler::RoundRobin, seed, trace);
        for _ in 0..8 {
            let lasts = world
                .dice
                .time(Duration::ZERO, world.settings.master_down() * 2);
            world.suffer(Fault::Pause(1), lasts);
            world.run(lasts + secs(1));
        }
        assert_eq!(takeovers(&world, 1), 0);
    });
}

#[test]
fn a_daemon_that_ends_hands_over_without_a_gap() {
    run_all("a_daemon_that_ends", seeds(20), |seed, trace| {
        let mut world = busy(2, Scheduler::Maglev, seed, trace);
        world.suffer(Fault::Stop(0), secs(30));
        world.run(secs(3));
        assert!(world.directors[0].daemon.is_none());
        assert_eq!(role(&world, 1), Some(Role::Active));
        assert_eq!(world.watch.longest_unheld, Time::ZERO);
        assert_eq!(broken(&mut world), 0);
        world.run(secs(30));
        assert_eq!(role(&world, 0), Some(Role::Active));
        assert_eq!(broken(&mut world), 0);
    });
}

#[test]
fn a_stopped_daemon_yields_and_takes_over_again_when_it_goes_on() {
    run_all("a_stopped_daemon_yields", seeds(20), |seed, trace| {
        let mut world = busy(2, Scheduler::Maglev, seed, trace);
        world.suffer(Fault::Pause(0), secs(5));
        world.run(secs(4));
        assert_eq!(role(&world, 1), Some(Role::Active));
        world.settle();
        assert_eq!(role(&world, 0), Some(Role::Active));
        assert_eq!(broken(&mut world), 0);
    });
}

#[test]
fn partition_then_heal_leaves_one_active() {
    run_all("partition_then_heal", seeds(20), |seed, trace| {
        let mut world = busy(3, Scheduler::RoundRobin, seed, trace);
        let cut = |from, to| Rule {
            from,
            to,
            traffic: Traffic::Any,
            action: Action::Lose(100),
        };
        let one = Whom::One(Node::Director(0));
        let rules = vec![cut(one, Whom::Directors), cut(Whom::Directors, one)];
        world.suffer(Fault::Rules(rules), secs(3));
        world.run(secs(2));
        let active = (0..3).filter(|d| role(&world, *d) == Some(Role::Active));
        assert_eq!(active.count(), 2);
        world.run(secs(1) + world.settings.master_down());
        let active: Vec<_> = (0..3)
            .filter(|d| role(&world, *d) == Some(Role::Active))
            .collect();
        assert_eq!(active, [0]);
        world.settle();
    });
}

#[test]
fn directors_that_forward_at_each_other_stop_when_the_ttl_is_used_up() {
    let longest = Cell::new(0);
    run_all("directors_that_forward", seeds(20), |seed, trace| {
        let mut settings = Settings::of(2, Scheduler::RoundRobin);
        settings.services[0].servers = vec![(DIRECTORS, 1), (DIRECTORS + 1, 1)];
        let mut world = World::settled(settings, seed, trace);
        let deaf = Rule {
            from: Whom::Directors,
            to: Whom::Directors,
            traffic: Traffic::Adverts,
            action: Action::Lose(100),
        };
        world.suffer(Fault::Rules(vec![deaf]), secs(5));
        world.run(secs(5));
        let ways = world.directors.iter().map(|d| d.host.longest_way);
        let way = ways.max().unwrap_or_default();
        // The last one is the error that tells of it, which a director does not send on.
        assert!(way <= 64, "{way}");
        longest.set(longest.get().max(way));
        world.settle();
    });
    // Both being Active, some packets did go round; nobody else stops them.
    assert_eq!(longest.get(), 64);
}

#[test]
fn addresses_that_somebody_takes_are_put_back() {
    run_all("addresses_that_somebody_takes", seeds(5), |seed, trace| {
        let mut world = busy(2, Scheduler::WeightedLeastConnection, seed, trace);
        world.suffer(Fault::TakeAddresses(0), Duration::ZERO);
        assert!(world.directors[0].host.addresses.is_empty());
        world.run(secs(1));
        assert_eq!(world.directors[0].host.addresses.len(), 1);
        assert_eq!(takeovers(&world, 1), 0);
        assert_eq!(broken(&mut world), 0);
    });
}

#[test]
fn what_is_left_alone_expires_and_every_counter_ends_at_zero() {
    let mut world = busy(2, Scheduler::RoundRobin, 0, None);
    for client in &mut world.clients {
        client.leave();
    }
    // IPVS's timeout of established connections, and a round of the sweep.
    world.run(Duration::from_mins(15) + secs(2));
    for director in &mut world.directors {
        let tables = &director.host.plane.tables;
        let held = [&tables.state.established, &tables.state.half_open];
        let held = held.map(|counter| counter.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(held, [0, 0]);
        tables.check();
    }
}

#[test]
fn a_seed_determines_a_run() {
    let [one, other] = [(), ()].map(|()| {
        let trace = Trace::default();
        let world = ordeal(0, Settings::any_synced, Some(trace.clone()));
        let tallies: Vec<_> = world.clients.iter().map(|client| client.tally).collect();
        (trace.take(), tallies, world.now, world.watch.claims)
    });
    assert_eq!(one, other);
}
