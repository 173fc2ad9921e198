//! The folder of each running lab: who keeps it and where its nodes are, for commands of other processes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::process::ProcessId;
use crate::topology::{NodeKind, is_lab_name};

/// Where labs have their folders.
pub const STATE_ROOT: &str = "/run/evenkeel-lab";

const STATE_FILE: &str = "state.json";

/// Most suffixes tried for a lab's default name.
const SUFFIX_MAX: u32 = 1000;

/// A running lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabState {
    /// Its name.
    pub name: String,
    /// The process it lives and dies with.
    pub keeper: ProcessId,
    /// Its nodes by name.
    pub nodes: BTreeMap<String, NodeState>,
}

/// A node of a running lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// What it is for.
    pub kind: NodeKind,
    /// Address of its eth0.
    pub address: Ipv4Addr,
    /// Its first process; `None`: powered off.
    pub process: Option<ProcessId>,
    /// Whether its link was left up.
    pub link_up: bool,
}

/// The folder of a lab that this process keeps; removed on drop.
#[derive(Debug)]
pub(crate) struct StateFolder {
    path: PathBuf,
}

impl StateFolder {
    /// Removes what dead labs left, then takes a name: `wanted`, or `default` with a suffix where it is taken.
    pub(crate) fn claim(wanted: Option<&str>, default: &str) -> Result<(Self, String), LabError> {
        let _lock = lock()?;
        remove_dead()?;
        let candidates: Vec<String> = match wanted {
            Some(name) if !is_lab_name(name) => {
                return Err(LabError::BadName {
                    name: name.to_owned(),
                });
            }
            Some(name) => vec![name.to_owned()],
            None => std::iter::once(default.to_owned())
                .chain((2..SUFFIX_MAX).map(|suffix| format!("{default}-{suffix}")))
                .collect(),
        };
        for name in candidates {
            let path = Path::new(STATE_ROOT).join(&name);
            match fs::create_dir(&path) {
                Ok(()) => {
                    let folder = Self { path };
                    folder.write(&LabState {
                        name: name.clone(),
                        keeper: ProcessId::own()
                            .map_err(|err| failed("read", "/proc/self", err))?,
                        nodes: BTreeMap::new(),
                    })?;
                    return Ok((folder, name));
                }
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                Err(err) => return Err(failed("make the folder", path, err)),
            }
        }
        Err(LabError::NameTaken {
            name: wanted.unwrap_or(default).to_owned(),
        })
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the state that other processes see.
    pub(crate) fn write(&self, state: &LabState) -> Result<(), LabError> {
        let path = self.path.join(STATE_FILE);
        let fresh = self.path.join("state.json.new");
        let text = serde_json::to_vec_pretty(state)
            .map_err(|err| failed("write", &path, io::Error::other(err)))?;
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|err| failed("write", path, err))
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        if let Err(err) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %err, "the lab's folder stays behind");
        }
    }
}

/// Where the keeper of the lab listens.
pub(crate) fn control_socket(folder: &Path) -> PathBuf {
    folder.join("control.sock")
}

/// The folder of the lab of that name.
pub(crate) fn folder_of(name: &str) -> PathBuf {
    Path::new(STATE_ROOT).join(name)
}

/// Where the output of a node's processes goes.
pub(crate) fn log_file(folder: &Path, node: &str) -> PathBuf {
    folder.join(format!("{node}.log"))
}

/// The running labs, by name, once the remains of dead ones are removed.
pub(crate) fn running() -> Result<Vec<LabState>, LabError> {
    let _lock = lock()?;
    remove_dead()
}

fn lock() -> Result<Flock<File>, LabError> {
    let path = Path::new(STATE_ROOT).join(".lock");
    fs::create_dir_all(STATE_ROOT).map_err(|err| failed("make the folder", STATE_ROOT, err))?;
    let file = File::create(&path).map_err(|err| failed("open", &path, err))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_file, errno)| failed("lock", path, errno.into()))
}

/// Removes the folders of labs whose keeper is gone; the others' states, by name.
fn remove_dead() -> Result<Vec<LabState>, LabError> {
    let entries = fs::read_dir(STATE_ROOT).map_err(|err| failed("read", STATE_ROOT, err))?;
    let mut alive = Vec::new();
    for entry in entries {
        let folder = entry.map_err(|err| failed("read", STATE_ROOT, err))?.path();
        if !folder.is_dir() {
            continue;
        }
        match read_state(&folder) {
            Some(state) if state.keeper.is_alive() => alive.push(state),
            dead => remove_remains(&folder, dead.as_ref())?,
        }
    }
    alive.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(alive)
}

/// `None` also for a folder without a readable state: names are claimed, and states first written,
/// under the lock, so it is nobody's.
fn read_state(folder: &Path) -> Option<LabState> {
    let text = fs::read(folder.join(STATE_FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

fn remove_remains(folder: &Path, state: Option<&LabState>) -> Result<(), LabError> {
    let processes = state
        .iter()
        .flat_map(|state| state.nodes.values())
        .filter_map(|node| node.process);
    for process in processes {
        process.kill();
    }
    match fs::remove_dir_all(folder) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder, err)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failed(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> LabError {
    LabError::State {
        action,
        path: path.into(),
        source,
    }
}
