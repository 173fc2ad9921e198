//! Loops over the servers of a service. The program runs them by `bpf_loop`, so that the verifier follows one chunk
//! of rounds and not all.

use evenkeel_abi::low;

use crate::Tables;

/// Rounds of a loop over all servers that a service may have.
pub(crate) const SERVERS: u32 = 1024;

/// A loop: what its rounds change.
pub trait Rounds {
    /// Rounds of a chunk: with more of them a loop is faster, and takes longer to verify.
    const CHUNK: u32 = 1;

    /// Takes the round of a number, from 0 on; false: it was the last one.
    fn round<T: Tables + ?Sized>(&mut self, tables: &T, index: u32) -> bool;
}

/// Takes the rounds of a chunk; false: the loop is over.
#[inline(always)]
pub fn chunk<T: Tables + ?Sized, R: Rounds>(tables: &T, rounds: &mut R, number: u32) -> bool {
    let first = u64::from(number).wrapping_mul(R::CHUNK.into());
    // 64 bits wide: of a counter that shares its place on the stack the verifier loses sight.
    for index in 0..u64::from(R::CHUNK) {
        if !rounds.round(tables, low(first.wrapping_add(index))) {
            return false;
        }
    }
    true
}
