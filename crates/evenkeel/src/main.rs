//! The program `evenkeel`: the director daemon, its API server, and the command line.
//!
//! Commands other than `run`, `check`, `purge` and `lab` are clients of the daemon's API and read
//! nothing else. Called `ipvsadm`, the program is an ipvsadm.

#![forbid(unsafe_code)]

mod cli;
mod command_error;
mod commands;
mod daemon;
mod ipvsadm;
mod output;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;

fn main() -> ExitCode {
    if let Some(code) = evenkeel_lab::entry::run(std::env::args_os().skip(1)) {
        return code;
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    let program = words.first().cloned().unwrap_or_default();
    if Path::new(&program).file_name() == Some("ipvsadm".as_ref()) {
        let words: Vec<String> = words
            .iter()
            .skip(1)
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let program = program.to_string_lossy();
        return ipvsadm::run(&program, &words, &cli::socket(None)).into();
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come here too, with exit code 0; a reader that went away is no failure.
            drop(error.print());
            return u8::try_from(error.exit_code()).unwrap_or(2).into();
        }
    };
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => {
            output::print_error(&error.render());
            error.exit_code().into()
        }
    }
}
