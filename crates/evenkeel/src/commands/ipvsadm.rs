//! `evenkeel ipvsadm`.

use std::path::PathBuf;
use std::process::ExitCode;

/// Show the director's table as ipvsadm does.
///
/// All that follows is ipvsadm's command line: try `evenkeel ipvsadm -Ln`, `evenkeel ipvsadm -h`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Args {
    /// Words as for ipvsadm.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORDS"
    )]
    words: Vec<String>,
}

pub(crate) fn run(args: &Args, socket: PathBuf) -> ExitCode {
    crate::ipvsadm::run("evenkeel ipvsadm", &args.words, socket).into()
}
