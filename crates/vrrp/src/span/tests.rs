use super::*;

#[test]
fn spans_are_short() {
    let cases = [
        (0, "0 ms"),
        (10, "10 ms"),
        (361, "361 ms"),
        (1_000, "1.0 s"),
        (1_250, "1.25 s"),
        (4_906, "4.9 s"),
        (40_950, "40.95 s"),
    ];
    for (ms, expected) in cases {
        assert_eq!(Span(Duration::from_millis(ms)).to_string(), expected);
    }
}
