//! The words of services and servers, as user space writes them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;

use evenkeel_abi::{
    Costs, SchedulerId, Server, ServerFlags, Service, ServiceFlags, ServiceKey as Key, Span, pair,
};
use evenkeel_datapath::tcp::TIMEOUTS;
use evenkeel_model::hash_table::{build_sized, fallback_size, table_size};
use evenkeel_model::{Forwarding, OnRemoval, Scheduler, ServerEntry, ServiceEntry, Weight};

use super::{PART, Plane, word};

impl Plane {
    pub(super) fn fill_server(&self, number: u32, service: u32, entry: &ServerEntry) {
        let server = &self.tables.servers[number as usize];
        server.owner.store(pair(service + 1, 0), SeqCst);
        let port = entry.address.port().to_be();
        let endpoint = Key::new(word(entry.address.ip()), port, 6);
        server.endpoint.store(endpoint.packed(), SeqCst);
        let weights = pair(entry.weight.get().into(), entry.hash_weight.get().into());
        server.weights.store(weights, SeqCst);
        let mac = match entry.forwarding {
            Forwarding::DirectRouting => Server::pack_mac(entry.hop.mac.0, ServerFlags::PRESENT),
            Forwarding::Local => {
                Server::pack_mac([0; 6], ServerFlags::PRESENT | ServerFlags::LOCAL)
            }
        };
        server.mac.store(mac, SeqCst);
    }

    /// Fills a half of a service, whose words of the arena begin at `start`.
    pub(super) fn fill(
        &self,
        half: &Service,
        gate: u32,
        entry: &ServiceEntry,
        numbers: &[u32],
        start: u32,
    ) {
        let fresh = |s: &ServerEntry| s.weight != Weight::QUIESCED;
        let quiesced = entry.servers.iter().filter(|s| !fresh(s)).count();
        half.gate.store(gate.into(), SeqCst);
        let (scheduler, costs) = words_of(entry.scheduler);
        half.scheduler.store(scheduler, SeqCst);
        half.costs.store(costs.0, SeqCst);
        let flags = match entry.options.on_removal {
            OnRemoval::Drop => 0,
            OnRemoval::Reset => ServiceFlags::GONE_RESET,
            OnRemoval::Keep => ServiceFlags::GONE_KEEP,
        };
        half.flags.store(flags, SeqCst);
        half.quiesced.store(quiesced as u64, SeqCst);
        for (word, ticks) in half.timeouts.iter().zip(TIMEOUTS) {
            word.store(ticks, SeqCst);
        }
        // The head of a list is next to a cursor at its end.
        self.tables.arena[start as usize].store(u32::MAX.into(), SeqCst);
        let listed = numbers.iter().zip(&entry.servers);
        let ring: Vec<u32> = listed.filter(|(_, s)| fresh(s)).map(|(n, _)| *n).collect();
        let mut at = self.lend(&half.ring, start + 1, &ring);
        at = self.lend(&half.hash_all, at, &hashed(entry, numbers, |_| true));
        at = self.lend(&half.hash_fresh, at, &hashed(entry, numbers, fresh));
        at = self.lend(&half.list, at, numbers);
        assert!(at <= start + PART, "the tables fit");
    }

    /// Writes a table; returns the first word after it.
    fn lend(&self, span: &Span, start: u32, entries: &[u32]) -> u32 {
        let len = |n: usize| u32::try_from(n).expect("a small table");
        span.store(start, len(entries.len()));
        let words = self.tables.arena[start as usize..].iter();
        for (word, two) in words.zip(entries.chunks(2)) {
            word.store(pair(two[0], two.get(1).copied().unwrap_or(0)), SeqCst);
        }
        start + len(entries.len().div_ceil(2))
    }
}

/// A scheduler's number, and what it compares of servers.
fn words_of(scheduler: Scheduler) -> (u64, Costs) {
    let known = [
        (Scheduler::RoundRobin, SchedulerId::RR, Costs(0)),
        (
            Scheduler::WeightedLeastConnection,
            SchedulerId::WLC,
            Costs::WLC,
        ),
        (
            Scheduler::ShortestExpectedDelay,
            SchedulerId::SED,
            Costs::SED,
        ),
        (Scheduler::Maglev, SchedulerId::MAGLEV, Costs(0)),
    ];
    let mut known = known.into_iter();
    let found = known.find(|(of, ..)| *of == scheduler);
    let (_, number, costs) = found.expect("a scheduler that clusters are made with");
    (number, costs)
}

/// The consistent hash over the servers that count.
fn hashed(
    entry: &ServiceEntry,
    numbers: &[u32],
    counts: impl Fn(&ServerEntry) -> bool,
) -> Vec<u32> {
    let weight = |s: &ServerEntry| match counts(s) {
        true => s.hash_weight.get().into(),
        false => 0,
    };
    let servers = entry.servers.iter();
    let weights: Vec<(SocketAddr, u32)> = servers.map(|s| (s.address, weight(s))).collect();
    let size = if entry.scheduler == Scheduler::Maglev {
        table_size(weights.len())
    } else {
        fallback_size(weights.len())
    };
    let table = build_sized(&weights, 0, size);
    table.into_iter().map(|i| numbers[i as usize]).collect()
}

/// Writes that a server is in no list any more.
pub(super) fn take_out(server: &Server, on_removal: OnRemoval) {
    let mac = server.mac.load(SeqCst);
    let flags = Server::unpack_flags(mac);
    let kept = match on_removal {
        OnRemoval::Keep if flags & ServerFlags::PRESENT != 0 => {
            Server::pack_mac(Server::unpack_mac(mac), flags | ServerFlags::KEPT)
        }
        OnRemoval::Keep | OnRemoval::Drop | OnRemoval::Reset => 0,
    };
    server.mac.store(kept, SeqCst);
    server.weights.store(0, SeqCst);
}
