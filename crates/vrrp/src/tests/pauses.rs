//! The director itself was away: SIGSTOP, a paused virtual machine.

use super::*;

const MASTER_DOWN: Duration = Duration::from_nanos(360_937_500);

/// Active, and 5 s late for its next advertisement.
fn away() -> Bench {
    let mut bench = Bench::active(v3());
    bench.sleep(ms(5_100));
    bench
}

#[test]
fn a_lone_active_is_silent_for_an_interval_and_goes_on() {
    let mut bench = away();
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.words(), "notice away");
    bench.pass(ms(100) - us(1));
    assert_eq!(bench.words(), "");
    bench.pass(us(1));
    assert_eq!(bench.words(), "advert 100, open, announce 5");
    assert_eq!(bench.role(), Role::Active);
    bench.pass(ms(5_000));
    assert_eq!(
        bench.words().matches("announce").count(),
        1,
        "the second burst"
    );
}

#[test]
fn whoever_was_heard_meanwhile_is_active_whatever_its_priority() {
    let mut bench = away();
    bench.hear(BELOW, 1);
    assert_eq!(bench.words(), "notice away, drain, release, backup");
    let reason = Reason::ReplacedWhileAway {
        address: BELOW,
        priority: 1,
        late: ms(5_000),
    };
    assert_eq!(bench.reason(), reason);
    // Ordinary preemption decides.
    bench.hear_for(4, BELOW, 1);
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn an_owner_that_was_away_comes_back_whether_it_preempts_or_not() {
    let owner = VirtualRouter {
        priority: Priority::OWNER,
        preempt: false,
        preempt_delay: ms(60_000),
        ..v3()
    };
    let mut bench = Bench::active(owner);
    bench.sleep(ms(5_100));
    bench.hear(ABOVE, 254);
    assert_eq!(bench.role(), Role::Backup);
    bench.hear_for(4, ABOVE, 254);
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn whoever_is_heard_within_the_silence_is_active() {
    let mut bench = away();
    bench.machine.handle_timeout(bench.now);
    bench.pass(ms(99));
    bench.hear(BELOW, 1);
    assert_eq!(bench.words(), "notice away, drain, release, backup");
}

#[test]
fn priority_0_makes_no_successor() {
    let mut bench = away();
    bench.hear(ABOVE, 0);
    assert_eq!(bench.words(), "notice away");
    bench.pass(ms(100));
    assert_eq!(bench.words(), "advert 100, open, announce 5");
}

#[test]
fn a_packet_that_does_not_count_makes_no_successor() {
    let mut bench = away();
    let config = v3();
    bench.hear_message(&outgoing(&config, ABOVE, 200), 64);
    assert_eq!(bench.words(), "notice away, notice ttl");
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn away_begins_beyond_a_master_down_interval_of_lateness() {
    let mut bench = Bench::active(v3());
    bench.sleep(ms(100) + MASTER_DOWN);
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.words(), "advert 100");
    let mut bench = Bench::active(v3());
    bench.sleep(ms(100) + MASTER_DOWN + Duration::from_nanos(1));
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.words(), "notice away");
}

#[test]
fn a_second_pause_within_the_silence_lengthens_it() {
    let mut bench = away();
    bench.machine.handle_timeout(bench.now);
    bench.sleep(ms(3_000));
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.words(), "notice away");
    assert_eq!(bench.next(), Some(ms(100)));
}

#[test]
fn a_backup_waits_an_interval_more_before_it_takes_over() {
    let mut bench = Bench::backup(v3());
    bench.sleep(ms(5_000));
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.words(), "notice away");
    // One interval and the skew.
    assert_eq!(bench.next(), Some(Duration::from_nanos(160_937_500)));
    bench.hear(ABOVE, 150);
    assert_eq!(bench.next(), Some(MASTER_DOWN));
    bench.sleep(ms(5_000));
    bench.machine.handle_timeout(bench.now);
    bench.fire();
    assert_eq!(bench.role(), Role::Active, "nobody was there");
}

#[test]
fn a_backup_with_a_queue_goes_on_as_if_it_had_read_it_in_time() {
    let mut bench = Bench::backup(v3());
    bench.sleep(ms(5_000));
    for _ in 0..50 {
        bench.hear(ABOVE, 150);
    }
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.words(), "notice away");
    assert_eq!(bench.next(), Some(MASTER_DOWN));
}

#[test]
fn orders_after_a_pause_find_it_too() {
    let mut bench = away();
    let mut config = v3();
    config.addresses.pop();
    bench.machine.reconfigure(config, bench.now);
    assert_eq!(
        bench.words(),
        "notice away, open, claim",
        "and no word to the others"
    );
    bench.pass(ms(100));
    assert_eq!(bench.words(), "advert 100, open, announce 5");

    let mut bench = Bench::new(v3(), Start::Backup);
    bench.sleep(ms(5_000));
    bench.machine.may_take_over(bench.now);
    assert_eq!(bench.words(), "backup, notice away");
    bench.pass(ms(200));
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn who_was_away_may_lose_its_link_or_stop() {
    let mut bench = away();
    bench.machine.handle_link(false, bench.now);
    assert_eq!(bench.words(), "notice away, drain, release, initialize");
    let mut bench = away();
    bench.shut_down();
    assert_eq!(bench.words(), "notice away, prepare, advert 0, initialize");
    bench.hear(ABOVE, 1);
    assert_eq!(bench.words(), "drain, release");
}
