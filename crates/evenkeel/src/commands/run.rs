//! `evenkeel run`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::command_error::CommandError;
use crate::daemon::logging::{self, LogFormat};
use crate::daemon::{self, Setup};

/// Where the config file is, unless told otherwise.
pub(crate) const CONFIG: &str = "/etc/evenkeel/evenkeel.toml";

/// Where programs and maps are pinned, unless told otherwise.
pub(crate) const PINS: &str = "/sys/fs/bpf/evenkeel";

/// Run the director daemon in the foreground.
///
/// SIGHUP has it read its config file again. SIGTERM and SIGINT end it: virtual routers are handed over to
/// a partner first, which takes up to two master-down intervals, or given up; addresses of no virtual router
/// stay and are forwarded on, and the next start takes over.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The config file.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    /// Directory of the pinned programs and maps, on a bpf file system.
    #[arg(long, value_name = "DIR", default_value = PINS)]
    pins: PathBuf,

    /// Shape of the log lines on standard error.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    log: LogFormat,
}

pub(crate) fn run(args: Args, socket: PathBuf) -> Result<ExitCode, CommandError> {
    logging::start(args.log);
    daemon::run(Setup {
        config: args.config,
        socket,
        pins: args.pins,
    })?;
    Ok(ExitCode::SUCCESS)
}
