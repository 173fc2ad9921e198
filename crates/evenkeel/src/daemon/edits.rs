//! Edits by hand: how they are asked for, and how they outlive the daemon.

pub(crate) mod words;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use evenkeel_api::{API_VERSION, Edit, EditAnswer, EditRefusal, Edits, Totals};
use evenkeel_model::{self as model, Overlay, ServiceKey};
use serde::{Deserialize, Serialize};

pub(crate) use self::words::edits;
use crate::daemon::event_loop::Daemon;
use crate::daemon::server::Answer;
use crate::daemon::start;
use crate::daemon::view::{self, Counted};

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
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
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
        let new = self.path.with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(serde_json::to_string_pretty(&kept)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// Removes the file of the daemon with this socket; returns its path where it was there.
pub(crate) fn remove(socket: &Path) -> io::Result<Option<PathBuf>> {
    let path = EditsFile::path_for(socket);
    match fs::remove_file(&path) {
        Ok(()) => Ok(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Daemon {
    /// Makes an edit by hand, and has it in force and kept when it answers.
    pub(crate) async fn edit(&mut self, edit: &Edit) -> Answer<EditAnswer> {
        let (refused, warnings) = match self.make(edit).await? {
            Ok(warnings) => (None, warnings),
            Err(refusal) => (Some(refusal), Vec::new()),
        };
        Ok(EditAnswer {
            api_version: API_VERSION,
            refused,
            warnings,
        })
    }

    async fn make(&mut self, edit: &Edit) -> Answer<Result<Vec<String>, EditRefusal>> {
        let edit = match words::edit(edit) {
            Ok(words::Asked::Edit(edit)) => edit,
            Ok(words::Asked::Zero(service)) => return self.zero(service),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let plane = &self.hands.plane;
        let listed = |key, server| plane.lists(key, server);
        if let Err(refused) = self.control.edit(edit, listed, Instant::now()) {
            return Ok(Err(words::refusal(refused)));
        }
        self.obey().await;
        // An address that services came to or left is the director's own no more, or again.
        let own = start::own_addresses(&self.hands.netlink, self.control.director()).await;
        let event = evenkeel_control::Event::OwnAddresses(own);
        self.control.handle_event(event, Instant::now());
        self.obey().await;
        let problems = self.problems.of_edit(words::service_of(&edit));
        let mut warnings: Vec<String> = problems
            .map(|problem| format!("could not {}: {}", problem.what, problem.reason))
            .collect();
        if let model::Edit::AddServer(_, address, _) = edit {
            warnings.extend(self.off_link(address).await);
        }
        Ok(Ok(warnings))
    }

    /// Why a real server's address can't be reached, if that is so.
    async fn off_link(&self, address: std::net::IpAddr) -> Option<String> {
        if self.control.is_own(address) {
            return None;
        }
        let (netlink, link) = (&self.hands.netlink, &self.hands.link);
        let error = netlink.require_on_link(link, address).await.err()?;
        Some(error.to_string())
    }

    /// Has the counters of a service, or of all, begin at zero in listings.
    fn zero(&mut self, service: Option<ServiceKey>) -> Answer<Result<Vec<String>, EditRefusal>> {
        let services = &self.control.director().services;
        if let Some(key) = service
            && !services.iter().any(|service| service.key == key)
        {
            return Ok(Err(EditRefusal::NoSuchService));
        }
        let held = self.hands.plane.snapshot().map_err(view::unread)?;
        let wanted = held
            .iter()
            .filter(|s| service.is_none_or(|key| key == s.key));
        for held in wanted {
            self.hands.edits.baselines.extend(view::counters(held));
        }
        let kept = self.hands.edits.write();
        let warning = kept.err().map(|error| {
            let reason = crate::daemon::hands::reason(&error.into());
            format!("counters will not be zero after a restart: {reason}")
        });
        Ok(Ok(warning.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests;
