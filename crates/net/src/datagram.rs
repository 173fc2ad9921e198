//! Netlink datagrams, as the kernel fills them: one message after the other.

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::packet_core::{NetlinkBuffer, NetlinkMessage};

/// The messages in a datagram; those that can't be read are left out.
pub(crate) fn messages(
    datagram: &[u8],
) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = NetlinkBuffer::new_checked(rest).ok()?.length();
        let (message, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        // Messages are aligned to 4 bytes; the last one may lack its padding.
        rest = after.get((4 - message.len() % 4) % 4..).unwrap_or_default();
        Some(NetlinkMessage::deserialize(message))
    })
    .filter_map(|message| match message {
        Ok(message) => Some(message),
        Err(error) => {
            tracing::debug!(%error, "unreadable netlink message");
            None
        }
    })
}
