//! `cargo xtask bpf`: the compiled XDP objects, the one that `crates/bpf` embeds and the one that
//! `cargo xtask bench datapath` measures.
//!
//! Beside them stand the hash of their sources and the versions of the tools that made them.

mod toolchain;

use crate::{process, source_hash, tree};
use anyhow::{Context as _, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use toolchain::Toolchain;

/// Exit status of `--check` when the object works but its bytes could not be compared.
const NOT_COMPARED: u8 = 3;

/// The programs of `xdp/`, each linked into an object of its own.
const PROGRAMS: [&str; 2] = ["evenkeel", "bench"];

/// The committed objects and what is recorded beside them.
struct Committed {
    folder: PathBuf,
    sources: PathBuf,
    toolchain: PathBuf,
}

impl Committed {
    fn under(root: &Path) -> Self {
        let folder = root.join("crates/bpf/src");
        Self {
            sources: folder.join("evenkeel.bpf.sources"),
            toolchain: folder.join("evenkeel.bpf.toolchain"),
            folder,
        }
    }

    fn object(&self, program: &str) -> PathBuf {
        self.folder.join(format!("{program}.bpf.o"))
    }

    fn write(&self, objects: &[Vec<u8>]) -> anyhow::Result<()> {
        for (program, object) in PROGRAMS.iter().zip(objects) {
            let path = self.object(program);
            fs::write(&path, object).with_context(|| format!("writing {}", path.display()))?;
            println!("{}: {} bytes", path.display(), object.len());
        }
        Ok(())
    }
}

/// Builds the objects and puts them, with their two records, where `crates/bpf` embeds one of them.
pub(crate) fn build() -> anyhow::Result<ExitCode> {
    let toolchain = Toolchain::find()?;
    println!("{}", toolchain.describe());
    let objects = compile(
        &toolchain,
        tree::root(),
        &tree::target().join("bpf"),
        Lock::MayChange,
    )?;
    let committed = Committed::under(tree::root());
    committed.write(&objects)?;
    fs::write(&committed.sources, hash_line()?)?;
    fs::write(&committed.toolchain, toolchain.versions())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the hash of the sources as they are now.
pub(crate) fn print_hash() -> anyhow::Result<ExitCode> {
    print!("{}", hash_line()?);
    Ok(ExitCode::SUCCESS)
}

/// Rebuilds the objects from a copy of the tree and compares them with the committed ones.
pub(crate) fn check() -> anyhow::Result<ExitCode> {
    let committed = Committed::under(tree::root());
    let recorded_hash = read(&committed.sources)?;
    if recorded_hash != hash_line()? {
        bail!(
            "the sources of the BPF object changed since it was built: run `cargo xtask bpf` and commit what it writes"
        );
    }
    let toolchain = Toolchain::find()?;
    println!("{}", toolchain.describe());
    let copy = tree::Scratch::new("bpf-check")?;
    tree::copy_into(copy.path())?;
    let rebuilt = compile(
        &toolchain,
        copy.path(),
        &copy.path().join("target"),
        Lock::Fixed,
    )?;
    let recorded = read(&committed.toolchain)?;
    if recorded != toolchain.versions() {
        return check_by_running(copy.path(), &rebuilt, &recorded, &toolchain.versions());
    }
    for (program, rebuilt) in PROGRAMS.iter().zip(&rebuilt) {
        compare(&committed.object(program), rebuilt)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails on the first byte that differs.
fn compare(path: &Path, rebuilt: &[u8]) -> anyhow::Result<()> {
    let object = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    if object != rebuilt {
        let at = object.iter().zip(rebuilt).position(|(a, b)| a != b);
        bail!(
            "{} ({} bytes) is not what its sources give ({} bytes); first difference at byte {}",
            path.display(),
            object.len(),
            rebuilt.len(),
            at.unwrap_or_else(|| object.len().min(rebuilt.len()))
        );
    }
    println!(
        "{}: {} bytes, rebuilt from a copy: identical",
        path.display(),
        object.len()
    );
    Ok(())
}

/// With other tools than the recorded ones the bytes may differ: the rebuilt object has to behave.
fn check_by_running(
    copy: &Path,
    rebuilt: &[Vec<u8>],
    recorded: &str,
    found: &str,
) -> anyhow::Result<ExitCode> {
    println!("recorded tool chain:\n{recorded}found:\n{found}");
    Committed::under(copy).write(rebuilt)?;
    if !process::is_root()? {
        bail!("the rebuilt object has to be loaded, which needs root");
    }
    process::must_succeed(
        process::cargo()
            .current_dir(copy)
            .env("CARGO_TARGET_DIR", copy.join("target"))
            .args([
                "test",
                "--package",
                "evenkeel-netns-tests",
                "--test",
                "parity",
            ]),
    )?;
    println!("the rebuilt object loads and passes parity; BYTES WERE NOT COMPARED");
    Ok(ExitCode::from(NOT_COMPARED))
}

fn hash_line() -> anyhow::Result<String> {
    let hash =
        source_hash::of_sources(tree::root()).context("hashing the sources of the object")?;
    Ok(format!("{hash}\n"))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path)
        .with_context(|| format!("reading {}: run `cargo xtask bpf` first", path.display()))
}

/// Whether cargo may write another `xdp/Cargo.lock`.
#[derive(PartialEq)]
enum Lock {
    MayChange,
    Fixed,
}

/// Builds `root/xdp` into `target` and returns the stripped objects, in the order of [`PROGRAMS`].
fn compile(
    toolchain: &Toolchain,
    root: &Path,
    target: &Path,
    lock: Lock,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let folder = root.join("xdp");
    // The folders of the unpacked crates, which the flags name, exist only after this.
    process::must_succeed(
        toolchain
            .cargo()?
            .current_dir(&folder)
            .args(["fetch", "--quiet"]),
    )?;
    let mut cargo = toolchain.cargo()?;
    cargo
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", target)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            toolchain.flags(root)?.join("\x1f"),
        )
        .args(["build", "--release", "--bins"])
        .args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"]);
    if lock == Lock::Fixed {
        cargo.arg("--locked");
    }
    process::must_succeed(&mut cargo)?;
    let linked = target.join("bpfel-unknown-none/release");
    PROGRAMS
        .iter()
        .map(|program| stripped(toolchain, &linked.join(program), target))
        .collect()
}

/// A linked program without debug information other than BTF.
fn stripped(toolchain: &Toolchain, linked: &Path, target: &Path) -> anyhow::Result<Vec<u8>> {
    let stripped = target.join("stripped.bpf.o");
    process::must_succeed(
        Command::new(toolchain.strip())
            .arg("-g")
            .arg(linked)
            .arg("-o")
            .arg(&stripped),
    )?;
    fs::read(&stripped).with_context(|| format!("reading {}", stripped.display()))
}
