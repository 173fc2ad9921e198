//! Which packets are advertisements that count (RFC 9568 §7.1, RFC 3768 §7.1).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_model::{Role, VrrpVersion};
use evenkeel_wire::vrrp::{self, Advert, Version};

use super::{Machine, Packet, Stopping};
use crate::{Notice, Partner};

/// An advertisement that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) source: IpAddr,
    pub(super) priority: u8,
    pub(super) interval: Duration,
}

impl Machine {
    /// Judges a packet; returns what it says if that is to be followed.
    pub(super) fn receive(&mut self, packet: &Packet<'_>, now: Instant) -> Option<Heard> {
        if self.role == Role::Initialize && self.stopping != Stopping::HandingOver {
            return None;
        }
        let id = packet.payload.get(vrrp::VIRTUAL_ROUTER);
        if id.is_some_and(|id| *id != self.config.id.get()) {
            self.counters.other_router += 1;
            return None;
        }
        let advert = match self.judge(packet) {
            Ok(advert) => advert,
            Err(notice) => {
                self.note(notice, now);
                return None;
            }
        };
        for notice in self
            .differences(packet.source, &advert)
            .into_iter()
            .flatten()
        {
            self.note(notice, now);
        }
        let is_followed = self.config.version == VrrpVersion::V3
            || advert.interval == self.config.advert_interval;
        if !is_followed {
            return None;
        }
        self.counters.received += 1;
        self.counters.resignations_received += u64::from(advert.priority == 0);
        self.partner = Some(Partner {
            address: packet.source,
            priority: advert.priority,
            last_heard: now,
            interval: advert.interval,
        });
        Some(Heard {
            source: packet.source,
            priority: advert.priority,
            interval: advert.interval,
        })
    }

    /// What must be ignored.
    fn judge<'a>(&self, packet: &Packet<'a>) -> Result<Advert<'a>, Notice> {
        let &Packet {
            source,
            destination,
            ttl,
            payload,
        } = packet;
        if source == self.source {
            return Err(Notice::OwnAddress { source });
        }
        if ttl != vrrp::TTL {
            return Err(Notice::WrongTtl { source, ttl });
        }
        let advert = vrrp::parse(payload, source, destination)
            .map_err(|what| Notice::Malformed { source, what })?;
        let theirs = match advert.version {
            Version::V2 => VrrpVersion::V2,
            Version::V3 => VrrpVersion::V3,
        };
        if theirs != self.config.version {
            return Err(Notice::OtherVersion { source, theirs });
        }
        if advert.authentication != 0 {
            let kind = advert.authentication;
            return Err(Notice::Authenticated { source, kind });
        }
        let by_multicast = destination.is_multicast();
        match (self.config.peers.is_empty(), by_multicast) {
            (true, true) => Ok(advert),
            (true, false) => Err(Notice::Unicast { source }),
            (false, true) => Err(Notice::Multicast { source }),
            (false, false) if self.config.peers.contains(&source) => Ok(advert),
            (false, false) => Err(Notice::NotAPeer { source }),
        }
    }

    /// What differs from the configuration.
    fn differences(&self, source: IpAddr, advert: &Advert<'_>) -> [Option<Notice>; 2] {
        let interval = Notice::OtherInterval {
            source,
            theirs: advert.interval,
            ours: self.config.advert_interval,
            version: self.config.version,
        };
        let addresses = Notice::OtherAddresses {
            source,
            id: self.config.id,
        };
        [
            (advert.interval != self.config.advert_interval).then_some(interval),
            (!same_set(&self.config.addresses, advert.addresses())).then_some(addresses),
        ]
    }
}

/// Whether both hold the same addresses, in whatever order; a few, and without allocating.
pub(super) fn same_set(ours: &[IpAddr], mut theirs: impl Iterator<Item = IpAddr> + Clone) -> bool {
    let all_ours = ours
        .iter()
        .all(|address| theirs.clone().any(|a| a == *address));
    all_ours && theirs.all(|address| ours.contains(&address))
}
