//! Edits by hand, laid over the configuration.

mod grounds;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use evenkeel_model::{Director, Edit, EditRefused, Overlay, ServiceKey};

use self::grounds::Grounds;
use super::Control;
use crate::command::Command;
use crate::report::Report;

/// Edits at once that are reported one by one; more would drive other news out of people's sight.
const REPORTS_MAX: usize = 16;

impl Control {
    /// Takes edits by hand, one after the other; what each comes to. One that is refused, as IPVS does,
    /// changes nothing.
    ///
    /// `listed` tells which services, and which real servers of them, people see in a listing: what exists
    /// and is not listed may be added, which changes it.
    pub fn edit(
        &mut self,
        edits: &[Edit],
        listed: impl Fn(ServiceKey, Option<SocketAddr>) -> bool,
        now: Instant,
    ) -> Vec<Result<(), EditRefused>> {
        let mut overlay = self.overlay.clone();
        // People would see at once what an edit has added, were it alone.
        let mut added = BTreeSet::new();
        let mut reports = Vec::new();
        let mut grounds = Grounds::of(&self.director);
        let outcomes = edits.iter().map(|edit| {
            if grounds.forbid(edit) {
                return Err(EditRefused::AddressInUse);
            }
            let seen = |key, server| added.contains(&(key, server)) || listed(key, server);
            overlay.edit(*edit, &self.configured.services, seen)?;
            added.extend(adds(edit));
            reports.push(Report::Edited(*edit));
            grounds.note(edit);
            if *edit == Edit::Clear {
                grounds = Grounds::of(&wanted(&self.configured, &overlay));
            }
            Ok(())
        });
        let outcomes = outcomes.collect();
        if reports.len() > REPORTS_MAX {
            reports = vec![Report::EditedAtOnce(reports.len())];
        }
        self.lay(overlay, reports, now);
        outcomes
    }

    /// Forgets all edits by hand: what is configured is wanted again, and nothing else.
    pub fn forget_edits(&mut self, now: Instant) {
        self.lay(Overlay::default(), vec![Report::EditsForgotten], now);
    }

    /// Takes the edits of these services back, to what they were `before`: the data plane has no room for
    /// what they come to.
    pub fn take_back(&mut self, keys: &BTreeSet<ServiceKey>, before: &Overlay, now: Instant) {
        let mut overlay = self.overlay.clone();
        for key in keys {
            match before.services.get(key) {
                Some(edit) => overlay.services.insert(*key, edit.clone()),
                None => overlay.services.remove(key),
            };
        }
        let reports = keys.iter().map(|key| Report::EditTakenBack(*key));
        self.lay(overlay, reports.collect(), now);
    }

    /// Addresses that edits and this configuration together would make virtual and a host's own at once.
    #[must_use]
    pub fn clashes(&self, configured: &Director) -> Vec<IpAddr> {
        Grounds::of(&self.wanted(configured)).clashes().collect()
    }

    /// Whether a real server will be listed, as far as is known, but waits for its first check or for its
    /// hardware address.
    #[must_use]
    pub fn waits(&self, key: ServiceKey, server: SocketAddr) -> bool {
        let service = self.services.get(&key);
        service.is_some_and(|service| service.waits(server, &self.neighbours))
    }

    /// What would be wanted if this were the configuration.
    #[must_use]
    pub fn wanted(&self, configured: &Director) -> Director {
        wanted(configured, &self.overlay)
    }

    fn lay(&mut self, overlay: Overlay, reports: Vec<Report>, now: Instant) {
        if overlay != self.overlay {
            self.overlay = overlay;
            self.outputs
                .push_back(Command::KeepEdits(self.overlay.clone()));
            self.outputs
                .extend(reports.into_iter().map(Command::Report));
            self.want(wanted(&self.configured, &self.overlay), now);
        }
        self.settle(now);
    }
}

/// What an edit adds, in the words of a listing.
fn adds(edit: &Edit) -> Option<(ServiceKey, Option<SocketAddr>)> {
    match edit {
        Edit::AddService(key, _) => Some((*key, None)),
        Edit::AddServer(key, address, _) => {
            let server = SocketAddr::new(*address, key.port());
            Some((*key, Some(server)))
        }
        Edit::EditService(..)
        | Edit::DeleteService(_)
        | Edit::EditServer(..)
        | Edit::DeleteServer(..)
        | Edit::Drain(..)
        | Edit::Ready(..)
        | Edit::Clear
        | Edit::SetTimeouts(_) => None,
    }
}

/// A configuration with the edits laid over it.
pub(super) fn wanted(configured: &Director, overlay: &Overlay) -> Director {
    Director {
        services: overlay.apply(&configured.services),
        ..configured.clone()
    }
}
