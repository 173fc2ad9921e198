//! Reading the keys that directors share.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use evenkeel_sync::{Key, KeyError};

/// Bytes of a key.
const KEY_LEN: usize = 32;

/// Permissions of group and others.
const OTHERS: u32 = 0o077;

/// Why a file gives no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    #[error("cannot read the key file `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("others than its owner may read the key file `{}` (mode {mode:o})", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("the key file `{}` does not hold {} hexadecimal digits", path.display(), 2 * KEY_LEN)]
    Form { path: PathBuf },
    #[error("the key file `{}`", path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: KeyError,
    },
}

impl KeyFileError {
    /// What to type.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Open { path, .. } => format!("Type `chmod 600 {}`.", path.display()),
            Self::Read { path, .. } | Self::Form { path } | Self::Key { path, .. } => format!(
                "Make one on one director, `(umask 077; openssl rand -hex 32 > {})`, and copy it to the others.",
                path.display()
            ),
        }
    }
}

/// Reads a key.
pub(crate) fn read(path: &Path) -> Result<Key, KeyFileError> {
    let owned = || path.to_owned();
    let unread = |source| KeyFileError::Read {
        path: owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(unread)?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Open {
            path: owned(),
            mode,
        });
    }
    let text = fs::read_to_string(path).map_err(unread)?;
    let secret = secret(text.trim()).ok_or_else(|| KeyFileError::Form { path: owned() })?;
    Key::from_secret(&secret).map_err(|source| KeyFileError::Key {
        path: owned(),
        source,
    })
}

fn secret(text: &str) -> Option<[u8; KEY_LEN]> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() == 2 * KEY_LEN)?;
    let mut secret = [0; KEY_LEN];
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        let value = pair.iter().fold(0, |value, digit| value * 16 + digit);
        *byte = u8::try_from(value).ok()?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests;
