//! IPVS's lblc and lblcr: an address's new flows go where its earlier ones went, while those servers are not busy.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use evenkeel_abi::{
    Costs, DropReason, Locality, SchedulerId, Service, Shared, Tick, high, low, pair,
};

use crate::Tables;
use crate::branchless::{is_below, is_zero, select};
use crate::loads::overhead;
use crate::lookup::ServiceAt;
use crate::rounds::{Rounds, SERVERS};
use crate::scheduler::is_quiesced;

/// The server of an address's new flow, by lblc or lblcr, and what the service then remembers of the address.
///
/// `ip_vs_lblc_schedule` and `ip_vs_lblcr_schedule` in net/netfilter/ipvs. An address that was not asked for in
/// [`Locality::EXPIRATION`] is forgotten at once, where IPVS comes by every half an hour. The address is told by its
/// gate.
///
/// # Errors
/// No server may have it, or the tables contradict each other.
#[inline(always)]
pub fn by_locality<T: Tables + ?Sized>(tables: &T, at: ServiceAt) -> Result<u32, DropReason> {
    let slot = tables.service(at.service()).ok_or(DropReason::Internal)?;
    let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
    let row = tables.row_of(at);
    if let Some(row) = row
        && let Some(server) = row.server(tables, service)
    {
        return Ok(server);
    }
    let server = least_weighted(tables, service).ok_or(DropReason::NoServer)?;
    if let Some(row) = row {
        // Where another packet changes the row in this moment, it stays as that one leaves it.
        let _noted = if row.replicated != 0 {
            tables.replicate(row, server)
        } else {
            row.set_server(tables, server)
        };
    }
    Ok(server)
}

/// 1 if a scheduler remembers addresses, else 0.
#[inline(always)]
pub(crate) const fn is_local(scheduler: u64) -> u64 {
    is_zero(scheduler ^ SchedulerId::LBLC) | is_zero(scheduler ^ SchedulerId::LBLCR)
}

/// wlc's server, of all that the service has.
#[inline(always)]
fn least_weighted<T: Tables + ?Sized>(tables: &T, service: &Service) -> Option<u32> {
    let (start, len) = service.list.load();
    tables.least_loaded(Costs::WLC, start, len)
}

/// Whether a server has more active connections than its weight, and another one less than half as many (`is_overloaded`
/// of ip_vs_lblc.c).
#[inline(always)]
fn is_busy<T: Tables + ?Sized>(tables: &T, service: &Service, server: u32) -> Option<bool> {
    let (active, weight) = active(tables, server)?;
    if is_below(weight, active) == 0 {
        return Some(false);
    }
    let (start, len) = service.list.load();
    let Some(idle) = tables.least_loaded(Costs::SLACK, start, len) else {
        return Some(false);
    };
    let (active, weight) = self::active(tables, idle)?;
    Some(is_below(active << 1, weight) != 0)
}

/// A server's active connections and weight.
#[inline(always)]
fn active<T: Tables + ?Sized>(tables: &T, server: u32) -> Option<(u64, u64)> {
    let active = tables.server_load(server)?.active.load(Relaxed);
    Some((
        active,
        low(tables.server(server)?.weights.load(Relaxed)).into(),
    ))
}

/// What is remembered of an address, see [`Locality`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its first word in the arena.
    pub start: u32,
    /// Places for members.
    pub places: u32,
    /// 1: it is lblcr's, else 0.
    pub replicated: u32,
    /// 1: too long ago to count, else 0.
    pub expired: u32,
}

impl Row {
    /// A row in one word.
    #[must_use]
    #[inline(always)]
    pub const fn packed(self) -> u64 {
        pair(
            self.start,
            self.places << 2 | self.replicated << 1 | self.expired,
        )
    }

    /// The row of such a word.
    #[must_use]
    #[inline(always)]
    pub const fn unpacked(word: u64) -> Self {
        Self {
            start: low(word),
            places: high(word) >> 2,
            replicated: high(word) >> 1 & 1,
            expired: high(word) & 1,
        }
    }

    #[inline(always)]
    fn word<T: Tables + ?Sized>(self, tables: &T, word: u32) -> Option<&Shared> {
        tables.arena(self.start.wrapping_add(word))
    }

    /// The server that the address has, if it may have the new flow.
    #[inline(always)]
    fn server<T: Tables + ?Sized>(self, tables: &T, service: &Service) -> Option<u32> {
        let server = if self.replicated != 0 {
            self.least_loaded(tables)?
        } else {
            let remembered = low(self.word(tables, Locality::SERVERS)?.load(Acquire));
            let server = remembered.wrapping_mul(1 ^ self.expired).checked_sub(1)?;
            // As in IPVS it stays even above its threshold.
            if is_quiesced(tables, server) {
                return None;
            }
            server
        };
        (!is_busy(tables, service, server)?).then_some(server)
    }

    /// lblc: sets the server.
    #[inline(always)]
    fn set_server<T: Tables + ?Sized>(self, tables: &T, server: u32) -> Option<()> {
        let word = self.word(tables, Locality::SERVERS)?;
        word.store(u64::from(server) + 1, Release);
        self.note(tables, Locality::USED)
    }

    /// lblcr: the newest member's place, where the member words say so; there is none in an expired row.
    #[inline(always)]
    fn newest(self, servers: u64) -> u32 {
        let places = self.places.into();
        let newest = select(self.expired.into(), places, low(servers).into());
        low(select(is_below(newest, places), newest, places))
    }

    /// The first word of the members from a place on.
    #[inline(always)]
    const fn members(self, place: u32) -> u32 {
        self.start
            .wrapping_add(Locality::MEMBERS)
            .wrapping_add(place)
    }

    /// lblcr: the least loaded member. If no member has come or gone in a long time, the most loaded one goes, even if it
    /// is the same.
    #[inline(always)]
    fn least_loaded<T: Tables + ?Sized>(self, tables: &T) -> Option<u32> {
        let newest = self.newest(self.word(tables, Locality::SERVERS)?.load(Acquire));
        let count = self.places.wrapping_sub(newest);
        let least = tables.least_loaded(Costs::WLC, self.members(newest), count << 1);
        let changed = Tick(self.word(tables, Locality::CHANGED)?.load(Relaxed));
        let due = is_below(changed.after(Locality::EXPIRATION).0, tables.now().0);
        if due & is_below(1, count.into()) != 0 {
            let _gone = tables.thin_out(self);
        }
        least
    }

    /// Has other packets keep their hands off the members, unless another one does: the newest one's place.
    #[inline(always)]
    fn lock<T: Tables + ?Sized>(self, tables: &T) -> Option<u32> {
        let servers = self.word(tables, Locality::SERVERS)?;
        let seen = servers.load(Acquire);
        if high(seen) != 0 {
            return None;
        }
        let locked = pair(low(seen), 1);
        servers
            .compare_exchange(seen, locked, AcqRel, Relaxed)
            .ok()?;
        Some(self.newest(seen))
    }

    /// Ends what [`lock`](Self::lock) began.
    #[inline(always)]
    fn unlock<T: Tables + ?Sized>(self, tables: &T, newest: u32) -> Option<()> {
        let servers = self.word(tables, Locality::SERVERS)?;
        servers.store(newest.into(), Release);
        Some(())
    }

    /// Writes the time into a word.
    #[inline(always)]
    fn note<T: Tables + ?Sized>(self, tables: &T, word: u32) -> Option<()> {
        self.word(tables, word)?.store(tables.now().0, Relaxed);
        Some(())
    }
}

/// The row of an address of a service, by its gate: a free one where it has none. `None`: there is no room.
#[must_use]
#[inline(always)]
pub fn row_of<T: Tables + ?Sized>(tables: &T, at: ServiceAt) -> Option<Row> {
    let slot = tables.service(at.service())?;
    let service = &slot.halves[(slot.select.load(Acquire) & 1) as usize];
    // The service may have got another scheduler since the one that asks was read, and its ring is no table of rows then.
    let scheduler = service.scheduler.load(Relaxed);
    let replicated = is_zero(scheduler ^ SchedulerId::LBLCR);
    let (start, rows) = service.ring.load();
    if is_local(scheduler) == 0 || rows == 0 || start == 0 {
        return None;
    }
    let places = low(tables.arena(start - 1)?.load(Relaxed));
    let mut search = Search {
        start,
        rows,
        words: places.wrapping_add(Locality::MEMBERS),
        gate: u64::from(at.gate()) + 1,
        from: at.gate() % rows,
        found: 0,
    };
    tables.repeat(rows, &mut search);
    let start = low(search.found).checked_sub(1)?;
    let now = tables.now();
    let used = tables.arena(start.wrapping_add(Locality::USED))?;
    let last = used.load(Relaxed);
    let until = Tick(last).after(Locality::EXPIRATION);
    let expired = 1 ^ is_below(now.0, until.0);
    // An expired one stays so until the address has a server again.
    used.store(select(expired, last, now.0), Relaxed);
    Some(Row {
        start,
        places,
        replicated: low(replicated),
        expired: low(expired),
    })
}

/// lblcr: makes a server a member of an address, unless it is one (`ip_vs_dest_set_insert`).
#[inline(always)]
pub fn replicate<T: Tables + ?Sized>(tables: &T, row: Row, server: u32) -> Option<()> {
    let newest = row.lock(tables)?;
    let added = add(tables, row, newest, server).unwrap_or(newest);
    row.note(tables, Locality::USED)?;
    row.unlock(tables, added)
}

/// The place of a server that was not a member before, and is one now.
#[inline(always)]
fn add<T: Tables + ?Sized>(tables: &T, row: Row, newest: u32, server: u32) -> Option<u32> {
    let mut search = Member {
        start: row.members(newest),
        len: row.places.wrapping_sub(newest),
        server,
        found: 0,
    };
    tables.repeat(SERVERS, &mut search);
    if search.found != 0 {
        return None;
    }
    let place = newest.checked_sub(1)?;
    let member = tables.arena(row.members(place))?;
    member.store(pair(server, server), Release);
    row.note(tables, Locality::CHANGED)?;
    Some(place)
}

/// lblcr: takes the most loaded member of an address out (`ip_vs_dest_set_max`, `ip_vs_dest_set_erase`).
#[inline(always)]
pub fn thin_out<T: Tables + ?Sized>(tables: &T, row: Row) -> Option<()> {
    let newest = row.lock(tables)?;
    let left = remove(tables, row, newest).unwrap_or(newest);
    row.unlock(tables, left)
}

/// The newest member's place without the most loaded one.
#[inline(always)]
fn remove<T: Tables + ?Sized>(tables: &T, row: Row, newest: u32) -> Option<u32> {
    let mut search = Most {
        start: row.members(newest),
        len: row.places.wrapping_sub(newest),
        load: 0,
        weight: 0,
        found: 0,
    };
    tables.repeat(SERVERS, &mut search);
    let index = low(search.found).checked_sub(1)?;
    let mut shift = Shift {
        start: row.members(newest),
        index,
    };
    tables.repeat(SERVERS, &mut shift);
    row.note(tables, Locality::CHANGED)?;
    Some(newest.wrapping_add(1))
}

/// Looks for the row of an address.
struct Search {
    start: u32,
    rows: u32,
    /// Words of a row.
    words: u32,
    /// The gate's number plus one.
    gate: u64,
    from: u32,
    /// The row's first word plus one.
    found: u64,
}

impl Rounds for Search {
    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool {
        if index >= self.rows {
            return false;
        }
        let place = u64::from(self.from) + u64::from(index);
        let rows = u64::from(self.rows);
        let place = low(place.wrapping_sub(select(is_below(place, rows), 0, rows)));
        let row = self.start.wrapping_add(place.wrapping_mul(self.words));
        let Some(gate) = tables.arena(row) else {
            return false;
        };
        let mut seen = gate.load(Acquire);
        if seen == 0 {
            seen = gate
                .compare_exchange(0, self.gate, AcqRel, Acquire)
                .map_or_else(|taken| taken, |_free| self.gate);
        }
        let is_its = is_zero(seen ^ self.gate);
        self.found = select(is_its, u64::from(row) + 1, 0);
        is_its == 0
    }
}

/// The number of a member.
#[inline(always)]
fn member<T: Tables + ?Sized>(tables: &T, start: u32, index: u32) -> Option<u32> {
    Some(low(tables.arena(start.wrapping_add(index))?.load(Relaxed)))
}

/// Looks for a server among members.
struct Member {
    start: u32,
    len: u32,
    server: u32,
    /// 1: it is there.
    found: u64,
}

impl Rounds for Member {
    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool {
        if index >= self.len {
            return false;
        }
        let Some(server) = member(tables, self.start, index) else {
            return false;
        };
        self.found = is_zero((server ^ self.server).into());
        self.found == 0
    }
}

/// Looks for the member with the highest overhead for its weight, the first of equals; one without a weight is none.
struct Most {
    start: u32,
    len: u32,
    load: u64,
    weight: u64,
    /// Its index plus one.
    found: u64,
}

impl Rounds for Most {
    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool {
        if index >= self.len {
            return false;
        }
        let Some(server) = member(tables, self.start, index) else {
            return false;
        };
        let Some((load, weight)) = overhead(tables, server) else {
            return false;
        };
        let higher = is_below(
            self.load.wrapping_mul(weight),
            load.wrapping_mul(self.weight),
        );
        let better = (higher | is_zero(self.found)) & (1 ^ is_zero(weight));
        self.load = select(better, load, self.load);
        self.weight = select(better, weight, self.weight);
        self.found = select(better, u64::from(index) + 1, self.found);
        true
    }
}

/// Moves the members before one of them by a place each, onto it.
struct Shift {
    start: u32,
    /// The one that is moved onto.
    index: u32,
}

impl Rounds for Shift {
    #[inline(always)]
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, _index: u32) -> bool {
        if self.index == 0 {
            return false;
        }
        let place = self.start.wrapping_add(self.index);
        let (Some(onto), Some(next)) = (tables.arena(place), tables.arena(place.wrapping_sub(1)))
        else {
            return false;
        };
        onto.store(next.load(Relaxed), Release);
        self.index -= 1;
        true
    }
}
