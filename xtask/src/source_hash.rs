//! One hash over everything of this project that decides the bytes of the BPF object.
//!
//! Compiled into `xtask`, which records it beside the object, and by path into a test of
//! `crates/bpf`, which compares: so it uses nothing but std and `sha2`.

use sha2::{Digest as _, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The crates that are compiled into the object besides `xdp/`.
const CRATES: [&str; 3] = ["wire", "abi", "datapath"];

/// Compiler flags of the object.
pub(crate) const RUSTFLAGS: [&str; 5] = [
    "--cfg=bpf_target_arch=\"x86_64\"",
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
    "-Ctarget-cpu=v3",
    "-Clink-arg=--cpu-features=+alu32,+allows-misaligned-mem-access",
];

/// The hash, in hexadecimal, for the project in `root`. Tests are left out: they change no byte.
pub(crate) fn of_sources(root: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(&root.join("xdp"), &mut files)?;
    for name in CRATES {
        let folder = root.join("crates").join(name);
        files.push(folder.join("Cargo.toml"));
        collect(&folder.join("src"), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for flag in RUSTFLAGS {
        part(&mut hash, flag.as_bytes());
    }
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file);
        part(&mut hash, name.as_os_str().as_encoded_bytes());
        part(&mut hash, &fs::read(&file)?);
    }
    let digits = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(digits)
}

fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == "target"
            || name == "tests"
            || name == "tests.rs"
            || name.as_encoded_bytes().starts_with(b".")
        {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
