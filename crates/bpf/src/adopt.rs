//! Adoption: what the pins say, and what of it can be used.
//!
//! Reads the maps of a running predecessor, or of one that was killed at any instruction. Packets flow
//! meanwhile; nothing here changes what they see.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use aya::maps::{MapData, MapType};
use evenkeel_abi::{
    Load, SCHEMA, Server, ServerFlags, Service, ServiceFlags, ServiceKey as Key, Shared, high, low,
    map,
};
use evenkeel_model::{
    Fragments, Listens, Protocol, Scheduler, ServerEntry, ServiceEntry, ServiceKey, Thresholds,
    Weight,
};

use crate::book::{Book, Listed, Record, Table};
use crate::convert::{
    address_word, address6_words, costs, forwarding, hop, scheduler, server_address, slot_key,
};
use crate::cursor::Start;
use crate::draft::{self, extents};
use crate::error::{StartError, failed};
use crate::gate::set_fragments;
use crate::levels;
use crate::locality::{self, is_local};
use crate::mapped::MappedArray;
use crate::maps::{Mismatch, specs};
use crate::numbers::{Pool, ServerNumbers};
use crate::options::Sizes;
use crate::pins::Pins;
use crate::service::take_out;
use crate::service_options;
use crate::tables::Tables;
use crate::takes::{self, virtual_addresses};

/// Schemas whose pins are adopted: their maps have this version's kinds, sizes and places of words.
///
/// - 6: `State::hash_from` was the tick until which new flows went by the hash. An adoption sets it to 0, which is neither's
///   wish, before the program is replaced.
///
/// What an older schema needs is set in `DataPlane::adopt` before the program is replaced, so that the former program can
/// go on with it where the start fails. A schema with another layout starts the range anew.
const ADOPTED: RangeInclusive<u32> = 6..=SCHEMA;

/// Whether there are pins to adopt, and their sizes: those that the configuration names are as it says. `None`: there
/// are none, or the rest of a start that was cut short.
pub(crate) fn survey(pins: &Pins, sizes: &Sizes) -> Result<Option<Sizes>, StartError> {
    let stale = |what: String| StartError::StalePins {
        pin_dir: pins.dir().to_owned(),
        what,
    };
    let present = pins.present();
    // The schema first: another one explains every other difference.
    if let Some(constants) = pinned_constants(pins.dir())? {
        match constants.get(0).map_or(0, |word| low(word.load(Acquire))) {
            0 if !present.link => return Ok(None),
            schema if ADOPTED.contains(&schema) => {}
            schema => {
                let (oldest, newest) = (ADOPTED.start(), ADOPTED.end());
                return Err(stale(format!(
                    "they are of schema {schema}, this version adopts schemas {oldest} to {newest}"
                )));
            }
        }
    }
    if present.maps < map::ALL.len() {
        return if present.link {
            let missing = map::ALL.len() - present.maps;
            Err(stale(format!(
                "a program is attached, but {missing} of its maps are missing"
            )))
        } else {
            Ok(None)
        };
    }
    let info = |name: &'static str| {
        let info = MapData::from_pin(pins.map(name)).and_then(|data| data.info());
        info.map_err(|error| failed(&format!("open pinned map `{name}`"), error))
    };
    let sizes = Sizes {
        servers: info(map::SERVERS)?.max_entries(),
        arena_words: info(map::ARENA)?.max_entries(),
        ..*sizes
    };
    for spec in specs(&sizes) {
        let info = info(spec.name)?;
        match spec.check(&info) {
            Ok(()) => {}
            Err(Mismatch::Kind(what)) => return Err(stale(what)),
            Err(Mismatch::Entries(pinned)) => {
                return Err(StartError::Resized {
                    map: spec.name,
                    configured: spec.max_entries,
                    pinned,
                });
            }
        }
    }
    Ok(Some(sizes))
}

/// The constants of a pinned data plane of any version: the schema is their first word, and stays it. `None`: there are none.
///
/// # Errors
/// A map that can't be opened, or holds no words.
pub fn pinned_constants(pin_dir: &Path) -> Result<Option<MappedArray<Shared>>, StartError> {
    let path = Pins::new(pin_dir).map(map::GLOBALS);
    if !path.exists() {
        return Ok(None);
    }
    let opened = |error| failed("open pinned map `GLOBALS`", error);
    let data = MapData::from_pin(path).map_err(opened)?;
    let info = data.info().map_err(opened)?;
    let words = info.value_size() / u64::BITS.div_ceil(8);
    let mapped = match info.map_type() {
        Ok(MapType::Array) => MappedArray::new(data.fd(), words).ok(),
        Ok(_) | Err(_) => None,
    };
    let not_ours = || StartError::StalePins {
        pin_dir: pin_dir.to_owned(),
        what: "`GLOBALS` is not ours".to_owned(),
    };
    mapped.ok_or_else(not_ours).map(Some)
}

/// A predecessor's bookkeeping.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) book: Book,
    /// Services whose change was cut short.
    pub(crate) unfinished: Vec<ServiceEntry>,
}

/// Reads the bookkeeping back from the maps; an error says what contradicts itself.
pub(crate) fn rebuild(tables: &mut Tables, sizes: &Sizes) -> Result<Adopted, String> {
    let mut book = Book::new(sizes);
    let known = ids(tables)?;
    let mut listed_servers = HashSet::new();
    let mut unfinished = Vec::new();
    let mut live = BTreeMap::new();
    let ports = takes::adopt_ports(tables, &mut book)?;
    let gates: HashMap<u32, IpAddr> = virtual_addresses(tables)?
        .into_iter()
        .map(|(address, number)| (number, address))
        .collect();
    for (number, slot) in (0..).zip(tables.services.as_slice()) {
        let words = Key::unpacked(slot.key.load(Relaxed));
        let is_live = match words.group_number() {
            None => known.get(&words) == Some(&number),
            Some(_) => slot.used.load(Acquire) != 0,
        };
        if !is_live {
            slot.used.store(0, Release);
            continue;
        }
        let service_key = slot_key(slot).ok_or("a service has an unknown protocol")?;
        slot.used.store(1, Release);
        let mut listed = read_service(tables, number, service_key, &mut book)?;
        if service_key.group().is_some() {
            listed.entry.group = takes::listens(number, &known, &ports, &gates)
                .ok_or("a group takes packets of an unknown protocol")?;
        }
        listed_servers.extend(listed.numbers.iter().copied());
        if slot.changing.load(Acquire) != 0 {
            unfinished.push(listed.entry.clone());
        }
        live.insert(service_key, (number, listed));
    }
    adopt_held(tables, &mut live, &mut listed_servers);
    check_ids(tables, &known, &live)?;
    let numbers: HashSet<u32> = live.values().map(|(number, _)| *number).collect();
    takes::strip_dead(tables, &book, &numbers);
    adopt_servers(tables, &mut book, sizes, &listed_servers)?;
    adopt_gates(tables, &mut book, sizes, &live)?;
    let now = Instant::now();
    for (key, (number, listed)) in live {
        let record = Record {
            number,
            takes: listed.entry.listens(),
            listed: Some(listed),
            replaced: Some(now),
        };
        book.services.insert(key, record);
    }
    adopt_leftovers(tables, &mut book)?;
    let taken: HashSet<u32> = book.services.values().map(|r| r.number).collect();
    book.service_numbers = Pool::with_taken(sizes.services, |n| taken.contains(&n));
    book.wait_since(now);
    Ok(Adopted { book, unfinished })
}

/// Services that packets can find.
fn ids(tables: &Tables) -> Result<HashMap<Key, u32>, String> {
    let entries: Result<_, _> = tables.service_ids.iter().collect();
    entries.map_err(|error| format!("`SERVICE_IDS` can't be read: {error}"))
}

/// Checks that each key names a service that is there; one that a group left there in being removed is taken out.
fn check_ids(
    tables: &mut Tables,
    known: &HashMap<Key, u32>,
    live: &BTreeMap<ServiceKey, (u32, Listed)>,
) -> Result<(), String> {
    let groups: HashSet<u32> = live
        .iter()
        .filter(|(key, _)| key.group().is_some())
        .map(|(_, (number, _))| *number)
        .collect();
    for (words, number) in known {
        let slot = tables.services.get(*number);
        let slot = slot.map(|slot| Key::unpacked(slot.key.load(Relaxed)));
        let slot = slot.ok_or("a service has no slot")?;
        if slot == *words || groups.contains(number) {
            continue;
        }
        if slot.group_number().is_none() {
            return Err("a service's key names a slot of another service".to_owned());
        }
        let removed = tables.service_ids.remove(words);
        removed.map_err(|error| format!("`SERVICE_IDS` can't be changed: {error}"))?;
    }
    Ok(())
}

/// Reads the half in force, and marks its words as lent.
fn read_service(
    tables: &Tables,
    number: u32,
    key: ServiceKey,
    book: &mut Book,
) -> Result<Listed, String> {
    let slot = tables.services.get(number).ok_or("a service has no slot")?;
    let half: &Service = &slot.halves[usize::from(slot.select.load(Acquire) & 1 == 1)];
    let scheduler = scheduler(half.scheduler.load(Relaxed))
        .ok_or_else(|| format!("service `{key}` has an unknown scheduler"))?;
    // A predecessor may have left them out: its program compared loads without them.
    half.costs.store(costs(scheduler).0, Relaxed);
    let [list, ring, all, fresh] =
        [&half.list, &half.ring, &half.hash_all, &half.hash_fresh].map(Table::of);
    let mut extents = extents(list, all, fresh);
    extents.push(if scheduler == Scheduler::WeightedRoundRobin {
        levels::extent(tables, ring)
            .ok_or_else(|| format!("the levels of service `{key}` are not in order"))?
    } else if is_local(scheduler) {
        locality::extent(tables, ring)
            .ok_or_else(|| format!("the addresses of service `{key}` are out of bounds"))?
    } else {
        ring.ring_extent()
    });
    if !extents.iter().all(|extent| book.arena.occupy(*extent)) {
        return Err(format!("the tables of service `{key}` are also another's"));
    }
    let numbers = (0..list.len).filter_map(|index| draft::entry(tables, list, index));
    let numbers: Vec<u32> = numbers.collect();
    let servers = numbers.iter().map(|server| {
        let entry = tables
            .servers
            .get(*server)
            .and_then(|s| read_server(s, tables.loads.get(*server)?, number));
        entry.ok_or_else(|| format!("service `{key}` lists a server that is not its own"))
    });
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    let entry = ServiceEntry {
        key,
        group: Listens::default(),
        scheduler,
        options: service_options::read(half, all.len),
        servers,
        held: Vec::new(),
    };
    Ok(Listed {
        entry,
        numbers,
        held: Vec::new(),
        extents,
        ring,
        start: Start::HEAD,
    })
}

/// Finds the servers that services hold, and counts them with the listed ones. Where flows go on anyway, one that is kept
/// is not told apart, and need not be.
fn adopt_held(
    tables: &Tables,
    live: &mut BTreeMap<ServiceKey, (u32, Listed)>,
    listed: &mut HashSet<u32>,
) {
    let services = live.values_mut().map(|(number, listed)| (*number, listed));
    let mut services: HashMap<u32, &mut Listed> = services.collect();
    for (number, server) in (0..).zip(tables.servers.as_slice()) {
        let flags = Server::unpack_flags(server.mac.load(Acquire));
        let service = low(server.owner.load(Relaxed)).checked_sub(1);
        let (Some(service), false) = (service, listed.contains(&number)) else {
            continue;
        };
        let load = tables.loads.get(number);
        if flags & ServerFlags::KEPT != 0
            && !keeps(tables, service)
            && let Some(of) = services.get_mut(&service)
            && let Some(entry) = load.and_then(|load| read_server(server, load, service))
        {
            of.entry.held.push(entry);
            of.held.push(number);
            listed.insert(number);
        }
    }
}

/// A listed or held server of a service; `None` if it is another's or not present.
fn read_server(server: &Server, load: &Load, service: u32) -> Option<ServerEntry> {
    let mac = server.mac.load(Acquire);
    if Server::unpack_flags(mac) & ServerFlags::PRESENT == 0
        || low(server.owner.load(Relaxed)) != service + 1
    {
        return None;
    }
    let thresholds = load.thresholds.load(Relaxed);
    let weights = server.weights.load(Relaxed);
    let weight = |word: u32| Weight::try_from(i64::from(word)).ok();
    Some(ServerEntry {
        address: server_address(server),
        weight: weight(low(weights))?,
        hash_weight: weight(high(weights))?,
        forwarding: forwarding(mac),
        hop: hop(server),
        thresholds: Thresholds {
            upper: low(thresholds),
            lower: high(thresholds),
        },
    })
}

/// Whether flows of servers that left a service go on.
fn keeps(tables: &Tables, service: u32) -> bool {
    let Some(slot) = tables.services.get(service) else {
        return false;
    };
    let half = &slot.halves[usize::from(slot.select.load(Acquire) & 1 == 1)];
    slot.used.load(Acquire) != 0 && half.flags.load(Relaxed) & ServiceFlags::GONE_KEEP != 0
}

/// Takes over the servers' numbers; those in no list are leaving.
fn adopt_servers(
    tables: &Tables,
    book: &mut Book,
    sizes: &Sizes,
    listed: &HashSet<u32>,
) -> Result<(), String> {
    let owners = || {
        let servers = (0..).zip(tables.servers.as_slice());
        servers.filter_map(|(number, server)| {
            let service = low(server.owner.load(Relaxed)).checked_sub(1)?;
            Some((number, (service, server_address(server))))
        })
    };
    book.servers =
        ServerNumbers::rebuilt(sizes.servers, owners()).ok_or("a real server has two numbers")?;
    for (number, owner) in owners() {
        if listed.contains(&number) {
            continue;
        }
        if let Some(server) = tables.servers.get(number) {
            take_out(server, keeps(tables, owner.0));
        }
        book.servers.leave(number, owner);
    }
    Ok(())
}

/// Takes over the gates of the services' and the virtual routers' addresses and drops others.
fn adopt_gates(
    tables: &mut Tables,
    book: &mut Book,
    sizes: &Sizes,
    live: &BTreeMap<ServiceKey, (u32, Listed)>,
) -> Result<(), String> {
    for (address, number) in virtual_addresses(tables)? {
        let gate = tables.gates.get(number);
        let router = gate.map_or(0, |gate| gate.virtual_router.load(Acquire));
        let router = u16::try_from(router).map_err(|_no_id| "a gate is of no virtual router")?;
        if router != 0 {
            book.reserved.insert(address, router);
        }
        let mut addresses = live
            .values()
            .flat_map(|(_, listed)| listed.entry.addresses());
        if router != 0 || addresses.any(|of_service| of_service == address) {
            book.gates.insert(address, number);
        } else {
            if let Some(ports) = book.ports.remove(&address) {
                book.arena.retire(ports, Instant::now());
            }
            let removed = match address {
                IpAddr::V4(address) => tables.vips.remove(&address_word(address)),
                IpAddr::V6(address) => tables.vips6.remove(&address6_words(address)),
            };
            removed.map_err(|error| format!("`{address}` can't be removed: {error}"))?;
        }
    }
    for (key, (number, _)) in live {
        let ServiceKey::Single { address: of, .. } = key else {
            continue;
        };
        let slot = tables
            .services
            .get(*number)
            .ok_or("a service has no slot")?;
        let half = &slot.halves[usize::from(slot.select.load(Acquire) & 1 == 1)];
        let gate = low(half.gate.load(Relaxed));
        let own = book.gates.iter().any(|(a, n)| *n == gate && of.ip() == *a);
        if !own {
            return Err(format!("service `{key}` has another address's gate"));
        }
    }
    for (address, number) in &book.gates {
        let Some(gate) = tables.gates.get(*number) else {
            continue;
        };
        // A removal that was cut short left a name.
        for protocol in Protocol::ALL {
            let placing = live.values().find(|(_, listed)| {
                let addresses = listed.entry.listens().addresses_of(protocol);
                listed.entry.options.fragments == Fragments::ByAddress
                    && addresses.contains(address)
            });
            let placing = placing.map_or(0, |(number, _)| number + 1);
            set_fragments(gate, protocol, placing);
        }
    }
    let taken: HashSet<u32> = book.gates.values().copied().collect();
    book.gate_numbers = Pool::with_taken(sizes.gates, |n| taken.contains(&n));
    Ok(())
}

/// Takes over the numbers of removed services whose servers still have connections.
fn adopt_leftovers(tables: &Tables, book: &mut Book) -> Result<(), String> {
    let listed: HashSet<u32> = book.services.values().map(|r| r.number).collect();
    let left = tables.servers.as_slice().iter();
    let left: HashSet<u32> = left
        .filter_map(|server| low(server.owner.load(Relaxed)).checked_sub(1))
        .filter(|service| !listed.contains(service))
        .collect();
    for number in left {
        let slot = tables
            .services
            .get(number)
            .ok_or("a server's service has no slot")?;
        let service_key = slot_key(slot).ok_or("a service has an unknown protocol")?;
        let record = Record {
            number,
            listed: None,
            takes: Listens::default(),
            replaced: Some(Instant::now()),
        };
        if book.services.insert(service_key, record).is_some() {
            return Err(format!("service `{service_key}` has two slots"));
        }
    }
    Ok(())
}
