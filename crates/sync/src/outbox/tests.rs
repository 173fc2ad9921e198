use evenkeel_wire::sync::Reader;

use super::*;
use crate::tests::{ms, record};

/// A stream of which the mark before the snapshot is known.
fn begun() -> (Outbox, Instant) {
    let now = Instant::now();
    let mut outbox = Outbox::new(now);
    outbox.close();
    assert_eq!(send(&mut outbox, 0, now), [0]);
    outbox.acknowledge(1, 0, Some(0));
    (outbox, now)
}

/// Sends what is due, each in a datagram; the first one's counter is given.
fn send(outbox: &mut Outbox, counter: u64, now: Instant) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some(due) = outbox.due() {
        Reader::check(due.items).unwrap();
        sent.push(due.number);
        outbox.note_sent(counter + sent.len() as u64 - 1, now);
        outbox.check_invariants();
    }
    sent
}

fn push(outbox: &mut Outbox, count: u32, now: Instant) {
    for number in 0..count {
        assert!(outbox.push(&Item::Record(record(number, 1)), now));
        outbox.close();
    }
}

#[test]
fn what_there_is_room_for_is_taken_and_the_rest_is_not() {
    // Of IPv6 alone, of IPv4 alone, and in turns, where each has a run of its own.
    for kinds in [&[5][..], &[1], &[5, 1]] {
        let (mut outbox, now) = begun();
        let mut taken = 0;
        for number in kinds.iter().cycle() {
            let room = outbox.room();
            if !outbox.push(&Item::Record(record(*number, 1)), now) {
                assert_eq!(room, 0);
                break;
            }
            taken += 1;
            assert!(outbox.room() + 1 >= room, "room for {room}");
            outbox.check_invariants();
        }
        assert!((1_300..=3_840).contains(&taken), "{taken} of {kinds:?}");
        assert_eq!(outbox.outstanding(), taken);
        // The mark behind the snapshot always fits.
        outbox.end_snapshot(now);
        outbox.check_invariants();
        assert!(send(&mut outbox, 1, now).len() <= WINDOW + 1);
        assert!(!outbox.is_snapshot_known());
        outbox.acknowledge(outbox.sent(), 0, None);
        assert!(outbox.is_snapshot_known());
        assert_eq!((outbox.outstanding(), outbox.room()), (0, WINDOW * 22));
    }
}

#[test]
fn what_is_not_acknowledged_counts_from_the_last_word_of_the_shell_before_it() {
    let (mut outbox, start) = begun();
    assert_eq!(outbox.known_to(), start);
    outbox.cover(start + ms(10));
    assert_eq!(outbox.known_to(), start + ms(10));
    assert!(outbox.push(&Item::Record(record(1, 1)), start + ms(15)));
    outbox.cover(start + ms(20));
    assert_eq!(outbox.known_to(), start + ms(10), "in the open segment");
    outbox.close();
    assert!(outbox.push(&Item::Record(record(2, 1)), start + ms(25)));
    outbox.close();
    assert_eq!(send(&mut outbox, 1, start + ms(25)), [1, 2]);
    outbox.cover(start + ms(30));
    // The second one waits for the first.
    outbox.acknowledge(1, 0b1, None);
    assert_eq!(outbox.known_to(), start + ms(10));
    outbox.acknowledge(2, 0, None);
    assert_eq!(outbox.known_to(), start + ms(20));
    outbox.acknowledge(3, 0, None);
    assert_eq!(outbox.known_to(), start + ms(30));
}

#[test]
fn what_was_overtaken_by_three_datagrams_is_sent_again_once() {
    let (mut outbox, now) = begun();
    push(&mut outbox, 5, now);
    assert_eq!(send(&mut outbox, 1, now), [1, 2, 3, 4, 5]);
    outbox.acknowledge(1, 0b110, Some(3));
    assert_eq!(send(&mut outbox, 6, now), []);
    outbox.acknowledge(1, 0b110, Some(4));
    assert_eq!(send(&mut outbox, 6, now), [1], "its counter was 1");
    outbox.acknowledge(1, 0b110, Some(5));
    assert_eq!(send(&mut outbox, 7, now), [2]);
    outbox.acknowledge(1, 0b110, Some(8));
    assert_eq!(send(&mut outbox, 8, now), [5], "3 and 4 are there");
    outbox.acknowledge(6, 0, Some(8));
    assert_eq!(outbox.outstanding(), 0);
}

#[test]
fn in_silence_the_oldest_are_sent_again_ever_more_rarely() {
    let (mut outbox, now) = begun();
    push(&mut outbox, 10, now);
    send(&mut outbox, 1, now);
    let after = |doublings: u32| ms(10 << doublings);
    assert_eq!(outbox.resend_due(after), Some(now + ms(10)));
    outbox.probe();
    let later = now + ms(10);
    assert_eq!(send(&mut outbox, 11, later), [1, 2, 3, 4]);
    assert_eq!(outbox.resend_due(after), Some(later + ms(20)));
    outbox.probe();
    assert_eq!(send(&mut outbox, 15, later), [1, 2, 3, 4]);
    // One comes through, and tells that the others that were sent before it did not.
    outbox.acknowledge(1, 0b1, Some(16));
    assert_eq!(send(&mut outbox, 19, later), [5, 6, 7, 8, 9, 10]);
    assert_eq!(outbox.resend_due(after), Some(later + ms(10)));
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_ignored() {
    let (mut outbox, now) = begun();
    push(&mut outbox, 2, now);
    for next in [2, 3, u64::MAX] {
        outbox.acknowledge(next, u64::MAX, Some(u64::MAX - 3));
        outbox.check_invariants();
    }
    assert_eq!(outbox.outstanding(), 2);
    assert_eq!(send(&mut outbox, 1, now), [1, 2]);
    // A late one.
    outbox.acknowledge(0, 0, Some(0));
    assert_eq!(send(&mut outbox, 3, now), []);
}
