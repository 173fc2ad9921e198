//! `cargo xtask lab`: the newcomer's first command, from a fresh clone to the paper's cluster.
//!
//! Compiles as the user who typed it; only the run is root's.

use crate::{process, tree};
use std::process::ExitCode;

/// Builds evenkeel and runs `evenkeel lab paper ARGS...`; ends with its status.
pub(crate) fn run(args: &[&str]) -> anyhow::Result<ExitCode> {
    process::require_c_compiler()?;
    process::must_succeed(process::cargo().args(["build", "--release", "--package", "evenkeel"]))?;
    let binary = tree::target().join("release/evenkeel");
    let args = [&["lab", "paper"], args].concat();
    process::run_as_root("the lab", &binary, &args)
}
