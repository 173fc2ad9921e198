//! What changes in the network: neighbours, links and addresses.
//!
//! One task owns the multicast socket and the table of watched neighbours. It stops reading when the
//! receiver does not keep up, so that nothing queues without bound; the kernel then drops messages and
//! says so (ENOBUFS), and the task asks for everything anew. It never waits for the receiver while it
//! has orders to obey, so that whoever receives may also order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use evenkeel_model::MacAddress;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket as _, SocketAddr, TokioSocket};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::address;
use crate::datagram;
use crate::link;
use crate::neighbour::{self, NeighbourKey};
use crate::netlink::{OpenError, RequestError};

/// Time between two attempts for neighbours that the kernel does not keep by itself: its own interval
/// for managed entries (`interval_probe_time_ms`).
const UPKEEP: Duration = Duration::from_secs(5);

/// Events that wait for the receiver, beyond its channel, before the socket is left unread.
const PENDING_MAX: usize = 256;

/// A change in the network, or the present state of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// A watched neighbour is resolved, or has another hardware address.
    Neighbour {
        /// Index of the link it is on.
        link: u32,
        /// Its address.
        address: IpAddr,
        /// Its hardware address.
        mac: MacAddress,
    },
    /// A watched neighbour that was resolved no longer is.
    NeighbourLost {
        /// Index of the link it was on.
        link: u32,
        /// Its address.
        address: IpAddr,
    },
    /// An Ethernet link appeared, came up, went down or has another hardware address.
    ///
    /// `ip link set down` is reported at once. A lost carrier comes through the kernel's link watch,
    /// which may hold it back for up to a second after another link's (net/core/link_watch.c).
    Link {
        /// Its index.
        index: u32,
        /// Switched on, with a carrier, and operational: it can send.
        up: bool,
        /// Its hardware address.
        mac: MacAddress,
    },
    /// A link is gone.
    LinkRemoved {
        /// Its index, which may be given to another one.
        index: u32,
    },
    /// An interface has an address that it did not have, whoever added it.
    AddressAdded {
        /// Index of the interface.
        link: u32,
        /// The address.
        address: IpAddr,
    },
    /// A route was added, changed or removed; several changes may be told as one.
    Routes,
    /// An address is gone from an interface, whoever removed it.
    ///
    /// It still stands there if it stood there under two prefix lengths.
    AddressRemoved {
        /// Index of the interface.
        link: u32,
        /// The address.
        address: IpAddr,
    },
}

/// What the handle asks of the watcher.
#[derive(Debug)]
pub(crate) enum Order {
    /// Keep a neighbour resolved and report it.
    Watch {
        key: NeighbourKey,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Stop both.
    Unwatch {
        key: NeighbourKey,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
}

/// Who sees to it that a watched neighbour stays resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upkeep {
    /// The kernel: a managed or a permanent entry.
    Kernel,
    /// We, every [`UPKEEP`].
    Ours,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    /// What was reported last.
    mac: Option<MacAddress>,
    upkeep: Upkeep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LinkState {
    up: bool,
    mac: MacAddress,
}

/// Index of a link, an address on it, and its prefix length: one address may stand there under several.
type AddressKey = (u32, IpAddr, u8);

/// The task behind the events.
pub(crate) struct Watcher {
    requests: Handle,
    socket: TokioSocket,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<NetEvent>,
    pending: VecDeque<NetEvent>,
    links: BTreeMap<u32, LinkState>,
    addresses: BTreeSet<AddressKey>,
    watches: BTreeMap<NeighbourKey, Watch>,
}

impl Watcher {
    /// Subscribes, then takes links and addresses as they are, so that every later change is seen.
    pub(crate) async fn start(
        requests: Handle,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<Self, OpenError> {
        let socket = subscribe().map_err(OpenError::Socket)?;
        let links = link::dump(&requests).await.map_err(OpenError::Links)?;
        let addresses = address::dump(&requests)
            .await
            .map_err(OpenError::Addresses)?;
        Ok(Self {
            requests,
            socket,
            orders,
            events,
            pending: VecDeque::new(),
            links: links.iter().filter_map(link_state).collect(),
            addresses: addresses.iter().filter_map(address_key).collect(),
            watches: BTreeMap::new(),
        })
    }

    /// Runs until the last handle or the receiver is dropped, or the socket fails.
    pub(crate) async fn run(mut self) {
        // A permit borrows its sender for the whole `select!`, whose arms need all of `self`.
        let events = self.events.clone();
        let mut upkeep = interval(UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                permit = events.reserve(), if !self.pending.is_empty() => {
                    let Ok(permit) = permit else { return };
                    if let Some(event) = self.pending.pop_front() {
                        permit.send(event);
                    }
                }
                received = receive(&self.socket), if self.pending.len() < PENDING_MAX => {
                    match received {
                        Ok(datagram) => self.handle_datagram(&datagram).await,
                        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                            tracing::debug!("netlink events were lost, asking for the state anew");
                            self.resynchronize().await;
                        }
                        Err(error) => {
                            tracing::error!(%error, "the netlink event socket failed");
                            return;
                        }
                    }
                }
                _ = upkeep.tick() => self.keep_up().await,
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Watch { key, reply } => {
                let watch = Watch {
                    mac: None,
                    upkeep: Upkeep::Ours,
                };
                self.watches.insert(key, watch);
                let answer = match self.resolve(key).await {
                    Err(error @ RequestError::NotPermitted(_)) => {
                        self.watches.remove(&key);
                        Err(error)
                    }
                    Err(error @ RequestError::Failed(_)) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(address = %key.1, cause, "can't resolve yet, will try again");
                        Ok(())
                    }
                    Ok(()) => Ok(()),
                };
                // Whoever asked may have stopped waiting.
                let _ = reply.send(answer);
            }
            Order::Unwatch { key, reply } => {
                let answer = if self.watches.remove(&key).is_some() {
                    neighbour::release(&self.requests, key).await
                } else {
                    Ok(())
                };
                let _ = reply.send(answer);
            }
        }
    }

    /// Has the kernel resolve a watched neighbour, and reports what is known of it.
    async fn resolve(&mut self, key: NeighbourKey) -> Result<(), RequestError> {
        let resolved = neighbour::keep_resolved(&self.requests, key).await;
        let Some(watch) = self.watches.get_mut(&key) else {
            return Ok(());
        };
        watch.upkeep = Upkeep::Ours;
        let entry = resolved?;
        if entry.is_some_and(|entry| entry.managed || entry.fixed) {
            watch.upkeep = Upkeep::Kernel;
        }
        self.report_neighbour(key, entry.and_then(|entry| entry.mac));
        Ok(())
    }

    /// As `resolve`, where nobody waits for an answer: what fails is tried again at the next upkeep.
    async fn resolve_again(&mut self, keys: Vec<NeighbourKey>) {
        for key in keys {
            if let Err(error) = self.resolve(key).await {
                tracing::debug!(address = %key.1, %error, "can't resolve, will try again");
            }
        }
    }

    /// Sees to the neighbours that the kernel does not keep by itself.
    async fn keep_up(&mut self) {
        let ours = self
            .watches
            .iter()
            .filter(|(_, watch)| watch.upkeep == Upkeep::Ours)
            .map(|(key, _)| *key)
            .collect();
        self.resolve_again(ours).await;
    }

    async fn handle_datagram(&mut self, datagram: &[u8]) {
        let mut stale = Vec::new();
        for message in datagram::messages(datagram) {
            let NetlinkPayload::InnerMessage(message) = message.payload else {
                continue;
            };
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the groups carry no other message"
            )]
            match message {
                RouteNetlinkMessage::NewNeighbour(message) => self.handle_neighbour(&message),
                RouteNetlinkMessage::DelNeighbour(message) => {
                    stale.extend(self.handle_removed_neighbour(&message));
                }
                RouteNetlinkMessage::NewLink(message) => stale.extend(self.handle_link(&message)),
                RouteNetlinkMessage::DelLink(message) => self.handle_removed_link(&message),
                RouteNetlinkMessage::NewAddress(message) => {
                    self.report_addresses(address_key(&message).into_iter().collect());
                }
                RouteNetlinkMessage::NewRoute(_) | RouteNetlinkMessage::DelRoute(_) => {
                    self.report_routes();
                }
                RouteNetlinkMessage::DelAddress(message) => {
                    self.report_removed_addresses(address_key(&message).into_iter().collect());
                }
                _ => {}
            }
        }
        self.resolve_again(stale).await;
    }

    fn handle_neighbour(&mut self, message: &NeighbourMessage) {
        if let Some(key) = neighbour::key(message) {
            let entry = neighbour::read(message);
            if let Some(watch) = self.watches.get_mut(&key)
                && !entry.managed
                && !entry.fixed
            {
                // Somebody else has written the entry: at the next upkeep it is made managed again.
                watch.upkeep = Upkeep::Ours;
            }
            self.report_neighbour(key, entry.mac);
        }
    }

    /// The entry is gone: returns its key if it can be made again at once.
    fn handle_removed_neighbour(&mut self, message: &NeighbourMessage) -> Option<NeighbourKey> {
        let key = neighbour::key(message)?;
        self.watches.get_mut(&key)?.upkeep = Upkeep::Ours;
        self.report_neighbour(key, None);
        let up = self.links.get(&key.0).is_some_and(|link| link.up);
        up.then_some(key)
    }

    /// Returns the watched neighbours to resolve anew because their link came up.
    fn handle_link(&mut self, message: &LinkMessage) -> Vec<NeighbourKey> {
        let Some((index, state)) = link_state(message) else {
            return Vec::new();
        };
        let came_up = state.up && !self.links.get(&index).is_some_and(|known| known.up);
        self.report_link(index, state);
        if !came_up {
            return Vec::new();
        }
        let keys = self.watches.keys().filter(|(link, _)| *link == index);
        keys.copied().collect()
    }

    fn handle_removed_link(&mut self, message: &LinkMessage) {
        // A port that leaves its bridge is reported in the bridge's own family.
        if message.header.interface_family == AddressFamily::Unspec
            && self.links.remove(&message.header.index).is_some()
        {
            let index = message.header.index;
            self.pending.push_back(NetEvent::LinkRemoved { index });
        }
    }

    fn report_link(&mut self, index: u32, state: LinkState) {
        if self.links.insert(index, state) != Some(state) {
            let LinkState { up, mac } = state;
            self.pending.push_back(NetEvent::Link { index, up, mac });
        }
    }

    /// Reports those that are new; the kernel repeats the others when something about them changes.
    fn report_addresses(&mut self, present: BTreeSet<AddressKey>) {
        for key @ (link, address, _) in present {
            if self.addresses.insert(key) {
                self.pending
                    .push_back(NetEvent::AddressAdded { link, address });
            }
        }
    }

    fn report_routes(&mut self) {
        if !self.pending.contains(&NetEvent::Routes) {
            self.pending.push_back(NetEvent::Routes);
        }
    }

    fn report_removed_addresses(&mut self, gone: BTreeSet<AddressKey>) {
        for key @ (link, address, _) in gone {
            if self.addresses.remove(&key) {
                self.pending
                    .push_back(NetEvent::AddressRemoved { link, address });
            }
        }
    }

    fn report_neighbour(&mut self, key: NeighbourKey, mac: Option<MacAddress>) {
        let Some(watch) = self.watches.get_mut(&key) else {
            return;
        };
        if watch.mac == mac {
            return;
        }
        watch.mac = mac;
        let (link, address) = key;
        self.pending.push_back(match mac {
            Some(mac) => NetEvent::Neighbour { link, address, mac },
            None => NetEvent::NeighbourLost { link, address },
        });
    }

    /// Asks for all links, addresses and watched neighbours, after events were lost.
    async fn resynchronize(&mut self) {
        self.resynchronize_links().await;
        match address::dump(&self.requests).await {
            Ok(messages) => {
                let present: BTreeSet<AddressKey> =
                    messages.iter().filter_map(address_key).collect();
                self.report_removed_addresses(&self.addresses - &present);
                self.report_addresses(present);
            }
            Err(error) => tracing::warn!(%error, "could not list the addresses"),
        }
        self.report_routes();
        let all = self.watches.keys().copied().collect();
        self.resolve_again(all).await;
    }

    async fn resynchronize_links(&mut self) {
        match link::dump(&self.requests).await {
            Ok(messages) => {
                let present: BTreeMap<u32, LinkState> =
                    messages.iter().filter_map(link_state).collect();
                let gone: Vec<u32> = self
                    .links
                    .keys()
                    .filter(|index| !present.contains_key(index))
                    .copied()
                    .collect();
                for index in gone {
                    self.links.remove(&index);
                    self.pending.push_back(NetEvent::LinkRemoved { index });
                }
                for (index, state) in present {
                    self.report_link(index, state);
                }
            }
            Err(error) => tracing::warn!(%error, "could not list the links"),
        }
    }
}

fn subscribe() -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Neigh,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ];
    let mask = groups
        .iter()
        .fold(0, |mask, group| mask | (1 << (*group as u32 - 1)));
    socket.socket_mut().bind(&SocketAddr::new(0, mask))?;
    Ok(socket)
}

/// Cancel-safe: a datagram is taken within one poll.
async fn receive(socket: &TokioSocket) -> io::Result<Vec<u8>> {
    let (datagram, _sender) = poll_fn(|context| socket.poll_recv_from_full(context)).await?;
    Ok(datagram)
}

fn link_state(message: &LinkMessage) -> Option<(u32, LinkState)> {
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let state = LinkState {
        up: link::is_up(message),
        mac: link::mac(message)?,
    };
    Some((message.header.index, state))
}

fn address_key(message: &AddressMessage) -> Option<AddressKey> {
    let held = address::held(message)?;
    Some((held.link, held.address, held.prefix.length))
}
