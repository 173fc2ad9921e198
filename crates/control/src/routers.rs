//! Virtual routers, as far as the core has a part in them: whose addresses are theirs, and which of them
//! do not yet know that they may take over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use evenkeel_model::{Role, RouterName, VirtualRouter, VirtualRouterId, VirtualService};

/// What is known of the latest order to configure the routers.
#[derive(Clone, Copy, Debug, Default)]
enum Order {
    /// It was executed, or none was given.
    #[default]
    Done,
    /// It was given at this time. Its failure comes before anything else, so that it was executed if
    /// another event or a timer finds it like this.
    Given(Instant),
    /// It failed; it will be given again.
    Failed,
}

/// Who acts for the addresses of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Other directors, which tell this one of their flows.
    By,
    /// This one, for addresses of virtual routers.
    Active,
    /// This one, or others that tell it nothing.
    Alone,
}

/// The virtual routers of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Routers {
    /// Whose an address is.
    addresses: BTreeMap<IpAddr, VirtualRouterId>,
    /// Addresses that left a router, until it is known to have given them up.
    leaving: BTreeSet<IpAddr>,
    /// Whether a router was told that it may take over.
    told: BTreeMap<VirtualRouterId, bool>,
    /// Those that this director is Active for.
    active: BTreeSet<VirtualRouterId>,
    /// Names, those of removed routers too: the last news of them come after their removal.
    names: BTreeMap<VirtualRouterId, RouterName>,
    order: Order,
}

impl Routers {
    /// Takes a new list of routers; those that begin anew wait again.
    pub(crate) fn configure(&mut self, old: &[VirtualRouter], new: &[VirtualRouter]) {
        let told = std::mem::take(&mut self.told);
        for router in new {
            let goes_on = old.iter().any(|before| goes_on(before, router));
            let told = goes_on && told.get(&router.id) == Some(&true);
            self.told.insert(router.id, told);
            self.names.insert(router.id, RouterName::from(router));
        }
        let addresses = new.iter().flat_map(|router| {
            let addresses = router.addresses.iter();
            addresses.map(|address| (*address, router.id))
        });
        let told = &self.told;
        self.active.retain(|id| told.contains_key(id));
        let before = std::mem::replace(&mut self.addresses, addresses.collect());
        self.leaving.extend(before.into_keys());
        let held = &self.addresses;
        self.leaving.retain(|address| !held.contains_key(address));
    }

    /// The router that an address is under.
    pub(crate) fn of(&self, address: IpAddr) -> Option<VirtualRouterId> {
        self.addresses.get(&address).copied()
    }

    /// The role in a router is another one.
    pub(crate) fn role(&mut self, id: VirtualRouterId, to: Role) {
        match to {
            Role::Active => self.active.insert(id),
            Role::Backup | Role::Initialize => self.active.remove(&id),
        };
    }

    /// Who acts for a service's addresses, where directors tell each other of flows.
    pub(crate) fn standing(&self, service: &VirtualService) -> Standing {
        let routers = || service.addresses().map(|address| self.of(address));
        let is_ours = |router: Option<_>| router.is_none_or(|id| self.active.contains(&id));
        if routers().all(|router| router.is_none()) {
            Standing::Alone
        } else if routers().any(is_ours) {
            Standing::Active
        } else {
            Standing::By
        }
    }

    /// Tells whether an address is a router's, or may still be.
    pub(crate) fn hold(&self, address: IpAddr) -> bool {
        self.addresses.contains_key(&address) || self.leaving.contains(&address)
    }

    /// A router by its name; `None`: there never was one of this number.
    pub(crate) fn name(&self, id: VirtualRouterId) -> Option<&RouterName> {
        self.names.get(&id)
    }

    /// The list was ordered.
    pub(crate) fn ordered(&mut self, now: Instant) {
        self.order = Order::Given(now);
    }

    /// The order failed.
    pub(crate) fn failed(&mut self) {
        self.order = Order::Failed;
    }

    /// When the order that was given last was given, until it is known how it ended.
    pub(crate) const fn given(&self) -> Option<Instant> {
        match self.order {
            Order::Given(at) => Some(at),
            Order::Done | Order::Failed => None,
        }
    }

    /// Tells whether the latest order was executed.
    #[cfg(debug_assertions)]
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.order, Order::Done)
    }

    /// The order was executed.
    pub(crate) fn done(&mut self) {
        self.order = Order::Done;
        self.leaving.clear();
    }

    /// The routers that exist and do not know that they may take over.
    pub(crate) fn waiting(&self) -> BTreeSet<VirtualRouterId> {
        match self.order {
            Order::Done => {
                let waiting = self.told.iter().filter(|(_, told)| !**told);
                waiting.map(|(id, _)| *id).collect()
            }
            Order::Given(_) | Order::Failed => BTreeSet::new(),
        }
    }

    /// Tells whether a router is configured and was told that it may take over.
    pub(crate) fn may_take_over(&self, id: VirtualRouterId) -> bool {
        self.told.get(&id) == Some(&true)
    }

    /// The router is told that it may take over.
    pub(crate) fn tell(&mut self, id: VirtualRouterId) {
        self.told.insert(id, true);
    }
}

/// Whether a router keeps its role over a change: with another version or source it begins anew.
fn goes_on(before: &VirtualRouter, after: &VirtualRouter) -> bool {
    before.id == after.id && before.version == after.version && before.source == after.source
}
