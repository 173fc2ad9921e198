//! A 64-bit word that processors and user space share.
//!
//! Natively it is `AtomicU64`. The BPF target of rustc has the instructions but declares no
//! compare-and-exchange, so there the same few methods are made of the compiler's intrinsics.

#[cfg(not(target_arch = "bpf"))]
pub use core::sync::atomic::AtomicU64 as Shared;

#[cfg(target_arch = "bpf")]
pub use bpf::Shared;

#[cfg(target_arch = "bpf")]
#[expect(unsafe_code, reason = "the intrinsics take pointers")]
mod bpf {
    use core::cell::UnsafeCell;
    use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_or, atomic_xadd};
    use core::sync::atomic::Ordering;

    /// The part of `AtomicU64` that the data plane uses.
    ///
    /// Orderings are those that BPF has: a load or store is plain, whatever is asked for; an
    /// instruction that reads and writes and returns the old value is a full barrier.
    #[repr(transparent)]
    pub struct Shared(UnsafeCell<u64>);

    // SAFETY: every access below is a single instruction on an aligned word.
    unsafe impl Sync for Shared {}

    impl Shared {
        #[inline(always)]
        pub fn load(&self, _order: Ordering) -> u64 {
            // SAFETY: the pointer comes from a reference.
            unsafe { self.0.get().read_volatile() }
        }

        #[inline(always)]
        pub fn store(&self, value: u64, _order: Ordering) {
            // SAFETY: the pointer comes from a reference to a cell.
            unsafe { self.0.get().write_volatile(value) };
        }

        #[inline(always)]
        pub fn compare_exchange(
            &self,
            old: u64,
            new: u64,
            _ok: Ordering,
            _err: Ordering,
        ) -> Result<u64, u64> {
            const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;
            // SAFETY: the pointer comes from a reference to a cell, and the word is aligned.
            let (seen, done) = unsafe { atomic_cxchg::<u64, ORDER, ORDER>(self.0.get(), old, new) };
            if done { Ok(seen) } else { Err(seen) }
        }

        #[inline(always)]
        pub fn fetch_add(&self, n: u64, _order: Ordering) {
            // SAFETY: the pointer comes from a reference to a cell, and the word is aligned.
            unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(self.0.get(), n) };
        }

        /// A full barrier where the old value is of use.
        #[inline(always)]
        pub fn fetch_or(&self, bits: u64, _order: Ordering) -> u64 {
            // SAFETY: the pointer comes from a reference to a cell, and the word is aligned.
            unsafe { atomic_or::<u64, u64, { AtomicOrdering::SeqCst }>(self.0.get(), bits) }
        }

        #[inline(always)]
        pub fn fetch_sub(&self, n: u64, order: Ordering) {
            self.fetch_add(n.wrapping_neg(), order);
        }
    }

    impl Default for Shared {
        fn default() -> Self {
            Self(UnsafeCell::new(0))
        }
    }
}
