//! What lblc and lblcr remember of the addresses of a service.

use crate::Tick;

/// The table of a service with lblc or lblcr: its `ring` counts *rows*, each of [`MEMBERS`](Self::MEMBERS) words and
/// the places of its members, and the word before the first row says how many places that are.
///
/// A row belongs to one address. Packets take the first free one for it, from that of its gate's number on (modulo
/// the rows) round to the one before; user space alone frees rows, with a new table. These are the words of a row;
/// its places follow, filled from the last one on, the newest member first. A place has a member's number in both
/// halves, so that a run of them can be read as a list of servers.
pub struct Locality;

impl Locality {
    /// Number of the address's gate plus one; 0: the row is free.
    pub const GATE: u32 = 0;
    /// Tick of the address's last new flow.
    pub const USED: u32 = 1;
    /// lblc: its server plus one; 0: it has none. lblcr: the place of its newest member, the number of places where
    /// there is none; and 1 in the high half while a packet changes the members.
    pub const SERVERS: u32 = 2;
    /// lblcr: tick of the last change of its members.
    pub const CHANGED: u32 = 3;
    /// lblcr: the first place.
    pub const MEMBERS: u32 = 4;

    /// How long an address without a new flow is remembered, and how long a set of members stays as it is
    /// (`DEFAULT_EXPIRATION` of net/netfilter/ipvs/ip_vs_lblc.c and ip_vs_lblcr.c), in ticks.
    pub const EXPIRATION: u64 = Tick::in_secs(86_400);
}
