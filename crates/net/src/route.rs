//! Which way the kernel would send a packet.

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};

use crate::netlink::{Netlink, RequestError};

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Index of the interface that packets leave by.
    pub link: u32,
    /// The router on that link; `None`: the address itself is on it.
    pub gateway: Option<IpAddr>,
}

impl Route {
    /// Whom packets to the address are handed to.
    #[must_use]
    pub fn next(&self, address: IpAddr) -> IpAddr {
        self.gateway.unwrap_or(address)
    }
}

impl Netlink {
    /// Looks up the way to an address; `None`: none leads there, or it is this host's own.
    ///
    /// # Errors
    /// If the kernel can't be asked.
    pub async fn route(&self, address: IpAddr) -> Result<Option<Route>, RequestError> {
        let mut message = RouteMessage::default();
        (
            message.header.address_family,
            message.header.destination_prefix_length,
        ) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        message
            .attributes
            .push(RouteAttribute::Destination(RouteAddress::from(address)));
        let mut found = std::pin::pin!(self.requests.route().get(message).execute());
        match found.try_next().await.map_err(RequestError::from) {
            Ok(route) => Ok(route.as_ref().and_then(read)),
            // Unreachable, prohibited or blackhole; IPv6 tells these as routes too.
            Err(error)
                if [
                    libc::ENETUNREACH,
                    libc::EHOSTUNREACH,
                    libc::EINVAL,
                    libc::EACCES,
                ]
                .into_iter()
                .any(|errno| error.is(errno)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn read(message: &RouteMessage) -> Option<Route> {
    if message.header.kind != RouteType::Unicast {
        return None;
    }
    let mut route = Route {
        link: 0,
        gateway: None,
    };
    for attribute in &message.attributes {
        if let RouteAttribute::Oif(link) = attribute {
            route.link = *link;
        } else if let RouteAttribute::Gateway(RouteAddress::Inet(gateway))
        | RouteAttribute::Via(RouteVia::Inet(gateway)) = attribute
        {
            route.gateway = Some(IpAddr::V4(*gateway));
        } else if let RouteAttribute::Gateway(RouteAddress::Inet6(gateway))
        | RouteAttribute::Via(RouteVia::Inet6(gateway)) = attribute
        {
            route.gateway = Some(IpAddr::V6(*gateway));
        }
    }
    (route.link != 0).then_some(route)
}
