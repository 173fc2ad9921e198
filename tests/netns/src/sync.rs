//! Connection sync between the directors of a lab: its key, its config, and how far they are.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use evenkeel_api::{SyncCount, SyncPeerStatus};

use crate::Director;

/// Writes a key file: four times these 16 digits.
///
/// # Panics
/// Where it can't be written.
pub fn write_key(path: &Path, digits: &str) {
    let mut options = fs::OpenOptions::new();
    let options = options.create(true).write(true).truncate(true).mode(0o600);
    let mut file = options.open(path).expect("the folder is there");
    file.write_all(digits.repeat(4).as_bytes())
        .expect("the folder is ours");
}

/// The table of a config, the same on all directors: each by its name, with its address.
#[must_use]
pub fn table(key: &Path, directors: &[(&str, Ipv4Addr)]) -> String {
    let peers = directors.iter().map(|(name, address)| {
        format!("  {{ name = \"{name}\", addresses = [\"{address}\"] }},\n")
    });
    let peers: String = peers.collect();
    format!(
        "\n[sync]\nkey-files = [\"{}\"]\npeers = [\n{peers}]\n",
        key.display()
    )
}

/// A config of [`config`](crate::texts::config) for a director of that name.
#[must_use]
pub fn named(config: &str, name: &str) -> String {
    config.replace(
        "name = \"director\"\ninterface",
        &format!("name = \"{name}\"\ninterface"),
    )
}

/// How a director stands with another one; `None`: it does not answer, or has no such peer.
#[must_use]
pub fn peer(director: Director<'_>, name: &str) -> Option<SyncPeerStatus> {
    let peers = director.try_status()?.sync?.peers;
    peers.into_iter().find(|peer| peer.name == name)
}

/// Whether both halves are in sync.
#[must_use]
pub fn is_in_sync(peer: &SyncPeerStatus) -> bool {
    peer.incoming.state == "in-sync" && peer.outgoing.state == "in-sync"
}

/// How often that happened.
#[must_use]
pub fn count(counts: &[SyncCount], kind: &str) -> u64 {
    let found = counts.iter().find(|count| count.kind == kind);
    found.map_or(0, |count| count.count)
}
