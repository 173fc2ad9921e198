//! The event loop's part in connection sync, as in the daemon's `daemon/sync`.

use std::net::SocketAddrV4;
use std::time::Instant;

use evenkeel_control::Event;
use evenkeel_control::mirror::{Decision, Mirror};
use evenkeel_model::{Director, Role, ServiceKey, VirtualRouterId};
use evenkeel_sync::Key;
use evenkeel_vrrp::{HandoverEnd, Order};

use super::Daemon;
use crate::host::Host;

/// Datagrams that are taken in before anything else is done.
const BURST: usize = 64;

/// Datagrams that a socket holds: about the kernel's default of 212,992 bytes.
const SOCKET_MAX: usize = 128;

/// The sessions of a daemon, which is its host's so many-th.
pub(super) fn start(director: &Director, run: u64, now: Instant) -> Option<Mirror> {
    let config = director.sync.as_deref()?.clone();
    let key = Key::from_secret(&[7; 32]).expect("long enough");
    // Nobody guesses them here: they have to be others each time.
    let seed = |peer: u64| {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&run.to_be_bytes());
        seed[8..16].copy_from_slice(&peer.to_be_bytes());
        let name = director.name.as_bytes();
        seed[16..16 + name.len()].copy_from_slice(name);
        seed
    };
    let seeds: Vec<_> = (0..config.peers.len() as u64).map(seed).collect();
    let mirror = Mirror::new(config, director, &[key], &seeds, now);
    Some(mirror.expect("a good configuration"))
}

impl Daemon {
    pub(super) fn keep_datagram(&mut self, from: SocketAddrV4, payload: Vec<u8>) {
        if self.mirror.is_some() && self.datagrams.len() < SOCKET_MAX {
            self.datagrams.push_back((from, payload));
        }
    }

    /// Tells the other directors what changed, takes in what they tell, and passes on what follows for roles.
    pub(super) fn turn_sync(&mut self, host: &mut Host, now: Instant) {
        let Some(mirror) = &mut self.mirror else {
            return;
        };
        if self.datagrams.is_empty() && mirror.poll_timeout() > now {
            return;
        }
        for _ in 0..BURST {
            let Some((from, datagram)) = self.datagrams.pop_front() else {
                break;
            };
            mirror.handle_datagram(&datagram, from.into(), now);
        }
        let director = self.control.director();
        let _reports = mirror.turn(&mut host.plane, director, now);
        while let Some((to, datagram)) = mirror.poll_datagram() {
            host.send_sync(to, datagram);
        }
        let decisions = mirror.decide(director, now);
        let known = mirror.known(director);
        for decision in decisions {
            let (Decision::Wait(router, _) | Decision::Prepared(router) | Decision::Yield(router)) =
                decision;
            let mut seats = self.seats.iter_mut();
            let Some(seat) = seats.find(|seat| seat.config().id == router) else {
                continue;
            };
            match decision {
                Decision::Wait(_, wait) => seat.wait_for_sync(wait, host, &mut self.news, now),
                Decision::Prepared(_) => seat.prepared(host, &mut self.news, now),
                Decision::Yield(_) => seat.order(Order::Yield, host, &mut self.news, now),
            }
        }
        if let Some(known) = known {
            self.control.handle_event(Event::Synced(known), now);
        }
        self.obey(host, now);
    }

    /// The configuration is another one.
    pub(super) fn sync_configure(&mut self, now: Instant) {
        if let Some(mirror) = &mut self.mirror {
            mirror.configure(self.control.director(), now);
        }
    }

    /// A service was put into the data plane, or taken out.
    pub(super) const fn sync_service(&mut self, key: &ServiceKey) {
        if let Some(mirror) = &mut self.mirror {
            mirror.service_changed(key);
        }
    }

    /// This director's role in a virtual router changed.
    pub(super) fn sync_role(&mut self, router: VirtualRouterId, to: Role, now: Instant) {
        if let Some(mirror) = &mut self.mirror {
            mirror.role(router, to, self.control.director(), now);
        }
    }

    /// Only connection sync keeps this director from preempting, or no longer.
    pub(super) fn sync_wants(&mut self, router: VirtualRouterId, wants: bool) {
        if let Some(mirror) = &mut self.mirror {
            mirror.wants(router, wants);
        }
    }

    /// A handover begins.
    pub(super) fn sync_prepare(&mut self, router: VirtualRouterId, host: &Host, now: Instant) {
        if let Some(mirror) = &mut self.mirror {
            mirror.prepare(router, &host.plane, now);
        }
    }

    /// A handover is over.
    pub(super) fn sync_handed_over(
        &mut self,
        router: VirtualRouterId,
        end: HandoverEnd,
        host: &Host,
        now: Instant,
    ) {
        if let Some(mirror) = &mut self.mirror {
            let done = matches!(end, HandoverEnd::Successor { .. });
            mirror.handed_over(router, done, &host.plane, now);
        }
    }
}
