use super::*;

#[test]
fn a_stall_touches_a_time_that_it_overlaps() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let stall = Stall {
        began: at(100),
        length: Duration::from_millis(20),
    };
    for (from, to, touches) in [
        (0, 99, false),
        (0, 100, true),
        (110, 115, true),
        (120, 500, true),
        (121, 500, false),
    ] {
        assert_eq!(stall.touches(at(from), at(to)), touches, "{from} to {to}");
    }
}

#[test]
fn every_processor_is_watched_until_the_monitor_is_dropped() {
    let monitor = StallMonitor::start().unwrap();
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let count = (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu) == Ok(true))
        .count();
    assert_eq!(monitor.threads.len(), count);
    let stalls = Arc::downgrade(&monitor.stalls);
    drop(monitor);
    assert!(stalls.upgrade().is_none(), "a thread still runs");
}

/// What a hypervisor would do, done by a thread of the same priority: neither preempts the other.
fn take_processor_0() -> Result<Option<Duration>, &'static str> {
    const TAKEN: Duration = Duration::from_millis(40);

    realtime::enter().map_err(|_err| "no real-time priority here")?;
    let mut own = CpuSet::new();
    own.set(0)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &own))
        .map_err(|_err| "processor 0 is not ours")?;
    let from = Instant::now();
    // It inherits what this thread may run on.
    let monitor = StallMonitor::start().map_err(|_err| "no monitor")?;
    let deadline = from + Duration::from_secs(10);
    while Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
        let began = Instant::now();
        while began.elapsed() < TAKEN {
            std::hint::spin_loop();
        }
        thread::sleep(Duration::from_millis(5));
        let stalls = monitor.stalls(from, Instant::now());
        if let Some(stall) = stalls.iter().find(|stall| stall.length >= TAKEN / 2) {
            return Ok(Some(stall.length));
        }
    }
    Ok(None)
}

#[test]
fn a_processor_that_is_taken_away_has_stalled() {
    // A thread of its own, because priority and processor are the thread's.
    match thread::spawn(take_processor_0).join().unwrap() {
        Ok(stall) => assert!(stall.is_some(), "no stall was noted"),
        Err(why) => println!("skipped: {why}, so nobody can take a processor away"),
    }
}
