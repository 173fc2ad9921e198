//! Hosts that answer for a virtual address and don't take part in its virtual router.
//!
//! Looked for at the start and now and then, beside everything else; what is found is shown and changes
//! nothing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use evenkeel_model::{MacAddress, VirtualRouterId};
use evenkeel_net::{ArpProbeError, holders};

use super::{Asker, SeatView};

/// Shortest and longest time for which answers are awaited; between them, one master-down interval, in
/// which the Active is heard if there is one.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// Who answered for the addresses of a virtual router, its members left out.
#[derive(Debug)]
pub(crate) struct Sighting {
    router: VirtualRouterId,
    strangers: BTreeMap<Ipv4Addr, Vec<MacAddress>>,
}

/// Who answers for which address, as last seen.
#[derive(Debug, Default)]
pub(crate) struct Strangers(BTreeMap<VirtualRouterId, BTreeMap<Ipv4Addr, Vec<MacAddress>>>);

impl Strangers {
    /// Takes a sighting in; returns what is news.
    pub(crate) fn take(&mut self, sighting: Sighting) -> (VirtualRouterId, Vec<String>) {
        let Sighting { router, strangers } = sighting;
        let before = self.0.get(&router);
        let is_new = |address, macs| before.and_then(|b| b.get(address)) != Some(macs);
        let new = strangers
            .iter()
            .filter(|(address, macs)| is_new(*address, *macs));
        let news = new.map(|(address, macs)| {
            let list: Vec<String> = macs.iter().map(MacAddress::to_string).collect();
            format!(
                "address {address} is held by a host outside this virtual router: {}; \
                 take it away there, or clients will reach either",
                list.join(", ")
            )
        });
        let news = news.collect();
        self.0.insert(router, strangers);
        (router, news)
    }

    /// Who holds addresses of this virtual router.
    pub(crate) fn of(
        &self,
        router: VirtualRouterId,
    ) -> impl Iterator<Item = (Ipv4Addr, MacAddress)> {
        let entries = self.0.get(&router).into_iter().flatten();
        entries.flat_map(|(address, macs)| macs.iter().map(|mac| (*address, *mac)))
    }
}

/// Asks who holds the addresses of a virtual router; `None` if its role changed meanwhile: who answered
/// may have been its former Active.
pub(crate) async fn look(
    link: u32,
    own: MacAddress,
    seat: SeatView,
    asker: Asker,
) -> Result<Option<Sighting>, ArpProbeError> {
    let began = Instant::now();
    let wait = seat.master_down.clamp(WAIT.0, WAIT.1);
    let router = seat.config.id;
    let mut strangers = BTreeMap::new();
    for address in &seat.config.addresses {
        let found = holders(link, own, *address, wait).await?;
        if !found.is_empty() {
            strangers.insert(*address, found);
        }
    }
    let now = asker.seat(router);
    let Some(now) = now.filter(|seat| seat.machine.since <= began || strangers.is_empty()) else {
        return Ok(None);
    };
    let mut members = vec![virtual_mac(router)];
    if let Some(partner) = now.machine.partner
        && !strangers.is_empty()
    {
        members.extend(holders(link, own, partner.address, WAIT.0).await?);
    }
    for macs in strangers.values_mut() {
        macs.retain(|mac| !members.contains(mac));
        macs.sort_unstable();
        macs.dedup();
    }
    strangers.retain(|_, macs| !macs.is_empty());
    Ok(Some(Sighting { router, strangers }))
}

/// RFC 9568 §7.3.
const fn virtual_mac(router: VirtualRouterId) -> MacAddress {
    MacAddress([0, 0, 0x5e, 0, 1, router.get()])
}

#[cfg(test)]
mod tests;
