//! One module per command. A command gets its arguments and gives an exit code.

pub(crate) mod check;
pub(crate) mod connections;
pub(crate) mod drain;
pub(crate) mod events;
pub(crate) mod generate;
pub(crate) mod handover;
pub(crate) mod ipvsadm;
pub(crate) mod lab;
pub(crate) mod purge;
pub(crate) mod reload;
pub(crate) mod run;
mod server_name;
pub(crate) mod status;
pub(crate) mod trace;

use std::process::ExitCode;

use crate::cli::{self, Cli, Command};
use crate::command_error::CommandError;
use crate::output::print;

/// Runs the command that was given.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, CommandError> {
    let socket = cli::socket(cli.socket);
    match cli.command {
        Command::Run(args) => run::run(args, socket),
        Command::Status(args) => status::run(&args, socket),
        Command::Events(args) => events::run(&args, socket),
        Command::Connections(args) => connections::run(&args, socket),
        Command::Drain(args) => drain::run(&args, socket),
        Command::Ready(args) => drain::run_ready(&args, socket),
        Command::Trace(args) => trace::run(&args, socket),
        Command::Failover(args) => handover::failover(args, socket),
        Command::Standby(args) => handover::standby(args, socket),
        Command::Maintenance(args) => handover::maintenance(args, socket),
        Command::Reload(args) => reload::run(&args, socket),
        Command::Check(args) => check::run(&args),
        Command::Purge(args) => purge::run(&args, socket),
        Command::PrintDefaultConfig => {
            print(evenkeel_config::default_text())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Ipvsadm(args) => Ok(ipvsadm::run(&args, &socket)),
        Command::Lab(args) => lab::run(args),
        Command::Generate(args) => generate::run(&args),
    }
}

/// A runtime for a command that asks the daemon one thing.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            CommandError::new(anyhow::Error::new(error).context("cannot start the async runtime"))
        })
}

/// An answer as JSON, with a newline at the end.
fn json(answer: &impl serde::Serialize) -> Result<String, CommandError> {
    serde_json::to_string_pretty(answer)
        .map(|text| text + "\n")
        .map_err(CommandError::new)
}

/// This machine's name, which is the director's where the config file gives none.
pub(crate) fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "director".to_owned())
}
