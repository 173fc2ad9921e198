use std::time::Duration;

use evenkeel_sync::{ConnState, Protocol};

use super::*;

fn record(port: u16, remaining: Duration) -> Record {
    Record {
        flow: Flow {
            client: ([203, 0, 113, 9], port).into(),
            address: ([198, 18, 14, 146], 80).into(),
            protocol: Protocol::Tcp,
            template: false,
        },
        server: ([198, 18, 14, 12], 80).into(),
        state: ConnState::try_from(1).unwrap(),
        remaining,
        assured: true,
    }
}

#[test]
fn what_waits_keeps_its_time_and_the_last_word_of_a_flow_counts() {
    let (mut pending, start) = (Pending::default(), Instant::now());
    let secs = Duration::from_secs;
    pending.keep(record(1, secs(100)), start);
    pending.keep(record(2, secs(5)), start);
    pending.keep(record(3, secs(60)), start);
    pending.keep(record(1, secs(50)), start + secs(1));
    pending.forget(&record(3, secs(60)).flow);
    let vip = [[198, 18, 14, 146].into()];
    assert!(pending.has(&vip, start) && !pending.has(&[[198, 18, 14, 147].into()], start));
    assert!(!pending.has(&vip, start + secs(51)), "they have expired");
    // The second one has expired meanwhile.
    assert_eq!(pending.take(start + secs(11)), [record(1, secs(40))]);
    assert!(!pending.has(&vip, start));
}

#[test]
fn no_more_wait_than_there_is_room_for() {
    let (mut pending, now) = (Pending::default(), Instant::now());
    let mut record = record(1, Duration::from_secs(9));
    for number in 0..=u32::try_from(MOST).unwrap() {
        let [_, a, b, c] = number.to_be_bytes();
        record.flow.client = ([10, a, b, c], 1).into();
        pending.keep(record, now);
    }
    assert_eq!(pending.take(now).len(), MOST);
}
