//! `cargo xtask lab`: the newcomer's first command, from a fresh clone to the paper's cluster; and
//! `cargo xtask soak`, which leaves that cluster alone.
//!
//! Compiles as the user who typed it; only the run is root's.

use crate::{process, tree};
use std::process::ExitCode;

/// Builds evenkeel and runs `evenkeel lab paper ARGS...`; ends with its status.
pub(crate) fn paper(args: &[&str]) -> anyhow::Result<ExitCode> {
    run(&[&["lab", "paper"], args].concat())
}

/// Builds evenkeel and runs `evenkeel lab soak ARGS...`; ends with its status.
pub(crate) fn soak(args: &[&str]) -> anyhow::Result<ExitCode> {
    run(&[&["lab", "soak"], args].concat())
}

fn run(args: &[&str]) -> anyhow::Result<ExitCode> {
    process::require_c_compiler()?;
    process::must_succeed(process::cargo().args(["build", "--release", "--package", "evenkeel"]))?;
    let binary = tree::target().join("release/evenkeel");
    process::run_as_root("the lab", &binary, args)
}
