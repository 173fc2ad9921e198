//! The kernel's ARP settings that a director of virtual addresses needs on its interface.
//!
//! `arp_ignore` 1: answer for an address only on the interface that has it, so that one which also
//! stands on `lo` is not answered for. `arp_announce` 2: never give a virtual address as the sender of
//! ARP requests, by which neighbours would learn it while it moves (Documentation/networking/ip-sysctl).

use std::io;
use std::path::{Path, PathBuf};

const SETTINGS: [(&str, u32); 2] = [("arp_ignore", 1), ("arp_announce", 2)];

/// One setting of an interface, and what became of it.
#[derive(Debug)]
pub struct ArpSetting {
    /// `arp_ignore` or `arp_announce`.
    pub name: &'static str,
    /// The least value that does.
    pub wanted: u32,
    /// What was found or done.
    pub outcome: ArpOutcome,
}

/// What became of a setting.
#[derive(Debug)]
pub enum ArpOutcome {
    /// The interface's value, or the one for all interfaces, is high enough.
    Already {
        /// The value in force.
        value: u32,
    },
    /// The interface's value was raised.
    Raised {
        /// The value that was in force.
        from: u32,
    },
    /// It could not be read or written.
    Failed {
        /// The kernel's answer.
        reason: io::Error,
        /// What the operator can do.
        hint: String,
    },
}

/// Raises the settings of the interface where they are too low; in the calling thread's namespace.
///
/// The kernel uses the greater of the interface's value and that for all interfaces.
#[must_use]
pub fn prepare_arp(link: &str) -> Vec<ArpSetting> {
    SETTINGS
        .iter()
        .map(|&(name, wanted)| ArpSetting {
            name,
            wanted,
            outcome: raise(link, name, wanted).unwrap_or_else(|reason| ArpOutcome::Failed {
                reason,
                hint: format!(
                    "as root: `sysctl -w net/ipv4/conf/{link}/{name}={wanted}`, or grant CAP_NET_ADMIN \
                     and a writable /proc/sys"
                ),
            }),
        })
        .collect()
}

fn raise(link: &str, name: &str, wanted: u32) -> io::Result<ArpOutcome> {
    let path = setting(link, name);
    let value = read(&path)?.max(read(&setting("all", name))?);
    if value >= wanted {
        return Ok(ArpOutcome::Already { value });
    }
    std::fs::write(&path, wanted.to_string())?;
    Ok(ArpOutcome::Raised { from: value })
}

fn setting(link: &str, name: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv4/conf").join(link).join(name)
}

fn read(path: &Path) -> io::Result<u32> {
    std::fs::read_to_string(path)?
        .trim()
        .parse()
        .map_err(io::Error::other)
}
