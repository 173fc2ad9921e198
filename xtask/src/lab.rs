//! `cargo xtask lab`: the newcomer's first command, from a fresh clone to the paper's cluster.
//!
//! Compiles as the user who typed it; only the run is root's.

use crate::{process, tree};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Builds evenkeel and runs `evenkeel lab paper ARGS...`; ends with its status.
pub(crate) fn run(args: &[&str]) -> anyhow::Result<ExitCode> {
    process::require_c_compiler()?;
    process::must_succeed(process::cargo().args(["build", "--release", "--package", "evenkeel"]))?;
    let binary = tree::target().join("release/evenkeel");
    let sudo = process::find("sudo");
    match launch(&binary, args, process::is_root()?, sudo.as_deref()) {
        Launch::Start(mut command) => Ok(process::exit_code(process::status(&mut command)?)),
        Launch::Ask(line) => {
            eprintln!(
                "error: the lab makes network namespaces, which only root may, and `sudo` is not installed."
            );
            eprintln!("evenkeel is built; now run\n  {line}");
            Ok(ExitCode::FAILURE)
        }
    }
}

enum Launch {
    Start(Command),
    Ask(String),
}

fn launch(binary: &Path, args: &[&str], is_root: bool, sudo: Option<&Path>) -> Launch {
    let mut direct = Command::new(binary);
    direct.args(["lab", "paper"]).args(args);
    match sudo {
        _ if is_root => Launch::Start(direct),
        Some(sudo) => {
            let mut command = Command::new(sudo);
            command.arg(binary).args(direct.get_args());
            Launch::Start(command)
        }
        None => Launch::Ask(format!(
            "su -c {}",
            process::quoted(&process::describe(&direct))
        )),
    }
}

#[cfg(test)]
mod tests;
