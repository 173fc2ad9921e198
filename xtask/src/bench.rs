//! `cargo xtask bench`: the benchmarks, compiled by the user who types it and run as root.

use crate::{executables, process};
use anyhow::Context as _;
use std::process::ExitCode;

/// Builds and runs `tests/netns/benches/failover`; ends with its status.
pub(crate) fn failover(args: &[&str]) -> anyhow::Result<ExitCode> {
    beside_the_program("failover", args)
}

/// Builds and runs `tests/netns/benches/sync`; ends with its status.
pub(crate) fn sync(args: &[&str]) -> anyhow::Result<ExitCode> {
    beside_the_program("sync", args)
}

/// Builds the optimised program too, which the benchmark starts.
fn beside_the_program(name: &str, args: &[&str]) -> anyhow::Result<ExitCode> {
    process::require_c_compiler()?;
    process::must_succeed(process::cargo().args(["build", "--release", "--package", "evenkeel"]))?;
    run(name, args)
}

/// Builds and runs `tests/netns/benches/datapath`; ends with its status.
pub(crate) fn datapath(args: &[&str]) -> anyhow::Result<ExitCode> {
    process::require_c_compiler()?;
    run("datapath", args)
}

fn run(name: &str, args: &[&str]) -> anyhow::Result<ExitCode> {
    let built =
        executables::of_benchmarks(&["--package", "evenkeel-netns-tests", "--bench", name])?;
    let program = &built.first().context("cargo built no benchmark")?.path;
    process::run_as_root("the benchmark", program, args)
}
