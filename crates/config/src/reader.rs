//! Typed access to the tables and keys of the document; every mismatch is reported where it stands.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Faults, Reported};
use crate::duration;
use crate::keys::{Key, SCHEMAS, Schema};

/// A table of the document whose unknown keys have been reported.
#[derive(Clone, Debug)]
pub(crate) struct Section<'t> {
    schema: &'static Schema,
    table: &'t DeTable<'t>,
    /// Keys that unknown ones are misspellings of.
    misspelled: Vec<(&'static str, Reported)>,
    /// The table's header, or the whole of an inline table.
    pub(crate) span: Range<usize>,
}

impl<'t> Section<'t> {
    pub(crate) fn new(
        schema: &'static Schema,
        table: &'t DeTable<'t>,
        span: Range<usize>,
        faults: &mut Faults<'_>,
    ) -> Self {
        let mut misspelled = Vec::new();
        for key in table.keys() {
            let name: &str = key.get_ref();
            if schema.keys.iter().any(|known| known.name == name) {
                continue;
            }
            let guess = similar(name, schema.keys.iter().map(|known| known.name));
            let reported = report_unknown(schema, name, guess, key.span(), faults);
            misspelled.extend(guess.map(|guess| (guess, reported)));
        }
        Self {
            schema,
            table,
            misspelled,
            span,
        }
    }

    /// The report of an unknown key that is probably `key`.
    pub(crate) fn misspelled(&self, key: &Key) -> Option<Reported> {
        let mut misspelled = self.misspelled.iter();
        misspelled
            .find(|(guess, _)| *guess == key.name)
            .map(|(_, reported)| *reported)
    }

    /// The value of `key`, if it is given.
    pub(crate) fn get(&self, key: &'static Key) -> Option<Field<'t>> {
        let (written, value) = self.table.get_key_value(key.name)?;
        Some(Field {
            key,
            key_span: written.span(),
            value: value.get_ref(),
            span: value.span(),
        })
    }

    /// The value of `key`, which must be given.
    pub(crate) fn require(
        &self,
        key: &'static Key,
        faults: &mut Faults<'_>,
    ) -> Result<Field<'t>, Reported> {
        if let Some(field) = self.get(key) {
            return Ok(field);
        }
        Err(self.misspelled(key).unwrap_or_else(|| {
            faults.add(
                self.span.clone(),
                format!("{} has no `{}`", self.schema.title, key.name),
                format!("the key `{}`", key.name),
                format!("add `{}`", key.example),
            )
        }))
    }
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Field<'t> {
    pub(crate) key: &'static Key,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: &'t DeValue<'t>,
    pub(crate) span: Range<usize>,
}

impl<'t> Field<'t> {
    /// Reports the value.
    pub(crate) fn fault(
        &self,
        message: impl Into<String>,
        expected: impl Into<String>,
        hint: impl Into<String>,
        faults: &mut Faults<'_>,
    ) -> Reported {
        faults.add(self.span.clone(), message, expected, hint)
    }

    /// Reports a value of the wrong type.
    pub(crate) fn wrong_type(&self, faults: &mut Faults<'_>) -> Reported {
        let message = format!("`{}` is {}", self.key.name, type_name(self.value));
        let hint = format!("write `{}`", self.key.example);
        self.fault(message, self.key.expected, hint, faults)
    }

    pub(crate) fn text(&self, faults: &mut Faults<'_>) -> Result<&'t str, Reported> {
        self.value.as_str().ok_or_else(|| self.wrong_type(faults))
    }

    /// A text that is not empty and has no control characters and no blanks.
    pub(crate) fn word(&self, faults: &mut Faults<'_>) -> Result<&'t str, Reported> {
        let text = self.text(faults)?;
        let bad = |c: char| c.is_whitespace() || c.is_control();
        if text.is_empty() || text.contains(bad) {
            let what = if text.is_empty() {
                "is empty"
            } else {
                "has blanks or control characters"
            };
            return Err(self.fault(
                format!("`{}` {what}", self.key.name),
                "a text without blanks",
                format!("write a text such as `{}`", self.key.example),
                faults,
            ));
        }
        Ok(text)
    }

    /// A word that names one `noun` alone; `names` holds those before, with their places.
    pub(crate) fn unique_name(
        &self,
        noun: &str,
        names: &mut BTreeMap<&'t str, Range<usize>>,
        faults: &mut Faults<'_>,
    ) -> Result<&'t str, Reported> {
        let name = self.word(faults)?;
        if let Some(first) = names.get(name) {
            let line = faults.line_at(first.start);
            return Err(self.fault(
                format!("two {noun}s have the name `{name}`"),
                format!("a name that no other {noun} has"),
                format!("the first is on line {line}; give this one another name"),
                faults,
            ));
        }
        names.insert(name, self.span.clone());
        Ok(name)
    }

    pub(crate) fn boolean(&self, faults: &mut Faults<'_>) -> Result<bool, Reported> {
        self.value.as_bool().ok_or_else(|| self.wrong_type(faults))
    }

    pub(crate) fn integer<T: TryFrom<i64>>(
        &self,
        range: RangeInclusive<i64>,
        faults: &mut Faults<'_>,
    ) -> Result<T, Reported> {
        let Some(written) = self.value.as_integer() else {
            return Err(self.wrong_type(faults));
        };
        i64::from_str_radix(written.as_str(), written.radix())
            .ok()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                let message = format!("`{}` is out of range: {written}", self.key.name);
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                let hint = format!("write a number such as `{}`", self.key.example);
                self.fault(message, expected, hint, faults)
            })
    }

    pub(crate) fn duration(
        &self,
        range: RangeInclusive<Duration>,
        faults: &mut Faults<'_>,
    ) -> Result<Duration, Reported> {
        let expected = format!(
            "a duration from `{}` to `{}`",
            duration::show(*range.start()),
            duration::show(*range.end())
        );
        let hint = format!(
            "write a whole number with the unit `ms`, `s`, `m` or `h`, such as `{}`",
            self.key.example
        );
        if self.value.as_integer().is_some() || self.value.as_float().is_some() {
            let message = format!("`{}` is a number without a unit", self.key.name);
            return Err(self.fault(message, expected, hint, faults));
        }
        let text = self.text(faults)?;
        match duration::parse(text) {
            Ok(value) if range.contains(&value) => Ok(value),
            Ok(_) => {
                let message = format!("`{}` is out of range: {text}", self.key.name);
                let hint = format!("write a duration such as `{}`", self.key.example);
                Err(self.fault(message, expected, hint, faults))
            }
            Err(error) => {
                let message = format!("`{}` is not a duration: {error}", self.key.name);
                Err(self.fault(message, expected, hint, faults))
            }
        }
    }

    /// One of the `supported` names; the `planned` ones get a message of their own.
    pub(crate) fn choice<T: Copy>(
        &self,
        noun: &str,
        supported: &[(&str, T)],
        planned: &[&str],
        faults: &mut Faults<'_>,
    ) -> Result<T, Reported> {
        let text = self.text(faults)?;
        if let Some((_, value)) = supported.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let names: Vec<&str> = supported.iter().map(|(name, _)| *name).collect();
        let (message, guess) = if planned.contains(&text) {
            (format!("{noun} `{text}` is not supported yet"), None)
        } else {
            let guess = similar(text, names.iter().copied());
            (format!("unknown {noun} `{text}`"), guess)
        };
        let hint = match guess {
            Some(name) => format!("did you mean `{name}`? Supported: {}", quoted(&names)),
            None => format!(
                "write `{}`; supported: {}",
                self.key.example,
                quoted(&names)
            ),
        };
        let expected = match names.as_slice() {
            [only] => format!("`{only}`"),
            _ => format!("one of {}", quoted(&names)),
        };
        Err(self.fault(message, expected, hint, faults))
    }

    /// The strings of an array, each as a field of its own; entries of another type are reported and
    /// left out.
    pub(crate) fn entries(
        &self,
        entry: &'static Key,
        faults: &mut Faults<'_>,
    ) -> Result<Vec<Self>, Reported> {
        let Some(array) = self.value.as_array() else {
            return Err(self.wrong_type(faults));
        };
        let mut entries = Vec::with_capacity(array.len());
        for value in array.iter() {
            let value: &'t Spanned<DeValue<'t>> = value;
            if value.get_ref().as_str().is_some() {
                entries.push(Self {
                    key: entry,
                    key_span: self.key_span.clone(),
                    value: value.get_ref(),
                    span: value.span(),
                });
            } else {
                let found = type_name(value.get_ref());
                faults.add(
                    value.span(),
                    format!("an entry of `{}` is {found}", self.key.name),
                    entry.expected,
                    format!("write `{}`", entry.example),
                );
            }
        }
        Ok(entries)
    }

    pub(crate) fn section(
        &self,
        schema: &'static Schema,
        faults: &mut Faults<'_>,
    ) -> Result<Section<'t>, Reported> {
        match self.value.as_table() {
            Some(table) => Ok(Section::new(schema, table, self.span.clone(), faults)),
            None => Err(self.wrong_type(faults)),
        }
    }

    /// The tables of an array; entries of another type are reported and left out.
    pub(crate) fn sections(
        &self,
        schema: &'static Schema,
        entry_example: &str,
        faults: &mut Faults<'_>,
    ) -> Result<Vec<Section<'t>>, Reported> {
        let Some(array) = self.value.as_array() else {
            return Err(self.wrong_type(faults));
        };
        let mut sections = Vec::with_capacity(array.len());
        for entry in array.iter() {
            let entry: &'t Spanned<DeValue<'t>> = entry;
            match entry.get_ref().as_table() {
                Some(table) => sections.push(Section::new(schema, table, entry.span(), faults)),
                None => {
                    let found = type_name(entry.get_ref());
                    faults.add(
                        entry.span(),
                        format!("an entry of `{}` is {found}", self.key.name),
                        "a table",
                        format!("write `{entry_example}`"),
                    );
                }
            }
        }
        Ok(sections)
    }
}

fn report_unknown(
    schema: &Schema,
    name: &str,
    guess: Option<&str>,
    span: Range<usize>,
    faults: &mut Faults<'_>,
) -> Reported {
    let names: Vec<&str> = schema.keys.iter().map(|key| key.name).collect();
    let home = SCHEMAS.iter().find_map(|other| {
        let key = other.keys.iter().find(|key| key.name == name)?;
        Some((other, key))
    });
    let hint = match (guess, home) {
        (Some(guess), _) => format!("did you mean `{guess}`?"),
        (None, Some((home, key))) => {
            format!("this belongs {}: write `{}` there", home.place, key.example)
        }
        (None, None) => format!("remove it, or write one of {}", quoted(&names)),
    };
    let message = format!("unknown key `{name}` {}", schema.place);
    faults.add(span, message, format!("one of {}", quoted(&names)), hint)
}

/// The candidate that `word` is probably a misspelling of.
fn similar<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The names in backticks, with commas.
pub(crate) fn quoted(names: &[impl Display]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
