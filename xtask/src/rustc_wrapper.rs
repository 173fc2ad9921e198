//! This program in the place of rustc, so that the BPF object does not depend on where it was built.
//!
//! Cargo derives `-C metadata` of a crate outside of its workspace from the crate's absolute path,
//! and rustc puts it into every symbol. For our own crates a constant replaces it.

use crate::process;
use std::process::{Command, ExitCode};

/// Set for cargo's children when they should run through this wrapper.
pub(crate) const REQUEST: &str = "EVENKEEL_XTASK_WRAPS_RUSTC";

/// Whether cargo started this program as rustc's wrapper.
pub(crate) fn is_requested() -> bool {
    std::env::var_os(REQUEST).is_some()
}

/// Runs `ARG1 ARG2...` with `-C metadata` replaced.
pub(crate) fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((rustc, args)) = args.split_first() else {
        return ExitCode::FAILURE;
    };
    match process::status(Command::new(rustc).args(without_location(args))) {
        Ok(status) => process::exit_code(status),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn without_location(args: &[String]) -> Vec<String> {
    let name = args.iter().skip_while(|arg| *arg != "--crate-name").nth(1);
    let is_ours = name.is_some_and(|name| name.starts_with("evenkeel") || name == "bench");
    args.iter()
        .map(|arg| match arg {
            arg if is_ours && arg.starts_with("metadata=") => "metadata=evenkeel".to_owned(),
            arg => arg.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
