//! `evenkeel ipvsadm`.

use std::path::Path;
use std::process::ExitCode;

/// Show and change the director's table as ipvsadm does.
///
/// All that follows is ipvsadm's command line: try `evenkeel ipvsadm -Ln`, `evenkeel ipvsadm -h`.
///
/// -A -E -D -a -e -d -C and --set edit the running table. Such edits stand over the config file: they outlive
/// `evenkeel reload`, which tells where they do, and the daemon, which keeps them beside its socket.
/// `evenkeel status` shows them, `evenkeel reload --forget-edits` forgets them. Servers of a service that -A
/// made are not checked; a server that -a adds to a service of the config file is checked as its others are.
/// What is held but not listed, as on a Backup, may be added: that changes it.
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

pub(crate) fn run(args: &Args, socket: &Path) -> ExitCode {
    crate::ipvsadm::run("evenkeel ipvsadm", &args.words, socket).into()
}
