//! Takeover, preemption, handing over, links and configuration.

use super::*;

#[test]
fn the_skew_is_not_truncated() {
    let cases = [
        (VrrpVersion::V3, ms(10), 255, Duration::from_nanos(39_062)),
        (VrrpVersion::V3, ms(10), 254, Duration::from_nanos(78_125)),
        (VrrpVersion::V3, ms(10), 1, Duration::from_nanos(9_960_937)),
        (
            VrrpVersion::V3,
            ms(100),
            150,
            Duration::from_nanos(41_406_250),
        ),
        (
            VrrpVersion::V2,
            ms(1_000),
            254,
            Duration::from_nanos(7_812_500),
        ),
        (VrrpVersion::V2, ms(10_000), 100, us(609_375)),
    ];
    for (version, interval, number, skew) in cases {
        let config = VirtualRouter {
            priority: priority(number),
            advert_interval: interval,
            ..config(version)
        };
        let bench = Bench::new(config, Start::Backup);
        assert_eq!(bench.machine.master_down_interval(), interval * 3 + skew);
    }
}

#[test]
fn a_backup_learns_the_actives_interval_in_version_3() {
    let mut bench = Bench::backup(v3());
    let config = VirtualRouter {
        advert_interval: ms(1_000),
        ..v3()
    };
    bench.hear_message(&outgoing(&config, ABOVE, 150), 255);
    assert_eq!(bench.next(), Some(us(3_609_375)));
    assert_eq!(bench.machine.master_down_interval(), us(3_609_375));
    bench.hear(ABOVE, 0);
    assert_eq!(
        bench.next(),
        Some(us(609_375)),
        "skew of the learned interval"
    );
    bench.fire();
    assert_eq!(bench.next(), Some(ms(100)), "its own interval once Active");
    assert_eq!(
        bench.machine.master_down_interval(),
        Duration::from_nanos(360_937_500)
    );
}

#[test]
fn a_preempted_actives_interval_is_not_learned() {
    let mut bench = Bench::backup(v3());
    let config = VirtualRouter {
        advert_interval: ms(10_000),
        ..v3()
    };
    let next = bench.next();
    bench.hear_message(&outgoing(&config, ABOVE, 50), 255);
    assert_eq!(bench.next(), next);
}

#[test]
fn nobody_takes_over_before_the_first_checks_are_complete() {
    let mut bench = Bench::new(v3(), Start::Backup);
    bench.hear_for(20, ABOVE, 50);
    assert_eq!(bench.words(), "backup, close");
    bench.machine.may_take_over(bench.now);
    assert_eq!(bench.words(), "", "the Active is there");
    bench.hear_for(4, ABOVE, 50);
    assert_eq!(
        bench.words(),
        "advert 100, open, claim, announce 5, active, advert 100"
    );
    let address = ABOVE;
    assert_eq!(
        bench.reason(),
        Reason::Preempted {
            address,
            priority: 50
        }
    );
}

#[test]
fn a_timer_that_ran_out_is_remembered() {
    let mut bench = Bench::new(v3(), Start::Backup);
    bench.pass(ms(2_000));
    assert_eq!(bench.words(), "backup, close");
    assert_eq!(bench.next(), None);
    bench.machine.may_take_over(bench.now);
    assert_eq!(bench.words(), "advert 100, open, claim, announce 5, active");
    let silence = ms(2_000);
    assert_eq!(bench.reason(), Reason::NobodyHeard { silence });
}

#[test]
fn an_active_that_appears_after_the_timer_ran_out_is_followed() {
    let mut bench = Bench::new(v3(), Start::Backup);
    bench.pass(ms(2_000));
    bench.hear(ABOVE, 1);
    bench.drain();
    bench.machine.may_take_over(bench.now);
    assert_eq!(bench.words(), "");
    assert_eq!(bench.next(), Some(Duration::from_nanos(360_937_500)));
}

#[test]
fn an_owner_is_active_once_it_may_and_whenever_its_link_comes_up() {
    let owner = VirtualRouter {
        priority: Priority::OWNER,
        preempt: false,
        preempt_delay: ms(60_000),
        ..v3()
    };
    let mut bench = Bench::new(owner.clone(), Start::Backup);
    bench.hear_for(10, ABOVE, 254);
    assert_eq!(bench.words(), "backup, close");
    bench.machine.may_take_over(bench.now);
    assert_eq!(bench.words(), "advert 255, open, claim, announce 5, active");
    assert_eq!(bench.reason(), Reason::Owner);
    bench.machine.handle_link(false, bench.now);
    bench.drain();
    bench.machine.handle_link(true, bench.now);
    assert_eq!(bench.words(), "advert 255, open, claim, announce 5, active");

    let mut bench = Bench::new(owner, Start::LinkDown);
    bench.machine.may_take_over(bench.now);
    assert_eq!(bench.words(), "");
    bench.machine.handle_link(true, bench.now);
    assert_eq!(bench.words(), "advert 255, open, claim, announce 5, active");
}

#[test]
fn without_preemption_a_lower_active_stays() {
    let mut bench = Bench::backup(VirtualRouter {
        preempt: false,
        ..v3()
    });
    bench.hear_for(100, BELOW, 1);
    assert_eq!(bench.words(), "");
    bench.pass(ms(361));
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn a_preempt_delay_counts_from_the_first_lower_advertisement() {
    let mut bench = Bench::backup(VirtualRouter {
        preempt_delay: ms(5_000),
        ..v3()
    });
    bench.hear_for(49, BELOW, 50);
    // A higher one in between: it counts anew.
    bench.hear(ABOVE, 150);
    bench.hear_for(50, BELOW, 50);
    assert_eq!(bench.words(), "");
    let watched = bench.now - ms(100);
    bench.hear_for(4, BELOW, 50);
    assert_eq!(bench.role(), Role::Active);
    // The timer was last started by the last advertisement within the delay.
    let since = bench.machine.view().since;
    assert_eq!(since - watched, Duration::from_nanos(360_937_500));
    let address = BELOW;
    assert_eq!(
        bench.reason(),
        Reason::Preempted {
            address,
            priority: 50
        }
    );
}

#[test]
fn a_preempt_delay_does_not_delay_a_takeover_from_the_dead() {
    let mut bench = Bench::backup(VirtualRouter {
        preempt_delay: ms(60_000),
        ..v3()
    });
    bench.hear_for(10, BELOW, 50);
    bench.pass(ms(361));
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn a_restart_within_the_lease_goes_on_at_once() {
    let mut bench = Bench::new(v3(), Start::Active);
    assert_eq!(bench.words(), "advert 100, open, claim, announce 5, active");
    assert_eq!(bench.reason(), Reason::RestartedWithinLease);
    assert!(!bench.machine.view().may_take_over);
    bench.hear(ABOVE, 150);
    assert_eq!(bench.words(), "advert 100, drain, release, backup");
    bench.pass(ms(60_000));
    assert_eq!(bench.words(), "close");
    assert_eq!(
        bench.role(),
        Role::Backup,
        "held until its checks are complete"
    );
}

#[test]
fn the_gate_closes_a_master_down_interval_after_the_role_is_lost() {
    let mut bench = Bench::active(v3());
    bench.hear(ABOVE, 150);
    assert_eq!(bench.words(), "advert 100, drain, release, backup");
    for _ in 0..3 {
        bench.pass(ms(100));
        bench.hear(ABOVE, 150);
    }
    bench.pass(us(60_900));
    assert_eq!(bench.words(), "");
    bench.pass(us(100));
    assert_eq!(bench.words(), "close");
}

#[test]
fn a_gate_that_drains_opens_again_without_closing() {
    let mut bench = Bench::active(v3());
    bench.hear(ABOVE, 150);
    bench.drain();
    bench.hear(ABOVE, 0);
    bench.pass(ms(61));
    assert_eq!(bench.words(), "advert 100, open, claim, announce 5, active");
    assert_eq!(bench.reason(), Reason::ActiveStopped { address: ABOVE });
    bench.pass(ms(999));
    assert!(!bench.words().contains("close"));
}

#[test]
fn advertisements_do_not_drift() {
    let mut bench = Bench::active(v3());
    let due = bench.machine.poll_timeout().unwrap();
    bench.sleep(ms(130));
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.words(), "advert 100");
    assert_eq!(bench.machine.poll_timeout(), Some(due + ms(100)));
    // More than an interval late: no burst that makes up for what was missed.
    bench.sleep(ms(250));
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.words(), "advert 100");
    assert_eq!(bench.next(), Some(ms(100)));
}

#[test]
fn the_second_burst_follows_once_and_only_while_active() {
    let announcements = |bench: &mut Bench, time| {
        bench.pass(time);
        bench.words().matches("announce").count()
    };
    let mut bench = Bench::active(v3());
    assert_eq!(announcements(&mut bench, ms(4_999)), 0);
    assert_eq!(announcements(&mut bench, ms(1)), 1);
    assert_eq!(announcements(&mut bench, ms(60_000)), 0);
    let mut bench = Bench::active(v3());
    bench.machine.handle_link(false, bench.now);
    bench.drain();
    assert_eq!(announcements(&mut bench, ms(60_000)), 0);
    let mut bench = Bench::active(VirtualRouter {
        announce_again: Duration::ZERO,
        ..v3()
    });
    assert_eq!(announcements(&mut bench, ms(60_000)), 0);
}

#[test]
fn who_stops_keeps_everything_until_a_successor_is_heard() {
    let mut bench = Bench::active(v3());
    bench.shut_down();
    assert_eq!(bench.words(), "prepare, advert 0, initialize");
    assert!(bench.machine.view().stopping);
    bench.pass(ms(120));
    assert_eq!(
        bench.words(),
        "advert 0",
        "again, for the first may be lost"
    );
    bench.hear(BELOW, 50);
    assert_eq!(bench.words(), "drain, release");
    bench.pass(us(360_900));
    assert_eq!(bench.words(), "");
    bench.pass(us(100));
    assert_eq!(bench.words(), "close, stopped");
    assert_eq!(bench.next(), None);
}

#[test]
fn who_stops_forgets_its_troubles() {
    let mut bench = Bench::backup(v3());
    let config = v3();
    bench.hear_message(&outgoing(&config, ABOVE, 150), 1);
    bench.shut_down();
    assert_eq!(bench.words(), "notice ttl, initialize, stopped");
    assert_eq!(bench.next(), None);
}

#[test]
fn an_active_that_stopped_is_no_reason_once_another_has_spoken() {
    let mut bench = Bench::backup(v3());
    bench.hear(ABOVE, 0);
    bench.hear(BELOW, 150);
    bench.fire();
    let silence = Duration::from_nanos(360_937_500);
    assert_eq!(bench.reason(), Reason::NobodyHeard { silence });
}

#[test]
fn who_stops_without_a_successor_waits_one_master_down_interval() {
    let mut bench = Bench::active(v3());
    let begin = bench.now;
    bench.shut_down();
    bench.pass(ms(360));
    assert_eq!(
        bench.words(),
        "prepare, advert 0, initialize, advert 0, advert 0, advert 0"
    );
    bench.pass(ms(1));
    assert_eq!(bench.words(), "drain, release");
    bench.fire();
    assert_eq!(bench.words(), "close, stopped");
    assert_eq!(bench.now - begin, Duration::from_nanos(721_875_000));
}

#[test]
fn a_backup_that_still_drains_stops_once_it_has_drained() {
    let mut bench = Bench::active(v3());
    bench.hear(ABOVE, 150);
    bench.drain();
    bench.shut_down();
    assert_eq!(bench.words(), "initialize");
    bench.pass(ms(361));
    assert_eq!(bench.words(), "close, stopped");
}

#[test]
fn link_down_releases_and_up_begins_anew() {
    let mut bench = Bench::active(v3());
    bench.machine.handle_link(false, bench.now);
    assert_eq!(bench.words(), "drain, release, initialize");
    assert_eq!(bench.reason(), Reason::LinkDown);
    bench.hear(ABOVE, 1);
    bench.pass(ms(10_000));
    assert_eq!(bench.words(), "close");
    bench.machine.handle_link(true, bench.now);
    assert_eq!(bench.words(), "backup");
    assert_eq!(bench.reason(), Reason::LinkUp);
    bench.pass(ms(361));
    assert_eq!(bench.words(), "advert 100, open, claim, announce 5, active");
}

#[test]
fn an_active_tells_new_addresses_and_priorities_at_once() {
    let mut bench = Bench::active(v3());
    let mut config = v3();
    config.addresses.reverse();
    config.preempt = false;
    bench.machine.reconfigure(config.clone(), bench.now);
    assert_eq!(bench.words(), "", "nothing that concerns others");
    config.addresses.pop();
    config.addresses.push(IpAddr::from([203, 0, 113, 9]));
    bench.machine.reconfigure(config.clone(), bench.now);
    assert_eq!(bench.words(), "advert 100, open, claim, announce 5");
    config.priority = priority(50);
    bench.machine.reconfigure(config.clone(), bench.now);
    assert_eq!(bench.words(), "advert 50");
    config.advert_interval = ms(10);
    bench.machine.reconfigure(config.clone(), bench.now);
    assert_eq!(bench.next(), Some(ms(10)));
    config.advert_interval = ms(40_000);
    bench.machine.reconfigure(config.clone(), bench.now);
    assert_eq!(
        bench.next(),
        Some(ms(10)),
        "until the others know the new one"
    );
    assert_eq!(bench.machine.config(), &config);
}

#[test]
fn a_backups_timer_starts_anew_with_another_interval_only() {
    let mut bench = Bench::backup(v3());
    bench.sleep(ms(50));
    let next = bench.next();
    let mut config = v3();
    config.announcements = 1;
    bench.machine.reconfigure(config.clone(), bench.now);
    assert_eq!(bench.next(), next);
    config.priority = priority(200);
    bench.machine.reconfigure(config.clone(), bench.now);
    assert_eq!(bench.next(), Some(us(321_875)));
    config.priority = Priority::OWNER;
    bench.machine.reconfigure(config.clone(), bench.now);
    assert_eq!(bench.words(), "advert 255, open, claim, announce 1, active");
}

#[test]
fn version_2_goes_by_its_own_interval() {
    let mut bench = Bench::backup(config(VrrpVersion::V2));
    let slower = VirtualRouter {
        advert_interval: ms(2_000),
        ..bench.config()
    };
    bench.machine.reconfigure(slower, bench.now);
    assert_eq!(bench.next(), Some(us(6_609_375)));
}

#[test]
fn another_virtual_router_is_no_reconfiguration() {
    let mut bench = Bench::active(v3());
    let id = VirtualRouterId::try_from(52).unwrap();
    for other in [VirtualRouter { id, ..v3() }, config(VrrpVersion::V2)] {
        bench.machine.reconfigure(other, bench.now);
        assert_eq!(bench.machine.config(), &v3());
        assert_eq!(bench.words(), "");
    }
    bench.shut_down();
    bench.drain();
    let late = VirtualRouter {
        priority: priority(7),
        ..v3()
    };
    bench.machine.reconfigure(late, bench.now);
    assert_eq!(bench.machine.config(), &v3());
}

#[test]
fn reasons_are_told_in_plain_words() {
    let address = ABOVE;
    let cases = [
        (Reason::Started, "started"),
        (Reason::RestartedWithinLease, "restarted within its lease"),
        (Reason::Owner, "owner of the addresses (priority 255)"),
        (
            Reason::NobodyHeard { silence: ms(361) },
            "no Active heard for 361 ms",
        ),
        (
            Reason::ActiveStopped { address },
            "the Active, 192.0.2.200, stopped (priority 0)",
        ),
        (
            Reason::Preempted {
                address,
                priority: 50,
            },
            "preempted 192.0.2.200 (priority 50)",
        ),
        (
            Reason::OtherActive {
                address,
                priority: 150,
            },
            "192.0.2.200 (priority 150) is Active",
        ),
        (
            Reason::ReplacedWhileAway {
                address,
                priority: 50,
                late: ms(4_900),
            },
            "192.0.2.200 (priority 50) is Active since this director was away for 4.9 s",
        ),
        (Reason::LinkDown, "link down"),
        (Reason::LinkUp, "link up"),
        (Reason::Stopping, "stopping"),
    ];
    for (reason, words) in cases {
        assert_eq!(reason.to_string(), words);
    }
}

#[test]
fn who_lacks_connections_does_not_preempt_but_replaces_the_dead() {
    let owner = VirtualRouter {
        priority: Priority::OWNER,
        ..v3()
    };
    for config in [v3(), owner] {
        let mut bench = Bench::new(config, Start::Backup);
        bench.machine.wait_for_sync(true, bench.now);
        bench.machine.may_take_over(bench.now);
        bench.drain();
        bench.hear_for(50, BELOW, 50);
        assert_eq!(bench.role(), Role::Backup);
        assert!(bench.machine.view().waits_for_sync);
        assert_eq!(bench.words(), "wants, close");
        bench.machine.wait_for_sync(false, bench.now);
        bench.hear_for(5, BELOW, 50);
        assert_eq!(bench.role(), Role::Active);

        let mut bench = Bench::new(v3(), Start::Backup);
        bench.machine.wait_for_sync(true, bench.now);
        bench.machine.may_take_over(bench.now);
        bench.hear(BELOW, 50);
        bench.pass(ms(361));
        assert_eq!(bench.role(), Role::Active, "nobody is there any more");
    }
}
