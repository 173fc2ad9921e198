//! Which compiler and linker build the object.
//!
//! Either Debian's `rustc-web` with its `core` sources, or rustup's nightly with `rust-src`.

use crate::{process, rustc_wrapper, source_hash};
use anyhow::{Context as _, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

const HOW_TO_INSTALL: &str = "\
no compiler for BPF. On Debian 12:
  apt-get install rustc-web cargo-web rust-web-src llvm-22 llvm-22-dev libpolly-22-dev
or, with rustup:
  rustup toolchain install nightly --component rust-src";

const HOW_TO_INSTALL_LINKER: &str = "\
bpf-linker is not installed. With Debian's llvm-22-dev and libpolly-22-dev:
  PATH=/usr/lib/llvm-22/bin:$PATH LLVM_SYS_221_PREFIX=/usr/lib/llvm-22 \\
    cargo install bpf-linker --version 0.13.0 --no-default-features --features llvm-22 --locked";

/// The tools that were found.
pub(super) struct Toolchain {
    kind: Kind,
    sysroot: PathBuf,
    strip: PathBuf,
    versions: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Debian,
    Nightly,
}

impl Kind {
    fn rustc(self) -> Command {
        match self {
            Self::Debian => without_rustup(Command::new(DEBIAN_RUSTC)),
            Self::Nightly => without_rustup(rustup(["run", "nightly", "rustc"])),
        }
    }

    fn sysroot(self) -> Option<PathBuf> {
        let printed = process::output_of(self.rustc().args(["--print", "sysroot"])).ok()?;
        let sysroot = PathBuf::from(printed.trim());
        let has_core = library(&sysroot).join("core/Cargo.toml").exists();
        has_core.then_some(sysroot)
    }
}

impl Toolchain {
    /// Debian's where it is complete, else rustup's nightly.
    pub(super) fn find() -> anyhow::Result<Self> {
        let debian = Path::new(DEBIAN_CARGO).exists() && Path::new(DEBIAN_RUSTC).exists();
        let candidates = [Kind::Debian, Kind::Nightly];
        let found = candidates
            .into_iter()
            .filter(|kind| debian || matches!(kind, Kind::Nightly))
            .find_map(|kind| kind.sysroot().map(|sysroot| (kind, sysroot)));
        let Some((kind, sysroot)) = found else {
            bail!("{HOW_TO_INSTALL}");
        };
        if process::find("bpf-linker").is_none() {
            bail!("{HOW_TO_INSTALL_LINKER}");
        }
        let strip = ["llvm-strip-22", "llvm-strip"]
            .into_iter()
            .find_map(process::find);
        let strip = strip.context(
            "neither llvm-strip-22 nor llvm-strip is installed: `apt-get install llvm-22`",
        )?;
        let versions = versions(kind, &strip)?;
        Ok(Self {
            kind,
            sysroot,
            strip,
            versions,
        })
    }

    /// One line for the reader: which of the two it is.
    pub(super) fn describe(&self) -> String {
        let source = match self.kind {
            Kind::Debian => "Debian's rustc-web",
            Kind::Nightly => "rustup's nightly",
        };
        format!("{source}: {}", self.versions.trim_end().replace('\n', ", "))
    }

    /// Versions of everything that decides the bytes, one per line.
    pub(super) fn versions(&self) -> String {
        self.versions.clone()
    }

    pub(super) fn strip(&self) -> &Path {
        &self.strip
    }

    /// A cargo that compiles with this tool chain.
    pub(super) fn cargo(&self) -> anyhow::Result<Command> {
        let mut command = match self.kind {
            Kind::Debian => without_rustup(Command::new(DEBIAN_CARGO)),
            Kind::Nightly => without_rustup(rustup(["run", "nightly", "cargo"])),
        };
        if matches!(self.kind, Kind::Debian) {
            command
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1");
        }
        command
            .env("RUSTC_WRAPPER", std::env::current_exe()?)
            .env(rustc_wrapper::REQUEST, "1");
        Ok(command)
    }

    /// The object's compiler flags, with every path of this machine mapped away.
    pub(super) fn flags(&self, root: &Path) -> anyhow::Result<Vec<String>> {
        let mut flags: Vec<String> = source_hash::RUSTFLAGS.map(str::to_owned).into();
        let mut remap = |from: &Path, to: &str| {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        };
        remap(root, "/evenkeel");
        remap(&library(&self.sysroot), "/rust");
        for registry in registries()? {
            remap(&registry, "/crates");
        }
        Ok(flags)
    }
}

/// Folders of unpacked crates; their names depend on where the crates were downloaded from.
fn registries() -> anyhow::Result<Vec<PathBuf>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let folder = home
        .context("neither CARGO_HOME nor HOME is set")?
        .join("registry/src");
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let paths: Result<Vec<_>, _> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut paths = paths?;
    paths.sort();
    Ok(paths)
}

fn library(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

fn rustup<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new("rustup");
    command.args(args);
    command
}

/// Removes what the cargo and rustup above this process set for their own tool chain.
fn without_rustup(mut command: Command) -> Command {
    for name in [
        "CARGO",
        "LD_LIBRARY_PATH",
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
    ] {
        command.env_remove(name);
    }
    command
}

fn versions(kind: Kind, strip: &Path) -> anyhow::Result<String> {
    let rustc = process::output_of(kind.rustc().arg("-vV"))?;
    let release = rustc.lines().next().unwrap_or_default();
    let llvm = rustc
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "));
    let linker = process::output_of(Command::new("bpf-linker").arg("--version"))?;
    let strip = process::output_of(Command::new(strip).arg("--version"))?;
    let strip = strip
        .lines()
        .find_map(|line| line.trim().split("LLVM version ").nth(1));
    Ok(format!(
        "{release}\nLLVM {}\n{}\nllvm-strip {}\n",
        llvm.unwrap_or("unknown"),
        linker.trim(),
        strip.unwrap_or("unknown"),
    ))
}
