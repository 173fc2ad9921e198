use super::*;

#[test]
fn each_lateness_is_counted_below_its_bound() {
    let mut lateness = Lateness::default();
    for micros in [0, 16, 17, 100, 10_000_000] {
        lateness.record(Duration::from_micros(micros));
    }
    let buckets: Vec<_> = lateness.buckets().collect();
    let micros = |n| Some(Duration::from_micros(n));
    let expected = vec![
        (micros(16), 2),
        (micros(32), 1),
        (micros(128), 1),
        (None, 1),
    ];
    assert_eq!(buckets, expected);
    assert_eq!(lateness.max(), Duration::from_secs(10));
}
