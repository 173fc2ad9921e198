//! Two Actives.

use super::*;

#[test]
fn a_loser_is_answered_at_once_but_not_more_than_once_in_an_interval() {
    let mut bench = Bench::active(v3());
    for _ in 0..50 {
        bench.sleep(us(100));
        bench.hear(BELOW, 100);
        bench.hear(ABOVE, 0);
    }
    assert_eq!(bench.words(), "advert 100");
    bench.pass(ms(100));
    bench.drain();
    bench.hear(BELOW, 100);
    assert_eq!(bench.words(), "advert 100");
}

#[test]
fn two_that_both_believe_to_have_won_do_not_storm() {
    // Each sees the other's address translated to one below its own.
    let mut ends = [Bench::active(v3()), Bench::active(v3())];
    ends[1].now = ends[0].now;
    let mut adverts = 0;
    for _ in 0..10_000 {
        let mut sent = [false, false];
        for (end, sent) in ends.iter_mut().zip(&mut sent) {
            end.pass(us(100));
            *sent = end.words().contains("advert");
        }
        for (end, heard) in ends.iter_mut().zip([sent[1], sent[0]]) {
            if heard {
                end.hear(BELOW, 100);
            }
        }
        adverts += sent.iter().filter(|sent| **sent).count();
    }
    // In a second: ten in turn and ten answers of each.
    assert!((20..=42).contains(&adverts), "{adverts}");
}

#[test]
fn the_winner_announces_again_after_the_loser_has_had_time_to_yield() {
    for version in [VrrpVersion::V2, VrrpVersion::V3] {
        let mut bench = Bench::active(config(version));
        let interval = bench.config().advert_interval;
        bench.pass(ms(20_000));
        bench.drain();
        bench.hear(BELOW, 50);
        bench.drain();
        bench.pass(interval - us(1));
        assert!(!bench.words().contains("announce"), "{version:?}");
        bench.pass(us(1));
        assert!(bench.words().contains("announce"), "{version:?}");
        bench.pass(ms(20_000));
        assert!(!bench.words().contains("announce"), "{version:?}");
    }
}

#[test]
fn while_a_rival_goes_on_the_winner_announces_every_second() {
    let mut bench = Bench::active(v3());
    bench.pass(ms(6_000));
    bench.drain();
    let mut announced = 0;
    for _ in 0..1_000 {
        bench.hear(BELOW, 50);
        bench.pass(ms(10));
        announced += bench.words().matches("announce").count();
    }
    assert!((9..=11).contains(&announced), "{announced} in 10 s");
    // The last word is the winner's.
    bench.pass(ms(1_000));
    assert_eq!(bench.words().matches("announce").count(), 1);
}

#[test]
fn equal_priorities_are_settled_by_address_as_an_unsigned_number() {
    for (rival, role) in [(BELOW, Role::Active), (ABOVE, Role::Backup)] {
        let mut bench = Bench::active(v3());
        bench.hear(rival, 100);
        assert_eq!(bench.role(), role);
    }
}

#[test]
fn two_owners_settle_it_too() {
    let owner = VirtualRouter {
        priority: Priority::OWNER,
        ..v3()
    };
    for (rival, role) in [(BELOW, Role::Active), (ABOVE, Role::Backup)] {
        let mut bench = Bench::active(owner.clone());
        bench.hear(rival, 255);
        assert_eq!(bench.role(), role);
    }
}

#[test]
fn the_higher_priority_wins_without_preemption_too() {
    let mut bench = Bench::active(VirtualRouter {
        preempt: false,
        ..v3()
    });
    bench.hear(ABOVE, 99);
    assert_eq!(bench.role(), Role::Active);
    bench.hear(BELOW, 101);
    assert_eq!(bench.role(), Role::Backup);
    let address = BELOW;
    let reason = Reason::OtherActive {
        address,
        priority: 101,
    };
    assert_eq!(bench.reason(), reason);
}

#[test]
fn the_loser_has_a_last_word_so_that_the_winner_announces_again() {
    let mut loser = Bench::active(v3());
    loser.hear(ABOVE, 150);
    assert_eq!(loser.words(), "advert 100, drain, release, backup");
    loser.hear(ABOVE, 150);
    assert_eq!(loser.words(), "", "one");

    // Nobody else had been heard.
    let mut winner = Bench::active(v3());
    winner.pass(ms(20_000));
    winner.drain();
    winner.hear(BELOW, 90);
    winner.pass(ms(100));
    assert!(winner.words().contains("announce"));
}

#[test]
fn of_two_owners_the_second_does_not_preempt_once_it_has_its_connections() {
    let owner = VirtualRouter {
        priority: Priority::OWNER,
        ..v3()
    };
    let mut bench = Bench::new(owner, Start::Backup);
    bench.machine.wait_for_sync(true, bench.now);
    bench.machine.may_take_over(bench.now);
    bench.hear_for(5, ABOVE, 255);
    for wait in [false, true, false] {
        bench.machine.wait_for_sync(wait, bench.now);
        bench.hear_for(5, ABOVE, 255);
        assert_eq!(bench.role(), Role::Backup);
    }
    bench.pass(bench.machine.config().advert_interval * 4);
    assert_eq!(bench.role(), Role::Active);
}
