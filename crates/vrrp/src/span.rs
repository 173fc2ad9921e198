//! Durations for people.

use std::fmt;
use std::time::Duration;

/// Writes `361 ms`, `5.0 s` or `1.25 s`: what matters in an election, and no more.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ms) = (self.0.as_secs(), self.0.subsec_millis());
        if s == 0 {
            write!(f, "{ms} ms")
        } else if ms % 100 < 10 {
            write!(f, "{s}.{} s", ms / 100)
        } else {
            write!(f, "{s}.{:02} s", ms / 10)
        }
    }
}

#[cfg(test)]
mod tests;
