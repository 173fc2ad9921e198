use super::*;

fn measured(event: Event, gap_ms: u64, stalled: bool) -> Measured {
    Measured {
        event,
        stalled,
        attempts: 1,
        numbers: Numbers {
            probe_gap_us: gap_ms * 1000,
            load_gap_us: gap_ms * 1000 + 1,
            takeover_us: Some(gap_ms * 500),
            ..Numbers::default()
        },
    }
}

fn round(number: u32, gap_ms: u64, stalled: bool) -> Round {
    Round {
        round: number,
        held: true,
        stalled,
        events: vec![
            measured(Event::PowerOff, gap_ms, stalled),
            measured(Event::Return, gap_ms / 10, false),
        ],
    }
}

fn rounds(gaps: &[(u64, bool)]) -> Vec<Round> {
    (1..)
        .zip(gaps)
        .map(|(number, (gap_ms, stalled))| round(number, *gap_ms, *stalled))
        .collect()
}

fn of(summaries: &[Summary], event: Event, quantity: Quantity) -> [u64; 4] {
    let summary = summaries
        .iter()
        .find(|summary| (summary.event, summary.quantity) == (event, quantity))
        .unwrap();
    let Summary {
        rounds,
        min_us,
        median_us,
        worst_us,
        ..
    } = *summary;
    [rounds, min_us, median_us, worst_us]
}

const HUNDRED: Duration = Duration::from_millis(100);

#[test]
fn only_what_held_on_a_machine_that_stalled_is_played_again_and_not_for_ever() {
    for (stalled, held, attempts, again) in [
        (false, true, 1, false),
        (true, true, 1, true),
        (true, true, 3, true),
        (true, true, 4, false),
        (true, false, 1, false),
        (false, false, 1, false),
    ] {
        let found = is_played_again(stalled, held, attempts, 3);
        assert_eq!(found, again, "{stalled} {held} {attempts}");
    }
    assert!(!is_played_again(true, true, 1, 0));
}

#[test]
fn the_median_is_in_the_middle() {
    assert_eq!(median(&[7]), 7);
    assert_eq!(median(&[7, 9]), 8);
    assert_eq!(median(&[1, 7, 9]), 7);
    assert_eq!(median(&[1, 7, 9, 100]), 8);
    assert_eq!(median(&[]), 0);
}

#[test]
fn rounds_come_to_least_median_and_worst() {
    let rounds = rounds(&[(400, false), (300, false), (380, false), (350, false)]);
    let found = summaries(&rounds, HUNDRED);
    assert_eq!(
        of(&found, Event::PowerOff, Quantity::ProbeGap),
        [4, 300_000, 365_000, 400_000]
    );
    assert_eq!(
        of(&found, Event::PowerOff, Quantity::LoadGap),
        [4, 300_001, 365_001, 400_001]
    );
    assert_eq!(
        of(&found, Event::Return, Quantity::Takeover),
        [4, 15_000, 18_250, 20_000]
    );
    // Nobody stopped anything.
    assert!(found.iter().all(|summary| summary.event != Event::Stop));
}

#[test]
fn a_stalled_event_is_left_out_and_the_others_of_its_round_are_not() {
    let rounds = rounds(&[(400, false), (2000, true), (300, false)]);
    let found = summaries(&rounds, HUNDRED);
    assert_eq!(
        of(&found, Event::PowerOff, Quantity::ProbeGap),
        [2, 300_000, 350_000, 400_000]
    );
    assert_eq!(of(&found, Event::Return, Quantity::ProbeGap)[0], 3);
    assert_eq!(bars_met(&found), Some(false), "the return took 200 ms");
}

#[test]
fn more_than_two_stalled_rounds_are_too_many() {
    let mut gaps = [(300, false); 10];
    for (stalled, noisy) in [(0, false), (1, false), (2, false), (3, true), (10, true)] {
        for gap in &mut gaps[..stalled] {
            gap.1 = true;
        }
        assert_eq!(is_too_noisy(&rounds(&gaps)), noisy, "{stalled}");
    }
    let found = summaries(&rounds(&gaps), HUNDRED);
    assert!(
        found.iter().all(|s| s.event != Event::PowerOff),
        "none is left"
    );
}

#[test]
fn the_bars_are_for_gaps_and_for_the_intervals_they_were_set_for() {
    let met = |gaps: &[(u64, bool)], adverts| {
        let found = summaries(&rounds(gaps), Duration::from_millis(adverts));
        let power_off: Vec<Summary> = found
            .into_iter()
            .filter(|summary| summary.event == Event::PowerOff)
            .collect();
        bars_met(&power_off)
    };
    assert_eq!(met(&[(419, false)], 100), Some(true));
    assert_eq!(met(&[(420, false)], 100), Some(false), "the load's is more");
    assert_eq!(
        met(&[(300, false), (350, false), (499, false)], 100),
        Some(true)
    );
    assert_eq!(
        met(&[(300, false), (350, false), (500, false)], 100),
        Some(false),
        "the worst counts too"
    );
    assert_eq!(met(&[(49, false)], 10), Some(true));
    assert_eq!(met(&[(60, false)], 10), Some(false));
    assert_eq!(met(&[(5, false)], 50), None, "nobody set one");
    assert_eq!(met(&[(5, true)], 100), None, "no round counts");
}

#[test]
fn who_is_handed_the_address_has_150_ms_at_every_interval() {
    for (event, gap_ms, adverts, met) in [
        (Event::Return, 149, 100, true),
        (Event::Stop, 149, 10, true),
        (Event::Restart, 151, 50, false),
    ] {
        let round = Round {
            events: vec![measured(event, gap_ms, false)],
            ..round(1, 0, false)
        };
        let found = summaries(&[round], Duration::from_millis(adverts));
        assert_eq!(bars_met(&found), Some(met), "{event:?}");
    }
}

#[test]
fn json_has_a_bar_only_where_there_is_one() {
    let found = summaries(&rounds(&[(400, false)]), HUNDRED);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(
        json[0],
        serde_json::json!({
            "event": "power_off",
            "quantity": "probe_gap",
            "rounds": 1,
            "min_us": 400_000,
            "median_us": 400_000,
            "worst_us": 400_000,
            "bar_median_us": 420_000,
            "bar_worst_us": 500_000,
            "bar_met": true,
        })
    );
    assert_eq!(json[2]["quantity"], "takeover");
    assert_eq!(json[2].get("bar_met"), None);
}
