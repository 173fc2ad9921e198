use std::time::Duration;

use super::{InvalidDuration, parse, show};

#[test]
fn each_unit_is_read() {
    assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
    assert_eq!(parse("1m"), Ok(Duration::from_secs(60)));
    assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
    assert_eq!(parse("0s"), Ok(Duration::ZERO));
}

#[test]
fn what_is_not_a_duration_is_refused_with_its_reason() {
    assert_eq!(parse(""), Err(InvalidDuration::NoNumber));
    assert_eq!(parse("-1s"), Err(InvalidDuration::NoNumber));
    assert_eq!(parse("fast"), Err(InvalidDuration::NoNumber));
    assert_eq!(parse("2"), Err(InvalidDuration::NoUnit));
    assert_eq!(parse("2 s"), Err(InvalidDuration::UnknownUnit));
    assert_eq!(parse("1.5s"), Err(InvalidDuration::UnknownUnit));
    assert_eq!(parse("2sec"), Err(InvalidDuration::UnknownUnit));
    assert_eq!(
        parse("18446744073709551615h"),
        Err(InvalidDuration::TooLong)
    );
    assert_eq!(
        parse("99999999999999999999s"),
        Err(InvalidDuration::TooLong)
    );
}

#[test]
fn what_is_shown_reads_back_as_the_same_duration() {
    for ms in [
        0, 1, 10, 999, 1_000, 1_500, 60_000, 61_000, 3_600_000, 5_400_000,
    ] {
        let duration = Duration::from_millis(ms);
        assert_eq!(parse(&show(duration)), Ok(duration));
    }
    assert_eq!(show(Duration::from_secs(3600)), "1h");
    assert_eq!(show(Duration::from_millis(1500)), "1500ms");
}
