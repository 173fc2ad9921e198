//! Hosts that answer for a virtual address and don't take part in its virtual router.
//!
//! Looked for at the start and now and then, beside everything else; what is found is shown and changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_model::{MacAddress, VirtualRouterId};
use evenkeel_net::vrrp::Family;
use evenkeel_net::{ArpProbeError, holders};

use super::{Asker, SeatView, family};

/// Time for which answers for an address are awaited.
const ANSWERS: Duration = Duration::from_secs(1);

/// Hardware addresses that answered, by the address they were asked for.
type Holders = BTreeMap<IpAddr, Vec<MacAddress>>;

/// Who answered for the addresses of a virtual router, its members left out.
#[derive(Debug)]
pub(crate) struct Sighting {
    router: VirtualRouterId,
    strangers: Holders,
}

/// Who answers for which address, by virtual router.
#[derive(Debug, Default)]
pub(crate) struct Strangers(BTreeMap<VirtualRouterId, Seen>);

/// What was seen of a virtual router's strangers.
#[derive(Debug, Default)]
struct Seen {
    /// The last time.
    last: Holders,
    /// How often there was one.
    sightings: u64,
}

impl Strangers {
    /// Takes a sighting in; returns what is news.
    pub(crate) fn take(&mut self, sighting: Sighting) -> (VirtualRouterId, Vec<String>) {
        let Sighting { router, strangers } = sighting;
        let seen = self.0.entry(router).or_default();
        let new = strangers
            .iter()
            .filter(|(address, macs)| seen.last.get(address) != Some(*macs));
        let news = new.map(|(address, macs)| {
            let list: Vec<String> = macs.iter().map(MacAddress::to_string).collect();
            format!(
                "address {address} is held by a host outside this virtual router: {}; \
                 take it away there, or clients will reach either",
                list.join(", ")
            )
        });
        let news = news.collect();
        seen.sightings += u64::from(!strangers.is_empty());
        seen.last = strangers;
        (router, news)
    }

    /// Who holds addresses of this virtual router.
    pub(crate) fn of(&self, router: VirtualRouterId) -> impl Iterator<Item = (IpAddr, MacAddress)> {
        let entries = self.0.get(&router).into_iter().flat_map(|seen| &seen.last);
        entries.flat_map(|(address, macs)| macs.iter().map(|mac| (*address, *mac)))
    }

    /// How often somebody was seen to hold addresses of this virtual router.
    pub(crate) fn sightings(&self, router: VirtualRouterId) -> u64 {
        self.0.get(&router).map_or(0, |seen| seen.sightings)
    }

    /// Forgets all virtual routers but these.
    pub(crate) fn keep(&mut self, routers: &BTreeSet<VirtualRouterId>) {
        self.0.retain(|router, _| routers.contains(router));
    }
}

/// Asks who holds the addresses of a virtual router; `None` if its Active changed meanwhile: who answered
/// may have been the former one.
pub(crate) async fn look(
    link: u32,
    own: MacAddress,
    seat: SeatView,
    asker: Asker,
) -> Result<Option<Sighting>, ArpProbeError> {
    let began = Instant::now();
    let router = seat.config.id;
    let mut strangers = Holders::new();
    for address in &seat.config.addresses {
        let found = holders(link, own, *address, ANSWERS).await?;
        if !found.is_empty() {
            strangers.insert(*address, found);
        }
    }
    if strangers.is_empty() {
        return Ok(Some(Sighting { router, strangers }));
    }
    // The Active is known by its advertisements: by then one has come, if there is an Active.
    tokio::time::sleep_until((began + seat.master_down).into()).await;
    let asked = tokio::task::spawn_blocking(move || asker.seat(router)).await;
    let Some(now) = asked.ok().flatten() else {
        return Ok(None);
    };
    let partner = |seat: &SeatView| seat.machine.partner.map(|partner| partner.address);
    if now.machine.since > began || is_another(partner(&seat), partner(&now)) {
        return Ok(None);
    }
    let mut members = vec![virtual_mac(router, &seat)];
    if let Some(partner) = partner(&now) {
        members.extend(holders(link, own, partner, ANSWERS).await?);
    }
    for macs in strangers.values_mut() {
        macs.retain(|mac| !members.contains(mac));
        macs.sort_unstable();
        macs.dedup();
    }
    strangers.retain(|_, macs| !macs.is_empty());
    Ok(Some(Sighting { router, strangers }))
}

/// Whether another partner advertises than before; one that was not heard before may have been there.
fn is_another(before: Option<IpAddr>, now: Option<IpAddr>) -> bool {
    before.is_some() && before != now
}

/// RFC 9568 §7.3.
fn virtual_mac(router: VirtualRouterId, seat: &SeatView) -> MacAddress {
    let family = match family(&seat.config) {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    MacAddress([0, 0, 0x5e, 0, family, router.get()])
}

#[cfg(test)]
mod tests;
