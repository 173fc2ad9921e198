//! What a process and its network need for thousands of connections.

use std::fs;
use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::crowd::DESCRIPTORS;

/// Connections that may wait for `accept`, and handshakes under way, in this network namespace.
pub(crate) const BACKLOG: u16 = 16_384;

/// Lets this process have [`DESCRIPTORS`] open files.
pub(crate) fn raise_descriptors() -> io::Result<()> {
    let wanted = u64::from(DESCRIPTORS);
    let (_soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < wanted {
        return Err(io::Error::other(format!(
            "a process may open {hard} files at most, {wanted} are needed: raise the hard limit (`ulimit -Hn`)"
        )));
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?)
}

/// Lets listeners of this network namespace have a backlog of [`BACKLOG`].
pub(crate) fn raise_backlog() -> io::Result<()> {
    for name in ["core/somaxconn", "ipv4/tcp_max_syn_backlog"] {
        let path = format!("/proc/sys/net/{name}");
        fs::write(&path, BACKLOG.to_string())
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    }
    Ok(())
}
