//! Orders that outlive the daemon: maintenance, and which virtual routers stand by.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::daemon::durable;

/// Shape of the file; another one is not read.
const VERSION: u32 = 1;

/// Orders that are in force until they are ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// This director takes nothing over.
    pub(crate) maintenance: bool,
    /// Virtual routers, by name, that it takes over only where nobody else is there.
    pub(crate) standby: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    #[serde(flatten)]
    standing: Standing,
}

/// The file that keeps them from one daemon to the next, beside the daemon's socket.
#[derive(Debug)]
pub(crate) struct StandingFile {
    path: PathBuf,
}

impl StandingFile {
    fn path_for(socket: &Path) -> PathBuf {
        socket.with_extension("orders.json")
    }

    /// Reads what an earlier daemon with this socket kept. Where that can't be read, none is in force, and
    /// the log tells of it.
    pub(crate) fn open(socket: &Path) -> (Self, Standing) {
        let file = Self {
            path: Self::path_for(socket),
        };
        let standing = file.read().unwrap_or_else(|error| {
            tracing::error!(
                event = "orders-unusable",
                "maintenance and standby in `{}` can't be read, and none is in force: {error}",
                file.path.display()
            );
            Standing::default()
        });
        (file, standing)
    }

    fn read(&self) -> io::Result<Standing> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Standing::default());
            }
            Err(error) => return Err(error),
        };
        let kept: Kept = serde_json::from_slice(&text)?;
        if kept.version == VERSION {
            Ok(kept.standing)
        } else {
            let version = kept.version;
            Err(io::Error::other(format!(
                "its version is {version}, and this evenkeel reads version {VERSION}"
            )))
        }
    }

    /// Keeps exactly these.
    pub(crate) fn keep(&self, standing: &Standing) -> Result<(), String> {
        let kept = Kept {
            version: VERSION,
            standing: standing.clone(),
        };
        let written = if *standing == Standing::default() {
            durable::remove(&self.path).map(drop)
        } else {
            serde_json::to_vec(&kept)
                .map_err(io::Error::from)
                .and_then(|text| durable::replace(&self.path, &text))
        };
        written.map_err(|error| format!("cannot write `{}`: {error}", self.path.display()))
    }
}

/// Removes the file of the daemon with this socket; returns its path where it was there.
pub(crate) fn remove(socket: &Path) -> io::Result<Option<PathBuf>> {
    let path = StandingFile::path_for(socket);
    Ok(durable::remove(&path)?.then_some(path))
}

#[cfg(test)]
mod tests;
