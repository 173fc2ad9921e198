//! The only place that writes to the terminal.
//!
//! A reader that went away (`evenkeel status | head -1`) is no failure: [`print`] then returns an
//! error of a kind that ends the program with exit code 0.

use std::io::{self, Write as _};

use crate::command_error::CommandError;

/// Writes `text` to standard output.
///
/// # Errors
/// Where standard output takes no more.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(CommandError::output)
}

/// Writes `text` to standard error, as far as that takes it: there is nowhere left to complain.
pub(crate) fn print_error(text: &str) {
    let mut err = io::stderr().lock();
    drop(err.write_all(text.as_bytes()));
}
