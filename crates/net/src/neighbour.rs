//! Neighbour entries of the kernel: asking for one, and having the kernel keep one resolved.
//!
//! A *managed* entry (NTF_EXT_MANAGED, Linux 5.16) is probed again and again by the kernel itself, so
//! that its hardware address is right without any traffic. An administrator's permanent entry is left
//! as it is: asking for management would make the kernel forget that it is permanent.

use std::net::IpAddr;

use evenkeel_model::MacAddress;
use futures_util::StreamExt as _;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
    NeighbourState,
};
use netlink_packet_route::route::RouteType;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::Handle;
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use tokio::sync::oneshot;

use crate::event::Order;
use crate::netlink::{Netlink, RequestError};

/// Why a neighbour can't be watched.
#[derive(Debug, thiserror::Error)]
pub enum NeighbourError {
    /// The kernel refused the entry.
    #[error("could not have the kernel resolve neighbour `{address}`")]
    Request {
        /// The neighbour.
        address: IpAddr,
        /// The kernel's answer.
        #[source]
        source: RequestError,
    },
    /// The event stream has ended, so nothing can be watched.
    #[error("the netlink event stream has ended; restart the daemon")]
    Ended,
}

/// Index of a link, and an address on it.
pub(crate) type NeighbourKey = (u32, IpAddr);

/// What matters of a neighbour entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Hardware address; `None` while the entry is not in a valid state.
    pub mac: Option<MacAddress>,
    /// The kernel keeps it resolved.
    pub managed: bool,
    /// It never changes by itself: an administrator's, or of a link without resolution.
    pub fixed: bool,
}

impl Netlink {
    /// Has the kernel keep the neighbour resolved, and reports its state from then on.
    ///
    /// If it is resolved already, that is reported at once, also where it was being watched before.
    /// An entry that vanishes (a link that went down) is made again. Only a lack of permission is an
    /// error; everything else is tried again.
    pub async fn watch_neighbour(&self, link: u32, address: IpAddr) -> Result<(), NeighbourError> {
        let (reply, answer) = oneshot::channel();
        let key = (link, address);
        self.order(Order::Watch { key, reply }).await?;
        answer
            .await
            .map_err(|_ended| NeighbourError::Ended)?
            .map_err(|source| NeighbourError::Request { address, source })
    }

    /// Stops watching the neighbour and leaves its entry to the kernel's ordinary ageing.
    pub async fn unwatch_neighbour(
        &self,
        link: u32,
        address: IpAddr,
    ) -> Result<(), NeighbourError> {
        let (reply, answer) = oneshot::channel();
        let key = (link, address);
        self.order(Order::Unwatch { key, reply }).await?;
        answer
            .await
            .map_err(|_ended| NeighbourError::Ended)?
            .map_err(|source| NeighbourError::Request { address, source })
    }

    async fn order(&self, order: Order) -> Result<(), NeighbourError> {
        self.orders
            .send(order)
            .await
            .map_err(|_ended| NeighbourError::Ended)
    }
}

/// Makes or turns the entry into a managed one and has it resolved now; answers what stands after that.
///
/// A kernel without managed entries resolves it once, and `managed` stays false.
pub(crate) async fn keep_resolved(
    requests: &Handle,
    key: NeighbourKey,
) -> Result<Option<Entry>, RequestError> {
    let present = entry(requests, key).await?;
    if present.is_some_and(|entry| entry.fixed) {
        return Ok(present);
    }
    let (link, address) = key;
    let mut request = requests
        .neighbours()
        .add(link, address)
        .state(NeighbourState::None)
        .flags(NeighbourFlags::Use)
        .replace();
    request
        .message_mut()
        .attributes
        .push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    match request.execute().await.map_err(RequestError::from) {
        Ok(()) => {}
        Err(error) if error.is(libc::EINVAL) || error.is(libc::EOPNOTSUPP) => {
            resolve_once(requests, key).await?;
        }
        Err(error) => return Err(error),
    }
    entry(requests, key).await
}

/// Takes the management off an entry that has it.
pub(crate) async fn release(requests: &Handle, key: NeighbourKey) -> Result<(), RequestError> {
    match entry(requests, key).await? {
        Some(entry) if entry.managed && !entry.fixed => resolve_once(requests, key).await,
        Some(_) | None => Ok(()),
    }
}

/// NTF_USE without NTF_EXT_MANAGED: resolve as if a packet were sent, and clear the management.
async fn resolve_once(
    requests: &Handle,
    (link, address): NeighbourKey,
) -> Result<(), RequestError> {
    let request = requests
        .neighbours()
        .add(link, address)
        .state(NeighbourState::None)
        .flags(NeighbourFlags::Use)
        .replace();
    Ok(request.execute().await?)
}

/// Asks for one entry; `None` where there is none.
async fn entry(
    requests: &Handle,
    (link, address): NeighbourKey,
) -> Result<Option<Entry>, RequestError> {
    let mut message = NeighbourMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = link;
    message.header.kind = RouteType::Unspec;
    message
        .attributes
        .push(NeighbourAttribute::Destination(NeighbourAddress::from(
            address,
        )));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNeighbour(message));
    request.header.flags = NLM_F_REQUEST;
    let mut replies = requests.clone().request(request)?;
    while let Some(reply) = replies.next().await {
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(found)) =
            reply.payload
        {
            return Ok(Some(read(&found)));
        } else if let NetlinkPayload::Error(error) = reply.payload {
            let error = RequestError::from_io(error.to_io());
            return if error.is(libc::ENOENT) {
                Ok(None)
            } else {
                Err(error)
            };
        }
    }
    Ok(None)
}

/// The link and address that a neighbour message is about, if it is about an IP address.
pub(crate) fn key(message: &NeighbourMessage) -> Option<NeighbourKey> {
    message.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::Destination(destination) = attribute else {
            return None;
        };
        if let NeighbourAddress::Inet(address) = destination {
            Some((message.header.ifindex, IpAddr::V4(*address)))
        } else if let NeighbourAddress::Inet6(address) = destination {
            Some((message.header.ifindex, IpAddr::V6(*address)))
        } else {
            None
        }
    })
}

/// What matters of a neighbour message.
pub(crate) fn read(message: &NeighbourMessage) -> Entry {
    let state = message.header.state;
    let fixed = matches!(state, NeighbourState::Permanent | NeighbourState::Noarp);
    let valid = fixed
        || matches!(
            state,
            NeighbourState::Reachable
                | NeighbourState::Stale
                | NeighbourState::Delay
                | NeighbourState::Probe
        );
    let mut entry = Entry {
        mac: None,
        managed: false,
        fixed,
    };
    for attribute in &message.attributes {
        if let NeighbourAttribute::LinkLayerAddress(bytes) = attribute {
            let mac: Option<[u8; 6]> = bytes.as_slice().try_into().ok();
            entry.mac = mac.filter(|mac| valid && *mac != [0; 6]).map(MacAddress);
        } else if let NeighbourAttribute::ExtFlags(flags) = attribute {
            entry.managed = flags.contains(NeighbourExtFlags::Managed);
        }
    }
    entry
}
