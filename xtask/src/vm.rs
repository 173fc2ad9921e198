//! `cargo xtask vm`: Debian's stock 6.1 kernel under software emulation, the kernel floor.
//!
//! The machine sees this host's files read-only under a layer in memory, so that what was built
//! here runs there. Nothing is installed on the host; what is downloaded stays in `target/vm`.

pub(crate) mod bench;
mod initramfs;
mod kernel;

use crate::{executables, process, suite, tree};
use anyhow::{Context as _, bail};
use kernel::Kernel;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// The tests of package `evenkeel-netns-tests` that the floor has to pass, and whether only those that ask for what
/// other kernels may lack.
const TESTS: [(&str, bool); 4] = [
    ("parity", false),
    ("http_through_director", false),
    ("interfaces", true),
    ("sctp", true),
];

/// No run takes longer, or it hangs.
const LIMIT_S: u32 = 1200;

const MEMORY: &str = "3G";

/// The seed of random packets. One, for emulation is slow, and packets of the others meet the same program on this
/// machine's kernel; what differs on the floor is the verifier, the maps and the sockets.
const SEED: u32 = 1;

/// Precedes the exit status on the machine's second serial port.
const STATUS_MARK: &str = "evenkeel-vm-status=";

/// Boots the kernel and runs `TESTS` as root.
pub(crate) fn test() -> anyhow::Result<ExitCode> {
    process::must_succeed(process::cargo().args(["build", "--package", "evenkeel"]))?;
    let mut args = vec!["--package", "evenkeel-netns-tests"];
    for (test, _) in TESTS {
        args.extend(["--test", test]);
    }
    let tests = executables::of_tests(&args)?;
    if tests.len() != TESTS.len() {
        bail!("{} of {} tests were built", tests.len(), TESTS.len());
    }
    let lines: Vec<String> = tests
        .iter()
        .map(|test| {
            let path = process::quoted(&test.path.display().to_string());
            let asks = TESTS.iter().any(|(name, asks)| *asks && test.name == *name);
            let which = if asks { " --ignored" } else { "" };
            format!("{path} --test-threads=1 --show-output{which}")
        })
        .collect();
    let outcome = boot(&lines.join(" && "))?;
    if outcome.skipped && suite::skipping_fails() {
        bail!("with CI=true no test may be skipped");
    }
    Ok(ExitCode::from(outcome.status))
}

/// Boots the kernel and runs one command as root, in the project's folder.
pub(crate) fn run(command: &[&str]) -> anyhow::Result<ExitCode> {
    let words: Vec<String> = command.iter().map(|word| process::quoted(word)).collect();
    let outcome = boot(&words.join(" "))?;
    Ok(ExitCode::from(outcome.status))
}

/// What came of a command in the machine.
struct Outcome {
    status: u8,
    /// A line told of a test that could not run.
    skipped: bool,
    /// What a benchmark measured, as JSON.
    figures: Option<String>,
}

/// Boots, runs the shell's `line`, and prints what it prints.
fn boot(line: &str) -> anyhow::Result<Outcome> {
    let folder = tree::target().join("vm");
    fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let Some(qemu) = process::find("qemu-system-x86_64") else {
        bail!("qemu is not installed: `apt-get install qemu-system-x86`");
    };
    let kernel = Kernel::fetch(&folder)?;
    let image = folder.join("initramfs.cpio");
    fs::write(&image, initramfs::build(&kernel, &script(line))?)?;
    let console = folder.join("console.log");

    let started = Instant::now();
    let outcome = converse(&mut machine(&qemu, &kernel, &image, &console))?;
    let Some(outcome) = outcome else {
        let log = fs::read(&console).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let tail: Vec<&str> = log.lines().rev().take(25).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!(
            "the machine ended without an exit status; its console ends with\n{}",
            tail.join("\n")
        );
    };
    println!(
        "vm: {}: exit status {} after {} s",
        kernel.release,
        outcome.status,
        started.elapsed().as_secs()
    );
    Ok(outcome)
}

/// What the machine's first process runs once the root file system stands.
fn script(line: &str) -> String {
    let folder = process::quoted(&tree::root().display().to_string());
    format!(
        "\
export HOME=/root CI={ci} EVENKEEL_REQUIRE_ROOT=1 EVENKEEL_SEED={SEED}
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/vm
cd {folder} && ( {line} )
echo \"{STATUS_MARK}$?\"
",
        ci = std::env::var("CI").unwrap_or_default()
    )
}

fn machine(qemu: &Path, kernel: &Kernel, image: &Path, console: &Path) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg("--kill-after=5")
        .arg(LIMIT_S.to_string())
        .arg(qemu);
    command.args([
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
    ]);
    command.args(["-smp", "2", "-m", MEMORY]);
    command.args([
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-nic",
        "none",
    ]);
    command.args([
        "-fsdev",
        "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
    ]);
    command.args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]);
    command
        .arg("-serial")
        .arg(format!("file:{}", console.display()));
    command.args(["-serial", "stdio"]);
    command.arg("-kernel").arg(&kernel.image);
    command.arg("-initrd").arg(image);
    command.args([
        "-append",
        "console=ttyS0 panic=-1 random.trust_cpu=on quiet",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Prints the machine's lines as they come; None if it reports no exit status.
fn converse(command: &mut Command) -> anyhow::Result<Option<Outcome>> {
    let mut machine = command.spawn().context("cannot start `timeout`")?;
    let output = machine.stdout.take().context("qemu without an output")?;
    let mut status = None;
    let mut skipped = false;
    let mut figures = None;
    let mut out = std::io::stdout();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\r');
        skipped |= suite::tells_of_a_skip(text);
        if let Some(number) = text.strip_prefix(STATUS_MARK) {
            status = number.parse().ok();
        } else if let Some(json) = text.strip_prefix(bench::FIGURES_MARK) {
            figures = Some(json.to_owned());
        } else {
            writeln!(out, "{text}")?;
        }
    }
    machine.wait()?;
    Ok(status.map(|status| Outcome {
        status,
        skipped,
        figures,
    }))
}
