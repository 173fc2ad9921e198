use super::*;

#[test]
fn reports_are_numbered_and_the_oldest_are_lost() {
    let mut journal = Journal::new();
    assert!(journal.after(0).events.is_empty());
    for _ in 0..KEPT + 2 {
        journal.enter(&Report::NothingChanged);
    }
    let all = journal.after(0);
    assert_eq!(all.lost, 2);
    assert_eq!(all.events.len(), KEPT);
    assert_eq!(all.events[0].seq, 3);
    let newest = journal.after(all.next - 1);
    assert_eq!((newest.events.len(), newest.lost), (1, 0));
    // Another daemon's number: whoever asks sees that, and begins anew.
    assert!(journal.after(all.next + 100).events.is_empty());
}
