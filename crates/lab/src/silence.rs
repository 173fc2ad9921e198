//! The longest silence among answers: what a failover costs whoever is asking.

use std::time::{Duration, Instant};

/// A time without any answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The last answer before it, or where the time looked at begins.
    pub began: Instant,
    /// Until the next answer, or until the time looked at ends.
    pub length: Duration,
}

/// The longest time between consecutive answers from `from` to `to`, the first of several.
///
/// Both ends count like answers, so that an answer that never came does not shorten a silence.
#[must_use]
pub fn longest_silence(
    answers: impl IntoIterator<Item = Instant>,
    from: Instant,
    to: Instant,
) -> Silence {
    let mut answers: Vec<Instant> = answers
        .into_iter()
        .filter(|when| (from..=to).contains(when))
        .collect();
    answers.sort_unstable();
    answers.push(to);
    let mut longest = Silence {
        began: from,
        length: Duration::ZERO,
    };
    let mut last = from;
    for answer in answers {
        let length = answer.saturating_duration_since(last);
        if length > longest.length {
            longest = Silence {
                began: last,
                length,
            };
        }
        last = answer;
    }
    longest
}

#[cfg(test)]
mod tests;
