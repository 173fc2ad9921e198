//! Mistakes in a topology file, with their place in it.

use std::fmt;
use std::ops::Range;

/// A mistake in a topology file; its text shows file, line, column and the line itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyError {
    file: String,
    message: String,
    place: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    text: String,
    /// Characters to underline, at least 1.
    width: usize,
}

impl TopologyError {
    pub(super) fn new(file: &str, text: &str, span: Option<Range<usize>>, message: &str) -> Self {
        Self {
            file: file.to_owned(),
            message: message.to_owned(),
            place: span.and_then(|span| Place::find(text, &span)),
        }
    }

    /// Line and column, both from 1, where the mistake has a place.
    #[must_use]
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        self.place.as_ref().map(|place| (place.line, place.column))
    }
}

impl Place {
    fn find(text: &str, span: &Range<usize>) -> Option<Self> {
        let before = text.get(..span.start)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(line_start..)?.lines().next().unwrap_or("");
        let column = text.get(line_start..span.start)?.chars().count();
        let width = text.get(span.clone())?.lines().next().unwrap_or("");
        Some(Self {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            text: line.to_owned(),
            width: width.chars().count().max(1),
        })
    }
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else {
            return write!(f, "{}: {}", self.file, self.message);
        };
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(place.column - 1);
        let carets = "^".repeat(place.width);
        writeln!(
            f,
            "{}:{}:{}: {}",
            self.file, place.line, place.column, self.message
        )?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", place.text)?;
        write!(f, "{margin} | {indent}{carets}")
    }
}

impl std::error::Error for TopologyError {}
