//! What a new configuration changes in the virtual routers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{Renamed, renamed};
use crate::virtual_router::{
    AdvertChecksum, Priority, VirtualRouter, VirtualRouterId, VrrpVersion,
};

/// A virtual router as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterName {
    /// The operator's name for it.
    pub name: String,
    /// Its number.
    pub id: VirtualRouterId,
    /// Version of VRRP that is spoken.
    pub version: VrrpVersion,
}

impl From<&VirtualRouter> for RouterName {
    fn from(router: &VirtualRouter) -> Self {
        Self {
            name: router.name.clone(),
            id: router.id,
            version: router.version,
        }
    }
}

impl fmt::Display for RouterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, id, version } = self;
        let version = version.number();
        write!(f, "virtual router `{name}` (id {id}, VRRPv{version})")
    }
}

/// The differences between two lists of virtual routers.
///
/// Routers are the same where number and version are: one that speaks another version begins anew, and is
/// one removed and one added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterPlan {
    /// Routers that only the old list has, in its order.
    pub removed: Vec<RouterName>,
    /// Routers that only the new list has, in its order.
    pub added: Vec<RouterName>,
    /// Routers that both have, with differences, in the new list's order.
    pub changed: Vec<RouterChanges>,
}

impl RouterPlan {
    /// Tells whether the lists say the same.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty() && self.changed.is_empty()
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let removed = self.removed.iter().map(|r| format!("{r} removed"));
        let added = self.added.iter().map(|r| format!("{r} added"));
        let changed = self.changed.iter().flat_map(|router| {
            let changes = router.changes.iter();
            changes.map(|change| format!("{}: {change}", router.router))
        });
        removed.chain(added).chain(changed)
    }
}

/// What changes within one virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterChanges {
    /// The router, under its new name.
    pub router: RouterName,
    /// The changes, at least one.
    pub changes: Vec<RouterChange>,
}

/// One change within a virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterChange {
    /// The router has another name.
    Renamed(Renamed),
    /// This director has another priority in it.
    Priority {
        /// The old priority.
        from: Priority,
        /// The new priority.
        to: Priority,
    },
    /// A virtual address joins.
    AddressAdded(IpAddr),
    /// A virtual address leaves.
    AddressRemoved(IpAddr),
    /// Another value of the config file.
    Setting {
        /// What it is, in words.
        what: &'static str,
        /// The old value.
        from: String,
        /// The new value.
        to: String,
    },
}

impl fmt::Display for RouterChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed(renamed) => renamed.fmt(f),
            Self::Priority { from, to } => write!(f, "priority {from} to {to}"),
            Self::AddressAdded(address) => write!(f, "address {address} added"),
            Self::AddressRemoved(address) => write!(f, "address {address} removed"),
            Self::Setting { what, from, to } => write!(f, "{what} `{from}` to `{to}`"),
        }
    }
}

/// Compares two lists of virtual routers; the order of neither says anything.
#[must_use]
pub fn routers(old: &[VirtualRouter], new: &[VirtualRouter]) -> RouterPlan {
    let key = |router: &VirtualRouter| (router.id, router.version.number());
    let had: BTreeMap<_, &VirtualRouter> = old.iter().map(|r| (key(r), r)).collect();
    let has: BTreeMap<_, &VirtualRouter> = new.iter().map(|r| (key(r), r)).collect();
    let gone = old.iter().filter(|r| !has.contains_key(&key(r)));
    let mut plan = RouterPlan {
        removed: gone.map(RouterName::from).collect(),
        ..RouterPlan::default()
    };
    for router in new {
        let Some(before) = had.get(&key(router)) else {
            plan.added.push(RouterName::from(router));
            continue;
        };
        let changes = changes(before, router);
        if !changes.is_empty() {
            plan.changed.push(RouterChanges {
                router: RouterName::from(router),
                changes,
            });
        }
    }
    plan
}

fn changes(old: &VirtualRouter, new: &VirtualRouter) -> Vec<RouterChange> {
    let mut changes = Vec::new();
    changes.extend(renamed(&old.name, &new.name).map(RouterChange::Renamed));
    if old.priority != new.priority {
        changes.push(RouterChange::Priority {
            from: old.priority,
            to: new.priority,
        });
    }
    let gone = old.addresses.iter().filter(|a| !new.addresses.contains(a));
    changes.extend(gone.copied().map(RouterChange::AddressRemoved));
    let joins = new.addresses.iter().filter(|a| !old.addresses.contains(a));
    changes.extend(joins.copied().map(RouterChange::AddressAdded));
    let settings = settings(old).into_iter().zip(settings(new));
    changes.extend(settings.filter_map(|((what, from), (_, to))| {
        (from != to).then_some(RouterChange::Setting { what, from, to })
    }));
    changes
}

/// Everything that has no change of its own, always in the same order.
fn settings(router: &VirtualRouter) -> [(&'static str, String); 8] {
    let source = router.source.map(|source| source.to_string());
    [
        ("advertisements every", time(router.advert_interval)),
        ("preempt", router.preempt.to_string()),
        ("preempt delay", time(router.preempt_delay)),
        ("peers", peers(&router.peers)),
        ("source", source.unwrap_or_else(|| "automatic".to_owned())),
        ("checksum", checksum(router.checksum).to_owned()),
        ("announcements", router.announcements.to_string()),
        ("announce again after", time(router.announce_again)),
    ]
}

/// A time as the config file spells it; `Duration` itself shows zero in nanoseconds.
fn time(time: Duration) -> String {
    if time.is_zero() {
        "0s".to_owned()
    } else {
        format!("{time:?}")
    }
}

fn peers(peers: &[IpAddr]) -> String {
    if peers.is_empty() {
        return "multicast".to_owned();
    }
    let mut peers = peers.to_vec();
    peers.sort_unstable();
    let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
    peers.join(" ")
}

const fn checksum(checksum: AdvertChecksum) -> &'static str {
    match checksum {
        AdvertChecksum::PseudoHeader => "pseudo-header",
        AdvertChecksum::Rfc9568 => "rfc9568",
    }
}

#[cfg(test)]
mod tests;
