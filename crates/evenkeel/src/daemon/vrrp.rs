//! Virtual routers: the thread that takes part in them, and the event loop's way to it.
//!
//! The event loop orders and is told; the thread decides by RFC 9568 and acts by itself. It is started
//! with the first virtual router and ends with the daemon.

mod lateness;
mod seat;
mod strangers;
mod thread;
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use evenkeel_bpf::{DataPlane, RouterGates};
use evenkeel_model::{Role, VirtualRouter, VirtualRouterId};
use evenkeel_net::vrrp::{Family, VrrpSocket};
use evenkeel_net::{AddressSocket, Announcer, LinkInfo, Waker};
use evenkeel_vrrp::HandoverEnd;
use evenkeel_wire::vrrp::PACKET_LEN_MAX;
use tokio::sync::mpsc;

pub(crate) use self::lateness::Lateness;
pub(crate) use self::seat::{Begun, Place, SeatView};
pub(crate) use self::strangers::{Sighting, Strangers, look};
use self::thread::Thread;
use self::tools::Tools;
use crate::daemon::handover::Standing;

/// News that may wait for the event loop: several changes of every role of an ordinary director.
const NEWS: usize = 256;

/// Longest wait for the thread to obey; it answers in microseconds unless the machine is in trouble.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the event loop orders.
enum Order {
    /// Leave these virtual routers at once, and give these addresses up.
    Retire {
        routers: Vec<VirtualRouterId>,
        addresses: Vec<IpAddr>,
        done: SyncSender<()>,
    },
    /// Take part in these virtual routers, with this configuration.
    Configure {
        places: Vec<Place>,
        /// Of versions of IP that it has none of yet.
        sockets: Vec<VrrpSocket>,
        done: SyncSender<()>,
    },
    /// An operator's order, to these virtual routers; tells how it began in each that is there.
    Operator {
        routers: Vec<VirtualRouterId>,
        order: evenkeel_vrrp::Order,
        begun: SyncSender<Vec<(VirtualRouterId, Begun)>>,
    },
    /// A handover is prepared.
    Prepared(VirtualRouterId),
    /// Connections of the Active are lacking, or no longer.
    WaitForSync(VirtualRouterId, bool),
    /// The first round of checks is complete.
    MayTakeOver(VirtualRouterId),
    /// The interface is up or down.
    Link { up: bool },
    /// Somebody removed an address.
    AddressLost(IpAddr),
    /// Tell how things stand.
    View(SyncSender<ThreadView>),
    /// Hand over and end.
    Stop,
}

/// What the thread tells.
#[derive(Debug)]
pub(crate) enum News {
    /// A role changed.
    Role {
        router: VirtualRouterId,
        from: Role,
        to: Role,
        reason: String,
    },
    /// Only waiting for connection sync keeps this director from preempting, or no longer.
    Wants {
        router: VirtualRouterId,
        wants: bool,
    },
    /// A handover begins; the thread waits until it is prepared.
    Preparing { router: VirtualRouterId },
    /// An ordered handover is over, the number-th of its virtual router.
    HandoverEnded {
        router: VirtualRouterId,
        number: u64,
        end: HandoverEnd,
    },
    /// Something that people should know.
    Trouble {
        router: VirtualRouterId,
        what: String,
    },
    /// All roles are given up.
    Stopped {
        /// Another director is Active in every virtual router.
        succeeded: bool,
    },
    /// The thread has panicked; nobody advertises any more.
    Died,
}

/// How things stand on the thread.
#[derive(Clone, Debug)]
pub(crate) struct ThreadView {
    pub(crate) seats: Vec<SeatView>,
    pub(crate) lateness: Lateness,
    /// Why it runs at normal priority; `None`: it does not.
    pub(crate) no_real_time: Option<String>,
    /// Why its memory may be swapped out; `None`: it can't.
    pub(crate) no_locked_memory: Option<String>,
    /// News that were lost because the event loop was too busy.
    pub(crate) lost_news: u64,
}

/// The interface that virtual routers are on.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) link: LinkInfo,
    pub(crate) sources: Sources,
}

/// An interface's own addresses, from which advertisements come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) v4: Option<Ipv4Addr>,
    /// The link-local one (RFC 9568 §5.1.2.1).
    pub(crate) v6: Option<Ipv6Addr>,
    /// Another one of IPv6, for ICMPv6 errors alone.
    pub(crate) global: Option<Ipv6Addr>,
}

impl Sources {
    /// These, and of the others what is missing.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            v4: self.v4.or(others.v4),
            v6: self.v6.or(others.v6),
            global: self.global.or(others.global),
        }
    }

    fn of(self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }
}

/// The version of IP that a virtual router is of.
fn family(router: &VirtualRouter) -> Family {
    let mut addresses = router.addresses.iter();
    addresses
        .next()
        .map_or(Family::V4, |address| Family::of(*address))
}

/// Why virtual routers could not be configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigureError {
    /// Advertisements need a source.
    #[error(
        "interface `{link}` has no {kind} address of its own, which advertisements of `{router}` need as source; \
         give it one, or set `source` in this [[virtual-router]]"
    )]
    NoSource {
        link: String,
        kind: &'static str,
        router: String,
    },
    /// The thread has ended or hangs.
    #[error("the VRRP thread does not answer")]
    Gone,
}

/// The event loop's side.
pub(crate) struct Vrrp {
    running: Option<Running>,
    news_sender: mpsc::Sender<News>,
    /// What is configured, by virtual router.
    configured: BTreeMap<VirtualRouterId, VirtualRouter>,
    /// Orders that are in force, for virtual routers that are configured later.
    pub(crate) standing: Standing,
    /// Whether connections are synchronised, so that preemptions and handovers wait for them.
    pub(crate) syncs: bool,
}

#[derive(Clone)]
struct Running {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    /// The versions of IP that the thread has sockets of.
    families: BTreeSet<Family>,
}

/// A way to ask the thread from elsewhere.
#[derive(Clone)]
pub(crate) struct Asker(Running);

impl Asker {
    /// How a virtual router stands; `None`: this director does not take part in it any more.
    pub(crate) fn seat(&self, router: VirtualRouterId) -> Option<SeatView> {
        let view = self.0.order_and_wait(Order::View).ok()?;
        view.seats.into_iter().find(|seat| seat.config.id == router)
    }
}

impl Running {
    fn order(&self, order: Order) -> Result<(), ConfigureError> {
        let sent = self.orders.send(order);
        self.waker.wake();
        sent.map_err(|_order| ConfigureError::Gone)
    }

    /// Orders something and waits until it is done.
    fn order_and_wait<T>(
        &self,
        order: impl FnOnce(SyncSender<T>) -> Order,
    ) -> Result<T, ConfigureError> {
        let (answer, answers): (_, Receiver<T>) = sync_channel(1);
        self.order(order(answer))?;
        let answer = answers.recv_timeout(PATIENCE);
        answer.map_err(|_gone: RecvTimeoutError| ConfigureError::Gone)
    }
}

/// Tells that the thread it is dropped on has panicked.
struct Obituary(mpsc::Sender<News>);

impl Drop for Obituary {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The event loop may have ended before.
            drop(self.0.blocking_send(News::Died));
        }
    }
}

impl Vrrp {
    /// Nothing runs yet; news come through the receiver.
    pub(crate) fn new(standing: Standing, syncs: bool) -> (Self, mpsc::Receiver<News>) {
        let (news_sender, news) = mpsc::channel(NEWS);
        let vrrp = Self {
            running: None,
            news_sender,
            configured: BTreeMap::new(),
            standing,
            syncs,
        };
        (vrrp, news)
    }

    /// Whether the thread runs.
    pub(crate) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The virtual router of an address.
    pub(crate) fn router_of(&self, address: IpAddr) -> Option<&VirtualRouter> {
        let mut routers = self.configured.values();
        routers.find(|router| router.addresses.contains(&address))
    }

    /// Takes part in exactly these virtual routers.
    ///
    /// Those that are not listed any more are left, and their addresses given up, before it returns.
    pub(crate) fn configure(
        &mut self,
        routers: &[VirtualRouter],
        plane: &mut DataPlane,
        ground: &Ground,
    ) -> anyhow::Result<()> {
        let wanted: BTreeMap<_, _> = routers.iter().map(|r| (r.id, r.clone())).collect();
        self.retire(&wanted)?;
        for router in wanted.values() {
            let own = ground.sources.of(family(router));
            if router.source.or(own).is_none() {
                let kind = match family(router) {
                    Family::V4 => "IPv4",
                    Family::V6 => "link-local IPv6",
                };
                return Err(ConfigureError::NoSource {
                    link: ground.link.name.clone(),
                    kind,
                    router: router.name.clone(),
                }
                .into());
            }
        }
        let lists: Vec<_> = wanted
            .values()
            .map(|router| (router.id, router.addresses.clone()))
            .collect();
        let gates: Vec<RouterGates> = plane.reserve_gates(&lists)?;
        if wanted.is_empty() {
            self.configured = wanted;
            return Ok(());
        }
        let places = wanted.values().cloned().zip(gates);
        let places: Vec<Place> = places
            .map(|(mut config, gates)| {
                let source = ground.sources.of(family(&config));
                config.source = config.source.or(source);
                Place {
                    maintenance: self.standing.maintenance,
                    standby: self.standing.standby.contains(&config.name),
                    syncs: self.syncs,
                    config,
                    gates,
                }
            })
            .collect();
        if self.running.is_none() {
            self.running = Some(self.begin(&places, ground)?);
        }
        let sockets = self.open_sockets(&wanted, ground)?;
        let opened: Vec<Family> = sockets.iter().map(VrrpSocket::family).collect();
        if let Some(running) = &mut self.running {
            running.order_and_wait(|done| Order::Configure {
                places,
                sockets,
                done,
            })?;
            running.families.extend(opened);
        }
        self.configured = wanted;
        Ok(())
    }

    /// Opens the sockets that the thread lacks for these virtual routers.
    fn open_sockets(
        &self,
        wanted: &BTreeMap<VirtualRouterId, VirtualRouter>,
        ground: &Ground,
    ) -> anyhow::Result<Vec<VrrpSocket>> {
        let needed: BTreeSet<Family> = wanted.values().map(family).collect();
        let has = |family: &&Family| {
            let running = self.running.as_ref();
            running.is_some_and(|running| running.families.contains(family))
        };
        let link = &ground.link;
        let missing = needed.iter().filter(|family| !has(family));
        let opened = missing.map(|family| VrrpSocket::open(*family, link.index, &link.name));
        Ok(opened.collect::<Result<_, _>>()?)
    }

    /// Leaves virtual routers that are not wanted, and gives up addresses that are in none of those that stay.
    fn retire(
        &mut self,
        wanted: &BTreeMap<VirtualRouterId, VirtualRouter>,
    ) -> Result<(), ConfigureError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let stays = |router: &VirtualRouter| {
            let new = wanted.get(&router.id);
            new.filter(|new| new.version == router.version && new.source == router.source)
        };
        let (mut leaving, mut addresses) = (Vec::new(), Vec::new());
        for router in self.configured.values() {
            match stays(router) {
                None => leaving.push(router.id),
                Some(new) => {
                    let old = router.addresses.iter();
                    addresses.extend(old.filter(|a| !new.addresses.contains(a)));
                }
            }
        }
        if leaving.is_empty() && addresses.is_empty() {
            return Ok(());
        }
        running.order_and_wait(|done| Order::Retire {
            routers: leaving,
            addresses,
            done,
        })
    }

    /// Starts the thread. Addresses of roles that are not taken up again are gone before a socket is open.
    fn begin(&self, places: &[Place], ground: &Ground) -> anyhow::Result<Running> {
        let link = &ground.link;
        let mut addresses = AddressSocket::open()?;
        for place in places.iter().filter(|place| !(link.up && place.goes_on())) {
            // The thread tries again, and tells.
            drop(place.give_up(&mut addresses, link.index));
        }
        let (waker, wake) = Waker::pair()?;
        let (orders, orders_received) = channel();
        let tools = Tools {
            link: link.index,
            link_up: link.up,
            mac: link.mac,
            sockets: Vec::new(),
            addresses,
            announcer: Announcer::open()?,
            news: self.news_sender.clone(),
            lost_news: 0,
            packet: Box::new([0; PACKET_LEN_MAX]),
        };
        std::thread::Builder::new().name("vrrp".to_owned()).spawn({
            let obituary = Obituary(self.news_sender.clone());
            move || {
                let _obituary = obituary;
                Thread::run(tools, orders_received, wake);
            }
        })?;
        Ok(Running {
            orders,
            waker: Arc::new(waker),
            families: BTreeSet::new(),
        })
    }

    /// Gives an operator's order; how it began in each of these virtual routers.
    pub(crate) fn operate(
        &self,
        routers: Vec<VirtualRouterId>,
        order: evenkeel_vrrp::Order,
    ) -> Result<Vec<(VirtualRouterId, Begun)>, ConfigureError> {
        let running = self.running.as_ref().ok_or(ConfigureError::Gone)?;
        running.order_and_wait(|begun| Order::Operator {
            routers,
            order,
            begun,
        })
    }

    /// Says that a handover is prepared.
    pub(crate) fn prepared(&self, router: VirtualRouterId) -> Result<(), ConfigureError> {
        self.order(Order::Prepared(router))
    }

    /// Says that connections of the Active are lacking, or no longer.
    pub(crate) fn wait_for_sync(
        &self,
        router: VirtualRouterId,
        wait: bool,
    ) -> Result<(), ConfigureError> {
        self.order(Order::WaitForSync(router, wait))
    }

    /// Lets a virtual router take over: its services are ready.
    pub(crate) fn may_take_over(&self, router: VirtualRouterId) -> Result<(), ConfigureError> {
        self.order(Order::MayTakeOver(router))
    }

    /// Tells that the interface is up or down.
    pub(crate) fn link(&self, up: bool) -> Result<(), ConfigureError> {
        self.order(Order::Link { up })
    }

    /// Tells that somebody removed an address from the interface.
    pub(crate) fn address_lost(&self, address: IpAddr) -> Result<(), ConfigureError> {
        self.order(Order::AddressLost(address))
    }

    /// Gives all roles up, handing over where there is a partner; [`News::Stopped`] tells the end.
    pub(crate) fn stop(&self) -> Result<(), ConfigureError> {
        self.order(Order::Stop)
    }

    /// How things stand; `None` if there is no virtual router.
    pub(crate) fn view(&self) -> Option<ThreadView> {
        let running = self.running.as_ref()?;
        running.order_and_wait(Order::View).ok()
    }

    /// A way to ask from a task; `None` if there is no virtual router.
    pub(crate) fn asker(&self) -> Option<Asker> {
        self.running.clone().map(Asker)
    }

    fn order(&self, order: Order) -> Result<(), ConfigureError> {
        match &self.running {
            Some(running) => running.order(order),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
