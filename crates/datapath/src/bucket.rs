//! Buckets: eight places for entries, of which a flow's is found without a branch.
//!
//! Only packets insert, and they claim a way by compare-and-exchange; two processors that see the
//! same new flow in the same instant may both enter it, and the second entry dies by its timeout.

use core::hint::black_box;
use core::sync::atomic::Ordering::{Acquire, Relaxed};

use evenkeel_abi::{BUCKET_WAYS, Bucket, Conn, FlowKey, Tick, Word};

use crate::branchless::{is_zero, select};
use crate::table::publish;

/// A way of a bucket and the word that was read there.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) index: u64,
    pub(crate) word: Word,
}

impl Way {
    /// Its entry.
    #[inline(always)]
    pub(crate) fn conn(self, bucket: &Bucket) -> &Conn {
        #[expect(clippy::cast_possible_truncation, reason = "masked")]
        &bucket.ways[(self.index as usize) & (BUCKET_WAYS - 1)]
    }
}

/// For each set of ways, a bit each, the last of them plus one (0: it is empty), and their number.
static SETS: [[u8; 2]; 1 << BUCKET_WAYS] = {
    let mut sets = [[0; 2]; 1 << BUCKET_WAYS];
    let mut set = 0;
    while set < sets.len() {
        let mut way = 0;
        while way < BUCKET_WAYS {
            if set >> way & 1 != 0 {
                #[expect(clippy::cast_possible_truncation, reason = "below 8")]
                let last = way as u8 + 1;
                sets[set] = [last, sets[set][1] + 1];
            }
            way += 1;
        }
        set += 1;
    }
    sets
};

/// Finds the live entry of a flow.
#[inline(always)]
pub(crate) fn find(bucket: &Bucket, key: &FlowKey) -> Option<Way> {
    let mut found = 0;
    let mut word = 0;
    for (index, conn) in (1u64..).zip(&bucket.ways) {
        let seen = conn.word.load(Acquire);
        let differs = (conn.addresses.load(Relaxed) ^ key.addresses)
            | (conn.ports_protocol.load(Relaxed) ^ key.ports_protocol)
            | Word(seen).not_live();
        let hit = is_zero(differs);
        found = select(hit, index, found);
        word = select(hit, seen, word);
    }
    if found == 0 {
        return None;
    }
    Some(Way {
        index: found - 1,
        word: Word(word),
    })
}

/// The room of a bucket: a way where no entry stands plus one (0: there is none), and the number of such ways.
#[inline(always)]
pub(crate) fn room(bucket: &Bucket) -> (u64, u64) {
    let mut set = 0;
    for (index, conn) in (0u32..).zip(&bucket.ways) {
        set |= is_zero(conn.word.load(Relaxed)) << index;
    }
    // LLVM knows that there are eight bits and would leave the mask out; the verifier of 6.1 does not.
    #[expect(clippy::cast_possible_truncation, reason = "eight bits")]
    let [last, number] = SETS[black_box(set) as usize & (SETS.len() - 1)];
    (last.into(), number.into())
}

/// Puts an entry into a way whose word is still the one that was read; false: it was taken meanwhile.
#[inline(always)]
pub(crate) fn fill(bucket: &Bucket, way: Way, key: &FlowKey, word: Word, born: Tick) -> bool {
    let conn = way.conn(bucket);
    if conn
        .word
        .compare_exchange(way.word.0, Word::busy(word.expiry()).0, Acquire, Relaxed)
        .is_err()
    {
        return false;
    }
    publish(conn, key, born, word);
    true
}
