use std::time::Duration;

use super::*;
use crate::paper::numbers::Numbers;
use crate::paper::rounds::{Measured, summaries};

fn round(attempts: u32, stalled: bool) -> Round {
    Round {
        round: 3,
        held: true,
        stalled,
        events: vec![Measured {
            event: Event::PowerOff,
            stalled,
            attempts,
            numbers: Numbers {
                probe_gap_us: 357_040,
                load_gap_us: 358_500,
                takeover_us: Some(356_200),
                requests: 569,
                failed: 71,
                streams: 6,
                streams_broken: 3,
                ..Numbers::default()
            },
        }],
    }
}

#[test]
fn a_round_is_a_line_for_each_event() {
    assert_eq!(
        of_round(&round(1, false)),
        "\nRound 3, in ms:\n  power off gap of the probe 357.1, of new connections 358.5; takeover 356.2; \
         71 of 569 requests failed, 3 of 6 streams broke, stall never\n"
    );
    for (attempts, stalled, end) in [
        (1, true, "; stalled: this machine stood still\n"),
        (
            4,
            true,
            "; stalled: this machine stood still in each of 4 attempts\n",
        ),
        (2, false, "; attempt 2: this machine stood still before\n"),
    ] {
        let text = of_round(&round(attempts, stalled));
        assert!(text.ends_with(end), "{text}");
    }
}

#[test]
fn all_rounds_are_a_table_with_what_is_aimed_at() {
    let adverts = Duration::from_millis(100);
    let mut slow = round(1, false);
    slow.events[0].numbers.load_gap_us = 600_000;
    let measures = summaries(&[round(1, false), slow], adverts);
    assert_eq!(
        of_rounds(&measures, 100),
        "
Advertisements every 100 ms; all times in ms.

                                     rounds       min    median     worst   aimed at
  power off gap of the probe              2     357.1     357.1     357.1   median 420, worst 500: met
            gap of new connections        2     358.5     479.3     600.0   median 420, worst 500: MISSED
            takeover                      2     356.2     356.2     356.2
"
    );
}
