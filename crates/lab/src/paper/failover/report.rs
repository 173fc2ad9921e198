//! The rows that are measured, and the file that keeps them, from which a later run goes on.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Add as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::paper::PaperError;
use crate::paper::failover::judge::{Counts, Numbers};
use crate::paper::failover::rows::Row;
use crate::paper::rounds::STALLED_MAX;
use crate::samples::Samples;

/// What rows must have in common to stand in one report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Connections that are asked for.
    pub(super) connections: u32,
    /// How often each row's fault is played.
    pub(super) rounds: u32,
    /// evenkeel's.
    pub(super) version: String,
}

impl Settings {
    fn in_words(&self) -> String {
        let Self {
            connections,
            rounds,
            version,
        } = self;
        format!("`--connections {connections} --rounds {rounds}` of version {version}")
    }
}

/// One playing of a fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// From 1.
    pub(super) round: u32,
    /// From 1; the last one of a round is the one whose times count.
    pub(super) attempt: u32,
    #[serde(flatten)]
    pub(super) numbers: Numbers,
}

/// A figure over the rounds that count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    fn of(samples: &Samples) -> Option<Self> {
        (samples.count() > 0).then(|| Self {
            min: samples.min(),
            median: samples.median(),
            max: samples.max(),
        })
    }
}

/// A finished row. Connections and requests are summed up over all attempts: no machine that stood still
/// excuses a connection that broke. All else is of the rounds in whose last attempt it did not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    #[serde(flatten)]
    pub(super) row: Row,
    pub(super) rounds: u32,
    /// Rounds in whose last attempt this machine stood still.
    pub(super) stalled: u32,
    /// Attempts after which the directors did not have the roles that they should have.
    pub(super) unsettled: u32,
    #[serde(flatten)]
    pub(super) counts: Option<Counts>,
    pub(super) lag_ms: Option<f64>,
    /// All rounds that count together; `None` where none does.
    pub(super) probe_lost: Option<u64>,
    /// See `probe_lost`.
    pub(super) probe_duplicated: Option<u64>,
    pub(super) gap_ms: Option<Spread>,
    pub(super) gap_fault_free_ms: Option<Spread>,
    pub(super) takeover_ms: Option<Spread>,
    pub(super) held_twice_ms: Option<Spread>,
    pub(super) retransmitted_per_s: Option<Spread>,
    pub(super) retransmitted_fault_free_per_s: Option<Spread>,
    pub(super) attempts: Vec<Attempt>,
}

impl Measured {
    /// Sums up all attempts of a row, in the order in which they were made.
    pub(super) fn of(row: Row, attempts: Vec<Attempt>) -> Self {
        let last = |index: usize, attempt: &Attempt| {
            let next = attempts.get(index + 1);
            next.is_none_or(|next| next.round != attempt.round)
        };
        let lasts = attempts.iter().enumerate();
        let lasts: Vec<&Numbers> = lasts
            .filter(|(index, attempt)| last(*index, attempt))
            .map(|(_index, attempt)| &attempt.numbers)
            .collect();
        let counted = || lasts.iter().filter(|numbers| !numbers.stalled);
        let spread = |of: fn(&Numbers) -> Option<f64>| {
            let mut samples = Samples::default();
            for figure in counted().filter_map(|numbers| of(numbers)) {
                samples.add(figure);
            }
            Spread::of(&samples)
        };
        let all = || attempts.iter().map(|attempt| &attempt.numbers);
        let counts = all().filter_map(|numbers| numbers.counts);
        let lags = all().filter_map(|numbers| numbers.lag_ms);
        Self {
            row,
            rounds: count(&lasts),
            stalled: count(lasts.iter().filter(|numbers| numbers.stalled)),
            unsettled: count(all().filter(|numbers| !numbers.settled)),
            counts: counts.reduce(|mut sum, counts| {
                sum += counts;
                sum
            }),
            lag_ms: lags.reduce(f64::max),
            probe_lost: counted().map(|numbers| numbers.probe_lost).reduce(u64::add),
            probe_duplicated: counted()
                .map(|numbers| numbers.probe_duplicated)
                .reduce(u64::add),
            gap_ms: spread(|numbers| Some(numbers.gap_ms)),
            gap_fault_free_ms: spread(|numbers| Some(numbers.gap_fault_free_ms)),
            takeover_ms: spread(|numbers| numbers.takeover_ms),
            held_twice_ms: spread(|numbers| Some(numbers.held_twice_ms)),
            retransmitted_per_s: spread(|numbers| numbers.retransmitted_per_s),
            retransmitted_fault_free_per_s: spread(|numbers| {
                numbers.retransmitted_fault_free_per_s
            }),
            attempts,
        }
    }

    /// Whether this machine stood still in so many rounds that the others prove nothing.
    pub(super) fn is_too_noisy(&self) -> bool {
        usize::try_from(self.stalled).is_ok_and(|stalled| stalled > STALLED_MAX)
    }
}

fn count(things: impl IntoIterator) -> u32 {
    u32::try_from(things.into_iter().count()).unwrap_or(u32::MAX)
}

/// All rows that are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) settings: Settings,
    /// False where keepalived's rows are left out because it is not installed.
    pub(super) keepalived: bool,
    pub(super) rows: Vec<Measured>,
}

impl Report {
    /// The row, where it is measured.
    pub(super) fn row(&self, row: Row) -> Option<&Measured> {
        self.rows.iter().find(|measured| measured.row == row)
    }

    /// Adds a row in its place.
    pub(super) fn add(&mut self, measured: Measured) {
        let place = self.rows.partition_point(|other| other.row < measured.row);
        self.rows.insert(place, measured);
    }
}

/// Where a report is kept; nowhere, where none is asked for.
pub(super) struct Kept {
    path: Option<PathBuf>,
    pub(super) report: Report,
}

impl Kept {
    /// Goes on with the report in the file, or begins one.
    pub(super) fn open(
        path: Option<PathBuf>,
        settings: Settings,
        keepalived: bool,
    ) -> Result<Self, PaperError> {
        let mut report = Report {
            settings,
            keepalived,
            rows: Vec::new(),
        };
        let mut path = path;
        if let Some(path) = &mut path
            && let Some(text) = read(path)?
        {
            let earlier: Report =
                serde_json::from_str(&text).map_err(|error| PaperError::NoRows {
                    path: path.clone(),
                    reason: error.to_string(),
                })?;
            if earlier.settings != report.settings {
                return Err(PaperError::OtherRows {
                    path: path.clone(),
                    theirs: earlier.settings.in_words(),
                    ours: report.settings.in_words(),
                });
            }
            report.rows = earlier.rows;
        }
        let kept = Self { path, report };
        // A file that can't be written is no reason to wait for the first row.
        kept.write()?;
        Ok(kept)
    }

    /// Adds a row, and has it in the file when this returns.
    pub(super) fn add(&mut self, measured: Measured) -> Result<(), PaperError> {
        self.report.add(measured);
        self.write()
    }

    fn write(&self) -> Result<(), PaperError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        replace(path, &self.report).map_err(|source| PaperError::Json {
            path: path.clone(),
            source,
        })
    }
}

/// What the file holds, and its path behind links; `None`: there is none, or it is empty.
fn read(path: &mut PathBuf) -> Result<Option<String>, PaperError> {
    let failed = |path: &Path, source| PaperError::Json {
        path: path.to_owned(),
        source,
    };
    match fs::canonicalize(&path) {
        Ok(real) => *path = real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, error)),
    }
    // To put a new file in its place would be the end of a device.
    if !path.is_file() {
        return Err(PaperError::NoRows {
            path: path.clone(),
            reason: String::from("it is no regular file"),
        });
    }
    let text = fs::read_to_string(&path).map_err(|error| failed(path, error))?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// Puts a whole new file in the place of the old one: whoever reads it at whatever time reads whole rows.
fn replace(path: &Path, report: &Report) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
pub(super) mod tests;
