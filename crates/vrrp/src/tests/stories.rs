//! Two and three directors: what each of the ordinary and extraordinary days comes to.

use evenkeel_testkit::Dice;

use super::sim::{Path, Sim};
use super::*;

const EACH_VERSION: [VrrpVersion; 2] = [VrrpVersion::V2, VrrpVersion::V3];

fn with_priority(config: &VirtualRouter, number: u8) -> VirtualRouter {
    VirtualRouter {
        priority: priority(number),
        ..config.clone()
    }
}

/// A pair of priorities 150 and 100, the first of which is Active.
fn pair(config: &VirtualRouter) -> Sim {
    let configs = [150, 100].map(|number| with_priority(config, number));
    let sim = Sim::settled(1, configs.to_vec());
    assert_eq!(sim.active(), [0]);
    sim
}

fn fast() -> VirtualRouter {
    VirtualRouter {
        advert_interval: ms(10),
        ..v3()
    }
}

fn each_config() -> [VirtualRouter; 3] {
    [config(VrrpVersion::V2), v3(), fast()]
}

#[test]
fn power_off_is_over_within_a_master_down_interval() {
    for config in each_config() {
        let mut sim = pair(&config);
        let master_down = sim.nodes[1]
            .machine
            .as_ref()
            .unwrap()
            .master_down_interval();
        sim.run(config.advert_interval.mul_f64(0.6));
        sim.power_off(0);
        let off = sim.now;
        sim.run(master_down);
        assert_eq!(sim.active(), [1]);
        let (at, _, reason) = sim.nodes[1].changes[0];
        assert!(at - off > master_down - config.advert_interval);
        assert!(matches!(reason, Reason::NobodyHeard { silence } if silence == master_down));
    }
}

#[test]
fn a_takeover_by_the_second_leaves_the_third_a_backup() {
    // A skew cut to 10 ms, or to nothing, would have both take over.
    let configs = [200, 150, 100].map(|number| with_priority(&fast(), number));
    for seed in 0..200 {
        let mut sim = Sim::settled(seed, configs.to_vec());
        sim.run(us(seed * 50));
        sim.power_off(0);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [1], "seed {seed}");
        assert_eq!(sim.nodes[2].changes, [], "seed {seed}");
        assert!(sim.longest_unheld < ms(40), "{:?}", sim.longest_unheld);
    }
}

#[test]
fn at_a_shutdown_somebody_answers_at_every_moment() {
    for config in each_config() {
        let mut sim = pair(&config);
        sim.shut_down(0);
        let begin = sim.now;
        sim.run(sim.master_down() * 2);
        assert_eq!(sim.active(), [1]);
        assert!(sim.nodes[0].stopped);
        assert_eq!(sim.longest_unheld, Duration::ZERO);
        let (at, _, reason) = sim.nodes[1].changes[0];
        let successor = sim.nodes[1].machine.as_ref().unwrap();
        let skew = successor.master_down_interval() - config.advert_interval * 3;
        assert!(at - begin <= skew + us(60), "{:?}", at - begin);
        assert!(matches!(reason, Reason::ActiveStopped { .. }));
    }
}

#[test]
fn a_shutdown_survives_the_loss_of_its_first_notice() {
    let mut sim = pair(&v3());
    sim.set_path(0, 1, Path::CUT);
    sim.shut_down(0);
    sim.run(ms(1));
    sim.set_path(0, 1, Path::CLEAN);
    sim.run(ms(200));
    assert_eq!(sim.active(), [1]);
    assert_eq!(sim.longest_unheld, Duration::ZERO);
}

#[test]
fn the_returning_primary_takes_over_without_a_gap_once_it_may() {
    for config in each_config() {
        let mut sim = pair(&config);
        sim.power_off(0);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [1]);
        sim.longest_unheld = Duration::ZERO;
        sim.power_on(0);
        sim.run(sim.master_down() * 5);
        assert_eq!(sim.active(), [1], "its checks are not complete");
        sim.may_take_over(0);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [0]);
        assert_eq!(sim.longest_unheld, Duration::ZERO);
        assert!(sim.longest_double <= ms(1), "{:?}", sim.longest_double);
    }
}

#[test]
fn a_handover_by_order_leaves_no_gap_and_stays_until_the_other_hands_back() {
    for config in each_config() {
        let mut sim = pair(&config);
        sim.order(0, HAND_OVER);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [1]);
        let [(_, HandoverEnd::Successor { priority, took, .. })] = sim.nodes[0].ends[..] else {
            panic!("{:?}", sim.nodes[0].ends);
        };
        assert_eq!(priority, 100);
        assert!(took <= config.advert_interval, "{took:?}");
        sim.run(sim.master_down() * 20);
        assert_eq!(sim.active(), [1], "it does not preempt");
        assert_eq!(sim.stance(0), Stance::HandedOver);

        sim.order(1, HAND_OVER);
        sim.run(sim.master_down() * 20);
        assert_eq!(sim.active(), [0]);
        assert_eq!(sim.stance(0), Stance::Ordinary);
        assert_eq!(sim.longest_unheld, Duration::ZERO);
        assert!(sim.longest_double <= ms(1), "{:?}", sim.longest_double);
    }
}

#[test]
fn who_returns_asks_and_gets_the_role_without_a_gap() {
    for config in each_config() {
        let mut sim = pair(&config);
        sim.power_off(0);
        sim.run(sim.bound());
        sim.power_on(0);
        sim.wait_for_sync(0, true);
        sim.may_take_over(0);
        sim.run(sim.master_down() * 20);
        assert_eq!((sim.active(), sim.nodes[0].wants), (vec![1], true));
        sim.longest_unheld = Duration::ZERO;
        sim.order(1, Order::Yield);
        sim.run(sim.bound());
        assert_eq!((sim.active(), sim.nodes[0].wants), (vec![0], false));
        let [(_, HandoverEnd::Successor { took, .. })] = sim.nodes[1].ends[..] else {
            panic!("{:?}", sim.nodes[1].ends);
        };
        assert!(took <= config.advert_interval, "{took:?}");
        assert_eq!(sim.stance(1), Stance::Ordinary);
        assert_eq!(sim.longest_unheld, Duration::ZERO);
        assert!(sim.longest_double <= ms(1), "{:?}", sim.longest_double);
    }
}

#[test]
fn who_has_handed_over_takes_over_when_the_successor_dies_and_is_its_old_self() {
    for config in each_config() {
        let mut sim = pair(&config);
        sim.order(0, HAND_OVER);
        sim.run(sim.bound());
        sim.power_off(1);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [0]);
        sim.power_on(1);
        sim.may_take_over(1);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [0]);
        sim.power_off(0);
        sim.run(sim.bound());
        sim.power_on(0);
        sim.may_take_over(0);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [0], "it preempts again");
    }
}

#[test]
fn a_link_that_flaps_does_not_undo_a_handover_and_a_restart_does() {
    let mut sim = pair(&v3());
    sim.order(0, HAND_OVER);
    sim.run(sim.bound());
    for _ in 0..3 {
        sim.set_link(0, false);
        sim.run(sim.bound());
        sim.set_link(0, true);
        sim.run(sim.bound());
    }
    assert_eq!(sim.active(), [1]);
    assert_eq!(sim.stance(0), Stance::HandedOver);
    sim.power_on(0);
    sim.may_take_over(0);
    sim.run(sim.bound());
    assert_eq!(sim.active(), [0]);
}

#[test]
fn alone_a_handover_ends_where_it_began() {
    for config in each_config() {
        let mut sim = pair(&config);
        sim.power_off(1);
        sim.order(0, HAND_OVER);
        sim.run(sim.master_down().max(ms(1_000)) + ms(1));
        assert!(matches!(
            sim.nodes[0].ends[..],
            [(_, HandoverEnd::Nobody { .. })]
        ));
        sim.run(sim.bound());
        assert_eq!(sim.active(), [0]);
        assert_eq!(sim.nodes[0].changes, []);
        assert_eq!(sim.stance(0), Stance::Ordinary);
        assert_eq!(sim.longest_unheld, Duration::ZERO);
    }
}

#[test]
fn a_handover_waits_until_all_is_prepared() {
    let mut sim = pair(&v3());
    sim.nodes[0].is_prepared = false;
    sim.order(0, STAND_BY);
    sim.run(ms(5_000));
    assert_eq!(sim.active(), [0], "as ever, at its own priority");
    assert_eq!(sim.nodes[1].changes, []);
    sim.prepare(0);
    sim.run(sim.bound());
    assert_eq!(sim.active(), [1]);
    assert_eq!(sim.longest_unheld, Duration::ZERO);
}

#[test]
fn who_stands_by_serves_only_while_nobody_else_does() {
    for config in each_config() {
        let mut sim = pair(&config);
        sim.order(0, STAND_BY);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [1]);
        sim.power_off(1);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [0]);
        sim.longest_unheld = Duration::ZERO;
        sim.power_on(1);
        sim.may_take_over(1);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [1], "a lower configured priority preempts it");
        sim.order(0, Order::Resume);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [0]);
        assert_eq!(sim.longest_unheld, Duration::ZERO);
    }
}

#[test]
fn of_two_that_stand_by_one_serves() {
    for config in each_config() {
        let mut sim = pair(&config);
        sim.order(0, STAND_BY);
        sim.run(sim.bound());
        sim.order(1, STAND_BY);
        sim.run(sim.master_down() * 3);
        assert_eq!(sim.active(), [0]);
        assert_eq!(sim.longest_unheld, Duration::ZERO);
        // And from the dead, whoever it is.
        sim.power_off(0);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [1]);
    }
}

#[test]
fn in_maintenance_nothing_is_taken_over_and_afterwards_at_once() {
    for config in each_config() {
        let mut sim = pair(&config);
        sim.order(0, MAINTAIN);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [1]);
        assert_eq!(sim.longest_unheld, Duration::ZERO);
        sim.power_off(1);
        sim.run(sim.master_down() * 20);
        assert_eq!(sim.active(), []);
        sim.order(0, Order::EndMaintenance);
        assert_eq!(sim.active(), [0]);
    }
}

#[test]
fn the_last_one_that_serves_goes_into_maintenance_by_force_only() {
    let mut sim = pair(&v3());
    sim.order(1, MAINTAIN);
    sim.order(0, MAINTAIN);
    sim.run(ms(5_000));
    assert_eq!(sim.active(), [0]);
    assert_eq!(sim.stance(0), Stance::Ordinary);
    sim.order(
        0,
        Order::Maintain {
            patience: None,
            force: true,
        },
    );
    sim.run(ms(5_000));
    assert_eq!(sim.active(), []);
    assert!(!sim.nodes[0].answers());
    sim.order(1, Order::EndMaintenance);
    sim.run(ms(1));
    assert_eq!(sim.active(), [1]);
    sim.order(0, Order::EndMaintenance);
    sim.run(sim.bound());
    assert_eq!(sim.active(), [0]);
}

#[test]
fn of_two_actives_that_both_hand_over_one_stays() {
    let mut sim = pair(&v3());
    sim.set_path(0, 1, Path::CUT);
    sim.set_path(1, 0, Path::CUT);
    sim.run(ms(1_000));
    assert_eq!(sim.active(), [0, 1]);
    sim.order(0, HAND_OVER);
    sim.order(1, HAND_OVER);
    sim.set_path(0, 1, Path::CLEAN);
    sim.set_path(1, 0, Path::CLEAN);
    sim.run(sim.bound());
    assert_eq!(sim.active().len(), 1);
    assert!(sim.longest_double <= ms(110), "{:?}", sim.longest_double);
}

#[test]
fn of_three_the_next_best_takes_over_by_order() {
    let configs = [200, 150, 100].map(|number| with_priority(&v3(), number));
    let mut sim = Sim::settled(1, configs.to_vec());
    sim.order(0, HAND_OVER);
    sim.run(sim.bound());
    assert_eq!(sim.active(), [1]);
    assert_eq!(sim.nodes[2].changes, []);
    sim.order(1, HAND_OVER);
    sim.run(sim.bound());
    assert_eq!(sim.active(), [0]);
}

#[test]
fn a_handover_that_is_slept_through_leaves_the_successor_active() {
    let mut sim = pair(&v3());
    sim.order(0, HAND_OVER);
    sim.pause(0);
    sim.run(ms(5_000));
    sim.resume(0);
    sim.run(ms(5_000));
    assert_eq!(sim.active(), [1]);
    assert_eq!(sim.stance(0), Stance::HandedOver);
    assert!(matches!(
        sim.nodes[0].ends[..],
        [(_, HandoverEnd::Away { .. } | HandoverEnd::Successor { .. })]
    ));
}

#[test]
fn without_preemption_the_returning_primary_stays_backup() {
    let config = VirtualRouter {
        preempt: false,
        ..v3()
    };
    let mut sim = pair(&config);
    sim.power_off(0);
    sim.run(sim.bound());
    sim.power_on(0);
    sim.may_take_over(0);
    sim.run(ms(60_000));
    assert_eq!(sim.active(), [1]);
    sim.power_off(1);
    sim.run(sim.bound());
    assert_eq!(sim.active(), [0]);
}

#[test]
fn of_equal_priorities_the_higher_address_wins_and_its_partner_does_not_return_to_power() {
    for config in each_config() {
        let configs = vec![config.clone(), config];
        let mut sim = Sim::settled(1, configs);
        assert_eq!(sim.active(), [1]);
        sim.power_off(1);
        sim.run(sim.bound());
        sim.power_on(1);
        sim.may_take_over(1);
        sim.run(sim.bound() * 5);
        assert_eq!(sim.active(), [0], "an equal one does not preempt");
    }
}

#[test]
fn after_a_pause_of_5_s_the_primary_yields_and_then_preempts() {
    for config in [v3(), fast()] {
        let mut sim = pair(&config);
        sim.pause(0);
        sim.run(ms(5_000));
        assert_eq!(sim.active(), [0, 1], "the paused one knows of nothing");
        let resumed = sim.now;
        sim.resume(0);
        assert_eq!(sim.active(), [1], "at once");
        sim.run(sim.bound());
        assert_eq!(sim.active(), [0]);
        let roles: Vec<Role> = sim.nodes[0].changes.iter().map(|c| c.1).collect();
        assert_eq!(roles, [Role::Backup, Role::Active]);
        assert!(matches!(
            sim.nodes[0].changes[0].2,
            Reason::ReplacedWhileAway { .. }
        ));
        assert!(sim.longest_double <= ms(1), "{:?}", sim.longest_double);
        assert!(sim.nodes[0].bursts.iter().all(|at| *at > resumed));
    }
}

#[test]
fn a_lone_director_goes_on_after_a_pause() {
    let mut sim = Sim::settled(1, vec![v3()]);
    for _ in 0..5 {
        sim.pause(0);
        sim.run(ms(5_000));
        sim.resume(0);
        let bursts = sim.nodes[0].bursts.len();
        sim.run(ms(100));
        assert_eq!(sim.nodes[0].bursts.len(), bursts + 1);
    }
    assert_eq!(sim.nodes[0].changes, []);
    assert_eq!(sim.longest_unheld, Duration::ZERO);
}

#[test]
fn a_paused_backup_does_not_take_over_when_it_comes_back() {
    let mut sim = pair(&v3());
    sim.pause(1);
    sim.run(ms(5_000));
    sim.resume(1);
    sim.run(ms(5_000));
    assert_eq!(sim.nodes[1].changes, []);
    assert!(matches!(sim.nodes[1].notices[..], [Notice::Away { .. }]));
}

#[test]
fn link_down_and_up_end_where_they_began() {
    for config in each_config() {
        let mut sim = pair(&config);
        sim.set_link(0, false);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [1]);
        sim.set_link(0, true);
        sim.run(sim.bound());
        assert_eq!(sim.active(), [0]);
        assert!(sim.longest_double <= ms(1), "{:?}", sim.longest_double);
    }
}

#[test]
fn when_only_one_is_heard_the_winner_announces_on_and_has_the_last_word() {
    for version in EACH_VERSION {
        let mut sim = pair(&config(version));
        // The Backup does not hear the Active, which hears it.
        sim.set_path(0, 1, Path::CUT);
        sim.run(ms(20_000));
        assert_eq!(sim.active(), [0, 1]);
        let bursts = sim.nodes[0].bursts.len();
        assert!((10..=21).contains(&bursts), "{bursts} in 20 s");
        sim.set_path(0, 1, Path::CLEAN);
        let healed = sim.now;
        sim.run(sim.bound());
        assert_eq!(sim.active(), [0]);
        assert!(sim.longest_double <= sim.master_down());
        let (yielded, ..) = *sim.nodes[1].changes.last().unwrap();
        assert!(yielded >= healed);
        let last = *sim.nodes[0].bursts.last().unwrap();
        assert!(last > yielded, "{version:?}");
    }
}

#[test]
fn a_loser_that_is_not_heard_yields() {
    for version in EACH_VERSION {
        let mut sim = pair(&config(version));
        sim.set_path(1, 0, Path::CUT);
        sim.run(ms(20_000));
        assert_eq!(sim.active(), [0]);
        assert_eq!(sim.nodes[1].changes, []);
    }
}

#[test]
fn unicast_peers_do_as_well_as_the_group() {
    let to = |peer: u8, number| VirtualRouter {
        peers: vec![IpAddr::from([192, 0, 2, peer])],
        priority: priority(number),
        ..v3()
    };
    let mut sim = Sim::settled(1, vec![to(2, 150), to(1, 100)]);
    assert_eq!(sim.active(), [0]);
    sim.power_off(0);
    sim.run(sim.bound());
    sim.power_on(0);
    sim.may_take_over(0);
    sim.run(sim.bound());
    assert_eq!(sim.active(), [0]);
    assert_eq!(sim.nodes[1].notices, []);
}

#[test]
fn ten_idle_minutes_with_late_timers_and_some_loss_see_no_takeover() {
    let mut sim = pair(&v3());
    for node in &mut sim.nodes {
        node.jitter = ms(50);
    }
    let path = Path {
        loss: 1,
        delay: ms(5),
    };
    sim.set_path(0, 1, path);
    sim.run(ms(600_000));
    assert_eq!(sim.nodes[0].changes, []);
    assert_eq!(sim.nodes[1].changes, []);
    // One for each interval, however late the timers are.
    assert!(
        (6_000..=6_010).contains(&sim.nodes[0].sent),
        "{}",
        sim.nodes[0].sent
    );
}

/// Two or three directors, of one virtual router that is configured at random.
fn any_sim(seed: u64) -> Sim {
    let mut dice = Dice::new(seed);
    let base = dice.pick(&[0, 1, 1, 2]);
    let mut base = each_config()[base].clone();
    base.checksum = dice.pick(&[AdvertChecksum::PseudoHeader, AdvertChecksum::Rfc9568]);
    base.announce_again = dice.pick(&[Duration::ZERO, ms(300)]);
    let preempt = dice.chance(75);
    let count = dice.pick(&[2, 3]);
    let peers: Vec<u8> = match dice.chance(25) {
        true => (1..=count).collect(),
        false => Vec::new(),
    };
    let configs = (1..=count).map(|host| VirtualRouter {
        priority: priority(dice.pick(&[1, 99, 100, 100, 254, 255])),
        preempt,
        preempt_delay: dice.pick(&[Duration::ZERO, base.advert_interval * 5]),
        peers: peers
            .iter()
            .filter(|peer| **peer != host)
            .map(|peer| IpAddr::from([192, 0, 2, *peer]))
            .collect(),
        ..base.clone()
    });
    let configs = configs.collect();
    Sim::new(seed, configs)
}

/// An operator does something.
fn command(sim: &mut Sim, node: usize) {
    let patience = sim.nodes[node].config.advert_interval * 4;
    let patience = sim.dice.pick(&[Some(patience), None]);
    let force = sim.dice.chance(30);
    let order = sim.dice.pick(&[
        Order::HandOver { patience },
        Order::HandOver { patience },
        Order::StandBy { patience },
        Order::Maintain { patience, force },
        Order::Resume,
        Order::EndMaintenance,
        Order::Yield,
    ]);
    sim.nodes[node].is_prepared = sim.dice.chance(70);
    sim.order(node, order);
}

/// Something goes wrong, or right again.
fn strike(sim: &mut Sim) {
    let interval = sim.nodes[0].config.advert_interval;
    let count = sim.nodes.len() as u64;
    let node = usize::try_from(sim.dice.below(count)).unwrap();
    let other = usize::try_from(sim.dice.below(count)).unwrap();
    match sim.dice.below(12) {
        0 => sim.power_off(node),
        1 | 2 if sim.nodes[node].machine.is_none() => sim.power_on(node),
        1 | 2 => sim.may_take_over(node),
        3 => sim.pause(node),
        4 => sim.resume(node),
        5 => {
            let up = sim.dice.chance(50);
            sim.set_link(node, up);
        }
        6 if sim.dice.chance(30) => sim.shut_down(node),
        6 => sim.nodes[node].jitter = interval / 4,
        7 | 8 => command(sim, node),
        _ => {
            let path = Path {
                loss: sim.dice.pick(&[0, 0, 10, 50, 100]),
                delay: sim.dice.pick(&[us(50), interval / 3, interval * 2]),
            };
            sim.set_path(node, other, path);
        }
    }
}

fn check_that_one_is_active(sim: &mut Sim, seed: u64) {
    let preempts = sim.nodes.iter().all(|node| node.config.preempt);
    let delays = sim.nodes.iter().map(|node| node.config.preempt_delay);
    let delay = delays.max().unwrap();
    // A delay may begin only once a lower one has taken over, and another master-down interval follows it.
    let bound = match preempts && !delay.is_zero() {
        true => sim.bound() + delay + sim.master_down(),
        false => sim.bound(),
    };
    // A handover that has just begun may find nobody, and somebody may then preempt.
    let bound = bound + sim.master_down().max(ms(1_000)) + sim.bound();
    sim.longest_double = Duration::ZERO;
    let sent: u64 = sim.nodes.iter().map(|node| node.sent).sum();
    sim.run(bound);
    let active = sim.active();
    let master_down = sim.master_down();
    assert!(
        sim.longest_double <= master_down,
        "seed {seed}: two Actives for {:?}",
        sim.longest_double
    );
    match sim.best() {
        None => assert_eq!(active, [], "seed {seed}"),
        Some(best) => {
            assert_eq!(active.len(), 1, "seed {seed}");
            let active = sim.nodes[active[0]].machine.as_ref().unwrap().view();
            let number = active.priority_in_force;
            let by_priority = preempts && !sim.any_handed_over();
            assert!(number == best || !by_priority, "seed {seed}: {number}");
            assert_ne!(active.stance, Stance::Maintenance, "seed {seed}");
        }
    }
    // And so it stays.
    for node in &mut sim.nodes {
        node.changes.clear();
    }
    sim.longest_unheld = Duration::ZERO;
    let calm = sim.nodes[0].config.advert_interval * 10;
    sim.run(calm);
    assert_eq!(sim.active(), active, "seed {seed}");
    for node in &sim.nodes {
        assert_eq!(node.changes, [], "seed {seed}");
        assert_eq!(node.answers(), node.role() == Role::Active, "seed {seed}");
    }
    let intervals = (bound + calm).div_duration_f64(sim.nodes[0].config.advert_interval);
    let sent = sim.nodes.iter().map(|node| node.sent).sum::<u64>() - sent;
    let most = 6.0 * sim.nodes.len() as f64 + 2.0 * intervals;
    assert!((sent as f64) < most, "seed {seed}: {sent} advertisements");
}

/// From `EVENKEEL_SEED` on, as many seeds as `EVENKEEL_SEEDS` says.
fn seeds() -> std::ops::Range<u64> {
    let number = |name, default| {
        let given = std::env::var(name).ok();
        given.map_or(default, |text| text.parse().expect(name))
    };
    let first = number("EVENKEEL_SEED", 0);
    first..first + number("EVENKEEL_SEEDS", 3_000)
}

#[test]
fn whatever_went_wrong_one_is_active_soon_after_it_ends() {
    for seed in seeds() {
        let mut sim = any_sim(seed);
        for node in 0..sim.nodes.len() {
            sim.power_on(node);
        }
        for _ in 0..20 {
            strike(&mut sim);
            let most = sim.master_down();
            let time = sim.dice.time(Duration::ZERO, most);
            sim.run(time);
        }
        sim.clean();
        check_that_one_is_active(&mut sim, seed);
    }
}
