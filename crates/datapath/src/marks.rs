//! Marks of what changed in the established table, for whoever keeps a copy of it elsewhere.

use core::sync::atomic::Ordering::{AcqRel, Relaxed};

use evenkeel_abi::{FlowKey, low};

use crate::hash::flow_hash;
use crate::{Tables, bucket, established};

/// Marks a bucket of the established table, after the change: whoever takes the mark, and then reads the bucket, sees
/// it. Returns the bucket's word of marks as it was.
///
/// Not for the answer's sake, but because BPF's atomic instructions are barriers only if they give one. For the same
/// reason the mark is written even where it is set: an entry's word could still be on its way when the mark was read.
#[inline(always)]
pub fn mark<T: Tables + ?Sized>(tables: &T, bucket: u32) -> u64 {
    let (word, bit) = evenkeel_abi::mark(bucket);
    tables
        .changed(word)
        .map_or(0, |word| word.fetch_or(bit, AcqRel))
}

/// Marks the bucket of the established table that a flow stands in, after a change of its entry; see [`mark`].
#[inline(always)]
pub fn mark_flow<T: Tables + ?Sized>(tables: &T, key: &FlowKey) -> u64 {
    try_mark_flow(tables, key).unwrap_or(0)
}

#[inline(always)]
fn try_mark_flow<T: Tables + ?Sized>(tables: &T, key: &FlowKey) -> Option<u64> {
    let globals = tables.globals()?;
    let hash = flow_hash(key, low(globals.secret.load(Relaxed)));
    let [first, second] = established::buckets_of(globals, hash);
    // Else it is in the second one, or the sweep has just taken it out.
    let is_first = bucket::find(tables.conn_bucket(first)?, key).is_some();
    Some(mark(tables, if is_first { first } else { second }))
}
