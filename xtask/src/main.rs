//! The project's own tool: `cargo xtask lab`, `soak`, `test`, `interop`, `tidy`, `bench`, `bpf`, `vm`.
//!
//! It starts other programs and reports; it holds no logic of the product.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks to its terminal"
)]

mod bench;
mod bpf;
mod executables;
mod interop;
mod lab;
mod process;
mod rustc_wrapper;
mod source_hash;
mod suite;
mod tidy;
mod tree;
mod vm;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  lab [OPTIONS]      build evenkeel and run the paper's cluster (`evenkeel lab paper`)
  soak [OPTIONS]     leave that cluster alone for ten minutes on a busy machine, and see
                     whether a director takes over without need (`evenkeel lab soak`)
  test [--fast]      formatting, lints, tidy and every test layer; --fast leaves
                     out the tests that need root
  interop [FILTER]   every combination of evenkeel and keepalived or FRR in one virtual router
  tidy               check the laws of the house on sources and documents
  bench datapath [--json FILE] [--rounds N]
                     what a packet costs in the data plane
  bench failover [--json FILE] [--rounds N] [--adverts-ms MS]
                     what a change of director costs, of evenkeels and of keepalived
  bench sync [--json FILE] [--rounds N]
                     what connection sync costs, and the snapshot of a million connections
  bpf                build xdp/ and replace the committed object
  bpf --check        rebuild it in another folder and compare the bytes
  bpf --print-hash   print the hash of the sources that go into it
  vm test            boot the stock 6.1 kernel and run the tests of the kernel floor
  vm bench [--json FILE] [--rounds N]
                     boot it and measure the data plane beside that kernel's IPVS
  vm run -- CMD...   boot it and run CMD as root
";

fn main() -> ExitCode {
    if rustc_wrapper::is_requested() {
        return rustc_wrapper::main();
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> anyhow::Result<ExitCode> {
    match args {
        ["lab", rest @ ..] => lab::paper(rest),
        ["soak", rest @ ..] => lab::soak(rest),
        ["test"] => suite::run(suite::Extent::All),
        ["test", "--fast"] => suite::run(suite::Extent::WithoutRoot),
        ["tidy"] => tidy::run(),
        ["bench", "datapath", rest @ ..] => bench::datapath(rest),
        ["bench", "failover", rest @ ..] => bench::failover(rest),
        ["bench", "sync", rest @ ..] => bench::sync(rest),
        ["interop", rest @ ..] => interop::run(rest),
        ["bpf"] => bpf::build(),
        ["bpf", "--check"] => bpf::check(),
        ["bpf", "--print-hash"] => bpf::print_hash(),
        ["vm", "test"] => vm::test(),
        ["vm", "bench", rest @ ..] => vm::bench::run(rest),
        ["vm", "run", "--", command @ ..] if !command.is_empty() => vm::run(command),
        [] | ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}
