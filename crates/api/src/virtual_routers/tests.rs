use super::*;

fn thread(counts: &[(Option<u64>, u64)]) -> VrrpThreadStatus {
    VrrpThreadStatus {
        real_time: true,
        real_time_reason: None,
        memory_locked: true,
        memory_locked_reason: None,
        lateness: counts
            .iter()
            .map(|(up_to_us, count)| LatenessBucket {
                up_to_us: *up_to_us,
                count: *count,
            })
            .collect(),
        max_us: 0,
    }
}

#[test]
fn the_bound_of_a_share_is_the_first_bucket_that_reaches_it() {
    let late = thread(&[(Some(16), 90), (Some(32), 9), (Some(64), 0), (None, 1)]);
    let cases = [
        (0, Some(16)),
        (90, Some(16)),
        (91, Some(32)),
        (99, Some(32)),
        (100, None),
    ];
    for (percent, expected) in cases {
        assert_eq!(late.within_us(percent), expected, "{percent}");
    }
}

#[test]
fn without_a_wake_up_there_is_no_bound() {
    assert_eq!(thread(&[]).within_us(99), None);
    assert_eq!(thread(&[(Some(16), 0), (None, 0)]).within_us(99), None);
}
