//! Changes of services and their real servers.
//!
//! A service's slot has two halves. A change writes new tables into words that nobody reads, fills the
//! half that is not selected, and stores `select`: each packet sees the old service or the new one.
//! Servers that join are written before that, servers that leave are taken out after it.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use aya::maps::MapError;
use evenkeel_abi::{Server, ServerFlags, low, map, pair};
use evenkeel_model::{Listens, OnRemoval, ServerEntry, ServiceEntry, ServiceKey, Thresholds};

use crate::book::{Listed, Record};
use crate::convert::{address6_words, egress, held_word, mac_word, store, store_server};
use crate::cursor::Start;
use crate::draft::{Draft, fill};
use crate::error::{PutError, io_cause, map_failed};
use crate::locality::is_local;
use crate::plane::DataPlane;
use crate::tables::zero;
use crate::takes::addresses;

/// Most servers of one service: as many as wlc looks at for a new flow.
const SERVERS_MAX: usize = 1024;

impl DataPlane {
    /// Puts a service, or changes it to what the entry says; its addresses get gates, closed at first.
    ///
    /// Atomic for packets: none sees a mixture, and no running flow moves. A hardware address alone
    /// changes in place.
    ///
    /// # Errors
    /// The data plane is as before if the entry is of two families, lists a server twice or too many, or finds no room.
    pub fn put_service(&mut self, entry: &ServiceEntry) -> Result<(), PutError> {
        check(entry)?;
        self.put(entry, false)
    }

    /// As [`put_service`](Self::put_service); `force` rewrites tables that should be right already.
    pub(crate) fn put(&mut self, entry: &ServiceEntry, force: bool) -> Result<(), PutError> {
        let listens = entry.listens();
        self.gates_for(&listens)?;
        let number = match self.number_for(&entry.key) {
            Ok(number) => number,
            Err(error) => {
                self.close_all_unused(&listens)?;
                return Err(error);
            }
        };
        let listed = self
            .book
            .services
            .get(&entry.key)
            .and_then(|r| r.listed.clone());
        if let Some(listed) = &listed
            && !force
            && same_tables(&listed.entry, entry)
        {
            self.put_in_place(entry, listed);
            return self.take(&entry.key, &listens);
        }
        let draft = match self.prepare(number, entry, listed.as_ref()) {
            Ok(draft) => draft,
            Err(error) => {
                self.close_all_unused(&listens)?;
                return Err(error);
            }
        };
        let new = listed.is_none();
        self.publish(entry, number, draft, listed.as_ref());
        if !new {
            return self.take(&entry.key, &listens);
        }
        let found = self
            .reveal(entry, number)
            .and_then(|()| self.take(&entry.key, &listens));
        if let Err(error) = found {
            self.remove_service(&entry.key)?;
            return Err(error);
        }
        Ok(())
    }

    /// Takes a service away: its packets pass to the stack, the gate of an address goes with its last service,
    /// unless it is a virtual router's.
    ///
    /// Does nothing where there is no such service.
    ///
    /// # Errors
    /// If a map can't be changed.
    pub fn remove_service(&mut self, key: &ServiceKey) -> Result<(), PutError> {
        let is_listed = |record: &&mut Record| record.listed.is_some();
        let Some(record) = self.book.services.get_mut(key).filter(is_listed) else {
            return Ok(());
        };
        let number = record.number;
        // A hint may still lead to the slot; what is not in use is not found that way.
        if let Some(slot) = self.tables.services.get(number) {
            slot.used.store(0, Release);
        }
        let listens = record.takes.clone();
        self.leave(key)?;
        let Some(record) = self.book.services.get_mut(key) else {
            return Ok(());
        };
        // The half in force is left alone until no program reads it.
        record.replaced = Some(Instant::now());
        let Some(listed) = record.listed.take() else {
            return Ok(());
        };
        for (server, address) in listed.servers() {
            self.take_out(server, number, address, false);
        }
        let now = Instant::now();
        for extent in listed.extents {
            self.book.arena.retire(extent, now);
        }
        self.close_all_unused(&listens)?;
        self.close_all_unused(&listed.entry.listens())
    }

    /// The service's number; a removed one whose connections live on has kept its own.
    fn number_for(&mut self, key: &ServiceKey) -> Result<u32, PutError> {
        if let Some(record) = self.book.services.get(key) {
            return Ok(record.number);
        }
        let number = self.book.lend_service()?;
        self.book.services.insert(
            *key,
            Record {
                number,
                listed: None,
                takes: Listens::default(),
                replaced: None,
            },
        );
        Ok(number)
    }

    /// Lends numbers and words to a service and fills the words in, or does nothing.
    fn prepare(
        &mut self,
        number: u32,
        entry: &ServiceEntry,
        listed: Option<&Listed>,
    ) -> Result<Draft, PutError> {
        // The half that is to be filled is waited for first, so that a cursor that is read for the draft is young.
        let replaced = self.book.services.get(&entry.key).and_then(|r| r.replaced);
        if let Some(replaced) = replaced {
            self.book.wait_since(replaced);
        }
        let numbers = self.join(number, entry, listed)?;
        let draft = self.draft(numbers.split_at(entry.servers.len()), entry, listed);
        if draft.is_err() {
            self.part(number, entry, &numbers, listed);
        }
        draft
    }

    /// Lends numbers to all servers of a list, then to those that are held.
    fn join(
        &mut self,
        service: u32,
        entry: &ServiceEntry,
        listed: Option<&Listed>,
    ) -> Result<Vec<u32>, PutError> {
        let mut numbers = Vec::with_capacity(entry.servers.len() + entry.held.len());
        for server in entry.servers.iter().chain(&entry.held) {
            let joined =
                self.book
                    .lend_server((service, server.address))
                    .and_then(|(number, new)| {
                        if new {
                            zero(&mut self.tables.server_stats, number)
                                .map_err(map_failed(map::SERVER_STATS))?;
                        }
                        Ok(number)
                    });
            match joined {
                Ok(number) => numbers.push(number),
                Err(error) => {
                    self.part(service, entry, &numbers, listed);
                    return Err(error);
                }
            }
        }
        Ok(numbers)
    }

    /// Undoes [`join`](Self::join), except for servers that are listed or held.
    fn part(
        &mut self,
        service: u32,
        entry: &ServiceEntry,
        numbers: &[u32],
        listed: Option<&Listed>,
    ) {
        let servers = entry.servers.iter().chain(&entry.held);
        for (&number, server) in numbers.iter().zip(servers) {
            let stays = listed.is_some_and(|listed| listed.has(number));
            if !stays {
                self.book.servers.leave(number, (service, server.address));
            }
        }
    }

    /// Makes a draft the service in force.
    fn publish(&mut self, entry: &ServiceEntry, number: u32, draft: Draft, old: Option<&Listed>) {
        let Some(slot) = self.tables.services.get(number) else {
            return;
        };
        slot.changing.store(1, Release);
        if old.is_none() {
            // The gate of an IPv6 address that comes back is another one.
            if let ServiceKey::Single { address, .. } = entry.key
                && let IpAddr::V6(address) = address.ip()
            {
                store(&slot.address6, address6_words(address));
            }
            slot.key
                .store(self.book.key_words(&entry.key).packed(), Release);
        }
        for (&server, data) in draft.numbers.iter().zip(&entry.servers) {
            self.fill_server(server, number, &entry.key, data);
        }
        // Before the list without them is selected: their flows meet no moment in which they are gone.
        for (&server, data) in draft.held.iter().zip(&entry.held) {
            self.fill_held(server, number, &entry.key, data);
        }
        if !keeps(entry) {
            // What was kept so far is gone.
            for left in self.book.servers.leaving_of(number) {
                if let Some(words) = self.tables.servers.get(left) {
                    take_out(words, false);
                }
            }
        }
        let gate = self.single_gate(&entry.key);
        let other = 1 - (slot.select.load(Acquire) & 1);
        fill(&slot.halves[usize::from(other == 1)], gate, &draft, entry);
        let start = Start::of(&self.tables, &draft.numbers, entry, old);
        if let Some(word) = self.tables.arena.get(draft.ring.cursor()) {
            let position = u64::from(start.position);
            let begin = draft.begin.unwrap_or(position);
            word.store(begin, Relaxed);
        }
        self.mark_fragments(number, entry);
        slot.select.store(other, Release);
        let published = Instant::now();
        if let Some(old) = old {
            for (server, address) in old.servers() {
                if !draft.numbers.contains(&server) && !draft.held.contains(&server) {
                    self.take_out(server, number, address, keeps(entry));
                }
            }
            for extent in &old.extents {
                self.book.arena.retire(*extent, published);
            }
        }
        if let Some(slot) = self.tables.services.get(number) {
            slot.changing.store(0, Release);
        }
        if let Some(record) = self.book.services.get_mut(&entry.key) {
            record.replaced = Some(published);
            record.listed = Some(Listed {
                entry: entry.clone(),
                extents: draft.extents,
                ring: draft.ring,
                numbers: draft.numbers,
                held: draft.held,
                start,
            });
        }
    }

    /// Readies a service that was published for the first time to be found.
    fn reveal(&mut self, entry: &ServiceEntry, number: u32) -> Result<(), PutError> {
        zero(&mut self.tables.service_stats, number).map_err(map_failed(map::SERVICE_STATS))?;
        if let Some(slot) = self.tables.services.get(number) {
            slot.used.store(1, Release);
        }
        let words = self.book.key_words(&entry.key);
        if words.group_number().is_none()
            && let Some(hint) = self.tables.service_hints.get(words.hint())
        {
            hint.store(u64::from(number) + 1, Release);
        }
        Ok(())
    }

    /// Changes what a packet may see change by itself: how servers are reached.
    fn put_in_place(&mut self, entry: &ServiceEntry, listed: &Listed) {
        let in_list = entry.servers.iter().map(|s| (s, mac_word(s)));
        let held = entry.held.iter().map(|s| (s, held_word(s)));
        let numbers = listed.numbers.iter().chain(&listed.held);
        for (number, (server, mac)) in numbers.zip(in_list.chain(held)) {
            if let Some(words) = self.tables.servers.get(*number) {
                words.egress.store(egress(server).0, Relaxed);
                words.mac.store(mac, Release);
            }
        }
        if let Some(record) = self.book.services.get_mut(&entry.key)
            && let Some(listed) = &mut record.listed
        {
            listed.entry = entry.clone();
        }
    }

    /// Writes a listed server's words, the flag that it is present last.
    fn fill_server(&self, number: u32, service: u32, key: &ServiceKey, server: &ServerEntry) {
        let weights = pair(server.weight.get().into(), server.hash_weight.get().into());
        self.fill_words(number, service, key, server, (weights, mac_word(server)));
    }

    /// The same of one that is held.
    fn fill_held(&self, number: u32, service: u32, key: &ServiceKey, server: &ServerEntry) {
        self.fill_words(number, service, key, server, (0, held_word(server)));
    }

    fn fill_words(
        &self,
        number: u32,
        service: u32,
        key: &ServiceKey,
        server: &ServerEntry,
        (weights, mac): (u64, u64),
    ) {
        let Some(words) = self.tables.servers.get(number) else {
            return;
        };
        let protocol = match key {
            ServiceKey::Single { protocol, .. } => protocol.number(),
            ServiceKey::Group(_) => 0,
        };
        words.owner.store(pair(service + 1, 0), Relaxed);
        store_server(words, server.address, protocol);
        words.weights.store(weights, Relaxed);
        self.set_thresholds(number, server.thresholds);
        words.egress.store(egress(server).0, Relaxed);
        words.mac.store(mac, Release);
    }

    /// Sets when a server is overloaded; it is not any more where the threshold rises or goes, as in
    /// `__ip_vs_update_dest` of net/netfilter/ipvs/ip_vs_ctl.c.
    fn set_thresholds(&self, server: u32, thresholds: Thresholds) {
        let Some(load) = self.tables.loads.get(server) else {
            return;
        };
        let Thresholds { upper, lower } = thresholds;
        let before = low(load.thresholds.load(Relaxed));
        load.thresholds.store(pair(upper, lower), Relaxed);
        if upper == 0 || upper > before {
            load.overloaded.store(0, Relaxed);
        }
    }

    /// Takes a server out whose service does not list it any more; its connections are gone, unless they are kept.
    fn take_out(&mut self, number: u32, service: u32, address: SocketAddr, keep: bool) {
        if let Some(words) = self.tables.servers.get(number) {
            take_out(words, keep);
        }
        self.book.servers.leave(number, (service, address));
    }
}

/// Whether flows of servers that leave the service go on.
fn keeps(entry: &ServiceEntry) -> bool {
    entry.options.on_removal == OnRemoval::Keep
}

/// Writes that a server is in no list any more.
pub(crate) fn take_out(server: &Server, keep: bool) {
    let mac = server.mac.load(Acquire);
    let flags = Server::unpack_flags(mac);
    let kept = if keep && flags & ServerFlags::PRESENT != 0 {
        Server::pack_mac(Server::unpack_mac(mac), flags | ServerFlags::KEPT)
    } else {
        0
    };
    server.mac.store(kept, Release);
    server.weights.store(0, Relaxed);
}

fn check(entry: &ServiceEntry) -> Result<(), PutError> {
    let listens = entry.listens();
    let addresses = listens.iter().map(|listen| listen.address);
    let servers = entry.servers.iter().chain(&entry.held);
    let servers = servers.map(|server| server.address.ip());
    let mut all = addresses.chain(servers);
    if let Some(first) = all.next()
        && let Some(other) = all.find(|address| address.is_ipv4() != first.is_ipv4())
    {
        return Err(PutError::TwoFamilies {
            service: entry.key,
            one: first,
            other,
        });
    }
    if entry.servers.len() > SERVERS_MAX {
        return Err(PutError::TooManyServers {
            service: entry.key,
            count: entry.servers.len(),
            max: SERVERS_MAX,
        });
    }
    let mut seen = HashSet::new();
    for server in entry.servers.iter().chain(&entry.held) {
        if !seen.insert(server.address) {
            return Err(PutError::Duplicate {
                service: entry.key,
                address: server.address,
            });
        }
    }
    Ok(())
}

/// Whether two entries differ in hardware addresses at most.
fn same_tables(a: &ServiceEntry, b: &ServiceEntry) -> bool {
    let shape = |s: &ServerEntry| {
        (
            s.address,
            s.weight,
            s.hash_weight,
            s.forwarding,
            s.thresholds,
        )
    };
    // A table of addresses has room for those that there were.
    let same_addresses =
        !is_local(a.scheduler) || addresses(&a.listens()) == addresses(&b.listens());
    a.scheduler == b.scheduler
        && same_addresses
        && a.options == b.options
        && a.servers.iter().map(shape).eq(b.servers.iter().map(shape))
        && a.held.iter().map(shape).eq(b.held.iter().map(shape))
}

pub(crate) fn ignore_missing(
    map: &'static str,
    removed: Result<(), MapError>,
) -> Result<(), PutError> {
    match removed {
        Err(error) if !is_missing(&error) => Err(map_failed(map)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether a map operation failed for want of the key.
pub(crate) fn is_missing(error: &MapError) -> bool {
    matches!(error, MapError::KeyNotFound)
        || io_cause(error).is_some_and(|io| io.kind() == io::ErrorKind::NotFound)
}
