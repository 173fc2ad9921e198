//! Edits by hand: how they are asked for, and how they outlive the daemon.

mod request;
pub(crate) mod words;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use evenkeel_api::{EditRefusal, Edits, Totals};
use evenkeel_control::Control;
use evenkeel_model::{Director, Overlay};
use serde::{Deserialize, Serialize};

pub(crate) use self::request::Waiting;
pub(crate) use self::words::edits;
use crate::daemon::durable;
use crate::daemon::view::Counted;

/// Shape of the file; another one is not read.
const VERSION: u32 = 1;

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    edits: Edits,
    /// Counters that `ipvsadm -Z` has seen, from which on listings count.
    #[serde(default)]
    zeroed: Vec<words::Zeroed>,
}

/// Counters from which on listings count.
pub(crate) type Baselines = BTreeMap<Counted, Totals>;

/// The file that keeps edits by hand from one daemon to the next, beside the daemon's socket.
#[derive(Debug)]
pub(crate) struct EditsFile {
    path: PathBuf,
    edits: Edits,
    /// What `ipvsadm -Z` has seen.
    pub(crate) baselines: Baselines,
}

/// Why a file of edits is of no use.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error(transparent)]
    Parse(#[from] serde_json::Error),
    #[error("its version is {0}, and this evenkeel reads version {VERSION}")]
    Version(u32),
    #[error("it has an edit that this evenkeel does not take ({0:?})")]
    Refused(EditRefusal),
}

/// Edits could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`", path.display())]
pub(crate) struct KeepError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl EditsFile {
    /// Where the edits of the daemon with this socket are.
    pub(crate) fn path_for(socket: &Path) -> PathBuf {
        socket.with_extension("edits.json")
    }

    /// Reads what an earlier daemon with this socket kept. A file that is of no use is put aside, and the
    /// log tells of it.
    pub(crate) fn open(socket: &Path) -> (Self, Overlay) {
        let mut file = Self {
            path: Self::path_for(socket),
            edits: Edits::default(),
            baselines: Baselines::new(),
        };
        let overlay = file.read().unwrap_or_else(|unusable| {
            file.put_aside(&unusable);
            Overlay::default()
        });
        (file, overlay)
    }

    fn read(&mut self) -> Result<Overlay, Unusable> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Overlay::default()),
            Err(error) => return Err(error.into()),
        };
        let kept: Kept = serde_json::from_slice(&text)?;
        if kept.version != VERSION {
            return Err(Unusable::Version(kept.version));
        }
        let overlay = words::overlay(&kept.edits).map_err(Unusable::Refused)?;
        let baselines = kept.zeroed.iter().map(words::Zeroed::read);
        self.baselines = baselines
            .collect::<Result<_, _>>()
            .map_err(Unusable::Refused)?;
        self.edits = kept.edits;
        Ok(overlay)
    }

    fn put_aside(&self, why: &Unusable) {
        let aside = self.path.with_extension("json.bad");
        let moved = fs::rename(&self.path, &aside);
        tracing::error!(
            event = "edits-unusable",
            "the edits by hand in `{}` can't be read, and the config file alone is in force: {why}",
            self.path.display()
        );
        match moved {
            Ok(()) => tracing::warn!(
                event = "edits-put-aside",
                "what they were is in `{}`",
                aside.display()
            ),
            Err(error) => tracing::warn!(
                event = "edits-not-put-aside",
                "`{}` stays where it is, until the next edit replaces it: {error}",
                self.path.display()
            ),
        }
    }

    /// Keeps exactly these edits; a crash leaves the ones before or these.
    pub(crate) fn keep(&mut self, overlay: &Overlay) -> Result<(), KeepError> {
        self.edits = edits(overlay);
        self.write()
    }

    fn write(&self) -> Result<(), KeepError> {
        let written = if self.edits.is_empty() && self.baselines.is_empty() {
            durable::remove(&self.path).map(drop)
        } else {
            self.replace()
        };
        written.map_err(|source| KeepError {
            path: self.path.clone(),
            source,
        })
    }

    fn replace(&self) -> io::Result<()> {
        let kept = Kept {
            version: VERSION,
            edits: self.edits.clone(),
            zeroed: self.baselines.iter().map(words::Zeroed::of).collect(),
        };
        durable::replace(&self.path, &serde_json::to_vec(&kept)?)
    }
}

/// What is odd about this configuration with the edits by hand laid over it.
pub(crate) fn clashes(control: &Control, configured: &Director) -> Vec<String> {
    let clashes = control.clashes(configured).into_iter();
    let told = clashes.map(|address| {
        format!(
            "`{address}` is a host's own address in the config file, and by an edit by hand a virtual one, or \
             the other way round: remove one of the two"
        )
    });
    told.collect()
}

/// Removes the file of the daemon with this socket; returns its path where it was there.
pub(crate) fn remove(socket: &Path) -> io::Result<Option<PathBuf>> {
    let path = EditsFile::path_for(socket);
    Ok(durable::remove(&path)?.then_some(path))
}

#[cfg(test)]
mod tests;
