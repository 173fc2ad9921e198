//! The pins: where they are, whether they may be there, and their removal.
//!
//! `DIR/links/NAME` holds the program on the interface of that name, `DIR/maps/NAME` the maps. A symbolic link
//! `DIR/maps/HANDED_OVER` is the mark of a daemon that ended when another director had all its roles: nothing is served
//! through the pins. It goes with them, by a purge or a reboot.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use evenkeel_abi::map;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::error::{PurgeError, StartError, failed};

/// Name of the mark among the maps, of none of which it is the name.
const MARK: &str = "HANDED_OVER";

/// What the mark points to: nothing that exists, but it tells whose it is.
const MARK_SAYS: &str = concat!("evenkeel-", env!("CARGO_PKG_VERSION"));

/// The paths below a pin directory.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    dir: PathBuf,
}

/// Which pins are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    /// A program on an interface.
    pub(crate) link: bool,
    /// Of `map::ALL`.
    pub(crate) maps: usize,
}

impl Pins {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the links are, by the names of their interfaces.
    pub(crate) fn links(&self) -> PathBuf {
        self.dir.join("links")
    }

    pub(crate) fn maps(&self) -> PathBuf {
        self.dir.join("maps")
    }

    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    pub(crate) fn present(&self) -> Present {
        let maps = map::ALL.iter().filter(|name| self.map(name).exists());
        Present {
            link: fs::read_dir(self.links()).is_ok_and(|mut links| links.next().is_some()),
            maps: maps.count(),
        }
    }

    /// Whether a predecessor left the mark.
    pub(crate) fn are_handed_over(&self) -> bool {
        self.map(MARK).is_symlink()
    }

    /// Takes the mark away: from now on packets may be served through the pins.
    pub(crate) fn take_up(&self) -> Result<(), StartError> {
        remove(&self.map(MARK), |path| fs::remove_file(path))
            .map_err(|error| failed("remove the mark of a handover", error))
    }

    /// Makes the directories; they must lie on a bpf file system.
    pub(crate) fn prepare(&self) -> Result<(), StartError> {
        let existing = self.dir.ancestors().find(|path| path.exists());
        let existing = existing.unwrap_or_else(|| Path::new("/"));
        let kind = statfs(existing).map_err(|errno| {
            let what = format!("look at the file system of `{}`", existing.display());
            failed(&what, io::Error::from(errno))
        })?;
        if kind.filesystem_type() != BPF_FS_MAGIC {
            return Err(StartError::NotBpffs {
                path: existing.to_owned(),
            });
        }
        for directory in [self.maps(), self.links()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(|error| {
                    let what = format!("create the pin directory `{}`", self.dir.display());
                    failed(&what, error)
                })?;
        }
        Ok(())
    }

    /// Removes every pin and leaves the directory; what is not there is as good as removed.
    ///
    /// The links go first: packets then pass to the stack before the maps are taken apart.
    pub(crate) fn clear(&self) -> Result<(), PurgeError> {
        for directory in [self.links(), self.maps()] {
            match fs::read_dir(&directory) {
                Ok(entries) => {
                    for entry in entries.flatten() {
                        remove(&entry.path(), |path| fs::remove_file(path))?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(PurgeError {
                        path: directory,
                        source,
                    });
                }
            }
            remove(&directory, |path| fs::remove_dir(path))?;
        }
        Ok(())
    }

    /// Removes every pin and the directory.
    pub(crate) fn remove(&self) -> Result<(), PurgeError> {
        self.clear()?;
        remove(&self.dir, |path| match fs::remove_dir(path) {
            // An own directory in one of root's: empty, it may stay.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
            removed => removed,
        })
    }
}

fn remove(path: &Path, with: impl Fn(&Path) -> io::Result<()>) -> Result<(), PurgeError> {
    match with(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(PurgeError {
            path: path.to_owned(),
            source: error,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Takes the program off its interface and removes all pins; forwarding stops.
///
/// Does nothing where there are no pins.
///
/// # Errors
/// A pin or directory that can't be removed, a foreign file in the directory among them.
pub fn purge(pin_dir: &Path) -> Result<(), PurgeError> {
    Pins::new(pin_dir).remove()
}

/// A process's hold on a pin directory; it ends with the process at the latest.
#[derive(Debug)]
pub struct PinLock {
    _directory: Flock<File>,
    pins: Pins,
}

impl PinLock {
    /// Leaves the mark that nothing is served through the pins any more, and that another director has what was: a
    /// successor that can't adopt them may drop them by itself.
    ///
    /// # Errors
    /// If the mark can't be made; then a successor refuses such pins.
    pub fn mark_handed_over(&self) -> io::Result<()> {
        match symlink(MARK_SAYS, self.pins.map(MARK)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }
}

/// Makes the pin directory and holds it, so that no two daemons write the same maps.
///
/// # Errors
/// [`StartError::InUse`] where another process holds it; otherwise as
/// [`DataPlane::start`](crate::DataPlane::start).
pub fn lock(pin_dir: &Path) -> Result<PinLock, StartError> {
    let pins = Pins::new(pin_dir);
    pins.prepare()?;
    let what = format!("lock the pin directory `{}`", pin_dir.display());
    let directory = File::open(pin_dir).map_err(|error| failed(&what, error))?;
    match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
        Ok(directory) => Ok(PinLock {
            _directory: directory,
            pins,
        }),
        Err((_directory, Errno::EWOULDBLOCK)) => Err(StartError::InUse {
            pin_dir: pin_dir.to_owned(),
        }),
        Err((_directory, errno)) => Err(failed(&what, io::Error::from(errno))),
    }
}

/// Removes the pins when dropped, unless the start succeeded.
#[derive(Debug)]
pub(crate) struct Undo<'a> {
    pins: &'a Pins,
    armed: bool,
}

impl<'a> Undo<'a> {
    pub(crate) const fn new(pins: &'a Pins) -> Self {
        Self { pins, armed: true }
    }

    pub(crate) fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.armed {
            // The start's own error is the one to tell; the next start removes what is left.
            let _left: Result<(), PurgeError> = self.pins.remove();
        }
    }
}
