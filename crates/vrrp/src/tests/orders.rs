//! Orders of operators.

use super::*;

const FORCE: Order = Order::Maintain {
    patience: None,
    force: true,
};

#[test]
fn a_handover_keeps_everything_until_a_successor_is_heard() {
    let mut bench = Bench::active(v3());
    bench.machine.order(HAND_OVER, bench.now);
    assert_eq!(bench.words(), "prepare");
    assert!(bench.machine.view().handing_over);
    bench.pass(ms(100));
    assert_eq!(bench.words(), "advert 100", "as ever while it is prepared");
    bench.machine.prepared(bench.now);
    bench.pass(ms(100));
    assert_eq!(bench.words(), "advert 0, advert 0");
    assert_eq!(bench.role(), Role::Active);
    bench.hear(BELOW, 50);
    assert_eq!(bench.words(), "drain, release, backup, handed to 192.0.2.1");
    let address = BELOW;
    let reason = Reason::HandedOver {
        address,
        priority: 50,
        asked: false,
    };
    assert_eq!(bench.reason(), reason);
    assert!(!bench.machine.view().handing_over);
    bench.hear_for(100, BELOW, 50);
    assert_eq!(bench.words(), "close", "it does not preempt");
    assert_eq!(bench.stance(), Stance::HandedOver);
}

#[test]
fn a_partner_that_asks_gets_the_role_in_order_and_nothing_is_left_of_that() {
    let mut bench = Bench::active(v3());
    bench.order(Order::Yield);
    assert_eq!(bench.words(), "prepare, advert 0");
    bench.machine.order(Order::Yield, bench.now);
    assert_eq!(bench.words(), "", "it goes on already");
    bench.hear(BELOW, 150);
    assert_eq!(bench.words(), "drain, release, backup, handed to 192.0.2.1");
    let reason = "handed over to 192.0.2.1 (priority 150) as it asked";
    assert_eq!(bench.reason().to_string(), reason);
    assert_eq!(bench.stance(), Stance::Ordinary);

    // An operator who joins in has ordered it.
    let mut bench = Bench::active(v3());
    bench.machine.order(Order::Yield, bench.now);
    bench.order(HAND_OVER);
    bench.hear(BELOW, 150);
    assert_eq!(bench.stance(), Stance::HandedOver);
    assert!(bench.reason().to_string().ends_with("by command"));

    // Nobody takes over: as if it had not been asked.
    let mut bench = Bench::active(v3());
    bench.order(Order::Yield);
    bench.pass(ms(1_000));
    assert!(bench.words().ends_with("nobody"));
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn without_a_successor_it_goes_on_and_its_lease_is_renewed() {
    let mut bench = Bench::active(v3());
    bench.pass(ms(6_000));
    bench.drain();
    bench.order(HAND_OVER);
    bench.drain();
    bench.pass(ms(999));
    assert_eq!(bench.role(), Role::Active);
    assert!(!bench.words().contains("advert 100"));
    bench.pass(ms(1));
    assert_eq!(
        bench.words(),
        "advert 0, advert 100, open, announce 5, nobody"
    );
    assert_eq!(bench.next(), Some(ms(100)));
    assert_eq!(bench.stance(), Stance::Ordinary);
}

#[test]
fn a_preparation_has_an_end() {
    for (patience, wait) in [(None, PREPARATION_MAX), (Some(ms(250)), ms(250))] {
        let mut bench = Bench::active(v3());
        bench.machine.order(Order::HandOver { patience }, bench.now);
        bench.pass(wait - us(1));
        assert!(bench.machine.view().handing_over);
        bench.pass(us(1));
        assert!(bench.words().ends_with("unprepared"), "not handed over");
        assert_eq!(bench.stance(), Stance::Ordinary);
        bench.machine.prepared(bench.now);
        assert_eq!(bench.words(), "", "too late");
    }
}

#[test]
fn a_shutdown_does_without_what_is_not_prepared_in_time() {
    let mut bench = Bench::active(v3());
    bench.machine.shut_down(bench.now);
    assert_eq!(bench.words(), "prepare");
    assert_eq!(bench.role(), Role::Active);
    bench.pass(PREPARATION_MAX);
    assert!(bench.words().ends_with("advert 0, initialize"));
    bench.hear(BELOW, 50);
    assert_eq!(bench.words(), "drain, release");
}

#[test]
fn who_has_handed_over_takes_over_from_the_dead_and_from_who_hands_back() {
    for hands_back in [false, true] {
        let mut bench = Bench::active(v3());
        bench.order(HAND_OVER);
        bench.hear_for(10, BELOW, 50);
        bench.drain();
        if hands_back {
            bench.hear(BELOW, 0);
            bench.pass(ms(61));
        } else {
            bench.pass(ms(361));
        }
        assert_eq!(bench.words(), "advert 100, open, claim, announce 5, active");
        let reason = match hands_back {
            true => "the Active, 192.0.2.1, stopped (priority 0)",
            false => "no Active heard for 360 ms",
        };
        assert_eq!(bench.reason().to_string(), reason);
        assert_eq!(bench.stance(), Stance::Ordinary);
    }
}

#[test]
fn resuming_lets_the_configuration_decide() {
    for (preempt, role) in [(true, Role::Active), (false, Role::Backup)] {
        let mut bench = Bench::active(VirtualRouter { preempt, ..v3() });
        bench.order(HAND_OVER);
        bench.hear_for(10, BELOW, 50);
        bench.order(Order::Resume);
        bench.hear_for(10, BELOW, 50);
        assert_eq!(bench.role(), role);
    }
}

#[test]
fn an_owner_too_stays_back_until_it_is_told_to_resume() {
    let owner = VirtualRouter {
        priority: Priority::OWNER,
        ..v3()
    };
    for order in [HAND_OVER, STAND_BY, MAINTAIN] {
        let mut bench = Bench::new(owner.clone(), Start::Backup);
        bench.machine.may_take_over(bench.now);
        bench.order(order);
        bench.hear_for(10, BELOW, 100);
        assert_eq!(bench.role(), Role::Backup);
        bench.machine.handle_link(false, bench.now);
        bench.machine.handle_link(true, bench.now);
        bench.hear_for(10, BELOW, 100);
        assert_eq!(bench.role(), Role::Backup, "{order:?}");
        bench.order(Order::Resume);
        bench.order(Order::EndMaintenance);
        assert_eq!(bench.role(), Role::Active);
    }
}

#[test]
fn who_stands_by_is_the_last_choice_as_active_too() {
    let mut bench = Bench::active(v3());
    bench.order(STAND_BY);
    bench.pass(ms(1_000));
    assert!(
        bench
            .words()
            .ends_with("advert 1, open, announce 5, nobody")
    );
    assert_eq!(bench.stance(), Stance::Standby);
    let view = bench.machine.view();
    assert_eq!(
        (view.priority.get(), view.priority_in_force.get()),
        (100, 1)
    );
    bench.hear(BELOW, 2);
    assert_eq!(bench.words(), "advert 1, drain, release, backup");
    bench.hear(BELOW, 0);
    bench.pass(ms(100));
    assert_eq!(bench.words(), "advert 1, open, claim, announce 5, active");
    bench.order(Order::Resume);
    assert_eq!(bench.words(), "advert 100");
}

#[test]
fn maintenance_that_nobody_takes_over_for_is_given_up_unless_it_is_forced() {
    let mut bench = Bench::active(v3());
    bench.order(MAINTAIN);
    bench.pass(ms(1_000));
    assert!(bench.words().ends_with("nobody"));
    assert_eq!(
        (bench.role(), bench.stance()),
        (Role::Active, Stance::Ordinary)
    );
    bench.order(FORCE);
    bench.pass(ms(1_000));
    let words = bench.words();
    assert!(
        words.ends_with("drain, release, backup, given up"),
        "{words}"
    );
    assert_eq!(bench.reason(), Reason::GaveUp);
    bench.pass(ms(60_000));
    assert_eq!(bench.words(), "close");
    bench.machine.order(Order::EndMaintenance, bench.now);
    assert_eq!(bench.words(), "advert 100, open, claim, announce 5, active");
}

#[test]
fn maintenance_that_ends_before_the_handover_is_no_force_any_more() {
    let mut bench = Bench::active(v3());
    bench.order(FORCE);
    bench.order(Order::EndMaintenance);
    bench.pass(ms(1_000));
    assert!(bench.words().ends_with("nobody"));
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn in_maintenance_a_timer_that_ran_out_counts_only_while_nobody_is_heard() {
    let mut bench = Bench::backup(v3());
    bench.order(MAINTAIN);
    bench.pass(ms(60_000));
    assert_eq!(bench.words(), "not active");
    bench.hear(BELOW, 150);
    bench.machine.order(Order::EndMaintenance, bench.now);
    assert_eq!(bench.words(), "");
    assert_eq!(bench.role(), Role::Backup);
}

#[test]
fn maintenance_leaves_standby_as_it_was() {
    let mut bench = Bench::backup(v3());
    bench.order(STAND_BY);
    bench.order(MAINTAIN);
    assert_eq!(bench.stance(), Stance::Maintenance);
    bench.order(Order::EndMaintenance);
    assert_eq!(bench.stance(), Stance::Standby);
}

#[test]
fn who_stops_being_active_is_no_successor() {
    let mut bench = Bench::active(v3());
    bench.order(HAND_OVER);
    bench.drain();
    bench.hear(BELOW, 0);
    assert_eq!(bench.words(), "advert 100, open, announce 5, rival");
    bench.order(FORCE);
    bench.drain();
    bench.hear(BELOW, 0);
    assert_eq!(bench.words(), "drain, release, backup, given up");
}

#[test]
fn a_second_order_joins_the_handover_that_goes_on() {
    let mut bench = Bench::active(v3());
    bench.order(HAND_OVER);
    bench.order(FORCE);
    bench.pass(ms(1_000));
    let words = bench.words();
    assert_eq!(words.matches("given up").count(), 1, "{words}");
    assert!(!words.contains("nobody"), "{words}");
}

#[test]
fn a_shutdown_takes_a_handover_over() {
    let mut bench = Bench::active(v3());
    bench.order(HAND_OVER);
    bench.drain();
    bench.machine.shut_down(bench.now);
    assert_eq!(bench.words(), "stops, advert 0, initialize");
    bench.hear(BELOW, 50);
    assert_eq!(bench.words(), "drain, release");
}

#[test]
fn who_was_paused_while_it_handed_over_listens_before_it_speaks() {
    let mut bench = Bench::active(v3());
    bench.order(HAND_OVER);
    bench.drain();
    bench.sleep(ms(5_000));
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.words(), "notice away, was away");
    bench.hear(BELOW, 50);
    assert_eq!(bench.words(), "drain, release, backup");
    assert_eq!(bench.stance(), Stance::HandedOver);

    let mut bench = Bench::active(v3());
    bench.order(MAINTAIN);
    bench.sleep(ms(5_000));
    bench.machine.handle_timeout(bench.now);
    bench.fire();
    assert_eq!(
        (bench.role(), bench.stance()),
        (Role::Active, Stance::Ordinary)
    );
}

#[test]
fn new_addresses_are_announced_though_it_resigns() {
    let mut bench = Bench::active(v3());
    bench.pass(ms(6_000));
    bench.order(HAND_OVER);
    bench.drain();
    let mut config = v3();
    config.addresses.pop();
    config.priority = priority(7);
    bench.machine.reconfigure(config, bench.now);
    assert_eq!(bench.words(), "open, claim", "it says that it stops");
    bench.pass(ms(1_000));
    assert!(
        bench
            .words()
            .ends_with("advert 7, open, announce 5, nobody")
    );
}

#[test]
fn ends_are_told_in_plain_words() {
    let cases = [
        (
            HandoverEnd::Successor {
                address: ABOVE,
                priority: 50,
                took: ms(57),
            },
            "192.0.2.200 (priority 50) took over in 57 ms",
        ),
        (
            HandoverEnd::NotActive,
            "not Active, there was nothing to hand over",
        ),
        (
            HandoverEnd::Nobody { waited: ms(1_000) },
            "nobody took over in 1.0 s: still Active",
        ),
        (
            HandoverEnd::Rival { address: ABOVE },
            "192.0.2.200 hands over as well: still Active",
        ),
        (
            HandoverEnd::GivenUp { waited: ms(1_000) },
            "nobody took over in 1.0 s, and the role was given up all the same",
        ),
        (
            HandoverEnd::Unprepared { waited: ms(10_000) },
            "the partner was not ready in 10.0 s: still Active",
        ),
        (HandoverEnd::LinkDown, "the interface went down"),
        (
            HandoverEnd::Away { late: ms(5_000) },
            "this director was paused for 5.0 s",
        ),
        (HandoverEnd::Stopping, "this director stops"),
    ];
    for (end, words) in cases {
        assert_eq!(end.to_string(), words);
    }
    for (asked, why) in [(false, "by command"), (true, "as it asked")] {
        let reason = Reason::HandedOver {
            address: ABOVE,
            priority: 50,
            asked,
        };
        let words = format!("handed over to 192.0.2.200 (priority 50) {why}");
        assert_eq!(reason.to_string(), words);
    }
    assert_eq!(
        Reason::GaveUp.to_string(),
        "given up by command, nobody took over"
    );
}
