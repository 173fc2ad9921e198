//! What the VRRP thread acts with.

use std::io;
use std::net::IpAddr;

use evenkeel_model::MacAddress;
use evenkeel_net::vrrp::{Family, VrrpSocket};
use evenkeel_net::{AddressSocket, AnnounceError, Announcer};
use evenkeel_vrrp::Machine;
use evenkeel_wire::vrrp::PACKET_LEN_MAX;
use tokio::sync::mpsc;

use super::{News, family};

/// Sockets, buffers and the way to the event loop; using them allocates nothing but news.
pub(super) struct Tools {
    /// Index of the interface.
    pub(super) link: u32,
    pub(super) link_up: bool,
    pub(super) mac: MacAddress,
    /// One for each version of IP that there are virtual routers of.
    pub(super) sockets: Vec<VrrpSocket>,
    pub(super) addresses: AddressSocket,
    pub(super) announcer: Announcer,
    pub(super) news: mpsc::Sender<News>,
    /// News that found the event loop's queue full.
    pub(super) lost_news: u64,
    /// Where advertisements are written.
    pub(super) packet: Box<[u8; PACKET_LEN_MAX]>,
}

impl Tools {
    /// Tells the event loop, which may be busy: it is never waited for.
    pub(super) fn tell(&mut self, news: News) {
        if self.news.try_send(news).is_err() {
            self.lost_news += 1;
        }
    }

    /// Sends a machine's advertisement to the group, or to each peer.
    pub(super) fn advertise(&mut self, machine: &Machine, priority: u8) -> io::Result<()> {
        let peers = &machine.config().peers;
        if peers.is_empty() {
            let group = family(machine.config()).group();
            return self.advertise_to(machine, priority, group);
        }
        let mut sent = Ok(());
        for peer in peers {
            // One peer that can't be reached does not keep the others from hearing.
            if let Err(error) = self.advertise_to(machine, priority, *peer) {
                sent = Err(error);
            }
        }
        sent
    }

    fn advertise_to(
        &mut self,
        machine: &Machine,
        priority: u8,
        destination: IpAddr,
    ) -> io::Result<()> {
        let length = machine.write_advert(priority, destination, &mut *self.packet);
        let length = length.map_err(io::Error::other)?;
        let of = Family::of(destination);
        let mut sockets = self.sockets.iter();
        let socket = sockets.find(|socket| socket.family() == of);
        let socket = socket.ok_or(io::ErrorKind::NotConnected)?;
        socket.send(self.packet.get(..length).unwrap_or_default())
    }

    /// Announces an address so many times.
    pub(super) fn announce(&self, address: IpAddr, count: u8) -> Result<(), AnnounceError> {
        for _ in 0..count {
            self.announcer.announce(self.link, self.mac, address)?;
        }
        Ok(())
    }
}
