//! The kernel's ARP settings that a director of virtual addresses needs on its interface.
//!
//! `arp_ignore` 1: answer for an address only on the interface that has it, so that one which also
//! stands on `lo` is not answered for; 2 demands besides that the sender is in a subnet of the interface.
//! Any other value answers for too much, or (8) for nothing. `arp_announce` 2: never give a virtual
//! address as the sender of ARP requests, by which neighbours would learn it while it moves
//! (Documentation/networking/ip-sysctl).

use std::io;
use std::path::{Path, PathBuf};

/// A setting, and the values that do; the first is the one that is set.
const SETTINGS: [(&str, &[u32]); 2] = [("arp_ignore", &[1, 2]), ("arp_announce", &[2])];

/// One setting of an interface, and what became of it.
#[derive(Debug)]
pub struct ArpSetting {
    /// `arp_ignore` or `arp_announce`.
    pub name: &'static str,
    /// The value that the interface should have.
    pub wanted: u32,
    /// What was found or done.
    pub outcome: ArpOutcome,
}

/// What became of a setting.
#[derive(Debug)]
pub enum ArpOutcome {
    /// The value in force does.
    Already {
        /// The value in force.
        value: u32,
    },
    /// The interface's value was set, and now a value is in force that does.
    Changed {
        /// The value that was in force.
        from: u32,
    },
    /// The value for all interfaces is in force, which does not do and is not ours to change.
    Overruled {
        /// That value.
        by: u32,
        /// What the operator can do.
        hint: String,
    },
    /// It could not be read or written.
    Failed {
        /// The kernel's answer.
        reason: io::Error,
        /// What the operator can do.
        hint: String,
    },
}

/// Sets the interface's settings where the values in force don't do; in the calling thread's namespace.
///
/// In force is the greater of the interface's value and that for all interfaces.
#[must_use]
pub fn prepare_arp(link: &str) -> Vec<ArpSetting> {
    SETTINGS
        .into_iter()
        .map(|(name, good)| {
            let wanted = good[0];
            let outcome = set(link, name, good).unwrap_or_else(|reason| ArpOutcome::Failed {
                reason,
                hint: format!(
                    "as root: `sysctl -w net/ipv4/conf/{link}/{name}={wanted}`, or grant CAP_NET_ADMIN \
                     and a writable /proc/sys"
                ),
            });
            ArpSetting {
                name,
                wanted,
                outcome,
            }
        })
        .collect()
}

fn set(link: &str, name: &str, good: &[u32]) -> io::Result<ArpOutcome> {
    let wanted = good[0];
    let path = setting(link, name);
    let (own, all) = (read(&path)?, read(&setting("all", name))?);
    let from = own.max(all);
    if good.contains(&from) {
        return Ok(ArpOutcome::Already { value: from });
    }
    if !good.contains(&wanted.max(all)) {
        return Ok(ArpOutcome::Overruled {
            by: all,
            hint: format!(
                "as root: `sysctl -w net/ipv4/conf/all/{name}={wanted}`, and the same in /etc/sysctl.d or \
                 wherever {all} is set"
            ),
        });
    }
    std::fs::write(&path, wanted.to_string())?;
    Ok(ArpOutcome::Changed { from })
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
