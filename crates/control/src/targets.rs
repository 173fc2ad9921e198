//! Who is checked how: servers of several services that are checked alike share one target.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use evenkeel_health::TargetId;
use evenkeel_model::{Cadence, Check, CheckKind, RealServer, ServiceKey};

/// What makes two checks the same check.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spec {
    pub(crate) address: SocketAddr,
    pub(crate) kind: CheckKind,
    pub(crate) cadence: Cadence,
}

impl Spec {
    pub(crate) fn of(check: &Check, server: &RealServer) -> Self {
        let mut address = server.address;
        if let Some(port) = check.port {
            address.set_port(port);
        }
        Self {
            address,
            kind: check.kind.clone(),
            cadence: check.cadence,
        }
    }

    fn same_but_cadence(&self, other: &Self) -> bool {
        self.address == other.address && self.kind == other.kind
    }
}

/// A server of a service.
pub(crate) type User = (ServiceKey, SocketAddr);

#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) spec: Spec,
    pub(crate) users: BTreeSet<User>,
}

/// What a new set of specs means for the targets.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) removed: Vec<TargetId>,
    pub(crate) recadenced: Vec<TargetId>,
    pub(crate) added: Vec<TargetId>,
}

/// The targets, and who uses them.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    all: BTreeMap<TargetId, Target>,
    /// The last id given; ids are not used twice, so that a late result finds nobody.
    last: u32,
}

impl Targets {
    pub(crate) fn get(&self, id: TargetId) -> Option<&Target> {
        self.all.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TargetId, &Target)> {
        self.all.iter().map(|(id, target)| (*id, target))
    }

    /// Makes the targets exactly these. A target that is wanted in another cadence only is kept.
    pub(crate) fn set(&mut self, wanted: BTreeMap<Spec, BTreeSet<User>>) -> Changes {
        let mut changes = Changes::default();
        let mut idle: BTreeMap<TargetId, Target> = BTreeMap::new();
        let mut by_spec: BTreeMap<Spec, TargetId> = BTreeMap::new();
        for (id, target) in std::mem::take(&mut self.all) {
            if wanted.contains_key(&target.spec) {
                by_spec.insert(target.spec, id);
            } else {
                idle.insert(id, target);
            }
        }
        for (spec, users) in wanted {
            let id = if let Some(id) = by_spec.remove(&spec) {
                id
            } else if let Some(id) = idle
                .iter()
                .find(|(_, target)| target.spec.same_but_cadence(&spec))
                .map(|(id, _)| *id)
            {
                idle.remove(&id);
                changes.recadenced.push(id);
                id
            } else {
                self.last += 1;
                changes.added.push(TargetId(self.last));
                TargetId(self.last)
            };
            self.all.insert(id, Target { spec, users });
        }
        changes.removed = idle.into_keys().collect();
        changes
    }
}
