//! The ways to the real servers: interface, VLAN and next hop, as the kernel's routes say.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_control::Event;
use evenkeel_model::{Hop, MacAddress, Way};
use evenkeel_net::{LinkInfo, Netlink, RequestError, Route};

/// Changes of routes come in bursts; the ways are looked up again when so much time has passed since the first.
const SETTLING: Duration = Duration::from_millis(200);

/// Where a real server's packets are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Neighbour {
    /// The interface that the neighbour's hardware address is resolved on, and its address.
    on: (u32, IpAddr),
    way: Way,
}

/// The ways of the watched servers.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    neighbours: BTreeMap<IpAddr, Neighbour>,
    /// This host's interfaces; empty: they must be listed anew.
    links: Vec<LinkInfo>,
    look_at: Option<Instant>,
}

impl Ways {
    /// Has the next hop to a server kept resolved and told by [`Ways::hops`].
    pub(crate) async fn watch(
        &mut self,
        netlink: &Netlink,
        interfaces: &[LinkInfo],
        address: IpAddr,
    ) -> anyhow::Result<()> {
        if self.links.is_empty() {
            self.links = netlink.links().await?;
        }
        let neighbour = match find(netlink, &self.links, interfaces, address).await? {
            Found::By(neighbour, _) => Some(neighbour),
            Found::Elsewhere(_) | Found::Nowhere => on_link(interfaces, address),
        };
        if let Some(neighbour) = neighbour {
            let (link, next) = neighbour.on;
            netlink.watch_neighbour(link, next).await?;
            self.neighbours.insert(address, neighbour);
        }
        Ok(())
    }

    /// Does without a server, and leaves its next hop to the kernel if no other server has it.
    pub(crate) async fn unwatch(
        &mut self,
        netlink: &Netlink,
        address: IpAddr,
    ) -> anyhow::Result<()> {
        let Some(neighbour) = self.neighbours.remove(&address) else {
            return Ok(());
        };
        self.leave(netlink, neighbour).await
    }

    async fn leave(&self, netlink: &Netlink, neighbour: Neighbour) -> anyhow::Result<()> {
        if self
            .neighbours
            .values()
            .all(|other| other.on != neighbour.on)
        {
            let (link, next) = neighbour.on;
            netlink.unwatch_neighbour(link, next).await?;
        }
        Ok(())
    }

    /// The servers whose next hop this neighbour is.
    pub(crate) fn hops(&self, link: u32, next: IpAddr, mac: MacAddress) -> Vec<Event> {
        let served = self.neighbours.iter();
        let served = served.filter(|(_, neighbour)| neighbour.on == (link, next));
        let event = |(address, neighbour): (&IpAddr, &Neighbour)| Event::Neighbour {
            address: *address,
            hop: Hop {
                mac,
                way: Some(neighbour.way),
            },
        };
        served.map(event).collect()
    }

    /// Notes that routes may be others now.
    pub(crate) fn changed(&mut self, now: Instant) {
        self.look_at.get_or_insert(now + SETTLING);
    }

    /// When to call [`Ways::look_again`].
    pub(crate) const fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Watches the next hops that are others now. One that none leads to any more stays as it was.
    pub(crate) async fn look_again(&mut self, netlink: &Netlink, interfaces: &[LinkInfo]) {
        self.look_at = None;
        match netlink.links().await {
            Ok(links) => self.links = links,
            Err(error) => tracing::warn!("{}", super::hands::reason(&error.into())),
        }
        let before: Vec<(IpAddr, Neighbour)> =
            self.neighbours.iter().map(|(a, n)| (*a, *n)).collect();
        for (address, old) in before {
            if let Err(error) = self.follow(netlink, interfaces, address, old).await {
                tracing::warn!("{}", super::hands::reason(&error));
            }
        }
    }

    /// Watches the next hop to a server if it is another one now; if that fails, it is what it was.
    async fn follow(
        &mut self,
        netlink: &Netlink,
        interfaces: &[LinkInfo],
        address: IpAddr,
        old: Neighbour,
    ) -> anyhow::Result<()> {
        let found = find(netlink, &self.links, interfaces, address).await?;
        let Found::By(new, _) = found else {
            return Ok(());
        };
        if new == old {
            return Ok(());
        }
        let (link, next) = new.on;
        netlink.watch_neighbour(link, next).await?;
        self.neighbours.insert(address, new);
        self.leave(netlink, old).await
    }
}

/// What the routes say of a real server.
enum Found {
    /// By an interface that the program runs on; through this router.
    By(Neighbour, Option<IpAddr>),
    /// By this other interface.
    Elsewhere(String),
    Nowhere,
}

async fn find(
    netlink: &Netlink,
    links: &[LinkInfo],
    interfaces: &[LinkInfo],
    address: IpAddr,
) -> Result<Found, RequestError> {
    let Some(route) = netlink.route(address).await? else {
        return Ok(Found::Nowhere);
    };
    let Some(link) = links.iter().find(|link| link.index == route.link) else {
        return Ok(Found::Nowhere);
    };
    Ok(way(link, interfaces).map_or_else(
        || Found::Elsewhere(link.name.clone()),
        |way| {
            let Route { link, gateway } = route;
            let on = (link, route.next(address));
            Found::By(Neighbour { on, way }, gateway)
        },
    ))
}

/// How packets leave by an interface: it is one of ours, or a VLAN of one.
fn way(link: &LinkInfo, interfaces: &[LinkInfo]) -> Option<Way> {
    let is_ours = |index: u32| interfaces.iter().any(|ours| ours.index == index);
    if is_ours(link.index) {
        return Some(Way {
            interface: link.index,
            vlan: None,
        });
    }
    let vlan = link.vlan.filter(|vlan| is_ours(vlan.link))?;
    Some(Way {
        interface: vlan.link,
        vlan: Some(vlan.id),
    })
}

/// Where no route leads: as if the server were on the first interface's link.
fn on_link(interfaces: &[LinkInfo], address: IpAddr) -> Option<Neighbour> {
    let interface = interfaces.first()?.index;
    Some(Neighbour {
        on: (interface, address),
        way: Way {
            interface,
            vlan: None,
        },
    })
}

/// What is odd about the way to a real server, if anything is.
pub(crate) async fn oddity(
    netlink: &Netlink,
    links: &[LinkInfo],
    interfaces: &[LinkInfo],
    address: IpAddr,
) -> Result<Option<String>, RequestError> {
    Ok(match find(netlink, links, interfaces, address).await? {
        Found::By(_, None) => None,
        Found::By(_, Some(router)) => Some(format!(
            "real server `{address}` is behind router `{router}`: direct routing works only if that sends packets \
             for the virtual addresses on to it"
        )),
        Found::Elsewhere(name) => Some(format!(
            "real server `{address}` is reached by `{name}`, on which evenkeel does not run: correct its address, or \
             add the interface to `more-interfaces`"
        )),
        Found::Nowhere => {
            let names: Vec<String> = interfaces
                .iter()
                .map(|link| format!("`{}`", link.name))
                .collect();
            Some(format!(
                "real server `{address}` is not on the link of {}, and no route leads to it; direct routing needs it there: \
                 correct its address or the interface",
                names.join(" or ")
            ))
        }
    })
}
