//! Mistakes in the TOML itself.
//!
//! The parser recovers, so that all of them are reported; some leave a tree that can be trusted.

use std::ops::Range;

use toml::de::Error;

use crate::diagnostic::Faults;
use crate::keys;

/// Reports the parser's errors; false if the recovered document is not worth checking.
pub(crate) fn report(errors: &[Error], text: &str, faults: &mut Faults<'_>) -> bool {
    let mut located: Vec<(Range<usize>, &str)> = errors
        .iter()
        .map(|error| (error.span().unwrap_or_default(), error.message()))
        .collect();
    located.sort_by_key(|(span, _)| span.start);
    let mut trusted = true;
    for (span, message) in located {
        let found = text.get(span.clone()).unwrap_or_default();
        let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        match what {
            "string values must be quoted" => report_unquoted(span, found, faults),
            "duplicate key" => {
                let line_start = text.get(..span.start).and_then(|before| before.rfind('\n'));
                let line = text.get(line_start.map_or(0, |newline| newline + 1)..);
                let table = line.is_some_and(|line| line.trim_start().starts_with('['));
                // Of two tables with one name the parser keeps the second.
                trusted &= !table;
                report_duplicate(span, found, table, faults);
            }
            "invalid float" | "invalid integer" | "invalid datetime" | "invalid boolean" => {
                report_value(&span, text, faults);
            }
            _ => {
                trusted = false;
                report_structure(span, what, expected, faults);
            }
        }
    }
    trusted
}

fn report_unquoted(span: Range<usize>, found: &str, faults: &mut Faults<'_>) {
    if found.is_empty() {
        faults.add_syntax(
            span,
            "a value is missing",
            "a value",
            "write a value, such as a text in double quotes",
        );
    } else {
        faults.add_syntax(
            span,
            format!("the text `{found}` is not quoted"),
            "a string in double quotes",
            format!("write `\"{found}\"`"),
        );
    }
}

/// Reports a value that begins like a number or a boolean; an address without quotes does.
fn report_value(span: &Range<usize>, text: &str, faults: &mut Faults<'_>) {
    let ends = |c: char| c.is_whitespace() || "=,[]{}#".contains(c);
    let (before, after) = text.split_at_checked(span.start).unwrap_or((text, ""));
    let start = before.trim_end_matches(|c| !ends(c)).len();
    let end = text.len() - after.trim_start_matches(|c| !ends(c)).len();
    let word = text.get(start..end).unwrap_or_default();
    let message = format!("`{word}` is not a TOML value");
    let expected = "a number, `true`, `false` or a string in double quotes";
    let hint = if word.contains(':') || word.matches('.').count() > 1 {
        format!("write `\"{word}\"`")
    } else {
        "write a number without unit and leading zeros, or a text in double quotes".to_owned()
    };
    faults.add_syntax(start..end, message, expected, hint);
}

fn report_duplicate(span: Range<usize>, found: &str, table: bool, faults: &mut Faults<'_>) {
    let hint = if table && found == keys::SERVICES.name {
        "write `[[service]]`, with two brackets, above each service".to_owned()
    } else if table && found == keys::ROUTERS.name {
        "write `[[virtual-router]]`, with two brackets, above each virtual router".to_owned()
    } else if table {
        format!("write `[{found}]` once, with all its keys below")
    } else {
        format!("remove one of the lines that set `{found}`")
    };
    let message = format!("`{found}` is given twice");
    faults.add_syntax(span, message, "each key once", hint);
}

fn report_structure(span: Range<usize>, what: &str, expected: &str, faults: &mut Faults<'_>) {
    if what == "key with no value" {
        faults.add_syntax(
            span,
            "a key without a value",
            "`=` and a value",
            "write `key = \"value\"`, one on each line, and begin comments with `#`",
        );
    } else if expected.starts_with('`') && !expected.contains(", ") {
        let hint = format!("type {expected} here");
        faults.add_syntax(span, what, expected, hint);
    } else if expected == "nothing" {
        faults.add_syntax(span, what, "nothing here", "remove this");
    } else {
        let expected = if expected.is_empty() {
            "TOML"
        } else {
            expected
        };
        let hint = "write `key = \"value\"`, with the value in double quotes";
        faults.add_syntax(span, what, expected, hint);
    }
}
