//! `cargo xtask interop`: every combination of evenkeel and another VRRP director, of which the ordinary
//! tests run a covering part.

use crate::{executables, process};
use anyhow::Context as _;
use std::process::ExitCode;

/// Builds and runs `tests/netns/tests/interop` whole; ends with its status.
pub(crate) fn run(args: &[&str]) -> anyhow::Result<ExitCode> {
    process::require_c_compiler()?;
    process::must_succeed(process::cargo().args(["build", "--package", "evenkeel"]))?;
    let built = executables::of_tests(&["--package", "evenkeel-netns-tests", "--test", "interop"])?;
    let program = &built.first().context("cargo built no test")?.path;
    let all = ["--include-ignored", "--test-threads=1"];
    process::run_as_root("the interop tests", program, &[&all, args].concat())
}
