use evenkeel_wire::sync::Writer;

use super::*;

/// A segment with one item that tells its number.
fn segment(number: u64) -> Vec<u8> {
    let mut writer = Writer::new();
    assert!(writer.push(&Item::SnapshotEnd { records: number }));
    writer.bytes().to_vec()
}

fn take(inbox: &mut Inbox, number: u64) -> Taken {
    inbox.take(number, &segment(number))
}

fn items(inbox: &mut Inbox) -> Vec<u64> {
    let items = std::iter::from_fn(|| inbox.item());
    items
        .map(|item| {
            let Item::SnapshotEnd { records } = item else {
                panic!("{item:?}");
            };
            records
        })
        .collect()
}

#[test]
fn segments_come_out_in_order_and_once() {
    let mut inbox = Inbox::new();
    assert_eq!(take(&mut inbox, 2), Taken::New);
    assert_eq!(take(&mut inbox, 2), Taken::Known);
    assert_eq!(take(&mut inbox, 1), Taken::New);
    assert!(inbox.has_gap());
    assert_eq!((inbox.next(), inbox.beyond()), (0, 0b11));
    assert_eq!(items(&mut inbox), []);
    assert_eq!(take(&mut inbox, 0), Taken::New);
    assert_eq!((inbox.next(), inbox.beyond()), (3, 0));
    assert_eq!(items(&mut inbox), [0, 1, 2]);
    for number in 0..3 {
        assert_eq!(take(&mut inbox, number), Taken::Known);
    }
    assert_eq!(items(&mut inbox), []);
}

#[test]
fn as_much_waits_as_can_be_acknowledged_and_no_more() {
    let mut inbox = Inbox::new();
    for round in 0..3 {
        let first = round * 65;
        for number in (first + 1..=first + 64).rev() {
            assert_eq!(take(&mut inbox, number), Taken::New);
        }
        assert_eq!(inbox.beyond(), u64::MAX);
        for number in [first + 65, first + 1_000, u64::MAX] {
            assert_eq!(take(&mut inbox, number), Taken::Beyond);
        }
        assert_eq!(take(&mut inbox, first), Taken::New);
        assert!(items(&mut inbox).into_iter().eq(first..first + 65));
    }
}
