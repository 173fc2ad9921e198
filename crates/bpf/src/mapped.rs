//! Arrays of the program, mapped into this process.

#![expect(
    unsafe_code,
    reason = "memory shared with the kernel is reached by pointers"
)]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::slice;

use evenkeel_abi::{
    Bucket, Clients, Conn, Gate, Globals, Link, Load, Router, Server, ServiceSlot, Shared, State,
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Types that may lie in memory which the kernel and other processes change.
///
/// # Safety
/// The type consists of atomics only, without padding, and every bit pattern is a valid value.
pub unsafe trait Mappable: Sync + 'static {}

// SAFETY: an atomic.
unsafe impl Mappable for Shared {}
// SAFETY: seven atomics of 64 bits.
unsafe impl Mappable for Globals {}
// SAFETY: six atomics of 64 bits.
unsafe impl Mappable for State {}
// SAFETY: two atomics of 64 bits.
unsafe impl Mappable for Link {}
// SAFETY: four atomics of 64 bits.
unsafe impl Mappable for Gate {}
// SAFETY: eight atomics of 64 bits.
unsafe impl Mappable for Router {}
// SAFETY: twenty-four atomics of 64 bits.
unsafe impl Mappable for ServiceSlot {}
// SAFETY: four atomics of 64 bits.
unsafe impl Mappable for Server {}
// SAFETY: two atomics of 64 bits.
unsafe impl Mappable for Load {}
// SAFETY: four atomics of 64 bits.
unsafe impl Mappable for Conn {}
// SAFETY: eight `Conn`.
unsafe impl Mappable for Bucket {}
// SAFETY: sixteen atomics of 64 bits.
unsafe impl Mappable for Clients {}
// SAFETY: nothing but atomics.
unsafe impl<const N: usize> Mappable for [Shared; N] {}

/// An array map of the program, as this process sees it; it stays valid when the map's descriptor is
/// closed, and is unmapped when dropped.
pub struct MappedArray<T: Mappable> {
    base: NonNull<T>,
    len: usize,
}

// SAFETY: `T` is made of atomics, which any thread may touch; the mapping belongs to no thread.
unsafe impl<T: Mappable> Send for MappedArray<T> {}
// SAFETY: as above; `&MappedArray` gives `&T` only.
unsafe impl<T: Mappable> Sync for MappedArray<T> {}

impl<T: Mappable> MappedArray<T> {
    /// Maps `len` values of an mmapable array map.
    pub(crate) fn new(map: impl AsFd, len: u32) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let bytes = len
            .checked_mul(size_of::<T>())
            .and_then(NonZeroUsize::new)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: no address is asked for, so no memory of ours is replaced.
        let base = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, map, 0) }?;
        Ok(Self {
            base: base.cast(),
            len,
        })
    }

    /// All values.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: `len` values of `T` are mapped at the page-aligned `base` until `self` is dropped; any
        // bytes are a valid `T`, and what others change there are atomics.
        unsafe { slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }

    /// A value, if the index is inside.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.as_slice().get(usize::try_from(index).ok()?)
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }

    /// Whether there are none, which never is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T: Mappable> Drop for MappedArray<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it outlives `self`.
        let unmapped = unsafe { munmap(self.base.cast(), self.len * size_of::<T>()) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}
