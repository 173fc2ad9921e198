//! The config file: TOML text to a validated [`Director`], or all of its mistakes at once.
//!
//! Every mistake has a place in the file, what was expected there and a hint with what to type.
//! The document is walked by hand, because deserializing stops at the first mistake. This crate
//! looks up no host name, asks the kernel nothing and reads one file, in [`load`].

#![forbid(unsafe_code)]

mod address;
mod check;
mod diagnostic;
mod director;
mod duration;
mod failback;
mod keys;
mod listen;
mod options;
mod overlap;
mod reader;
mod server;
mod service;
mod sync;
mod syntax;
mod virtual_router;

use std::path::{Path, PathBuf};

use evenkeel_model::Director;
use toml::de::DeTable;

use crate::diagnostic::Faults;
pub use crate::diagnostic::{Diagnostic, Diagnostics};
pub use crate::duration::{InvalidDuration, parse as parse_duration};

/// Why a config file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("can't read the config file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file was read and has mistakes.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
}

/// Reads and validates the config file at `path`.
///
/// `default_name` becomes the director's name where the file gives none.
///
/// # Errors
/// The file can't be read, or it has mistakes: then all of them.
pub fn load(path: &Path, default_name: &str) -> Result<Director, LoadError> {
    let bytes = std::fs::read(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    let file_name = path.display().to_string();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(parse(&file_name, &text, default_name)?),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            let mut faults = Faults::new(&text);
            faults.add(
                valid..valid.saturating_add(char::REPLACEMENT_CHARACTER.len_utf8()),
                "this byte is not part of UTF-8 text",
                "UTF-8 text",
                "save the file in the encoding UTF-8",
            );
            Err(faults.into_diagnostics(&file_name).into())
        }
    }
}

/// Validates the config `text`; `file_name` is only for the diagnostics.
///
/// `default_name` becomes the director's name where the text gives none.
///
/// # Errors
/// All mistakes of the text, in its order. After a mistake that leaves the structure of the
/// document in doubt (a bracket that is not closed) only the mistakes in its syntax.
pub fn parse(file_name: &str, text: &str, default_name: &str) -> Result<Director, Diagnostics> {
    let mut faults = Faults::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let trusted = syntax::report(&errors, text, &mut faults);
    if !trusted {
        return Err(faults.into_diagnostics(file_name));
    }
    let director = director::read(document.get_ref(), default_name, &mut faults);
    match director {
        Ok(director) if faults.is_empty() => Ok(director),
        Ok(_) | Err(_) => Err(faults.into_diagnostics(file_name)),
    }
}

/// A commented config file that is valid as it stands, for a newcomer to start from.
#[must_use]
pub fn default_text() -> &'static str {
    include_str!("../samples/valid/default.toml")
}
