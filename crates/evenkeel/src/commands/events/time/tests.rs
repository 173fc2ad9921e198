use super::*;

/// What is expected was made with `date -u -d @SECONDS`.
#[test]
fn times_are_those_of_the_calendar() {
    let cases = [
        (0, "1970-01-01 00:00:00.000Z"),
        (951_782_399_999, "2000-02-28 23:59:59.999Z"),
        (951_782_400_000, "2000-02-29 00:00:00.000Z"),
        (951_868_800_001, "2000-03-01 00:00:00.001Z"),
        (1_735_689_599_000, "2024-12-31 23:59:59.000Z"),
        (1_795_435_201_234, "2026-11-23 12:00:01.234Z"),
        (4_107_542_400_000, "2100-03-01 00:00:00.000Z"),
    ];
    for (ms, expected) in cases {
        assert_eq!(utc(ms), expected, "{ms}");
    }
}

#[test]
fn every_day_of_six_hundred_years_follows_the_one_before() {
    let mut before = date(0);
    for days in 1..=220_000 {
        let (year, month, day) = date(days);
        let divided_by = |years: u64| before.0.is_multiple_of(years);
        let leap = (divided_by(4) && !divided_by(100)) || divided_by(400);
        let last = match before.1 {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let expected = match before {
            (y, 12, 31) => (y + 1, 1, 1),
            (y, m, d) if d == last => (y, m + 1, 1),
            (y, m, d) => (y, m, d + 1),
        };
        assert_eq!((year, month, day), expected);
        before = expected;
    }
}
