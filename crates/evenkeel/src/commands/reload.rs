//! `evenkeel reload`.

use std::path::PathBuf;
use std::process::ExitCode;

use evenkeel_api::{Client, ReloadQuery};

use crate::command_error::CommandError;
use crate::output::{print, print_error};

/// Have the daemon read its config file again; a bad file changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Forget the edits by hand (`ipvsadm`): what the config file says is in force, and nothing else.
    #[arg(long)]
    forget_edits: bool,

    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, socket: PathBuf) -> Result<ExitCode, CommandError> {
    let how = ReloadQuery {
        forget_edits: args.forget_edits,
    };
    let answer = super::runtime()?.block_on(Client::new(socket).reload(how))?;
    if args.json {
        print(&super::json(&answer)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for warning in &answer.warnings {
        print_error(&format!("Warning: {warning}\n"));
    }
    let edits = match answer.edits.as_slice() {
        [] => String::new(),
        edits => format!(
            "over the config file, until `evenkeel reload --forget-edits`:\n  {}\n",
            edits.join("\n  ")
        ),
    };
    if answer.changed.is_empty() {
        print(&format!("{}: nothing changed\n{edits}", answer.file))?;
    } else {
        print(&format!("{}\n{edits}", answer.changed.join("\n")))?;
    }
    Ok(ExitCode::SUCCESS)
}
