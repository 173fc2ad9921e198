use super::*;

#[test]
fn a_timer_is_due_when_the_clock_shows_its_time_and_no_earlier() {
    let origin = Instant::now();
    for millionths in [-20_000, -3, 0, 7, 20_000] {
        let mut clock = Clock::new(origin);
        clock.drift(millionths, Duration::from_millis(1234));
        let due = clock.now(Duration::from_secs(2)) + Duration::from_nanos(12_345_677);
        let at = clock.when(due, Duration::from_secs(2));
        assert!(clock.now(at) >= due, "{millionths}");
        let earlier = at - Duration::from_nanos(2);
        assert!(clock.now(earlier) < due, "{millionths}");
    }
}
