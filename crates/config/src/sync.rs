//! `[sync]`: connection sync.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use evenkeel_model::{ConnectionSync, SyncPeer};

use crate::diagnostic::{Faults, Reported};
use crate::reader::{Field, Section};
use crate::{address, keys};

const LAG: Duration = Duration::from_millis(100);
const LAGS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(10);
const WAIT: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Longest name of a director that a session can carry, in bytes.
const NAME_MAX: usize = 64;

/// Keys while one takes another's place.
const KEYS_MAX: usize = 2;

/// Reads the table; `own` is the name of this director, which may stand among the peers, so that all directors can
/// have one file.
pub(crate) fn read(
    field: &Field<'_>,
    own: &str,
    faults: &mut Faults<'_>,
) -> Result<ConnectionSync, Reported> {
    let section = field.section(&keys::SYNC, faults)?;
    let key_files = section
        .require(&keys::KEY_FILES, faults)
        .and_then(|field| read_key_files(&field, faults));
    let port = match section.get(&keys::SYNC_PORT) {
        Some(field) => field.integer::<u16>(1..=65_535, faults),
        None => Ok(ConnectionSync::PORT),
    };
    let lag = match section.get(&keys::LAG) {
        Some(field) => field.duration(LAGS, faults),
        None => Ok(LAG),
    };
    let wait = match section.get(&keys::WAIT) {
        Some(field) => field.duration(Duration::ZERO..=WAIT_MAX, faults),
        None => Ok(WAIT),
    };
    let peers = section
        .require(&keys::SYNC_PEERS, faults)
        .and_then(|field| read_peers(&field, own, faults));
    Ok(ConnectionSync {
        key_files: key_files?,
        port: port?,
        lag: lag?,
        wait: wait?,
        peers: peers?,
    })
}

fn read_key_files(field: &Field<'_>, faults: &mut Faults<'_>) -> Result<Vec<PathBuf>, Reported> {
    let entries = field.entries(&keys::KEY_FILES_ENTRY, faults)?;
    if entries.is_empty() || entries.len() > KEYS_MAX {
        return Err(field.fault(
            format!("`key-files` has {} entries", entries.len()),
            "one file, or two while a new key takes the place of an old one",
            format!("write `{}`", keys::KEY_FILES.example),
            faults,
        ));
    }
    let files = entries
        .iter()
        .map(|entry| entry.word(faults).map(PathBuf::from));
    files.collect()
}

fn read_peers(
    field: &Field<'_>,
    own: &str,
    faults: &mut Faults<'_>,
) -> Result<Vec<SyncPeer>, Reported> {
    let sections = field.sections(&keys::SYNC_PEER, keys::SYNC_PEERS.example, faults)?;
    let mut names = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    let peers: Vec<Result<SyncPeer, Reported>> = sections
        .iter()
        .map(|section| read_peer(section, (&mut names, &mut addresses), faults))
        .collect();
    let peers: Vec<SyncPeer> = peers.into_iter().collect::<Result<_, _>>()?;
    let others: Vec<SyncPeer> = peers.into_iter().filter(|peer| peer.name != own).collect();
    if others.is_empty() {
        return Err(field.fault(
            "connection sync has no other director",
            format!("a table of another director than `{own}`, which this one is"),
            format!("write `{}`", keys::SYNC_PEERS.example),
            faults,
        ));
    }
    Ok(others)
}

type Seen<'s, K> = &'s mut BTreeMap<K, Range<usize>>;

fn read_peer<'t>(
    section: &Section<'t>,
    (names, seen): (Seen<'_, &'t str>, Seen<'_, IpAddr>),
    faults: &mut Faults<'_>,
) -> Result<SyncPeer, Reported> {
    let name = section
        .require(&keys::NAME, faults)
        .and_then(|field| read_name(&field, names, faults));
    let addresses = section
        .require(&keys::SYNC_ADDRESSES, faults)
        .and_then(|field| read_addresses(&field, seen, faults));
    Ok(SyncPeer {
        name: name?,
        addresses: addresses?,
    })
}

fn read_name<'t>(
    field: &Field<'t>,
    names: Seen<'_, &'t str>,
    faults: &mut Faults<'_>,
) -> Result<String, Reported> {
    let name = field.unique_name("peer", names, faults)?;
    if name.len() > NAME_MAX {
        return Err(field.fault(
            format!("the name of a peer has {} bytes", name.len()),
            format!("a name of 1 to {NAME_MAX} bytes"),
            "write what that director has as `name` in `[director]`, or its host name",
            faults,
        ));
    }
    Ok(name.to_owned())
}

fn read_addresses(
    field: &Field<'_>,
    seen: Seen<'_, IpAddr>,
    faults: &mut Faults<'_>,
) -> Result<Vec<IpAddr>, Reported> {
    let entries = field.entries(&keys::SYNC_ADDRESSES_ENTRY, faults)?;
    if entries.is_empty() {
        return Err(field.fault(
            "a peer has no address",
            "its addresses, each a way to it",
            format!("write `{}`", keys::SYNC_ADDRESSES.example),
            faults,
        ));
    }
    let addresses = entries.iter().map(|entry| {
        let address = address::read_alone(entry, faults)?;
        if let Some(first) = seen.get(&address) {
            let line = faults.line_at(first.start);
            return Err(entry.fault(
                format!("the peer's address `{address}` is listed twice"),
                "each address once, of one director",
                format!("the first is on line {line}; remove one of the two"),
                faults,
            ));
        }
        seen.insert(address, entry.span.clone());
        Ok(address)
    });
    let addresses: Vec<Result<IpAddr, Reported>> = addresses.collect();
    addresses.into_iter().collect()
}
