//! The figures, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use evenkeel_netns_tests::Samples;
use serde_json::{Value, json};

use crate::contender::Contender;
use crate::round::{Event, Measured};

/// All rounds of one event of one contender; times in milliseconds.
#[derive(Clone, Debug, Default)]
struct Row {
    gap: Samples,
    takeover: Samples,
    lost: Samples,
    held_twice: Samples,
    stalled: u32,
}

/// What the benchmark gave.
pub(crate) struct Report {
    adverts: Duration,
    rounds: u32,
    rows: BTreeMap<(Event, Contender), Row>,
}

impl Report {
    pub(crate) const fn new(adverts: Duration, rounds: u32) -> Self {
        Self {
            adverts,
            rounds,
            rows: BTreeMap::new(),
        }
    }

    /// Counts an event in which the machine stood still each time.
    pub(crate) fn leave_out(&mut self, contender: Contender, event: Event) {
        self.rows.entry((event, contender)).or_default().stalled += 1;
    }

    /// Adds what one event cost.
    pub(crate) fn add(&mut self, contender: Contender, event: Event, measured: &Measured) {
        let row = self.rows.entry((event, contender)).or_default();
        row.gap.add(ms(measured.gap));
        row.takeover.add(ms(measured.takeover));
        row.lost
            .add(f64::from(u32::try_from(measured.lost).unwrap_or(u32::MAX)));
        row.held_twice.add(ms(measured.held_twice));
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|((event, contender), row)| {
            json!({
                "event": event.name().replace(' ', "_"),
                "contender": contender.key(),
                "rounds": row.gap.count(),
                "stalled": row.stalled,
                "gap_ms": figures(&row.gap),
                "takeover_ms": figures(&row.takeover),
                "probe_lost": figures(&row.lost),
                "held_twice_ms": figures(&row.held_twice),
            })
        });
        json!({
            "adverts_ms": ms(self.adverts),
            "rounds": self.rounds,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn figures(samples: &Samples) -> Value {
    let rounded = |figure: f64| (figure * 10.0).round() / 10.0;
    json!({
        "min": rounded(samples.min()),
        "median": rounded(samples.median()),
        "max": rounded(samples.max()),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Advertisements every {} ms, {} rounds, taking turns on one lab; min / median / max in ms.\n\
             The gap is the longest silence of a UDP probe every millisecond, the takeover the time until\n\
             the heir announces the address. Behind keepalived's address each director answers the probe\n\
             itself; so it does for evenkeel, own echo. evenkeel, forwarding sends it to a real server.\n",
            self.adverts.as_millis(),
            self.rounds
        )?;
        writeln!(
            f,
            "{:<19}{:<22}{:>7}{:>23}{:>23}{:>8}{:>12}",
            "", "", "rounds", "gap", "takeover", "lost", "held twice"
        )?;
        for event in Event::ALL {
            for contender in Contender::ALL {
                let Some(row) = self.rows.get(&(event, contender)) else {
                    continue;
                };
                let title = if contender == Contender::ALL[0] {
                    event.name()
                } else {
                    ""
                };
                let three = |samples: &Samples| {
                    let (min, median, max) = (samples.min(), samples.median(), samples.max());
                    match samples.count() {
                        0 => "-".to_owned(),
                        _ => format!("{min:.1} / {median:.1} / {max:.1}"),
                    }
                };
                writeln!(
                    f,
                    "{title:<19}{:<22}{:>7}{:>23}{:>23}{:>8.0}{:>12.0}",
                    contender.name(),
                    row.gap.count(),
                    three(&row.gap),
                    three(&row.takeover),
                    row.lost.median(),
                    row.held_twice.max(),
                )?;
            }
        }
        let stalled: u32 = self.rows.values().map(|row| row.stalled).sum();
        if stalled > 0 {
            writeln!(
                f,
                "\nLeft out, because the machine itself stood still: {stalled}"
            )?;
        }
        Ok(())
    }
}
