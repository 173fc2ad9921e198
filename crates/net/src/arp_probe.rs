//! Who has an address, asked by ARP probes (RFC 5227 §2.1.1) or by neighbour solicitations from nobody (RFC 4862
//! §5.4.2), which change no neighbour's cache.

#![expect(
    unsafe_code,
    reason = "tokio trusts that a descriptor of ours stays the same"
)]

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use evenkeel_model::MacAddress;
use evenkeel_wire::{arp, eth};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use crate::{packet, solicitation};

#[cfg(test)]
mod tests;

/// Probes within the wait, RFC 5227 §1.1: one may be lost.
const PROBES: u32 = 3;

/// Offset of the sender's hardware address in an ARP message.
const SENDER_MAC: usize = 8;
/// Offset of the sender's protocol address.
const SENDER_ADDRESS: usize = 14;

/// Why the hosts on a link could not be asked for an address.
#[derive(Debug, thiserror::Error)]
pub enum ArpProbeError {
    /// The packet socket was refused.
    #[error("could not open a packet socket; run as root or grant CAP_NET_RAW")]
    Open(#[source] io::Error),
    /// The interface did not take the probe, or failed while we listened.
    #[error("could not probe for `{address}` on interface number {link}; is the interface up?")]
    Probe {
        /// The address.
        address: IpAddr,
        /// Index of the interface.
        link: u32,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Hardware addresses of the other hosts on the link that say they have the address, in order.
///
/// Asks three times within `wait` and listens until it is over. Whoever answers is found, and whoever
/// announces the address meanwhile, or uses it, in ARP or in any packet of IPv6. Another host's probe is no claim: it asks as we do.
/// What the interface's XDP program drops is not seen. Runs on tokio; dropped, it stops asking.
pub async fn holders(
    link: u32,
    own: MacAddress,
    address: IpAddr,
    wait: Duration,
) -> Result<Vec<MacAddress>, ArpProbeError> {
    let failed = |source| ArpProbeError::Probe {
        address,
        link,
        source,
    };
    let kind = match address {
        IpAddr::V4(_) => libc::ETH_P_ARP,
        IpAddr::V6(_) => libc::ETH_P_IPV6,
    };
    let everybody = packet::everybody(link, kind).map_err(failed)?;
    // Protocol 0 receives nothing until the socket is bound, so that no other link is heard.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))
        .map_err(ArpProbeError::Open)?;
    socket.set_nonblocking(true).map_err(ArpProbeError::Open)?;
    socket.bind(&everybody).map_err(failed)?;
    // SAFETY: `socket` owns its descriptor, and nothing closes or replaces it before both are dropped.
    let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    let socket = registered.map_err(|refused| ArpProbeError::Open(refused.into()))?;

    let probe = match address {
        IpAddr::V4(address) => packet::arp_frame(own, probe(own, address)).to_vec(),
        IpAddr::V6(address) => solicitation::question(own, address).to_vec(),
    };
    let mut found = BTreeSet::new();
    let mut until = Instant::now();
    for _ in 0..PROBES {
        socket
            .get_ref()
            .send_to(&probe, &everybody)
            .map_err(failed)?;
        until += wait / PROBES;
        let heard = timeout_at(until, listen(&socket, own, address, &mut found)).await;
        if let Ok(Err(error)) = heard {
            return Err(failed(error));
        }
    }
    Ok(found.into_iter().collect())
}

/// Collects claims until it is dropped; only a failure ends it.
async fn listen(
    socket: &AsyncFd<Socket>,
    own: MacAddress,
    address: IpAddr,
    found: &mut BTreeSet<MacAddress>,
) -> io::Result<()> {
    let mut frame = [0; solicitation::FRAME_LENGTH];
    loop {
        let mut ready = socket.readable().await?;
        let read = ready.try_io(|socket| socket.get_ref().read(&mut frame));
        if let Ok(length) = read {
            let frame = frame.get(..length?).unwrap_or_default();
            let claimant = match address {
                IpAddr::V4(address) => claimant(frame, address),
                IpAddr::V6(address) => solicitation::claimant(frame, address),
            };
            found.extend(claimant.filter(|mac| *mac != own));
        }
    }
}

/// An ARP request for the address whose sender's protocol address is all zero.
fn probe(own: MacAddress, address: Ipv4Addr) -> [u8; arp::LEN] {
    let mut message = [0; arp::LEN];
    for (at, part) in [
        (0, &arp::ETHERNET_IPV4[..]),
        (arp::OPERATION, &arp::REQUEST),
        (SENDER_MAC, &own.0),
        (arp::TARGET_ADDRESS, &address.octets()),
    ] {
        message[at..at + part.len()].copy_from_slice(part);
    }
    message
}

/// The host that says in this frame that the address is its own.
fn claimant(frame: &[u8], address: Ipv4Addr) -> Option<MacAddress> {
    let message = frame.get(eth::LEN..)?;
    if !message.starts_with(&arp::ETHERNET_IPV4)
        || !message
            .get(SENDER_ADDRESS..)?
            .starts_with(&address.octets())
    {
        return None;
    }
    let mac = message.get(SENDER_MAC..SENDER_ADDRESS)?.try_into().ok()?;
    Some(MacAddress(mac))
}
