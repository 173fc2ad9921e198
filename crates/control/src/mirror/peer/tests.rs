use evenkeel_sync::{Key, SyncConfig};

use super::*;

fn peer(now: Instant) -> Peer {
    let session = SyncConfig {
        name: "laicoz".to_owned(),
        peer: "laicoy".to_owned(),
        keys: vec![Key::from_secret(&[7; 32]).unwrap()],
        lag_bound: SyncConfig::LAG_BOUND,
    };
    let config = SyncPeer {
        name: "laicoy".to_owned(),
        addresses: vec![[10, 0, 0, 2].into()],
    };
    Peer::new(config, Session::new(session, [1; 32], now).unwrap())
}

#[test]
fn what_was_lost_during_a_walk_needs_another_one() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut peer = peer(start);
    peer.lose(at(10), at(20));
    peer.begin_walk(false, at(30));
    let first = peer.walk.unwrap();
    peer.lose(at(40), at(50));
    peer.end_walk(first, at(60));
    assert_eq!(peer.missed, Some(at(10)), "the first that it lacks counts");
    peer.begin_walk(false, at(70));
    let second = peer.walk.unwrap();
    peer.end_walk(second, at(80));
    assert_eq!(peer.missed, None);
    assert!(peer.walk.is_none());
}

#[test]
fn a_peer_without_a_session_has_all_that_it_needs() {
    let now = Instant::now();
    let peer = peer(now);
    assert!(!peer.is_up(now));
    assert!(peer.has_all(now, now));
    assert_eq!(peer.synced(51, now), None);
    assert!(!peer.has_said() && !peer.is_whole(now));
}

#[test]
fn the_greatest_lag_is_told_for_a_second_and_forgotten_after_two() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let ms = Duration::from_millis;
    let mut most = Most::default();
    most.note(ms(40), at(0));
    for time in (5..1000).step_by(5) {
        most.note(ms(7), at(time));
    }
    assert_eq!(most.get(), ms(40));
    most.note(ms(9), at(1000));
    assert_eq!(most.get(), ms(40), "it may have been a moment ago");
    most.note(ms(3), at(2000));
    assert_eq!(most.get(), ms(9));
    most.note(ms(2), at(9000));
    assert_eq!(most.get(), ms(2), "nothing was noted for long");
}
