//! Fragments: those that follow go where their packet's first one went, for a table remembers its ports.
//!
//! Where a service says so (`ServiceFlags::FRAGMENTS_BY_ADDRESS`), all its fragments go by the consistent hash
//! of addresses and protocol instead, and need no order; its whole packets keep to their flows.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{
    Bucket, DropReason, Event, FRAGMENT_BUCKETS, FlowKey, Gate, Tick, Word, high, low, pair,
};
use evenkeel_wire::{eth, ipv4};

use crate::branchless::{is_below, is_zero, select};
use crate::bucket::{self, Way};
use crate::hash::flow_hash;
use crate::ip::{Flow, Ip};
use crate::process::{Placed, read};
use crate::scheduler::by_hash;
use crate::{Frame, Tables, gate, transport};

/// How long a packet's later fragments are waited for, as long as the kernel does (`IP_FRAG_TIME`, 30 s).
const LIFETIME: u64 = Tick::in_secs(30);

/// The rank of a way that another packet is filling.
const TAKEN: u64 = 1 << 62;

/// Where a fragment goes: one that is not its packet's first has no ports, and the first is placed as the others where
/// its service says so.
#[inline(always)]
pub(crate) fn place<F: Frame, T: Tables>(
    frame: &F,
    tables: &T,
    ip: &Ip,
) -> Result<Placed, DropReason> {
    if ip.follows {
        if gate::is_closed(tables, ip.gate(tables)) {
            return Ok(Placed::Up);
        }
        if ip.total_len < ip.header_len || eth::LEN + ip.total_len > frame.len() {
            return Err(DropReason::Malformed);
        }
        if let Some((service, ports)) = tables.ports_of_fragment(&ip.fragment_key()) {
            let server = tables.server_of_flow(service, &Flow::of(frame, ip.key(ports)));
            return Ok(Placed::At(service, server.ok_or(DropReason::NoServer)?));
        }
    } else if transport::whole(frame, ip).is_none() {
        return Err(DropReason::Malformed);
    }
    let gate = ip.gate(tables).ok_or(DropReason::FragmentEarly)?;
    let key = Flow::of(frame, ip.key(0)).placing;
    let (service, server) = tables.place_by_address(gate, &key)?;
    Ok(Placed::At(service, server))
}

/// Remembers the ports of an IPv4 or IPv6 packet that is a first fragment.
#[inline(always)]
pub fn note_first<F: Frame, T: Tables>(frame: &mut F, tables: &T, service: u32, ports: u32) {
    if let Some(link) = tables.link(tables.ingress())
        && let Ok(ip) = read(frame, tables, link)
    {
        tables.note_fragment(&ip.fragment_key(), service, ports);
    }
}

/// The service and the ports of a packet of which a first fragment came.
#[must_use]
#[inline(always)]
pub fn ports_of_fragment<T: Tables + ?Sized>(tables: &T, key: &FlowKey) -> Option<(u32, u32)> {
    let bucket = bucket_of(tables, key)?;
    let way = bucket::find(bucket, key)?;
    let conn = way.conn(bucket);
    let service_ports = conn.born.load(Acquire);
    // Otherwise another packet took the way meanwhile.
    let is_same = conn.word.load(Acquire) == way.word.0;
    if !is_same || way.word.expiry() <= tables.now() {
        return None;
    }
    Some((low(service_ports), high(service_ports)))
}

/// The service and server of a fragment by addresses and protocol alone, for an address with this gate.
///
/// # Errors
/// None of the address's services places fragments so, or it has no server.
#[inline(always)]
pub fn place_by_address<T: Tables + ?Sized>(
    tables: &T,
    gate: u32,
    key: &FlowKey,
) -> Result<(u32, u32), DropReason> {
    let globals = tables.globals().ok_or(DropReason::Internal)?;
    let gate = tables.gate(gate).ok_or(DropReason::FragmentEarly)?;
    let number = of_protocol(gate, high(key.ports_protocol))
        .checked_sub(1)
        .ok_or(DropReason::FragmentEarly)?;
    let slot = tables.service(number).ok_or(DropReason::Internal)?;
    if slot.used.load(Acquire) == 0 {
        return Err(DropReason::FragmentEarly);
    }
    let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
    let server = by_hash(tables, globals, service, &service.hash_all, key)?;
    Ok((number, server))
}

/// The number of the service, plus one, that places fragments of a protocol by addresses; 0: there is none.
#[inline(always)]
fn of_protocol(gate: &Gate, protocol: u32) -> u32 {
    let services = gate.fragments.load(Acquire);
    if protocol == ipv4::UDP as u32 {
        high(services)
    } else if protocol == ipv4::TCP as u32 {
        low(services)
    } else {
        0
    }
}

#[inline(always)]
fn bucket_of<'a, T: Tables + ?Sized>(tables: &'a T, key: &FlowKey) -> Option<&'a Bucket> {
    let hash = flow_hash(key, low(tables.globals()?.secret.load(Relaxed)));
    tables.fragment_bucket(hash & (FRAGMENT_BUCKETS - 1))
}

/// Remembers whose ports a packet's first fragment has; the oldest of the bucket's makes room for it.
#[inline(always)]
pub fn note_fragment<T: Tables + ?Sized>(tables: &T, key: &FlowKey, service: u32, ports: u32) {
    let Some(bucket) = bucket_of(tables, key) else {
        return;
    };
    let now = tables.now();
    let (mut best, mut index, mut word, mut is_known) = (TAKEN, 0, 0, 0);
    for (way, conn) in (0u64..).zip(&bucket.ways) {
        let seen = conn.word.load(Acquire);
        let differs = (conn.addresses.load(Relaxed) ^ key.addresses)
            | (conn.ports_protocol.load(Relaxed) ^ key.ports_protocol)
            | Word(seen).not_live();
        let hit = is_zero(differs);
        // Its own entry, then free ones, then the one that expires first.
        let rank = select(hit, 0, Word(seen).expiry().0 + 1);
        let rank = select(Word(seen).is_busy(), TAKEN, rank);
        let better = is_below(rank, best);
        best = select(better, rank, best);
        index = select(better, way, index);
        word = select(better, seen, word);
        is_known = select(better, hit, is_known);
    }
    if best == TAKEN {
        return;
    }
    let way = Way {
        index,
        word: Word(word),
    };
    if is_known == 0 && way.word.expiry() > now {
        tables.count_event(Event::FragmentEvicted);
    }
    let word = Word::live(0, 0, now.after(LIFETIME));
    bucket::fill(bucket, way, key, word, Tick(pair(service, ports)));
}
