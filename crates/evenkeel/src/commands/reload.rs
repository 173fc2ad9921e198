//! `evenkeel reload`.

use std::path::PathBuf;
use std::process::ExitCode;

use evenkeel_api::Client;

use crate::command_error::CommandError;
use crate::output::{print, print_error};

/// Have the daemon read its config file again; a bad file changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, socket: PathBuf) -> Result<ExitCode, CommandError> {
    let answer = super::runtime()?.block_on(Client::new(socket).reload())?;
    if args.json {
        print(&super::json(&answer)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for warning in &answer.warnings {
        print_error(&format!("Warning: {warning}\n"));
    }
    if answer.changed.is_empty() {
        print(&format!("{}: nothing changed\n", answer.file))?;
    } else {
        print(&(answer.changed.join("\n") + "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
