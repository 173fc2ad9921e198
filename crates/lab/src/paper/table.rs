//! Rounds as people read them.

use crate::paper::figure::put;
use crate::paper::rounds::{Event, Round, Summary};

/// One round: a line for each event.
pub(crate) fn of_round(round: &Round) -> String {
    let mut text = format!("\nRound {}, in ms:\n", round.round);
    for measured in &round.events {
        let numbers = &measured.numbers;
        let or_never = |time: Option<u64>| time.map_or_else(|| String::from("never"), millis);
        put(
            &mut text,
            format_args!(
                "  {:<9} gap of the probe {}, of new connections {}; takeover {}; {} of {} requests \
                 failed, {} of {} streams broke, stall {}{}\n",
                measured.event.name(),
                millis(numbers.probe_gap_us),
                millis(numbers.load_gap_us),
                or_never(numbers.takeover_us),
                numbers.failed,
                numbers.requests,
                numbers.streams_broken,
                numbers.streams,
                or_never(numbers.stream_stall_us),
                how_often(measured.attempts, measured.stalled),
            ),
        );
    }
    text
}

fn how_often(attempts: u32, stalled: bool) -> String {
    match (attempts, stalled) {
        (1, true) => String::from("; stalled: this machine stood still"),
        (_, true) => format!("; stalled: this machine stood still in each of {attempts} attempts"),
        (1, false) => String::new(),
        (_, false) => format!("; attempt {attempts}: this machine stood still before"),
    }
}

/// All rounds that count: a line for each quantity of each event, beside what is aimed at.
pub(crate) fn of_rounds(measures: &[Summary], adverts_ms: u64) -> String {
    let mut text = format!(
        "\nAdvertisements every {adverts_ms} ms; all times in ms.\n\n  {:<34}{:>7}{:>10}{:>10}{:>10}   aimed at\n",
        "", "rounds", "min", "median", "worst"
    );
    let mut last: Option<Event> = None;
    for measure in measures {
        let event = match last {
            Some(event) if event == measure.event => "",
            Some(_) | None => measure.event.name(),
        };
        last = Some(measure.event);
        put(
            &mut text,
            format_args!(
                "  {event:<10}{:<24}{:>7}{:>10}{:>10}{:>10}",
                measure.quantity.name(),
                measure.rounds,
                millis(measure.min_us),
                millis(measure.median_us),
                millis(measure.worst_us),
            ),
        );
        if let Some(bar) = &measure.bar {
            let median = bar.median_us.map(|bar| format!("median {}, ", bar / 1000));
            put(
                &mut text,
                format_args!(
                    "   {}worst {}: {}",
                    median.unwrap_or_default(),
                    bar.worst_us / 1000,
                    if bar.met { "met" } else { "MISSED" }
                ),
            );
        }
        text.push('\n');
    }
    text
}

/// Milliseconds with one decimal, rounded up.
fn millis(us: u64) -> String {
    let tenths = us.div_ceil(100);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests;
