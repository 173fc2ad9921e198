//! What must hold, whatever goes wrong.

mod mirrors;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use evenkeel_model::Scheduler;

use crate::Time;
use crate::director::Director;
use crate::network::{Network, Via};
use crate::node::Node;
use crate::plane::Placement;
use crate::server::Server;
use crate::settings::{ServiceSettings, Settings};

pub use self::mirrors::Mirrors;

/// Ticks of the data plane's clock, timers that are a bit late, a slow clock.
const SLACK: Duration = Duration::from_millis(40);

/// A SYN that a director sent on.
#[derive(Clone, Debug, PartialEq)]
struct Syn {
    at: Time,
    via: Via,
    server: usize,
    placement: Option<Placement>,
}

/// A connection, from when a server knows it.
#[derive(Clone, Copy, Debug)]
struct Birth {
    server: usize,
    boot: u64,
}

/// What is known of a client's flow.
#[derive(Clone, Debug, Default)]
struct Flow {
    syns: Vec<Syn>,
    birth: Option<Birth>,
    /// A damaged packet had its addresses or was taken from it, so that tables may say anything of it.
    tainted: bool,
}

/// Where a packet of an established connection went.
pub struct Forwarded<'w> {
    /// The service.
    pub service: &'w ServiceSettings,
    /// The client.
    pub client: SocketAddrV4,
    /// By whom.
    pub via: Via,
    /// To which server.
    pub to: usize,
    /// Whether it was a SYN.
    pub is_syn: bool,
    /// Whether the client has begun to close.
    pub closing: bool,
}

/// Looks on.
#[derive(Debug, Default)]
pub struct Watch {
    flows: BTreeMap<SocketAddrV4, Flow>,
    /// Since when two directors that hear each other have held an address together.
    together: BTreeMap<(Ipv4Addr, usize, usize), Time>,
    /// Since when nobody has held an address.
    unheld: BTreeMap<Ipv4Addr, Time>,
    /// The longest time that this lasted.
    pub longest_unheld: Duration,
    /// The longest time that two held one.
    pub longest_together: Duration,
    /// Looks at a calm cluster.
    pub calm_looks: u64,
    /// Packets of established connections that were looked at where a claim held.
    pub claims: u64,
    /// The same by another director than made the connection.
    pub claims_across: u64,
    /// The same by one that had it by connection sync, and did not make it.
    pub claims_synced: u64,
    /// The tables of directors with connection sync.
    pub mirrors: Mirrors,
}

impl Watch {
    /// A damaged packet has these addresses, or had them.
    pub fn taint(&mut self, client: SocketAddrV4) {
        self.flows.entry(client).or_default().tainted = true;
    }

    /// Whether a damaged packet had these addresses.
    #[must_use]
    pub fn is_tainted(&self, client: SocketAddr) -> bool {
        let SocketAddr::V4(client) = client else {
            return false;
        };
        self.flows.get(&client).is_some_and(|flow| flow.tainted)
    }

    /// A server has an established connection.
    pub fn established(&mut self, client: SocketAddrV4, server: &Server) {
        let Node::Server(number) = server.node else {
            return;
        };
        let flow = self.flows.entry(client).or_default();
        flow.birth.get_or_insert(Birth {
            server: number,
            boot: server.boot,
        });
    }

    /// A director sends a client's packet on.
    ///
    /// # Errors
    /// If it goes to another server than its own, though nothing excuses that.
    pub fn forwarded(
        &mut self,
        it: &Forwarded<'_>,
        directors: &[Director],
        servers: &[Server],
        now: Time,
    ) -> Result<(), String> {
        let flow = self.flows.entry(it.client).or_default();
        let key = it.service.key();
        let plane = &directors[it.via.0].host.plane;
        let placement = plane.placement(&key);
        if it.is_syn {
            let syn = Syn {
                at: now,
                via: it.via,
                server: it.to,
                placement,
            };
            flow.syns.push(syn);
            return Ok(());
        }
        let Some(birth) = flow.birth.filter(|_| !flow.tainted && !it.closing) else {
            return Ok(());
        };
        let own = &servers[birth.server];
        let lives = own.on && own.boot == birth.boot;
        let knows = own.knows(it.client, it.service.address);
        let Some(first) = flow.syns.first().filter(|_| lives && knows) else {
            return Ok(());
        };
        let all = |holds: &dyn Fn(&Syn) -> bool| flow.syns.iter().all(holds);
        if !all(&|syn| syn.server == birth.server) {
            return Ok(());
        }
        let since = plane.listed_since(&key, it.service.server(birth.server));
        let same_director = all(&|syn| syn.via == it.via) && since.is_some_and(|s| s <= first.at);
        let is_plain = |p: &Placement| p.iter().all(|(_, _, quiesced)| !quiesced);
        let same_tables = it.service.scheduler == Scheduler::Maglev
            && placement.as_ref().is_some_and(is_plain)
            && all(&|syn| syn.placement == placement);
        let server = it.service.server(birth.server);
        let told = self.mirrors.knows(it.via, it.client, server);
        let synced = told.is_some_and(|told| since.is_some_and(|since| since <= told.since));
        if !same_director && !same_tables && !synced {
            return Ok(());
        }
        self.claims += 1;
        self.claims_across += u64::from(!same_director);
        self.claims_synced += u64::from(synced && !same_director && !same_tables);
        if it.to == birth.server {
            return Ok(());
        }
        Err(format!(
            "director {:?} sent a packet of {} to server {}, which is server {}'s (same director: {same_director}, \
             same tables: {same_tables}, synced: {synced}): {:?}",
            it.via, it.client, it.to, birth.server, flow.syns
        ))
    }

    /// Looks whether somebody holds each address when nothing was disturbed for so long.
    ///
    /// # Errors
    /// If nobody does, or several do.
    pub fn look_at_calm(
        &mut self,
        settings: &Settings,
        directors: &[Director],
        calm: Duration,
        now: Time,
    ) -> Result<(), String> {
        // One may have begun to hand over when the last trouble ended, and edits take some time.
        if calm <= settings.master_down() * 3 + Duration::from_millis(500) {
            return Ok(());
        }
        self.calm_looks += 1;
        for address in settings.addresses() {
            let holders = directors.iter().filter(|d| d.host.answers(address));
            let holders: Vec<Node> = holders.map(|d| d.host.node).collect();
            // Who waited for connections takes over later, and is heard in a moment.
            let mut together = self.together.iter().filter(|(of, _)| of.0 == address);
            let changes = settings.sync.is_some()
                && holders.len() > 1
                && together.all(|(_, since)| now - *since < Duration::from_millis(10));
            if holders.len() != 1 && !changes {
                return Err(format!(
                    "{address} is held by {holders:?}, calm for {calm:?}"
                ));
            }
        }
        Ok(())
    }

    /// Looks at the tables of directors with connection sync.
    ///
    /// # Errors
    /// If one that is in sync lacks something.
    pub fn look_at_tables(
        &mut self,
        settings: &Settings,
        directors: &[Director],
        now: Time,
    ) -> Result<(), String> {
        let flows = &self.flows;
        let tainted = |client| flows.get(&client).is_some_and(|flow| flow.tainted);
        self.mirrors.look(settings, directors, tainted, now)
    }

    /// Looks who holds the addresses.
    ///
    /// # Errors
    /// If two that hear each other hold one for too long.
    pub fn look(
        &mut self,
        settings: &Settings,
        directors: &[Director],
        network: &Network,
        now: Time,
    ) -> Result<(), String> {
        for address in settings.addresses() {
            let holders: Vec<usize> = (0..directors.len())
                .filter(|d| directors[*d].runs() && directors[*d].host.answers(address))
                .collect();
            if holders.is_empty() {
                let since = *self.unheld.entry(address).or_insert(now);
                self.longest_unheld = self.longest_unheld.max(now - since);
            } else if let Some(since) = self.unheld.remove(&address) {
                self.longest_unheld = self.longest_unheld.max(now - since);
            }
            let hear = |a: usize, b: usize| {
                let (a, b) = (Node::Director(a), Node::Director(b));
                network.hears(a, b) && network.hears(b, a)
            };
            let mut pairs = Vec::new();
            for a in &holders {
                for b in holders.iter().filter(|b| *b > a) {
                    if hear(*a, *b) {
                        pairs.push((address, *a, *b));
                    }
                }
            }
            self.together
                .retain(|pair, _| pair.0 != address || pairs.contains(pair));
            for pair in pairs {
                let since = *self.together.entry(pair).or_insert(now);
                self.longest_together = self.longest_together.max(now - since);
                let speak = [pair.1, pair.2].iter().all(|d| directors[*d].speaks());
                let bound = match speak {
                    true => settings.master_down() + SLACK,
                    // The lease is what ends it, and then the next advertisement.
                    false => settings.master_down() + settings.interval + SLACK,
                };
                if now - since > bound {
                    return Err(format!(
                        "directors {} and {} have held {address} together for {:?}",
                        pair.1,
                        pair.2,
                        now - since
                    ));
                }
            }
        }
        Ok(())
    }
}
