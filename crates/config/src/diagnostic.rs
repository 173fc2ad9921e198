//! Mistakes in a config file: collected by [`Faults`], shown as [`Diagnostics`].

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One mistake in a config file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column of the first character at fault, in characters from 1.
    pub column: usize,
    /// How many characters are at fault; 0 where something is missing.
    pub length: usize,
    /// The same place in bytes of the text, within one line.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What was expected, as a noun.
    pub expected: String,
    /// What to type.
    pub hint: String,
}

/// All mistakes of one config file, at least one, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    text: String,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The mistakes as plain data.
    #[must_use]
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.list
    }

    /// The mistakes as a person reads them: place, line of the file, caret, hint.
    ///
    /// `color` adds terminal escape sequences.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let reports: Vec<String> = self
            .list
            .iter()
            .map(|diagnostic| {
                let snippet = Snippet::source(self.text.as_str())
                    .path(diagnostic.file.as_str())
                    .annotation(
                        AnnotationKind::Primary
                            .span(diagnostic.span.clone())
                            .label(format!("expected {}", diagnostic.expected)),
                    );
                let group = Level::ERROR
                    .primary_title(diagnostic.message.as_str())
                    .element(snippet)
                    .element(Level::HELP.message(diagnostic.hint.as_str()));
                renderer.render(&[group])
            })
            .collect();
        let mut rendered = reports.join("\n\n");
        rendered.push('\n');
        rendered
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.list.first().map_or("", |first| first.file.as_str());
        match self.list.len() {
            1 => write!(f, "the config file `{file}` has a mistake"),
            count => write!(f, "the config file `{file}` has {count} mistakes"),
        }
    }
}

impl Error for Diagnostics {}

/// Proof that a mistake was added to [`Faults`]; stands for a value that could not be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported(());

#[derive(Debug)]
struct Fault {
    span: Range<usize>,
    message: String,
    expected: String,
    hint: String,
}

/// Collects mistakes while the document is walked.
#[derive(Debug)]
pub(crate) struct Faults<'t> {
    text: &'t str,
    list: Vec<Fault>,
    /// Lines whose syntax is at fault: what was read from them is a guess.
    broken_lines: BTreeSet<usize>,
}

impl<'t> Faults<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            list: Vec::new(),
            broken_lines: BTreeSet::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a mistake; on a line whose syntax is at fault, it is left out.
    pub(crate) fn add(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
        hint: impl Into<String>,
    ) -> Reported {
        if !self.broken_lines.contains(&self.line_at(span.start)) {
            self.list.push(Fault {
                span,
                message: message.into(),
                expected: expected.into(),
                hint: hint.into(),
            });
        }
        Reported(())
    }

    /// Adds a mistake in the syntax, at most one for a line.
    pub(crate) fn add_syntax(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let line = self.line_at(span.start);
        self.add(span, message, expected, hint);
        self.broken_lines.insert(line);
    }

    /// The line, from 1, that byte `offset` stands on.
    pub(crate) fn line_at(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset);
        let before = before.unwrap_or(self.text.as_bytes());
        before
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count()
            .saturating_add(1)
    }

    /// Ends the collection.
    pub(crate) fn into_diagnostics(self, file: &str) -> Diagnostics {
        let mut list: Vec<Diagnostic> = self
            .list
            .into_iter()
            .map(|fault| locate(self.text, file, fault))
            .collect();
        list.sort_by_key(|diagnostic| diagnostic.span.start);
        Diagnostics {
            text: self.text.to_owned(),
            list,
        }
    }
}

/// Clips the fault to its first line and counts lines and columns.
fn locate(text: &str, file: &str, fault: Fault) -> Diagnostic {
    let content = text.trim_end_matches(['\n', '\r', ' ', '\t']);
    let start = if fault.span.is_empty() {
        // What is missing at the end of the file is missed behind its last word.
        fault.span.start.min(content.len())
    } else {
        fault.span.start.min(text.len())
    };
    let start = text.floor_char_boundary(start);
    let (before, after) = text.split_at(start);
    let rest = after.split(['\n', '\r']).next().unwrap_or_default();
    let length = fault.span.len().min(rest.len());
    let end = text.ceil_char_boundary(start.saturating_add(length));
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let count = |range: Range<usize>| text.get(range).map_or(0, |part| part.chars().count());
    Diagnostic {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: count(line_start..start) + 1,
        length: count(start..end),
        span: start..end,
        message: fault.message,
        expected: fault.expected,
        hint: fault.hint,
    }
}
