//! Schedulers: the server of a new flow, and of packets that no table knows.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use evenkeel_abi::{
    Costs, DropReason, FlowKey, Globals, SchedulerId, Service, ServiceFlags, Shared, Span, high,
    low, pair,
};

use crate::Tables;
use crate::branchless::{is_below, is_zero, select};
use crate::hash::{chance, flow_hash, hsiphash, slot};
use crate::rounds::{Rounds, SERVERS};
use crate::table::ATTEMPTS;

/// Key and buckets of mh (`generate_hash_secret`, `CONFIG_IP_VS_MH_TAB_INDEX` 12).
const MH_KEY: u64 = 2_654_435_761;
const MH_BUCKETS: u32 = 4093;

/// Rounds of wrr in search of a server that is not overloaded; then the first one of the list is taken.
const WRR_ROUNDS: u32 = 4096;

/// How the server of a flow without an entry is chosen.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By the service's scheduler.
    Scheduler = 0,
    /// By the consistent hash that still holds quiesced servers: so are the flow's later packets placed.
    HashAll = 1,
    /// The same for a flow that begins and gets no entry: to a quiesced server goes none.
    HashAllNew = 2,
    /// By the consistent hash without quiesced servers.
    HashFresh = 3,
}

impl Method {
    /// The method of this number; of the number's lowest two bits.
    #[must_use]
    #[inline(always)]
    pub const fn of(number: u64) -> Self {
        match number & 3 {
            0 => Self::Scheduler,
            1 => Self::HashAll,
            2 => Self::HashAllNew,
            _ => Self::HashFresh,
        }
    }

    /// That of a flow that gets no entry.
    #[inline(always)]
    pub(crate) const fn without_entry(begins: bool) -> Self {
        if begins {
            Self::HashAllNew
        } else {
            Self::HashAll
        }
    }
}

/// The server of a flow without an entry.
///
/// # Errors
/// No server may have it, or the tables contradict each other.
#[inline(always)]
pub fn schedule<T: Tables + ?Sized>(
    tables: &T,
    service: u32,
    key: &FlowKey,
    method: Method,
) -> Result<u32, DropReason> {
    let globals = tables.globals().ok_or(DropReason::Internal)?;
    let slot = tables.service(service).ok_or(DropReason::Internal)?;
    let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
    match method {
        Method::Scheduler => by_scheduler(tables, globals, service, key),
        Method::HashAll => by_hash(tables, globals, &service.hash_all, key),
        Method::HashAllNew => {
            let server = by_hash(tables, globals, &service.hash_all, key)?;
            if service.quiesced.load(Relaxed) != 0 && is_quiesced(tables, server) {
                return Err(DropReason::TableFull);
            }
            Ok(server)
        }
        Method::HashFresh => by_hash(tables, globals, &service.hash_fresh, key),
    }
}

/// The server that a service's scheduler names for a new flow.
#[inline(always)]
fn by_scheduler<T: Tables + ?Sized>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    key: &FlowKey,
) -> Result<u32, DropReason> {
    match service.scheduler.load(Relaxed) {
        SchedulerId::RR => round_robin(tables, &service.ring),
        SchedulerId::WRR => weighted_round_robin(tables, &service.ring),
        SchedulerId::DH => {
            let destination = u32::from_be(high(key.addresses));
            static_bucket(tables, service, Dealt::ByHash32, destination, 0)
        }
        SchedulerId::SH => static_bucket(
            tables,
            service,
            Dealt::ByHash32,
            client(service, key),
            FALLS,
        ),
        SchedulerId::MH => static_bucket(
            tables,
            service,
            Dealt::ByHsiphash,
            client(service, key),
            FALLS,
        ),
        SchedulerId::TWOS => {
            let (start, len) = service.ring.load();
            if len == 0 || start == 0 {
                return Err(DropReason::NoServer);
            }
            let cursor = tables.arena(start - 1).ok_or(DropReason::Internal)?;
            let n = cursor.load(Relaxed);
            // Where another packet was faster, both have the same number: it is chance for each.
            let _moved = cursor.compare_exchange(n, n.wrapping_add(1), Relaxed, Relaxed);
            let random = chance(n, globals.secret.load(Relaxed));
            tables
                .less_loaded_of_two(random, start, len)
                .ok_or(DropReason::NoServer)
        }
        SchedulerId::MAGLEV => consistent(tables, globals, service, key),
        SchedulerId::WLC
        | SchedulerId::LC
        | SchedulerId::SED
        | SchedulerId::NQ
        | SchedulerId::FO
        | SchedulerId::OVF => {
            let (start, len) = service.ring.load();
            tables
                .least_loaded(Costs(service.costs.load(Relaxed)), start, len)
                .ok_or(DropReason::NoServer)
        }
        _ => Err(DropReason::Internal),
    }
}

/// maglev: the server that the flow's later packets go to without an entry; only where that one is quiesced or
/// overloaded another one, of which only the entry knows.
#[inline(always)]
fn consistent<T: Tables + ?Sized>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    key: &FlowKey,
) -> Result<u32, DropReason> {
    let server = by_hash(tables, globals, &service.hash_all, key)?;
    if !is_unavailable(tables, server) {
        return Ok(server);
    }
    let server = by_hash(tables, globals, &service.hash_fresh, key)?;
    if !is_overloaded(tables, server) {
        return Ok(server);
    }
    let (start, len) = service.ring.load();
    let from = slot(flow_hash(key, low(globals.hash_seed.load(Relaxed))), len);
    let found = first_available(tables, start, len, from);
    found.map(|(_, server)| server).ok_or(DropReason::NoServer)
}

/// Whether a server has as many connections as it may have.
#[inline(always)]
pub(crate) fn is_overloaded<T: Tables + ?Sized>(tables: &T, server: u32) -> bool {
    tables
        .server_load(server)
        .is_none_or(|load| load.overloaded.load(Relaxed) != 0)
}

/// Whether a server takes no new flows, by its weight or its connections (`is_unavailable` of ip_vs_sh.c).
#[inline(always)]
fn is_unavailable<T: Tables + ?Sized>(tables: &T, server: u32) -> bool {
    is_quiesced(tables, server) || is_overloaded(tables, server)
}

/// The first entry from `from` on, of the `len` of the list at `start` of the arena, round to the one before it,
/// whose server is not overloaded: its index and its server.
#[inline(always)]
fn first_available<T: Tables + ?Sized>(
    tables: &T,
    start: u32,
    len: u32,
    from: u32,
) -> Option<(u32, u32)> {
    let mut search = Available {
        start,
        len,
        from,
        found: 0,
    };
    tables.repeat(SERVERS, &mut search);
    let number = high(search.found).checked_sub(1)?;
    Some((low(search.found), number))
}

struct Available {
    start: u32,
    len: u32,
    from: u32,
    /// The index, and the server plus one.
    found: u64,
}

impl Rounds for Available {
    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool {
        if index >= self.len {
            return false;
        }
        let index = u64::from(self.from) + u64::from(index);
        let len = u64::from(self.len);
        let index = low(index.wrapping_sub(select(is_below(index, len), 0, len)));
        let Some(server) = at(tables, self.start, index) else {
            return false;
        };
        if is_overloaded(tables, server) {
            return true;
        }
        self.found = pair(index, server.wrapping_add(1));
        false
    }
}

/// Whether a server takes no new flows.
#[inline(always)]
pub(crate) fn is_quiesced<T: Tables + ?Sized>(tables: &T, server: u32) -> bool {
    tables
        .server(server)
        .is_none_or(|s| low(s.weights.load(Relaxed)) == 0)
}

/// The server that the consistent hash names.
#[inline(always)]
pub(crate) fn by_hash<T: Tables + ?Sized>(
    tables: &T,
    globals: &Globals,
    table: &Span,
    key: &FlowKey,
) -> Result<u32, DropReason> {
    let (start, len) = table.load();
    if len == 0 {
        return Err(DropReason::NoServer);
    }
    entry(
        tables,
        start,
        slot(flow_hash(key, low(globals.hash_seed.load(Relaxed))), len),
    )
}

/// IPVS's rr: the server after the one used last, in list order.
///
/// User space keeps only servers with a weight in the ring and sets its cursor so that the order
/// is the one of `ip_vs_rr_schedule` in net/netfilter/ipvs/ip_vs_rr.c.
#[inline(always)]
fn round_robin<T: Tables + ?Sized>(tables: &T, ring: &Span) -> Result<u32, DropReason> {
    let (start, len) = ring.load();
    if len == 0 || start == 0 {
        return Err(DropReason::NoServer);
    }
    let cursor = tables.arena(start - 1).ok_or(DropReason::Internal)?;
    let mut next = 0;
    for _ in 0..ATTEMPTS {
        let last = cursor.load(Acquire);
        next = low(last).wrapping_add(1);
        if next >= len {
            next = 0;
        }
        if cursor
            .compare_exchange(last, u64::from(next), AcqRel, Relaxed)
            .is_ok()
        {
            break;
        }
    }
    let server = entry(tables, start, next)?;
    if !is_overloaded(tables, server) {
        return Ok(server);
    }
    let found = first_available(tables, start, len, next).ok_or(DropReason::NoServer)?;
    // Where another packet was faster, its choice stands.
    let _moved = cursor.compare_exchange(next.into(), found.0.into(), AcqRel, Relaxed);
    Ok(found.1)
}

/// IPVS's wrr: in passes over the servers whose weight is at least a level that sinks from the heaviest
/// by the weights' greatest common divisor, in list order within a pass.
///
/// User space has counted the passes between two weights ([`SchedulerId::WRR`]), so that each step is the
/// one of `ip_vs_wrr_schedule` in net/netfilter/ipvs/ip_vs_wrr.c, but found without a search.
#[inline(always)]
fn weighted_round_robin<T: Tables + ?Sized>(tables: &T, ring: &Span) -> Result<u32, DropReason> {
    let (start, levels) = ring.load();
    if levels == 0 || start == 0 {
        return Err(DropReason::NoServer);
    }
    let cursor = tables.arena(start - 1).ok_or(DropReason::Internal)?;
    for _ in 0..ATTEMPTS {
        let step = Step::take(tables, cursor, start, levels).ok_or(DropReason::Internal)?;
        let server = entry(tables, step.list, step.at.index)?;
        if is_overloaded(tables, server) {
            return further_by_weight(tables, start, levels).ok_or(DropReason::NoServer);
        }
        if step.moves_on(cursor, step.next(levels)) {
            return Ok(server);
        }
    }
    // Other packets were always faster: it is one that one of them picked.
    let step = Step::take(tables, cursor, start, levels).ok_or(DropReason::Internal)?;
    entry(tables, step.list, step.at.index)
}

/// wrr's next server that is not overloaded.
#[inline(always)]
fn further_by_weight<T: Tables + ?Sized>(tables: &T, start: u32, levels: u32) -> Option<u32> {
    let mut search = Further {
        start,
        levels,
        level: 0,
        refused: 0,
        found: 0,
    };
    tables.repeat(WRR_ROUNDS, &mut search);
    if let Some(server) = low(search.found).checked_sub(1) {
        return Some(server);
    }
    // The last level's list is that of all servers with a weight.
    let last = start.wrapping_add(levels.wrapping_sub(1) << 1);
    let list = tables.arena(last)?.load(Relaxed);
    first_available(tables, low(list), high(list), 0).map(|(_, server)| server)
}

struct Further {
    start: u32,
    levels: u32,
    /// The level of the last round, and how many of its servers have been refused in a row.
    level: u32,
    refused: u32,
    /// The server plus one.
    found: u64,
}

impl Rounds for Further {
    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, _index: u32) -> bool {
        self.go_on(tables).unwrap_or(false)
    }
}

impl Further {
    #[inline(always)]
    fn go_on<T: Tables + ?Sized>(&mut self, tables: &T) -> Option<bool> {
        let cursor = tables.arena(self.start.wrapping_sub(1))?;
        let step = Step::take(tables, cursor, self.start, self.levels)?;
        let server = at(tables, step.list, step.at.index)?;
        let same = is_zero(u64::from(self.level ^ step.at.level));
        let refused = select(same, self.refused.into(), 0) + 1;
        if !is_overloaded(tables, server) {
            let moved = step.moves_on(cursor, step.next(self.levels));
            self.found = select(moved.into(), u64::from(server) + 1, 0);
            return Some(!moved);
        }
        // All of the level are overloaded: so they are in its further passes.
        let whole = 1 ^ is_below(refused, step.servers.into());
        let next = step.at.next(
            low(select(whole, 0, step.servers.into())),
            low(select(whole, 0, step.passes.into())),
            self.levels,
        );
        self.level = step.at.level;
        self.refused = low(refused);
        step.moves_on(cursor, next);
        Some(true)
    }
}

/// Where wrr stands, and what its level says.
struct Step {
    seen: u64,
    at: Cursor,
    list: u32,
    servers: u32,
    passes: u32,
}

impl Step {
    #[inline(always)]
    fn take<T: Tables + ?Sized>(
        tables: &T,
        cursor: &Shared,
        start: u32,
        levels: u32,
    ) -> Option<Self> {
        let seen = cursor.load(Acquire);
        let at = Cursor::of(seen, levels);
        let word = start.wrapping_add(at.level << 1);
        let servers = tables.arena(word)?.load(Relaxed);
        let passes = tables.arena(word.wrapping_add(1))?.load(Relaxed);
        Some(Self {
            seen,
            at,
            list: low(servers),
            servers: high(servers),
            passes: low(passes),
        })
    }

    #[inline(always)]
    const fn next(&self, levels: u32) -> Cursor {
        self.at.next(self.servers, self.passes, levels)
    }

    /// Moves the cursor, unless another packet was faster.
    #[inline(always)]
    fn moves_on(&self, cursor: &Shared, next: Cursor) -> bool {
        cursor
            .compare_exchange(self.seen, next.packed(), AcqRel, Relaxed)
            .is_ok()
    }
}

/// Where wrr stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    level: u32,
    index: u32,
    passes: u32,
}

impl Cursor {
    /// The cursor of this word; at the first level if there is none of its number.
    #[inline(always)]
    const fn of(word: u64, levels: u32) -> Self {
        let there = is_below(word >> 48, levels as u64);
        let word = select(there, word, 0);
        Self {
            level: high(word) >> 16,
            index: high(word) & 0xffff,
            passes: low(word),
        }
    }

    #[inline(always)]
    const fn packed(self) -> u64 {
        pair(self.passes, self.level << 16 | self.index)
    }

    /// One server on, in a level of this many servers and passes.
    #[inline(always)]
    const fn next(self, servers: u32, passes: u32, levels: u32) -> Self {
        let index = self.index as u64 + 1;
        let in_pass = is_below(index, servers as u64);
        let done = self.passes as u64 + (1 ^ in_pass);
        let in_level = in_pass | is_below(done, passes as u64);
        let level = self.level as u64 + (1 ^ in_level);
        let level = select(is_below(level, levels as u64), level, 0);
        Self {
            level: low(level),
            index: low(select(in_pass, index, 0)),
            passes: low(select(in_level, done, 0)),
        }
    }
}

/// How a table of buckets was dealt out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dealt {
    /// dh and sh, `ip_vs_{dh,sh}_hashkey`: hash_32 of include/linux/hash.h, 8 bits.
    ByHash32,
    /// mh, `ip_vs_mh_hashkey`.
    ByHsiphash,
}

impl Dealt {
    /// The bucket of a number at an offset.
    #[inline(always)]
    const fn bucket(self, of: u32, offset: u32) -> u32 {
        match self {
            Self::ByHash32 => offset.wrapping_add(of.wrapping_mul(0x61c8_8647) >> 24) & 0xff,
            Self::ByHsiphash => hsiphash(of.wrapping_add(offset), MH_KEY) % MH_BUCKETS,
        }
    }

    #[inline(always)]
    const fn buckets(self) -> u32 {
        match self {
            Self::ByHash32 => 1 << 8,
            Self::ByHsiphash => MH_BUCKETS,
        }
    }
}

/// What sh and mh hash: the client's address, and its port where the service says so.
#[inline(always)]
fn client(service: &Service, key: &FlowKey) -> u32 {
    let [high, low_byte, ..] = low(key.ports_protocol).to_ne_bytes();
    let port = u64::from(u16::from_be_bytes([high, low_byte]));
    let flag = service.flags.load(Relaxed) & ServiceFlags::HASH_PORT;
    u32::from_be(low(key.addresses)).wrapping_add(low(select(1 ^ is_zero(flag), port, 0)))
}

/// The flags under which a bucket's server has a substitute.
const FALLS: u64 = ServiceFlags::FALLBACK;

/// IPVS's dh, sh and mh: the server of a bucket; where that is quiesced or overloaded it is refused, or with
/// `sh-fallback` and `mh-fallback` another bucket's taken.
///
/// `ip_vs_{dh,sh,mh}_get` and `ip_vs_{sh,mh}_get_fallback` in net/netfilter/ipvs; user space has dealt the buckets out.
#[inline(always)]
fn static_bucket<T: Tables + ?Sized>(
    tables: &T,
    service: &Service,
    dealt: Dealt,
    of: u32,
    falls: u64,
) -> Result<u32, DropReason> {
    let (start, len) = service.ring.load();
    if len == 0 {
        return Err(DropReason::NoServer);
    }
    let first = dealt.bucket(of, 0);
    let server = entry(tables, start, first)?;
    if !is_unavailable(tables, server) {
        return Ok(server);
    }
    if service.flags.load(Relaxed) & falls == 0 {
        return Err(DropReason::NoServer);
    }
    let mut search = Fallback {
        start,
        dealt,
        of,
        first,
        found: 0,
    };
    tables.repeat(dealt.buckets(), &mut search);
    low(search.found).checked_sub(1).ok_or(DropReason::NoServer)
}

struct Fallback {
    start: u32,
    dealt: Dealt,
    of: u32,
    first: u32,
    /// The server plus one.
    found: u64,
}

impl Rounds for Fallback {
    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool {
        let buckets = self.dealt.buckets();
        if index >= buckets {
            return false;
        }
        let offset = index.wrapping_add(self.first) % buckets;
        let bucket = self.dealt.bucket(self.of, offset);
        let Some(server) = at(tables, self.start, bucket) else {
            return false;
        };
        if is_unavailable(tables, server) {
            return true;
        }
        self.found = u64::from(server) + 1;
        false
    }
}

#[inline(always)]
fn entry<T: Tables + ?Sized>(tables: &T, start: u32, index: u32) -> Result<u32, DropReason> {
    at(tables, start, index).ok_or(DropReason::Internal)
}

/// An entry of a table in the arena.
#[inline(always)]
pub(crate) fn at<T: Tables + ?Sized>(tables: &T, start: u32, index: u32) -> Option<u32> {
    let word = tables.arena(start.wrapping_add(index >> 1))?.load(Relaxed);
    Some(low(word >> ((index & 1) << 5)))
}
