use std::fs;

use super::*;
use crate::paper::failover::rows::{Fault, Kind, Scheduler};

pub(in crate::paper::failover) const ROW: Row = Row {
    fault: Fault::PowerOff,
    directors: Kind::Evenkeel,
    scheduler: Scheduler::Rr,
};

pub(in crate::paper::failover) fn settings() -> Settings {
    Settings {
        connections: 60,
        rounds: 2,
        version: String::from("1.2.3"),
    }
}

pub(in crate::paper::failover) fn attempt(round: u32, attempt: u32, stalled: bool) -> Attempt {
    let figure = f64::from(round * 100 + attempt);
    Attempt {
        round,
        attempt,
        numbers: Numbers {
            stalled,
            settled: true,
            gap_ms: figure,
            takeover_ms: Some(figure - 1.0),
            probes: 4000,
            probe_lost: u64::from(round * 100 + attempt),
            lag_ms: Some(100.0),
            counts: Some(Counts {
                established: 60,
                broken: u64::from(attempt),
                ..Counts::default()
            }),
            ..Numbers::default()
        },
    }
}

/// A file in a folder of its own, which goes with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder = format!("evenkeel-failover-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("rows.json")
    }

    fn open(&self, settings: Settings) -> Result<Kept, PaperError> {
        Kept::open(Some(self.file()), settings, true)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn connections_count_in_every_attempt_and_times_in_the_last_of_a_round() {
    let attempts = vec![
        attempt(1, 1, true),
        attempt(1, 2, false),
        attempt(2, 1, false),
        attempt(3, 1, true),
        attempt(3, 2, true),
    ];
    let measured = Measured::of(ROW, attempts);
    let counts = measured.counts.unwrap();
    assert_eq!((counts.established, counts.broken), (300, 7));
    assert_eq!((measured.rounds, measured.stalled), (3, 1));
    assert_eq!(
        measured.gap_ms,
        Some(Spread {
            min: 102.0,
            median: 151.5,
            max: 201.0
        })
    );
    assert_eq!(measured.takeover_ms.unwrap().max, 200.0);
    assert_eq!(measured.probe_lost, Some(102 + 201));
    assert_eq!(measured.lag_ms, Some(100.0));
}

#[test]
fn a_row_without_a_round_that_counts_has_no_times() {
    let measured = Measured::of(ROW, vec![attempt(1, 1, true)]);
    assert_eq!(measured.gap_ms, None);
    assert_eq!(measured.probe_lost, None);
    assert_eq!(measured.counts.unwrap().established, 60);
}

#[test]
fn three_stalled_rounds_are_too_noisy() {
    for (rounds, noisy) in [(2, false), (3, true)] {
        let attempts = (1..=rounds).map(|round| attempt(round, 1, true));
        let measured = Measured::of(ROW, attempts.collect());
        assert_eq!(measured.is_too_noisy(), noisy, "{rounds}");
    }
}

#[test]
fn a_later_run_goes_on_with_the_rows_of_an_earlier_one() {
    let place = Place::new("resumed");
    let later = Row {
        fault: Fault::Return,
        ..ROW
    };
    let mut kept = place.open(settings()).unwrap();
    kept.add(Measured::of(later, vec![attempt(1, 1, false)]))
        .unwrap();
    let own_echo = Row {
        directors: Kind::Keepalived,
        scheduler: Scheduler::None,
        ..ROW
    };
    let mut without = attempt(1, 1, false);
    without.numbers.counts = None;
    without.numbers.lag_ms = None;
    kept.add(Measured::of(own_echo, vec![without])).unwrap();
    kept.add(Measured::of(ROW, vec![attempt(1, 1, false)]))
        .unwrap();

    let again = place.open(settings()).unwrap();
    assert_eq!(again.report, kept.report);
    let rows: Vec<Row> = again
        .report
        .rows
        .iter()
        .map(|measured| measured.row)
        .collect();
    assert_eq!(rows, [ROW, own_echo, later]);
    assert!(again.report.row(ROW).is_some());
    let other = Row {
        scheduler: Scheduler::Wlc,
        ..ROW
    };
    assert!(again.report.row(other).is_none());
    let left: Vec<_> = fs::read_dir(&place.0).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing stands beside the file");
}

#[test]
fn other_settings_are_refused_with_what_to_type() {
    let place = Place::new("refused");
    drop(place.open(settings()).unwrap());
    let before = fs::read_to_string(place.file()).unwrap();
    let cases = [
        Settings {
            rounds: 3,
            ..settings()
        },
        Settings {
            connections: 61,
            ..settings()
        },
        Settings {
            version: String::from("1.2.4"),
            ..settings()
        },
    ];
    for ours in cases {
        let refused = place.open(ours.clone()).map(drop).unwrap_err().to_string();
        let hint = format!(
            "holds rows with `--connections 60 --rounds 2` of version 1.2.3, and this run has \
             `--connections {} --rounds {}` of version {}; give the same, or `--json` another path",
            ours.connections, ours.rounds, ours.version
        );
        assert!(refused.contains(&hint), "{refused}");
    }
    assert_eq!(fs::read_to_string(place.file()).unwrap(), before);
}

#[test]
fn what_is_no_report_is_left_alone() {
    let place = Place::new("foreign");
    for text in ["{}", "some notes\n", "{\"settings\": {\"connections\": 1"] {
        fs::write(place.file(), text).unwrap();
        let refused = place.open(settings()).map(drop).unwrap_err().to_string();
        assert!(
            refused.contains("holds no rows of `lab failover`"),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(place.file()).unwrap(), text);
    }
    fs::write(place.file(), "\n").unwrap();
    assert!(place.open(settings()).is_ok(), "an empty file is a new one");
    let folder = Kept::open(Some(place.0.clone()), settings(), true).map(drop);
    let refused = folder.unwrap_err().to_string();
    assert!(refused.contains("no regular file"), "{refused}");
    let missing = place.0.join("missing").join("rows.json");
    let refused = Kept::open(Some(missing), settings(), true).map(drop);
    assert!(matches!(refused, Err(PaperError::Json { .. })));
}
