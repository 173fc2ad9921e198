use super::*;

/// What is sent, as systemd reads it.
fn text(within: Duration) -> String {
    let lines: Vec<String> = end(within).iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_short_end_is_told_and_no_more() {
    assert_eq!(text(Duration::ZERO), "STOPPING=1");
    assert_eq!(text(Duration::from_secs(5)), "STOPPING=1");
}

#[test]
fn an_end_that_takes_long_asks_for_its_time_and_a_margin() {
    assert_eq!(
        text(Duration::from_millis(5001)),
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=10001000"
    );
    assert_eq!(
        text(Duration::from_secs(324)),
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=329000000"
    );
    assert_eq!(
        text(Duration::from_secs(100_000)),
        format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", u32::MAX)
    );
}
