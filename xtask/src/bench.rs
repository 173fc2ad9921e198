//! `cargo xtask bench`: the benchmarks, compiled by the user who types it and run as root.

use crate::{executables, process};
use anyhow::{Context as _, bail};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Builds and runs `tests/netns/benches/datapath`; ends with its status.
pub(crate) fn datapath(args: &[&str]) -> anyhow::Result<ExitCode> {
    process::require_c_compiler()?;
    let built =
        executables::of_benchmarks(&["--package", "evenkeel-netns-tests", "--bench", "datapath"])?;
    let program = &built.first().context("cargo built no benchmark")?.path;
    let mut command = as_root(program, args)?;
    Ok(process::exit_code(process::status(&mut command)?))
}

fn as_root(program: &Path, args: &[&str]) -> anyhow::Result<Command> {
    let mut direct = Command::new(program);
    direct.args(args);
    if process::is_root()? {
        return Ok(direct);
    }
    let Some(sudo) = process::find("sudo") else {
        bail!(
            "the benchmark needs root, and `sudo` is not installed; it is built, run\n  su -c {}",
            process::quoted(&process::describe(&direct))
        );
    };
    let mut command = Command::new(sudo);
    command.arg(program).args(args);
    Ok(command)
}
