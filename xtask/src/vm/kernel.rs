//! Debian's kernel package, unpacked below `target/vm`.

use crate::process;
use anyhow::{Context as _, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The series that is the kernel floor.
const SERIES: &str = "linux-image-6.1.";

/// An unpacked kernel with an index of its modules.
pub(super) struct Kernel {
    /// As `uname -r` says it.
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// The folder that has to stand at `/lib/modules`.
    pub(super) modules: PathBuf,
}

impl Kernel {
    /// Takes the kernel in `folder`; downloads it first where there is none.
    pub(super) fn fetch(folder: &Path) -> anyhow::Result<Self> {
        if let Some(kernel) = Self::find(folder)? {
            return Ok(kernel);
        }
        let package = newest_package()?;
        println!("vm: downloading {package}");
        process::must_succeed(
            Command::new("apt-get")
                .args(["-o", "APT::Sandbox::User=root", "-qq", "download", &package])
                .current_dir(folder),
        )?;
        let archive = entries(folder)?
            .into_iter()
            .find(|path| path.extension().is_some_and(|kind| kind == "deb"))
            .context("apt-get downloaded no package")?;
        let unpacked = folder.join("unpacking");
        if unpacked.exists() {
            fs::remove_dir_all(&unpacked)?;
        }
        process::must_succeed(
            Command::new("dpkg-deb")
                .arg("-x")
                .arg(&archive)
                .arg(&unpacked),
        )?;
        fs::remove_file(&archive)?;
        let release = package.trim_start_matches("linux-image-");
        process::must_succeed(
            Command::new("busybox")
                .arg("depmod")
                .arg("-b")
                .arg(&unpacked)
                .arg(release),
        )
        .context("busybox makes the index of modules: `apt-get install busybox-static`")?;
        fs::rename(&unpacked, folder.join(&package))?;
        Self::find(folder)?.context("the package holds no kernel")
    }

    fn find(folder: &Path) -> anyhow::Result<Option<Self>> {
        let unpacked = entries(folder)?.into_iter().rev().find_map(|path| {
            let name = path.file_name()?.to_str()?;
            let release = name.strip_prefix("linux-image-")?.to_owned();
            Some((release, path)).filter(|(_, path)| path.is_dir())
        });
        Ok(unpacked.map(|(release, path)| Self {
            image: path.join("boot").join(format!("vmlinuz-{release}")),
            modules: path.join("lib/modules"),
            release,
        }))
    }

    /// The files to load, in order, so that every one of `names` stands.
    pub(super) fn with_dependencies(&self, names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.modules.join(&self.release);
        let index = folder.join("modules.dep");
        let index =
            fs::read_to_string(&index).with_context(|| format!("reading {}", index.display()))?;
        let order = load_order(&index, names)?;
        Ok(order.into_iter().map(|path| folder.join(path)).collect())
    }
}

/// The package that `linux-image-amd64` stands for.
fn newest_package() -> anyhow::Result<String> {
    let depends =
        process::output_of(Command::new("apt-cache").args(["depends", "linux-image-amd64"]))?;
    let package = depends
        .split_whitespace()
        .find(|word| word.starts_with("linux-image-") && *word != "linux-image-amd64");
    match package {
        Some(package) if package.starts_with(SERIES) => Ok(package.to_owned()),
        Some(package) => bail!("the kernel floor is Debian 12's 6.1; here apt offers `{package}`"),
        None => bail!("apt knows no linux-image-amd64: run `apt-get update` first"),
    }
}

/// Paths of modules in the order of loading, from lines `PATH: PATH...` (dependencies last first).
fn load_order(index: &str, names: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut order: Vec<String> = Vec::new();
    for name in names {
        let file = format!("/{name}.ko");
        let line = index
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(path, _)| path.ends_with(&file));
        let Some((path, dependencies)) = line else {
            bail!("the kernel has no module `{name}`");
        };
        let needed = dependencies.split_whitespace().rev().chain([path]);
        for path in needed {
            if !order.iter().any(|known| known == path) {
                order.push(path.to_owned());
            }
        }
    }
    Ok(order)
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let paths: Result<Vec<_>, _> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut paths = paths?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
