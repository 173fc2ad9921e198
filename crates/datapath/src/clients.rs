//! The addresses of IPv6 clients, beside the tables whose keys have digests of them: for listings.

use core::sync::atomic::Ordering::Relaxed;

use evenkeel_abi::{BUCKET_WAYS, Clients, FlowKey, Globals, low};
use evenkeel_wire::ipv6;

use crate::bucket;
use crate::established;
use crate::half_open::bucket_number;
use crate::hash::flow_hash;
use crate::ip::{address_at, under_prefix};
use crate::{Frame, Tables};

/// Writes the address of an IPv6 packet's client, under a prefix of this length, beside the entry of a key, if it has
/// one.
#[inline(always)]
pub fn note_client<F: Frame + ?Sized, T: Tables>(
    frame: &F,
    tables: &T,
    key: &FlowKey,
    prefix: u32,
) -> Option<()> {
    let client = address_at(frame, ipv6::SOURCE)?;
    try_note(tables, key, under_prefix(client, prefix))
}

#[inline(always)]
fn try_note<T: Tables>(tables: &T, key: &FlowKey, client: [u64; 2]) -> Option<()> {
    let globals = tables.globals()?;
    let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
    if let Some(number) = note_established(tables, globals, key, hash, client) {
        // Whoever took the mark of the entry's change has not seen whose it is.
        tables.mark(number);
        return Some(());
    }
    let number = bucket_number(globals, hash);
    let way = bucket::find(tables.bucket(number)?, key)?;
    write(tables.half_open_clients(number)?, way.index, client);
    Some(())
}

/// Writes it beside the established entry of a key, and returns the number of its bucket, if there is one.
#[inline(always)]
pub(crate) fn note_established<T: Tables + ?Sized>(
    tables: &T,
    globals: &Globals,
    key: &FlowKey,
    hash: u32,
    client: [u64; 2],
) -> Option<u32> {
    for number in established::buckets_of(globals, hash) {
        if let Some(way) = bucket::find(tables.conn_bucket(number)?, key) {
            write(tables.conn_clients(number)?, way.index, client);
            return Some(number);
        }
    }
    None
}

#[inline(always)]
fn write(clients: &Clients, way: u64, [first, second]: [u64; 2]) {
    #[expect(clippy::cast_possible_truncation, reason = "masked")]
    let place = &clients.ways[(way as usize) & (BUCKET_WAYS - 1)];
    place[0].store(first, Relaxed);
    place[1].store(second, Relaxed);
}
