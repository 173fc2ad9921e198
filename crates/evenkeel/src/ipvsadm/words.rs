//! Splits a command line into options as popt does, whose manners ipvsadm has.
//!
//! It knows which options take a value and nothing of what they mean.

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Never.
    Nothing,
    /// Always: joined, after `=`, or the next word whatever it looks like.
    Value,
    /// The next word, unless that begins with `-`.
    PerhapsValue,
}

/// An option that the caller knows.
#[derive(Debug)]
pub(crate) struct Known<T: 'static> {
    /// Long name, without dashes.
    pub(crate) long: &'static str,
    /// Letter, if there is one.
    pub(crate) short: Option<char>,
    /// Whether it takes a value.
    pub(crate) takes: Takes,
    /// What it means to the caller.
    pub(crate) id: T,
}

/// An option that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given<T> {
    /// Which.
    pub(crate) id: T,
    /// Its value.
    pub(crate) value: Option<String>,
    /// The word that it stands in, for messages.
    pub(crate) word: String,
}

/// A word that is not understood, with popt's words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misunderstood {
    /// The word.
    pub(crate) word: String,
    /// popt's complaint.
    pub(crate) complaint: &'static str,
}

/// A split command line. Options come first to last; words that are no options stand apart, as popt
/// keeps them until all options are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words<T> {
    /// Options in order.
    pub(crate) options: Vec<Given<T>>,
    /// What stopped the reading, after `options`.
    pub(crate) stopped: Option<Misunderstood>,
    /// Words that are no options.
    pub(crate) rest: Vec<String>,
}

/// Splits `words` (without the program's name).
pub(crate) fn split<T: Copy>(known: &'static [Known<T>], words: &[String]) -> Words<T> {
    let mut split = Words {
        options: Vec::new(),
        stopped: None,
        rest: Vec::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let result = if word == "--" {
            split.rest.extend(words.by_ref().cloned());
            Ok(())
        } else if let Some(long) = word.strip_prefix("--") {
            take_long(known, word, long, &mut words, &mut split.options)
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            take_letters(known, word, letters, &mut words, &mut split.options)
        } else {
            split.rest.push(word.clone());
            Ok(())
        };
        if let Err(complaint) = result {
            split.stopped = Some(Misunderstood {
                word: word.clone(),
                complaint,
            });
            break;
        }
    }
    split
}

const UNKNOWN: &str = "unknown option";
const MISSING: &str = "missing argument";
const UNWANTED: &str = "option does not take an argument";

fn take_long<T: Copy>(
    known: &[Known<T>],
    word: &str,
    long: &str,
    words: &mut std::slice::Iter<'_, String>,
    options: &mut Vec<Given<T>>,
) -> Result<(), &'static str> {
    let (name, joined) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (long, None),
    };
    let option = known
        .iter()
        .find(|option| option.long == name)
        .ok_or(UNKNOWN)?;
    if joined.is_some() && option.takes == Takes::Nothing {
        return Err(UNWANTED);
    }
    let value = value_of(option.takes, joined, words)?;
    options.push(Given {
        id: option.id,
        value,
        word: word.to_owned(),
    });
    Ok(())
}

fn take_letters<T: Copy>(
    known: &[Known<T>],
    word: &str,
    letters: &str,
    words: &mut std::slice::Iter<'_, String>,
    options: &mut Vec<Given<T>>,
) -> Result<(), &'static str> {
    let mut letters = letters.chars();
    while let Some(letter) = letters.next() {
        let option = known
            .iter()
            .find(|option| option.short == Some(letter))
            .ok_or(UNKNOWN)?;
        let joined = letters.as_str();
        if option.takes == Takes::Nothing {
            if joined.starts_with('=') {
                return Err(UNWANTED);
            }
            options.push(Given {
                id: option.id,
                value: None,
                word: word.to_owned(),
            });
            continue;
        }
        let joined =
            (!joined.is_empty()).then(|| joined.strip_prefix('=').unwrap_or(joined).to_owned());
        let value = value_of(option.takes, joined, words)?;
        options.push(Given {
            id: option.id,
            value,
            word: word.to_owned(),
        });
        break;
    }
    Ok(())
}

fn value_of(
    takes: Takes,
    joined: Option<String>,
    words: &mut std::slice::Iter<'_, String>,
) -> Result<Option<String>, &'static str> {
    if joined.is_some() {
        return Ok(joined);
    }
    match takes {
        Takes::Nothing => Ok(None),
        Takes::Value => words.next().cloned().map(Some).ok_or(MISSING),
        Takes::PerhapsValue => {
            let mut ahead = words.clone();
            Ok(match ahead.next() {
                Some(word) if !word.starts_with('-') => {
                    *words = ahead;
                    Some(word.clone())
                }
                Some(_) | None => None,
            })
        }
    }
}
