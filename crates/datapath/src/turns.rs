//! Schedulers that take turns: rr and wrr.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use evenkeel_abi::{DropReason, Shared, Span, high, low, pair};

use crate::Tables;
use crate::branchless::{is_below, is_zero, select};
use crate::rounds::Rounds;
use crate::scheduler::{at, entry, first_available, is_overloaded};
use crate::table::ATTEMPTS;

/// Rounds of wrr in search of a server that is not overloaded; then the first one of the list is taken.
const WRR_ROUNDS: u32 = 4096;

/// IPVS's rr: the server after the one used last, in list order.
///
/// User space keeps only servers with a weight in the ring and sets its cursor so that the order
/// is the one of `ip_vs_rr_schedule` in net/netfilter/ipvs/ip_vs_rr.c.
#[inline(always)]
pub(crate) fn round_robin<T: Tables + ?Sized>(tables: &T, ring: &Span) -> Result<u32, DropReason> {
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
/// User space has counted the passes between two weights ([`evenkeel_abi::SchedulerId::WRR`]), so that each step is the
/// one of `ip_vs_wrr_schedule` in net/netfilter/ipvs/ip_vs_wrr.c, but found without a search.
#[inline(always)]
pub(crate) fn weighted_round_robin<T: Tables + ?Sized>(
    tables: &T,
    ring: &Span,
) -> Result<u32, DropReason> {
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
